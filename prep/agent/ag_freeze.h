/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Holds everything in the guest but the agent.
 */
#ifndef AG_FREEZE_H
#define AG_FREEZE_H

#include <stdbool.h>

#define AG_FREEZE_GROUPS_MAX 64

struct ag_freeze {
	bool by_signal;		/* no cgroup v2: SIGSTOP, but not for init */
	bool held;
	char root[64];		/* where cgroup v2 is mounted */
	int guest_procs_fd;	/* cgroup.procs for what the agent starts */
	int nr;
	int freeze_fds[AG_FREEZE_GROUPS_MAX];	/* cgroup.freeze, held ones */
};

/* Finds the freezer and takes the agent out of what it will hold. */
void ag_freeze_open(struct ag_freeze *f);
/* When it is back nothing runs but the agent; -1 if that could not be reached
 * within limit_s, and then nothing is held. */
int ag_freeze_hold(struct ag_freeze *f, unsigned limit_s);
void ag_freeze_release(struct ag_freeze *f);

#endif
