/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starting a program for ag_serve, in its process.  What is to be started is
 * dom0's word; what runs then is not trusted, but as far as the guest's kernel
 * lets it go.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prep/agent/ag_file.h"
#include "prep/agent/ag_spawn.h"

#define CHILDREN_BYTES 65536
#define END_ROUNDS 300u
#define END_ROUND_MS 10u
#define FDS_MAX 1024		/* RLIMIT_NOFILE, if nobody has set it */

enum stage { STAGE_PREPARE, STAGE_EXEC };

/* What a child says that could not become the program. */
struct trouble {
	enum stage stage;
	int error;
};

/* Both ends of all; -1: not open. */
struct ends {
	int in[2], out[2], err[2], trouble[2];
	int slave;
};

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

static void
close_pair(int pair[2])
{
	close_fd(&pair[0]);
	close_fd(&pair[1]);
}

static int
set_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int
set_size(int fd, uint16_t rows, uint16_t cols)
{
	const struct winsize w = { .ws_row = rows, .ws_col = cols };

	return ioctl(fd, TIOCSWINSZ, &w);
}

static int
open_tty(const struct ag_spawn *s, struct ends *t)
{
	char name[64];

	t->out[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->out[0] < 0 || grantpt(t->out[0]) != 0 ||
	    unlockpt(t->out[0]) != 0 ||
	    ptsname_r(t->out[0], name, sizeof(name)) != 0)
		return -1;
	t->in[1] = fcntl(t->out[0], F_DUPFD_CLOEXEC, 0);
	t->slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->in[1] < 0 || t->slave < 0 ||
	    (geteuid() == 0 && fchown(t->slave, s->user->uid,
	    (gid_t)-1) != 0))
		return -1;
	return set_size(t->slave, s->rows, s->cols);
}

static int
open_ends(const struct ag_spawn *s, struct ends *t)
{
	if (pipe2(t->trouble, O_CLOEXEC) != 0)
		return -1;
	if (s->tty) {
		if (open_tty(s, t) != 0)
			return -1;
	} else if (pipe2(t->in, O_CLOEXEC) != 0 ||
	    pipe2(t->out, O_CLOEXEC) != 0 || pipe2(t->err, O_CLOEXEC) != 0 ||
	    set_nonblocking(t->err[0]) != 0) {
		return -1;
	}
	return set_nonblocking(t->in[1]) != 0 ? -1 : set_nonblocking(t->out[0]);
}

static void
set_environment(const struct ag_spawn *s)
{
	static const char *const kept[] = { "LANG", "LC_ALL", "TZ" };
	const char *values[3];
	char runtime[48];

	for (int i = 0; i < 3; i++)
		values[i] = getenv(kept[i]);
	(void)clearenv();
	for (int i = 0; i < 3; i++)
		if (values[i] != NULL)
			(void)setenv(kept[i], values[i], 1);
	(void)setenv("PATH", AG_RUN_PATH, 1);
	(void)snprintf(runtime, sizeof(runtime), "/run/user/%u",
	    (unsigned)s->user->uid);
	if (access(runtime, F_OK) == 0)
		(void)setenv("XDG_RUNTIME_DIR", runtime, 1);
	if (s->tty)
		(void)setenv("TERM", "xterm", 1);
	if (s->argument != NULL) {
		(void)setenv("DVM_SERVICE_ARGUMENT", s->argument, 1);
		(void)setenv("QREXEC_SERVICE_ARGUMENT", s->argument, 1);
	}
}

/* Libraries open some without O_CLOEXEC: /dev/xen/gntalloc, which is root's. */
static void
keep_standard_fds(void)
{
	/* Before Linux 5.11 there is no such flag. */
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0u,
	    CLOSE_RANGE_CLOEXEC) == 0)
		return;
	for (int fd = STDERR_FILENO + 1; fd < FDS_MAX; fd++)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int
