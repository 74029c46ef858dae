/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starting roles.  Runs in the parent, as root; what the role may do is its
 * own to give up (rs_confine).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "restore/role/spawn.h"

#define ARGS_MAX 64
/* Above all that a role has. */
#define FD_ABOVE 64

/* The descriptors in their places, and nothing else. */
static int
place(const struct rs_spawn *s)
{
	int from[RS_SPAWN_FDS_MAX];

	/* Out of the way first, so that none is overwritten. */
	for (size_t i = 0; i < s->nr_fds; i++) {
		from[i] = fcntl(s->fds[i], F_DUPFD, FD_ABOVE);
		if (from[i] < 0)
			return -1;
	}
	for (size_t i = 0; i < s->nr_fds; i++)
		if (dup2(from[i], RS_SPAWN_FD + (int)i) < 0)
			return -1;
	return close_range(RS_SPAWN_FD + (unsigned)s->nr_fds, ~0u, 0);
}

static void
become(const struct rs_spawn *s)
{
	char ids[64], parent[16];
	const char *argv[ARGS_MAX];
	size_t nr = 0;
	sigset_t none;

	/* A terminal's signals are the parent's alone. */
	(void)setsid();
	(void)signal(SIGHUP, SIG_IGN);
	if (!s->stops) {
		(void)signal(SIGINT, SIG_IGN);
		(void)signal(SIGTERM, SIG_IGN);
	}
	if (place(s) != 0)
		_exit(1);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)snprintf(ids, sizeof(ids), "%u:%u", s->uid, s->gid);
	(void)snprintf(parent, sizeof(parent), "%d", (int)s->parent);
	while (s->argv[nr] != NULL && nr < ARGS_MAX - 7) {
		argv[nr] = s->argv[nr];
		nr++;
	}
	argv[nr++] = "--role";
	argv[nr++] = s->role;
	argv[nr++] = "--ids";
	argv[nr++] = ids;
	argv[nr++] = "--parent";
	argv[nr++] = parent;
	argv[nr] = NULL;
	(void)execv("/proc/self/exe", (char **)(uintptr_t)argv);
	_exit(1);
}

pid_t
rs_spawn(const struct rs_spawn *s)
{
	pid_t pid = fork();

	if (pid == 0)
		become(s);
	return pid;
}
