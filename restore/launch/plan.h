/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a launch does with memory, worked out once per template: which frames
 * to populate with which order, and the tasks that fill them.
 */
#ifndef RS_PLAN_H
#define RS_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"
#include "savefile/sf_index.h"

/* Pages mapped by one call.  Small enough that two workers overlap mapping
 * with decoding, large enough that the calls do not count. */
#define RS_PLAN_TASK_PAGES 2048u

/* Consecutive chunks, and their pages in a row in data_gfns. */
struct rs_task {
	uint32_t first_chunk, nr_chunks;
	size_t first_page, nr_pages;	/* in data_gfns */
};

struct rs_plan {
	uint64_t *super_gfns;	/* first gfns of whole 2 MiB groups */
	size_t nr_super;
	uint64_t *single_gfns;	/* frames of partial groups */
	size_t nr_single;
	uint64_t *data_gfns;	/* frames that chunks fill, in chunk order */
	size_t nr_data;
	uint64_t *zero_gfns;	/* the other populated frames */
	size_t nr_zero;
	struct rs_task *tasks;
	size_t nr_tasks;
};

/* The image must outlive nothing: the plan holds no pointer into it. */
int rs_plan_make(const struct sf_image *image, struct rs_plan *plan,
    struct err *e);
void rs_plan_free(struct rs_plan *plan);

static inline size_t
rs_plan_nr_pages(const struct rs_plan *plan)
{
	return plan->nr_data + plan->nr_zero;
}

#endif