prepare(const struct ag_spawn *s, const struct ends *t)
{
	int in = s->tty ? t->slave : t->in[0];
	int out = s->tty ? t->slave : t->out[1];
	int err = s->tty ? t->slave : t->err[1];
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (setsid() < 0 || (s->cgroup_fd >= 0 &&
	    write(s->cgroup_fd, "0", 1) != 1) ||
	    (s->tty && ioctl(t->slave, TIOCSCTTY, 0) != 0) ||
	    dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(err, STDERR_FILENO) < 0)
		return -1;
	keep_standard_fds();
	set_environment(s);
	return ag_run_become(s->user);
}

static void
child(const struct ag_spawn *s, const struct ends *t)
{
	char *const *argv = (char *const *)(uintptr_t)s->argv;
	struct trouble trouble = { .stage = STAGE_PREPARE };

	if (prepare(s, t) == 0) {
		trouble.stage = STAGE_EXEC;
		(void)execvp(argv[0], argv);
	}
	trouble.error = errno;
	_exit(write(t->trouble[1], &trouble, sizeof(trouble)) ==
	    sizeof(trouble) ? 127 : 126);
}

static int
explain(const struct ag_spawn *s, const struct trouble *t, struct err *e)
{
	const char *name = s->argv[0];

	if (t->stage == STAGE_PREPARE) {
		(void)err_set(e, ERR_SYS, t->error, "the guest cannot run "
		    "programs as its user %s", s->user->name);
		return 125;
	}
	if (t->error == ENOENT && strchr(name, '/') != NULL &&
	    access(name, F_OK) == 0) {
		(void)err_set(e, ERR_SYS, 0, "the interpreter of \"%.200s\" "
		    "is not in the guest", name);
		return 126;
	}
	if (t->error == ENOENT || t->error == ENOTDIR) {
		(void)err_set(e, ERR_SYS, 0, "the guest has no program "
		    "\"%.200s\"", name);
		return 127;
	}
	(void)err_set(e, ERR_SYS, t->error, "the guest cannot execute "
	    "\"%.200s\"", name);
	return 126;
}

int
ag_spawn(const struct ag_spawn *s, struct ag_child *c, struct err *e)
{
	struct ends t = { { -1, -1 }, { -1, -1 }, { -1, -1 }, { -1, -1 }, -1 };
	struct trouble trouble = { .stage = STAGE_PREPARE };
	int status = 125;
	pid_t pid = -1;

	if (open_ends(s, &t) == 0)
		pid = fork();
	if (pid == 0)
		child(s, &t);
	trouble.error = errno;
	close_fd(&t.trouble[1]);
	/* Its end comes with the exec. */
	if (pid > 0 && read(t.trouble[0], &trouble, sizeof(trouble)) == 0) {
		*c = (struct ag_child){ .pid = pid, .in = t.in[1],
		    .out = t.out[0], .err = t.err[0] };
		t.in[1] = t.out[0] = t.err[0] = -1;
		status = 0;
	} else {
		status = explain(s, &trouble, e);
		if (pid > 0)
			(void)waitpid(pid, NULL, 0);
	}
	close_pair(t.in);
	close_pair(t.out);
	close_pair(t.err);
	close_pair(t.trouble);
	close_fd(&t.slave);
	return status;
}

void
ag_spawn_set_size(const struct ag_child *c, uint16_t rows, uint16_t cols)
{
	if (c->out >= 0)
		(void)set_size(c->out, rows, cols);
}

void
ag_spawn_signal_all(int sig)
{
	static char text[CHILDREN_BYTES];
	char *at = text, *pid;

	if (ag_file_read("/proc/thread-self/children", text,
	    sizeof(text)) < 0)
		return;
	while ((pid = strsep(&at, " ")) != NULL)
		if (*pid != '\0')
			(void)kill((pid_t)strtol(pid, NULL, 10), sig);
}

void
ag_spawn_end_all(void)
{
	pid_t pid = 0;

	/* Whose parent ends becomes ours, and is killed in the next round. */
	for (unsigned i = 0; i < END_ROUNDS; i++) {
		ag_spawn_signal_all(SIGKILL);
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			continue;
		if (pid < 0)
			return;
		ag_file_sleep_ms(i < 10 ? 1 : END_ROUND_MS);
	}
}
