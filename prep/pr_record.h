/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Records a domain into a savefile: Xen's migration stream goes in at one end
 * of a pipe, the parser takes it from the other and feeds the writer.
 */
#ifndef PR_RECORD_H
#define PR_RECORD_H

#include "include/seam/hv.h"
#include "savefile/sf_writer.h"

struct pr_record_params {
	struct hv *hv;
	uint32_t domid;
	/* Suspends the domain, with the error of its own.  Runs in a second
	 * thread, while this one only reads the pipe. */
	int (*suspend)(void *ctx, struct err *e);
	void *suspend_ctx;
	int interrupt_fd;		/* -1 for none */
	/* Called now and then with the pages seen so far; NULL for none. */
	void (*progress)(void *ctx, uint64_t nr_pages);
	void *progress_ctx;
	/* Exactly one page must be a waiting launch page with this magic; it
	 * goes into the state.  NULL: there is none. */
	const uint8_t *launch_magic;
	int savefile_fd;		/* empty, for read and write */
	uint64_t memory_kb;		/* the guest's, to size the tables */
	enum sf_codec codec;
	const uint8_t *host_key;
};

/* *state comes with everything that is not in the stream (which is all but
 * tsc_*, cpuid, msrs, hvm_*, launch_gfn) and is as before on return.  The
 * domain stays, suspended.  The file is not synced. */
int pr_record(const struct pr_record_params *p, struct sf_state *state,
    struct sf_writer_stats *stats, struct err *e);

#endif
