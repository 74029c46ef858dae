/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One chunk's bytes: packed guest pages to stored bytes and back.
 */
#ifndef SF_PAGE_H
#define SF_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"
#include "savefile/sf_index.h"

/* Is this 4 KiB page all zero? */
bool sf_page_is_zero(const uint8_t *page);

/* How chunks are stored. */
enum sf_codec {
	SF_CODEC_RAW,		/* all raw: fastest from a warm page cache */
	SF_CODEC_LZ4		/* LZ4 HC, raw where it saves under 1/8 */
};

/* Encodes nr_pages packed pages: sets method, stored_bytes and xxh3 of *c.
 * *stored is either `pages` itself (raw) or `buf`, SF_CHUNK_BYTES long. */
int sf_page_encode(enum sf_codec codec, const uint8_t *pages,
    unsigned nr_pages, uint8_t *buf, const uint8_t **stored,
    struct sf_chunk *c, struct err *e);

/* Checks the XXH3 of the stored bytes, then decodes exactly
 * sf_chunk_nr_pages(c) * 4096 bytes into dst.  ERR_INPUT names gfn_chunk and
 * offset.  dst may be guest memory; it is written once and not read, except
 * by LZ4 matches.  Aligned to 16. */
int sf_page_decode(const struct sf_chunk *c, const uint8_t *untrusted_stored,
    uint8_t *dst, struct err *e);

/* The same and the rest of savefile.5's rules, for verifying: no page is zero,
 * and no LZ4 match has the offset 0, which LZ4 does not refuse and which copies
 * what dst held before. */
int sf_page_verify(const struct sf_chunk *c, const uint8_t *untrusted_stored,
    uint8_t *dst, struct err *e);

#endif
