/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The agent's end of the channel (chan.h, dvm-channel.7): one session, from
 * HELLO to the end of what was started.
 */
#ifndef AG_SERVE_H
#define AG_SERVE_H

#include "include/err.h"
#include "include/wire/chan.h"
#include "prep/agent/ag_run.h"

struct ag_serve_params {
	const struct ag_run_user *user;	/* whose all that runs is */
	const char *root;	/* before /etc and /usr: "", but in tests */
	int cgroup_fd;		/* cgroup.procs for what it starts; -1: none */
};

/* In a process of its own, which becomes the subreaper of what it starts, and
 * whose SIGCHLD it keeps blocked; once.  0: EXIT or FAILED is said, or the
 * other side has closed; -1: the channel broke, or not its rules were
 * followed.  When it is back nothing runs of what it has started. */
int ag_serve(const struct chan_io *io, const struct ag_serve_params *p,
    struct err *e);

#endif
