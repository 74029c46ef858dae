/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A savefile open for reading.  The header, state and index are read into
 * memory once, their digest is checked, and only then are they parsed; the
 * data is mapped from the file.  Immutable after opening: any number of
 * threads may use one reader.
 */
#ifndef SF_READER_H
#define SF_READER_H

#include <stdbool.h>

#include "savefile/sf_format.h"
#include "savefile/sf_index.h"
#include "savefile/sf_state.h"

struct sf_reader;

/* fd stays the caller's and may be closed afterwards.  host_key (SF_KEY_BYTES)
 * demands the keyed digest (ERR_AUTH if it differs); NULL is for tools that
 * only want integrity.  Memory used is bounded by the declared guest size,
 * which limits bounds.  NULL and *e on failure. */
struct sf_reader *sf_reader_open(int fd, const uint8_t *host_key,
    const struct sf_limits *limits, struct err *e);
void sf_reader_close(struct sf_reader *r);	/* takes NULL */

/* All owned by the reader. */
const struct sf_header *sf_reader_header(const struct sf_reader *r);
const struct sf_state *sf_reader_state(const struct sf_reader *r);
const struct sf_image *sf_reader_image(const struct sf_reader *r);

/* Brings the data into the page cache and this process' page tables now, so
 * that an unreadable file is an error here and not a SIGBUS in the middle of a
 * launch. */
int sf_reader_prefault(struct sf_reader *r, struct err *e);

/* A chunk's stored bytes, still to be checked by sf_page_decode(). */
const uint8_t *sf_reader_stored(const struct sf_reader *r,
    const struct sf_chunk *c);

/* Has go_on called with the offset of each chunk that the functions below are
 * about to read; false ends them with ERR_INTERRUPTED.  For progress and
 * Ctrl-C; set before the reader is shared. */
void sf_reader_on_read(struct sf_reader *r,
    bool (*go_on)(void *ctx, uint64_t off), void *ctx);

/* The same bytes, read into buf (SF_CHUNK_BYTES): for tools that are in no
 * hurry and want an I/O error rather than a SIGBUS. */
int sf_reader_read_stored(const struct sf_reader *r, const struct sf_chunk *c,
    uint8_t *buf, struct err *e);

/* Reads and decodes every chunk into a scratch page run and drops it: a full
 * check, also that no stored page is zero and all padding is. */
int sf_reader_verify_data(const struct sf_reader *r, struct err *e);

#endif
