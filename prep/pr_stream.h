/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The parser of a Xen migration stream, version 3
 * (docs/specs/libxc-migration-stream.pandoc in Xen's tree), as
 * xc_domain_save() writes it for a PVH guest in one pass.
 */
#ifndef PR_STREAM_H
#define PR_STREAM_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

/* libxc's MAX_BATCH_SIZE: pfns in one record. */
#define PR_STREAM_BATCH_MAX 1024u

/* Where the stream comes from.  read fills all len bytes or fails; `end` of
 * the stream is a failure (ERR_INPUT). */
struct pr_stream_source {
	int (*read)(void *ctx, uint8_t *buf, size_t len, struct err *e);
	void *ctx;
};

/* Where the memory goes: gfns ascend strictly; page is 4096 bytes, valid
 * during the call. */
struct pr_stream_sink {
	int (*page)(void *ctx, uint64_t gfn, const uint8_t *page,
	    struct err *e);
	void *ctx;
};

enum pr_stream_blob_kind {
	PR_STREAM_CPUID,
	PR_STREAM_MSRS,
	PR_STREAM_HVM_CONTEXT,
	PR_STREAM_HVM_PARAMS,
	PR_STREAM_NR_BLOBS
};

struct pr_stream_blob {
	uint8_t *bytes;		/* heap; NULL while it has not come */
	size_t len;
};

/* All but the memory.  The blobs are the records' payloads as sf_state wants
 * them (HVM params without their count). */
struct pr_stream_state {
	struct pr_stream_blob blobs[PR_STREAM_NR_BLOBS];
	uint32_t xen_major, xen_minor;
	uint32_t tsc_mode, tsc_khz;
	uint64_t tsc_nsec;
	uint32_t tsc_incarnation;
	uint64_t nr_pages;	/* handed to the sink */
};

/* Reads to the END record; after success every part of *state is there.  The
 * caller frees *state with pr_stream_state_free() in any case.  ERR_INPUT says
 * what is wrong with the stream; errors of source and sink pass through. */
int pr_stream_read(const struct pr_stream_source *source,
    const struct pr_stream_sink *sink, struct pr_stream_state *state,
    struct err *e);
void pr_stream_state_free(struct pr_stream_state *state);

#endif
