/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Worker threads, each with handles of its own, and the jobs they run for
 * core's main thread.
 */
#ifndef RS_WORK_H
#define RS_WORK_H

#include <stdbool.h>
#include <sys/queue.h>

#include "restore/launch/launch.h"

/* One job; its owner's, who leaves it and what it works on alone from
 * rs_work_put() until rs_work_take() gives it back. */
struct rs_job {
	STAILQ_ENTRY(rs_job) entry;
	void (*run)(struct rs_job *job, const struct env *env);
	/* Called by the main loop, with what it passes. */
	void (*done)(struct rs_job *job, void *arg);
	int rc;
	struct err err;
};

struct rs_work;

/* One thread for each of the nr envs, which must outlive it.  A finished job
 * is told by a write to the eventfd done_fd, which stays the caller's. */
struct rs_work *rs_work_new(const struct env *envs, unsigned nr,
    int done_fd, struct err *e);
/* Jobs begin in the order of their putting. */
void rs_work_put(struct rs_work *w, struct rs_job *job);
/* A finished job, or NULL. */
struct rs_job *rs_work_take(struct rs_work *w);
/* Finishes what was put, and ends.  Takes NULL. */
void rs_work_free(struct rs_work *w);

#endif
