/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Programs that dvm-agent runs while the guest settles.  The guest is not yet
 * anybody's: its files are its administrator's.  Users are looked up by hand,
 * since a static binary cannot load NSS modules.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "prep/agent/ag_file.h"
#include "prep/agent/ag_run.h"

#define DATABASE_BYTES 65536
#define FIELDS_MAX 7

/* Splits the line at *text into fields at ':', ends it with NULs, and steps to
 * the next; false at the end. */
static bool
next_line(char **text, char *fields[FIELDS_MAX])
{
	char *at = *text, *eol;

	if (*at == '\0')
		return false;
	eol = strchr(at, '\n');
	*text = eol == NULL ? at + strlen(at) : eol + 1;
	if (eol != NULL)
		*eol = '\0';
	for (int i = 0; i < FIELDS_MAX; i++)
		fields[i] = at != NULL ? strsep(&at, ":") : NULL;
	return true;
}

static bool
in_list(char *list, const char *name)
{
	const char *one;

	while (list != NULL && (one = strsep(&list, ",")) != NULL)
		if (strcmp(one, name) == 0)
			return true;
	return false;
}

/* With that name, or if it is NULL that number. */
static int
find_user(const char *name, uid_t uid, struct ag_run_user *user)
{
	static char text[DATABASE_BYTES];
	char *at = text, *f[FIELDS_MAX];

	memset(user, 0, sizeof(*user));
	if (ag_file_read("/etc/passwd", text, sizeof(text)) < 0)
		return -1;
	while (user->name[0] == '\0' && next_line(&at, f)) {
		if (f[6] == NULL)
			continue;
		user->uid = (uid_t)strtoul(f[2], NULL, 10);
		if (name != NULL ? strcmp(f[0], name) != 0 : user->uid != uid)
			continue;
		(void)snprintf(user->name, sizeof(user->name), "%s", f[0]);
		user->gid = (gid_t)strtoul(f[3], NULL, 10);
		(void)snprintf(user->home, sizeof(user->home), "%s", f[5]);
		(void)snprintf(user->shell, sizeof(user->shell), "%s",
		    f[6][0] != '\0' ? f[6] : "/bin/sh");
	}
	if (user->name[0] == '\0') {
		errno = ENOENT;
		return -1;
	}
	user->groups[user->nr_groups++] = user->gid;
	if (ag_file_read("/etc/group", text, sizeof(text)) < 0)
		return 0;
	at = text;
	while (user->nr_groups < AG_RUN_GROUPS_MAX && next_line(&at, f))
		if (f[3] != NULL && in_list(f[3], user->name))
			user->groups[user->nr_groups++] =
			    (gid_t)strtoul(f[2], NULL, 10);
	return 0;
}

int
ag_run_user(const char *name, struct ag_run_user *user)
{
	return find_user(name, 0, user);
}

int
ag_run_user_by_uid(uid_t uid, struct ag_run_user *user)
{
	return find_user(NULL, uid, user);
}

int
ag_run_become(const struct ag_run_user *u)
{
	/* Who is no other needs no right to become it. */
	if (geteuid() != u->uid &&
	    (setgroups((size_t)u->nr_groups, u->groups) != 0 ||
	    setresgid(u->gid, u->gid, u->gid) != 0 ||
	    setresuid(u->uid, u->uid, u->uid) != 0))
		return -1;
	if ((u->home[0] == '\0' || chdir(u->home) != 0) && chdir("/") != 0)
		return -1;
	(void)setenv("HOME", u->home, 1);
	(void)setenv("SHELL", u->shell, 1);
	(void)setenv("USER", u->name, 1);
	(void)setenv("LOGNAME", u->name, 1);
	return 0;
}

static void
child(const struct ag_run *r, int log_fd)
{
	char *const *argv = (char *const *)(uintptr_t)r->argv;
	int null = open("/dev/null", O_RDONLY);

	(void)setsid();
	/* Not in the agent's own cgroup: what it starts is to be frozen. */
	if (r->cgroup_fd >= 0 && write(r->cgroup_fd, "0", 1) != 1)
		_exit(126);
	(void)setenv("PATH", AG_RUN_PATH, 1);
	if (dup2(null, STDIN_FILENO) >= 0 && dup2(log_fd, STDOUT_FILENO) >= 0 &&
	    dup2(log_fd, STDERR_FILENO) >= 0 &&
	    (r->user == NULL || ag_run_become(r->user) == 0))
		(void)execvp(argv[0], argv);
	(void)fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int
ag_run(const struct ag_run *r)
{
	/* A file and not a pipe: a program that stays, and prints, needs
	 * nobody to read it.  Its file system bounds it. */
	AUTO_FD log = open(AG_RUN_LOG, O_RDWR | O_CREAT | O_TRUNC | O_APPEND |
	    O_CLOEXEC, 0644);
	AUTO_FD pidfd = -1;
	struct pollfd p;
	int status, ready;
	pid_t pid;

	if (log < 0)
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (pid == 0)
		child(r, log);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	p = (struct pollfd){ .fd = pidfd, .events = POLLIN };
	ready = pidfd < 0 ? -1 : poll(&p, 1, (int)r->limit_s * 1000);
	if (ready <= 0)
		(void)kill(-pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	if (ready <= 0) {
		errno = ready == 0 ? ETIMEDOUT : errno;
		return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    128 + WTERMSIG(status);
}

void
ag_run_said(char *said, size_t cap)
{
	AUTO_FD fd = open(AG_RUN_LOG, O_RDONLY | O_CLOEXEC);
	struct stat st;
	ssize_t n = -1;
	off_t from;

	if (fd >= 0 && fstat(fd, &st) == 0) {
		from = st.st_size > (off_t)cap - 1 ?
		    st.st_size - ((off_t)cap - 1) : 0;
		n = pread(fd, said, cap - 1, from);
	}
	said[n > 0 ? n : 0] = '\0';
	for (char *at = said; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
			*at = at[1] == '\0' ? '\0' : ' ';
}
