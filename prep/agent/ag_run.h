/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs a program of the guest within a time limit.
 */
#ifndef AG_RUN_H
#define AG_RUN_H

#include <sys/types.h>

#define AG_RUN_DIR "/run/dvm"
#define AG_RUN_LOG AG_RUN_DIR "/log"

/* Who a program runs as, from /etc/passwd and /etc/group. */
#define AG_RUN_GROUPS_MAX 64
struct ag_run_user {
	char name[33];
	char home[256], shell[256];
	uid_t uid;
	gid_t gid;
	int nr_groups;
	gid_t groups[AG_RUN_GROUPS_MAX];
};

int ag_run_user(const char *name, struct ag_run_user *user);
int ag_run_user_by_uid(uid_t uid, struct ag_run_user *user);
/* In a child of its own: who it is, where, and the four variables that name
 * that.  Not to be undone. */
int ag_run_become(const struct ag_run_user *user);

#define AG_RUN_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:" \
    "/sbin:/bin"

struct ag_run {
	const char *const *argv;
	const struct ag_run_user *user;	/* NULL: root, as the agent itself */
	unsigned limit_s;
	int cgroup_fd;			/* cgroup.procs to join; -1 for none */
};

/* The exit status, 128 + signal, or -1: it cannot be run, or was killed since
 * its time was up (errno ETIMEDOUT).  What it prints goes to AG_RUN_LOG; what
 * it leaves running is left. */
int ag_run(const struct ag_run *r);
/* The end of what the last one printed, on one line. */
void ag_run_said(char *said, size_t cap);

#endif
