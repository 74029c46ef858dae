/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Extents, bitmaps and chunks.  The digest over them is right, but anybody can
 * make a file with a right plain digest: every rule of sf_index.h is checked,
 * in one pass, in time and memory proportional to the tables.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_index.h"

/* Where the fields of an extent and of an index entry are. */
enum { EXT_FIRST = 0, EXT_NR = 4, EXT_KIND = 8, EXT_BITMAP = 12 };
enum {
	ENT_OFF = 0,
	ENT_XXH3 = 8,
	ENT_GFN_CHUNK = 16,
	ENT_STORED_BYTES = 20,
	ENT_PAGE_MASK = 24,
	ENT_METHOD = 26,
	ENT_RESERVED = 27
};

static int
refuse_extent(uint32_t i, const char *what, struct err *e)
{
	return err_set(e, ERR_INPUT, 0, "extent %" PRIu32 ": %s", i, what);
}

static int
refuse_chunk(uint32_t i, const struct sf_chunk *c, const char *what,
    struct err *e)
{
	return err_set(e, ERR_INPUT, 0, "index entry %" PRIu32 " (gfn 0x%"
	    PRIx64 "): %s", i, (uint64_t)c->gfn_chunk * SF_CHUNK_PAGES, what);
}

static int
alloc_tables(const struct sf_header *h, struct sf_image *image, struct err *e)
{
	image->nr_groups = h->nr_groups;
	image->nr_extents = h->nr_extents;
	image->nr_bitmaps = h->nr_bitmaps;
	image->nr_chunks = h->nr_chunks;
	image->extents = calloc(h->nr_extents, sizeof(*image->extents));
	if (image->extents == NULL)
		goto nomem;
	if (h->nr_bitmaps > 0) {
		image->bitmaps = calloc(h->nr_bitmaps,
		    sizeof(*image->bitmaps));
		if (image->bitmaps == NULL)
			goto nomem;
	}
	if (h->nr_chunks > 0) {
		image->chunks = calloc(h->nr_chunks, sizeof(*image->chunks));
		if (image->chunks == NULL)
			goto nomem;
	}
	return 0;
nomem:
	return err_set(e, ERR_NOMEM, 0, "no memory for an index of %" PRIu32
	    " chunks", h->nr_chunks);
}

/* One extent, given where it must begin and which bitmap comes next. */
static int
check_extent(const struct sf_image *image, uint32_t i, uint32_t next_group,
    uint32_t next_bitmap, struct err *e)
{
	const struct sf_extent *x = &image->extents[i];

	if (x->first_group != next_group)
		return refuse_extent(i, x->first_group < next_group ?
		    "overlaps the one before" : "leaves a gap", e);
	if (x->nr_groups == 0)
		return refuse_extent(i, "covers no group", e);
	if (x->nr_groups > image->nr_groups - next_group)
		return refuse_extent(i, "reaches past nr_groups", e);
	if (x->kind > SF_EXTENT_PARTIAL)
		return refuse_extent(i, "is of an unknown kind", e);
	if (x->kind == SF_EXTENT_PARTIAL) {
		if (x->nr_groups != 1)
			return refuse_extent(i, "is partial and covers more "
			    "than one group", e);
		if (x->bitmap != next_bitmap || x->bitmap >= image->nr_bitmaps)
			return refuse_extent(i, "names the wrong bitmap", e);
		return 0;
	}
	if (x->bitmap != 0)
		return refuse_extent(i, "names a bitmap and is not partial",
		    e);
	if (i > 0 && image->extents[i - 1].kind == x->kind)
		return refuse_extent(i, "is of the same kind as the one "
		    "before", e);
	return 0;
}

static int
decode_extents(const uint8_t *p, struct sf_image *image, struct err *e)
{
	uint32_t i, next_group = 0, next_bitmap = 0;
	struct sf_extent *x;

	for (i = 0; i < image->nr_extents; i++, p += SF_EXTENT_BYTES) {
		x = &image->extents[i];
		x->first_group = sf_get_u32(p + EXT_FIRST);
		x->nr_groups = sf_get_u32(p + EXT_NR);
		x->kind = sf_get_u32(p + EXT_KIND);
		x->bitmap = sf_get_u32(p + EXT_BITMAP);
		if (check_extent(image, i, next_group, next_bitmap, e) == -1)
			return -1;
		next_group += x->nr_groups;
		if (x->kind == SF_EXTENT_PARTIAL)
			next_bitmap++;
	}
	if (next_group != image->nr_groups)
		return refuse_extent(i - 1, "ends before nr_groups", e);
	if (image->extents[i - 1].kind == SF_EXTENT_ABSENT)
		return refuse_extent(i - 1, "is the last and is absent", e);
	if (next_bitmap != image->nr_bitmaps)
		return err_set(e, ERR_INPUT, 0, "bitmap %" PRIu32
		    " belongs to no extent", next_bitmap);
	return 0;
}

