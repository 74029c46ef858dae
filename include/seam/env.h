/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The seams together: what whoever works with domains is given.
 */
#ifndef ENV_H
#define ENV_H

#include "include/seam/disk.h"
#include "include/seam/hv.h"
#include "include/seam/store.h"

/* For one thread.  All open; whoever opened them closes them. */
struct env {
	struct hv *hv;
	struct store *store;
	struct disk *disk;
	int names_fd;		/* rs_names_open(); -1 if not held */
};

/* Closes what is held; takes what an opening that failed has left. */
void env_close(struct env *env);

#endif
