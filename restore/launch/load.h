/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The load engine: populates a domain's memory and fills it, with worker
 * threads, while the caller does other things.
 */
#ifndef RS_LOAD_H
#define RS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"
#include "include/seam/hv.h"
#include "restore/launch/plan.h"
#include "savefile/sf_reader.h"

#define RS_LOAD_WORKERS_MAX 16u

/* What is loaded from.  All must outlive the load. */
struct rs_load_source {
	const struct sf_reader *reader;
	const struct rs_plan *plan;
	/* The data decoded ahead, plan->nr_data pages in the order of
	 * data_gfns; NULL to decode from the file each time. */
	const uint8_t *resident;
	/* Populated frames are known to be zero; else zeros are written. */
	bool frames_are_zero;
	unsigned nr_workers;
};

/* Counted, for reports. */
struct rs_load_counts {
	uint64_t nr_super, nr_single;	/* extents populated */
	uint64_t nr_split;		/* superpages that had to be split */
	uint64_t nr_mapped;		/* pages */
	uint64_t bytes_copied;		/* written into guest frames */
	uint64_t populate_ns;
};

struct rs_load;

/* Starts populating and filling domid.  No other hv operation but map and
 * unmap may run until rs_load_wait() is back.  NULL and *e on failure. */
struct rs_load *rs_load_start(struct hv *hv, uint32_t domid,
    const struct rs_load_source *source, struct err *e);
/* Waits for the workers; -1 and the first error if one failed.  Once. */
int rs_load_wait(struct rs_load *load, struct rs_load_counts *counts,
    struct err *e);
/* Where page `number` of plan->data_gfns is mapped, once rs_load_wait() is
 * back and until rs_load_free(). */
uint8_t *rs_load_data_page(const struct rs_load *load, size_t number);
/* Unmaps all and frees; waits first if rs_load_wait() was not called.  Takes
 * NULL.  Dear in a PV dom0, so it belongs after the unpause. */
void rs_load_free(struct rs_load *load);

/* Decodes and checks all data into `pages` (plan->nr_data pages), for
 * rs_load_source.resident. */
int rs_load_decode_all(const struct sf_reader *reader,
    const struct rs_plan *plan, uint8_t *pages, struct err *e);

#endif
