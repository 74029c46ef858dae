/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starts a role: our own program again, with its name and its descriptors.
 */
#ifndef RS_SPAWN_H
#define RS_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The first descriptor that a role finds; the others follow. */
#define RS_SPAWN_FD 3
#define RS_SPAWN_FDS_MAX 8u

struct rs_spawn {
	const char *role;
	char *const *argv;	/* our own: the role's too */
	pid_t parent;
	uid_t uid;		/* that it is to become */
	gid_t gid;
	bool stops;		/* by SIGTERM and SIGINT; or ignores them */
	size_t nr_fds;
	int fds[RS_SPAWN_FDS_MAX];
};

/* As fork(2), in the parent.  Whoever calls has no threads. */
pid_t rs_spawn(const struct rs_spawn *s);

#endif
