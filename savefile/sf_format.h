/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The savefile's fixed numbers and its header.  savefile.5 is the
 * specification; this file agrees with it line by line.
 *
 *	[0, 4096)		header
 *	[4096, +state_bytes)	state records (sf_state.h)
 *	then			nr_extents extents, 16 bytes each
 *	then			nr_bitmaps bitmaps, 64 bytes each
 *	then			nr_chunks index entries, 32 bytes each
 *	then			zeros up to data_off
 *	[data_off, file_bytes)	stored chunks, each at a multiple of 64
 *
 * [0, data_off) is what the two BLAKE2b digests cover (their own 64 bytes
 * read as zeros), so that nothing is parsed before it is known to be whole.
 */
#ifndef SF_FORMAT_H
#define SF_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

#define SF_MAGIC "\x89" "DVMSF\r\n"	/* 8 bytes */
#define SF_VERSION 1u
#define SF_HEADER_BYTES 4096u
#define SF_DIGEST_BYTES 32u
#define SF_KEY_BYTES 32u		/* the host key of the keyed digest */
#define SF_ID_BYTES 16u

#define SF_PAGE_BYTES 4096u
#define SF_CHUNK_PAGES 16u		/* guest pages a chunk spans */
#define SF_CHUNK_BYTES (SF_CHUNK_PAGES * SF_PAGE_BYTES)
#define SF_GROUP_PAGES 512u		/* one 2 MiB superpage */
#define SF_GROUP_CHUNKS (SF_GROUP_PAGES / SF_CHUNK_PAGES)

#define SF_EXTENT_BYTES 16u
#define SF_BITMAP_BYTES 64u
#define SF_ENTRY_BYTES 32u
#define SF_STORED_ALIGN 64u

#define SF_STATE_BYTES_MAX (16u << 20)
#define SF_NR_GROUPS_MAX (1u << 23)	/* 16 TiB of guest-physical space */

/* Where the header's fields are, in bytes from the file's start.  All
 * little-endian; every byte not named is zero. */
enum sf_header_offset {
	SF_OFF_MAGIC = 0,		/* 8 bytes */
	SF_OFF_VERSION = 8,		/* u32 */
	SF_OFF_HEADER_BYTES = 12,	/* u32, 4096 */
	SF_OFF_FLAGS = 16,		/* u64, none defined: must be 0 */
	SF_OFF_FILE_BYTES = 24,		/* u64, the whole file */
	SF_OFF_DATA_OFF = 32,		/* u64, a multiple of 4096 */
	SF_OFF_NR_PAGES = 40,		/* u64, guest pages populated */
	SF_OFF_NR_DATA_PAGES = 48,	/* u64, of these: carried by chunks */
	SF_OFF_STATE_BYTES = 56,	/* u32, a multiple of 8 */
	SF_OFF_NR_GROUPS = 60,		/* u32, groups the extents cover */
	SF_OFF_NR_EXTENTS = 64,		/* u32 */
	SF_OFF_NR_BITMAPS = 68,		/* u32 */
	SF_OFF_NR_CHUNKS = 72,		/* u32 */
	SF_OFF_ID = 80,			/* 16 random bytes: this recording */
	SF_OFF_DIGEST = 96,		/* BLAKE2b-256 */
	SF_OFF_KEYED_DIGEST = 128	/* BLAKE2b-256, host's key */
};

struct sf_header {
	uint64_t file_bytes;
	uint64_t data_off;
	uint64_t nr_pages;
	uint64_t nr_data_pages;
	uint32_t state_bytes;
	uint32_t nr_groups;
	uint32_t nr_extents;
	uint32_t nr_bitmaps;
	uint32_t nr_chunks;
	uint8_t id[SF_ID_BYTES];
	uint8_t digest[SF_DIGEST_BYTES];
	uint8_t keyed_digest[SF_DIGEST_BYTES];
};

/* What a reader will accept, decided by its caller. */
struct sf_limits {
	uint64_t guest_bytes_max;	/* of nr_pages * 4096 */
};

/* Writes all 4096 bytes of `out`. */
void sf_format_encode_header(const struct sf_header *h, uint8_t *out);

/* Decodes and checks the fields against each other, against the file's real
 * size and against the limits: after success data_off <= file size, data_off
 * plus the tables' size <= guest size (what a reader holds in memory at most),
 * and all tables fit in [4096, data_off).  Fails with ERR_INPUT and the
 * field's name.  The digests are not checked here. */
int sf_format_decode_header(const uint8_t *untrusted_bytes,
    uint64_t real_file_bytes, const struct sf_limits *limits,
    struct sf_header *h, struct err *e);

/* Where the tables are; h is checked. */
uint64_t sf_format_extents_off(const struct sf_header *h);
uint64_t sf_format_bitmaps_off(const struct sf_header *h);
uint64_t sf_format_index_off(const struct sf_header *h);
uint64_t sf_format_index_end(const struct sf_header *h);

#endif
