/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The channel over a socket.  Without an agent nobody ever speaks, as in a
 * guest that has none.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "include/clock.h"
#include "restore/courier/chan_open.h"
#include "tests/fake/fake_chan.h"

#define AGENT_FD 3
#define ARGS_MAX 16

static void
become(char *line, int fd)
{
	char *argv[ARGS_MAX + 1] = { NULL }, *word;

	for (int i = 0; i < ARGS_MAX && (word = strsep(&line, " ")) != NULL;
	    i++)
		argv[i] = word;
	if (fd != AGENT_FD && dup2(fd, AGENT_FD) < 0)
		_exit(127);
	(void)close_range(AGENT_FD + 1, ~0u, 0);
	(void)execv(argv[0], argv);
	_exit(127);
}

int
rs_chan_open(uint32_t domid, uint64_t deadline_ns, int cancel_fd,
    struct chan_io *io, struct err *e)
{
	struct pollfd p = { .fd = cancel_fd, .events = POLLIN };
	char *line = getenv(FAKE_CHAN_ENV);
	int pair[2];
	pid_t pid;

	(void)domid;
	if (line == NULL) {
		(void)poll(&p, 1, (int)((deadline_ns - clock_now_ns()) /
		    CLOCK_MS));
		return err_set(e, ERR_TIMEOUT, 0, "the guest's agent does not "
		    "speak");
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return err_set(e, ERR_SYS, errno, "socketpair");
	pid = fork();
	if (pid == 0) {
		(void)close(pair[0]);
		if (pair[1] == AGENT_FD)
			pair[1] = dup(pair[1]);
		become(line, pair[1]);
	}
	(void)close(pair[1]);
	if (pid < 0)
		return err_set(e, ERR_SYS, errno, "fork");
	*io = chan_io_socket(pair[0]);
	return 0;
}
