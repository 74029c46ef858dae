/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Makes a savefile in one pass: pages go in by ascending gfn, chunks are
 * appended as they fill; the header and tables are written last, into room
 * that was left for them, so a file that was not finished has no magic.
 */
#ifndef SF_WRITER_H
#define SF_WRITER_H

#include "savefile/sf_format.h"
#include "savefile/sf_page.h"
#include "savefile/sf_state.h"

struct sf_writer;

struct sf_writer_params {
	uint32_t nr_groups_max;	/* no gfn at or above this * 512 will come */
	uint64_t nr_pages_max;	/* no more pages than this will come */
	uint32_t nr_vcpus;	/* sizes the room for the HVM context */
	enum sf_codec codec;
};

/* What a recording came to; for progress and reports. */
struct sf_writer_stats {
	uint64_t nr_pages, nr_zero_pages, nr_data_pages;
	uint64_t stored_bytes;
	uint32_t nr_chunks, nr_raw_chunks;
};

/* fd: an empty file open for read and write, the caller's. */
struct sf_writer *sf_writer_new(int fd, const struct sf_writer_params *p,
    struct err *e);
/* gfns must ascend strictly; page is 4096 bytes, copied.  ERR_INPUT if they do
 * not, go past the limits, or are so scattered that the index has no room. */
int sf_writer_page(struct sf_writer *w, uint64_t gfn, const uint8_t *page,
    struct err *e);
/* Writes the tables and the header.  The file is not synced.  host_key is
 * SF_KEY_BYTES; NULL leaves the keyed digest zero, and then no reader that
 * demands a key accepts the file.  ERR_USAGE if the state does not fit in the
 * room that was left for it, or the guest is smaller than header and tables. */
int sf_writer_finish(struct sf_writer *w, const struct sf_state *state,
    const uint8_t *host_key, struct err *e);
void sf_writer_stats(const struct sf_writer *w, struct sf_writer_stats *out);
void sf_writer_free(struct sf_writer *w);	/* takes NULL */

#endif
