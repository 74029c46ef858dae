/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-prepare's watchdog.  It holds one end of a pipe and sleeps in a read;
 * the kernel closes the other end however dvm-prepare dies.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prep/pr_watch.h"

#define DONE 'd'

static void
watch(int fd, void (*clean)(void *ctx), void *ctx)
{
	int null = open("/dev/null", O_RDWR);
	char byte = 0;

	/* Away from the terminal and from any group that may be killed, and
	 * out of the pipes that our output may go to. */
	(void)setsid();
	for (int i = 0; i <= STDERR_FILENO && null >= 0; i++)
		(void)dup2(null, i);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		continue;
	if (byte != DONE)
		clean(ctx);
	_exit(0);
}

int
pr_watch_start(void (*clean)(void *ctx), void *ctx, struct pr_watch *w,
    struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) != 0)
		return err_set(e, ERR_SYS, errno, "cannot make a pipe");
	w->pid = fork();
	if (w->pid == 0) {
		(void)close(fds[1]);
		watch(fds[0], clean, ctx);
	}
	(void)close(fds[0]);
	if (w->pid < 0) {
		(void)close(fds[1]);
		return err_set(e, ERR_SYS, errno, "cannot start the watchdog");
	}
	w->fd = fds[1];
	return 0;
}

void
pr_watch_done(struct pr_watch *w)
{
	const char done = DONE;

	/* If it was killed, there is nobody to tell. */
	if (write(w->fd, &done, 1) == 1)
		(void)waitpid(w->pid, NULL, 0);
	(void)close(w->fd);
	w->fd = -1;
}