/* Decodes the bitmaps and adds up the pages that extents populate. */
static int
decode_bitmaps(const uint8_t *p, uint64_t nr_pages, struct sf_image *image,
    struct err *e)
{
	const struct sf_extent *x;
	uint64_t sum = 0;
	unsigned bits, w;
	uint32_t i;

	for (i = 0; i < image->nr_bitmaps; i++, p += SF_BITMAP_BYTES) {
		for (bits = 0, w = 0; w < SF_GROUP_PAGES / 64; w++) {
			image->bitmaps[i].words[w] = sf_get_u64(p + w * 8);
			bits += (unsigned)__builtin_popcountll(
			    image->bitmaps[i].words[w]);
		}
		if (bits == 0 || bits == SF_GROUP_PAGES)
			return err_set(e, ERR_INPUT, 0, "bitmap %" PRIu32
			    " has %s bit set", i, bits == 0 ? "no" : "every");
		sum += bits;
	}
	for (i = 0; i < image->nr_extents; i++) {
		x = &image->extents[i];
		if (x->kind == SF_EXTENT_ZERO || x->kind == SF_EXTENT_DATA)
			sum += (uint64_t)x->nr_groups * SF_GROUP_PAGES;
	}
	if (sum != nr_pages)
		return err_set(e, ERR_INPUT, 0, "the extents populate %" PRIu64
		    " pages, the header says %" PRIu64, sum, nr_pages);
	return 0;
}

/* A walk over the groups that chunks fall into, in step with the extents. */
struct cover {
	uint32_t extent;	/* the one that holds next_group, or nr */
	uint32_t next_group;	/* all below it are accounted for */
};

/* Passes over the groups up to `group`, none of which has a chunk: none of
 * them may be DATA. */
static int
pass_groups(const struct sf_image *image, struct cover *cover, uint32_t group,
    struct err *e)
{
	const struct sf_extent *x;
	uint32_t end;

	while (cover->extent < image->nr_extents) {
		x = &image->extents[cover->extent];
		end = x->first_group + x->nr_groups;
		if (cover->next_group < end) {
			if (cover->next_group >= group)
				return 0;
			if (x->kind == SF_EXTENT_DATA)
				return err_set(e, ERR_INPUT, 0, "extent %"
				    PRIu32 ": group %" PRIu32 " has no chunk",
				    cover->extent, cover->next_group);
			cover->next_group = end < group ? end : group;
		}
		if (cover->next_group >= end)
			cover->extent++;
	}
	return 0;
}

/* Are the chunk's pages populated? */
static int
check_cover(const struct sf_image *image, struct cover *cover, uint32_t i,
    struct err *e)
{
	const struct sf_chunk *c = &image->chunks[i];
	uint32_t group = c->gfn_chunk / SF_GROUP_CHUNKS;
	unsigned first = c->gfn_chunk % SF_GROUP_CHUNKS * SF_CHUNK_PAGES;
	const struct sf_extent *x;
	uint64_t populated;

	if (group >= image->nr_groups)
		return refuse_chunk(i, c, "is past nr_groups", e);
	if (i == 0 || image->chunks[i - 1].gfn_chunk / SF_GROUP_CHUNKS !=
	    group) {
		if (pass_groups(image, cover, group, e) == -1)
			return -1;
		cover->next_group = group + 1;
	}
	x = &image->extents[cover->extent];
	if (x->kind == SF_EXTENT_DATA)
		return 0;
	if (x->kind != SF_EXTENT_PARTIAL)
		return refuse_chunk(i, c, x->kind == SF_EXTENT_ZERO ?
		    "lies in a zero extent" : "lies in an absent extent", e);
	populated = image->bitmaps[x->bitmap].words[first / 64] >> first % 64;
	if ((c->page_mask & ~populated) != 0)
		return refuse_chunk(i, c, "has pages that are not populated",
		    e);
	return 0;
}

/* The fields by themselves, and against the chunk before. */
static int
check_chunk(const struct sf_image *image, uint32_t i, uint64_t off,
    uint64_t file_bytes, struct err *e)
{
	const struct sf_chunk *c = &image->chunks[i];
	uint32_t decoded = sf_chunk_nr_pages(c) * SF_PAGE_BYTES;

	if (i > 0 && c->gfn_chunk <= image->chunks[i - 1].gfn_chunk)
		return refuse_chunk(i, c, "does not ascend", e);
	if (c->page_mask == 0)
		return refuse_chunk(i, c, "has no page", e);
	if (c->off != off)
		return refuse_chunk(i, c, c->off < off ? "overlaps what is "
		    "before it" : "leaves a gap before it", e);
	if (c->stored_bytes == 0 || c->stored_bytes > file_bytes - off)
		return refuse_chunk(i, c, "is empty or ends after the file",
		    e);
	switch (c->method) {
	case SF_METHOD_RAW:
		if (c->stored_bytes != decoded)
			return refuse_chunk(i, c, "is raw and not of its "
			    "pages' size", e);
		return 0;
	case SF_METHOD_LZ4:
		if (c->stored_bytes >= decoded)
			return refuse_chunk(i, c, "is LZ4 and not smaller than "
			    "its pages", e);
		return 0;
	default:
		return refuse_chunk(i, c, "is of an unknown method", e);
	}
}

