/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program of the guest's user, started on pipes or on a terminal, and all
 * that comes from it.
 */
#ifndef AG_SPAWN_H
#define AG_SPAWN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "include/err.h"
#include "prep/agent/ag_run.h"

struct ag_spawn {
	const char *const *argv;
	const struct ag_run_user *user;
	const char *argument;	/* of a service; NULL: none */
	bool tty;
	uint16_t rows, cols;	/* of the terminal; 0: not known */
	int cgroup_fd;		/* cgroup.procs to join; -1 for none */
};

struct ag_child {
	pid_t pid;		/* and its group, and its session */
	/* Ours, non-blocking; each is closed for itself.  Of a terminal, in
	 * and out are the same one, and err is -1. */
	int in, out, err;
};

/* 0: it runs.  Else dvm's exit status, 127: there is none, 126: it cannot be
 * executed, 125: anything else; and in *e why. */
int ag_spawn(const struct ag_spawn *s, struct ag_child *c, struct err *e);
void ag_spawn_set_size(const struct ag_child *c, uint16_t rows, uint16_t cols);

/* To all children of this process, which must be their subreaper. */
void ag_spawn_signal_all(int sig);
/* Kills them and all that comes from them; waits, but for no more than
 * seconds. */
void ag_spawn_end_all(void);

#endif
