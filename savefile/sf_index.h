/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where the guest's memory is: which frames to populate (extents, by 2 MiB
 * group) and which bytes of the file fill which frames (chunks).
 */
#ifndef SF_INDEX_H
#define SF_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "savefile/sf_format.h"

enum sf_extent_kind {
	SF_EXTENT_ABSENT = 0,	/* no frame of these groups is populated */
	SF_EXTENT_ZERO = 1,	/* all populated, all zero: no chunk */
	SF_EXTENT_DATA = 2,	/* all populated, at least one chunk each */
	SF_EXTENT_PARTIAL = 3	/* one group, populated as its bitmap says */
};

/* In the file: first_group u32, nr_groups u32, kind u32, bitmap u32 (the
 * bitmap's number for PARTIAL, else 0).  Extents follow each other without a
 * gap from group 0 to nr_groups; neighbours of the same kind are merged
 * (PARTIAL stands alone); the last is not ABSENT. */
struct sf_extent {
	uint32_t first_group, nr_groups;
	uint32_t kind;
	uint32_t bitmap;
};

/* Bit n%64 of words[n/64]: page n of the group is populated.  In the file
 * eight u64.  Neither all set (then it is ZERO or DATA) nor all clear.  Bitmaps
 * are numbered in the order of their extents. */
struct sf_bitmap {
	uint64_t words[SF_GROUP_PAGES / 64];
};

enum sf_method {
	SF_METHOD_RAW = 0,
	SF_METHOD_LZ4 = 1	/* one LZ4 block */
};

/* One chunk: the pages of 64 KiB of guest memory that are not zero, packed in
 * ascending order, popcount(page_mask) * 4096 bytes when decoded.  In the
 * file: off u64, xxh3 u64, gfn_chunk u32, stored_bytes u32, page_mask u16,
 * method u8, 5 zero bytes.  Ascending by gfn_chunk; off is the previous
 * chunk's end (for the first: data_off) rounded up to 64, and the last
 * chunk's end rounded up to 64 is file_bytes (data_off without chunks). */
struct sf_chunk {
	uint64_t off;		/* in the file */
	uint64_t xxh3;		/* XXH3-64 of the stored bytes */
	uint32_t gfn_chunk;	/* its first page's gfn / 16 */
	uint32_t stored_bytes;
	uint16_t page_mask;	/* bit n: page gfn_chunk*16+n is in it */
	uint8_t method;
};

/* The whole, host order, validated; owned by whoever made it. */
struct sf_image {
	uint32_t nr_groups, nr_extents, nr_bitmaps, nr_chunks;
	struct sf_extent *extents;
	struct sf_bitmap *bitmaps;
	struct sf_chunk *chunks;
};

/* Decodes the three tables out of [0, data_off) and checks every rule above,
 * the counts nr_pages and nr_data_pages, and that every chunk's pages are
 * populated.  On success the caller frees with sf_index_free(). */
int sf_index_decode(const struct sf_header *h, const uint8_t *untrusted_meta,
    struct sf_image *image, struct err *e);
/* Writes the tables at their offsets in `meta` (data_off bytes). */
void sf_index_encode(const struct sf_header *h, const struct sf_image *image,
    uint8_t *meta);
void sf_index_free(struct sf_image *image);

static inline unsigned
sf_chunk_nr_pages(const struct sf_chunk *c)
{
	return (unsigned)__builtin_popcount(c->page_mask);
}

static inline bool
sf_bitmap_test(const struct sf_bitmap *b, unsigned page)
{
	return (b->words[page / 64] >> (page % 64) & 1) != 0;
}

#endif