static int
decode_chunks(const struct sf_header *h, const uint8_t *p,
    struct sf_image *image, struct err *e)
{
	struct cover cover = { 0, 0 };
	uint64_t off = h->data_off, nr_data_pages = 0;
	struct sf_chunk *c;
	uint32_t i;

	for (i = 0; i < image->nr_chunks; i++, p += SF_ENTRY_BYTES) {
		c = &image->chunks[i];
		c->off = sf_get_u64(p + ENT_OFF);
		c->xxh3 = sf_get_u64(p + ENT_XXH3);
		c->gfn_chunk = sf_get_u32(p + ENT_GFN_CHUNK);
		c->stored_bytes = sf_get_u32(p + ENT_STORED_BYTES);
		c->page_mask = sf_get_u16(p + ENT_PAGE_MASK);
		c->method = p[ENT_METHOD];
		if (sf_first_nonzero(p, ENT_RESERVED, SF_ENTRY_BYTES) <
		    SF_ENTRY_BYTES)
			return refuse_chunk(i, c, "has a reserved byte that "
			    "is not zero", e);
		if (check_chunk(image, i, off, h->file_bytes, e) == -1 ||
		    check_cover(image, &cover, i, e) == -1)
			return -1;
		nr_data_pages += sf_chunk_nr_pages(c);
		off = sf_round_up(off + c->stored_bytes, SF_STORED_ALIGN);
		if (off > h->file_bytes)
			return refuse_chunk(i, c, "its padding ends after the "
			    "file", e);
	}
	if (pass_groups(image, &cover, h->nr_groups, e) == -1)
		return -1;
	if (off != h->file_bytes)
		return err_set(e, ERR_INPUT, 0, "the last chunk ends at byte %"
		    PRIu64 ", the file at %" PRIu64, off, h->file_bytes);
	if (nr_data_pages != h->nr_data_pages)
		return err_set(e, ERR_INPUT, 0, "the chunks hold %" PRIu64
		    " pages, the header says %" PRIu64, nr_data_pages,
		    h->nr_data_pages);
	return 0;
}

int
sf_index_decode(const struct sf_header *h, const uint8_t *untrusted_meta,
    struct sf_image *image, struct err *e)
{
	const uint8_t *p = untrusted_meta;
	size_t end = (size_t)sf_format_index_end(h), at;

	memset(image, 0, sizeof(*image));
	at = sf_first_nonzero(p, end, (size_t)h->data_off);
	if (at < h->data_off)
		return err_set(e, ERR_INPUT, 0,
		    "byte %zu, after the index, is not zero", at);
	if (alloc_tables(h, image, e) == -1 ||
	    decode_extents(p + sf_format_extents_off(h), image, e) == -1 ||
	    decode_bitmaps(p + sf_format_bitmaps_off(h), h->nr_pages, image,
	    e) == -1 ||
	    decode_chunks(h, p + sf_format_index_off(h), image, e) == -1) {
		sf_index_free(image);
		return -1;
	}
	return 0;
}

void
sf_index_encode(const struct sf_header *h, const struct sf_image *image,
    uint8_t *meta)
{
	const struct sf_chunk *c;
	uint8_t *p;
	uint32_t i;
	unsigned w;

	p = meta + sf_format_extents_off(h);
	for (i = 0; i < image->nr_extents; i++, p += SF_EXTENT_BYTES) {
		sf_put_u32(p + EXT_FIRST, image->extents[i].first_group);
		sf_put_u32(p + EXT_NR, image->extents[i].nr_groups);
		sf_put_u32(p + EXT_KIND, image->extents[i].kind);
		sf_put_u32(p + EXT_BITMAP, image->extents[i].bitmap);
	}
	for (i = 0; i < image->nr_bitmaps; i++, p += SF_BITMAP_BYTES)
		for (w = 0; w < SF_GROUP_PAGES / 64; w++)
			sf_put_u64(p + w * 8, image->bitmaps[i].words[w]);
	for (i = 0; i < image->nr_chunks; i++, p += SF_ENTRY_BYTES) {
		c = &image->chunks[i];
		memset(p, 0, SF_ENTRY_BYTES);
		sf_put_u64(p + ENT_OFF, c->off);
		sf_put_u64(p + ENT_XXH3, c->xxh3);
		sf_put_u32(p + ENT_GFN_CHUNK, c->gfn_chunk);
		sf_put_u32(p + ENT_STORED_BYTES, c->stored_bytes);
		sf_put_u16(p + ENT_PAGE_MASK, c->page_mask);
		p[ENT_METHOD] = c->method;
	}
}

void
sf_index_free(struct sf_image *image)
{
	free(image->extents);
	free(image->bitmaps);
	free(image->chunks);
	memset(image, 0, sizeof(*image));
}
