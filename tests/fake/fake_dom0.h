/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A dom0 that has no more than a xenstore daemon, one of Xen's own: see
 * fakexen.c.  Each runs in a directory of its own and dies with the test.
 */
#ifndef FAKE_DOM0_H
#define FAKE_DOM0_H

#include <sys/types.h>

struct fake_dom0 {
	char dir[64];
	char socket[80];
	pid_t pid;
};

/* program is "xenstored" or "oxenstored".  0 once it answers; 1 and why, on
 * one line, if it is not installed; -1 and why if it does not start. */
int fake_dom0_start(struct fake_dom0 *r, const char *program,
    const char **why);

/* Ends it, if it still runs, and removes its directory. */
void fake_dom0_stop(struct fake_dom0 *r);

#endif
