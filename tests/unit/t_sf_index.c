/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Extents, bitmaps and chunks: the tables come back as they were, and every
 * rule about them refuses with its reason.
 */
#include <stdlib.h>
#include <string.h>

#include "savefile/sf_index.h"
#include "tests/unit/tap.h"

#define DATA_OFF 8192u
#define NR_EXTENTS 5u
#define NR_BITMAPS 2u
#define NR_CHUNKS 4u

/* Group 0 DATA, 1 and 2 ABSENT, 3 PARTIAL, 4 PARTIAL, 5 ZERO, in tables that
 * a test then breaks. */
struct tables {
	struct sf_header h;
	struct sf_extent extents[NR_EXTENTS];
	struct sf_bitmap bitmaps[NR_BITMAPS];
	struct sf_chunk chunks[NR_CHUNKS];
	uint8_t meta[DATA_OFF];
};

static void
make_good(struct tables *t)
{
	memset(t, 0, sizeof(*t));
	t->extents[0] = (struct sf_extent){ 0, 1, SF_EXTENT_DATA, 0 };
	t->extents[1] = (struct sf_extent){ 1, 2, SF_EXTENT_ABSENT, 0 };
	t->extents[2] = (struct sf_extent){ 3, 1, SF_EXTENT_PARTIAL, 0 };
	t->extents[3] = (struct sf_extent){ 4, 1, SF_EXTENT_PARTIAL, 1 };
	t->extents[4] = (struct sf_extent){ 5, 1, SF_EXTENT_ZERO, 0 };
	t->bitmaps[0].words[0] = 0xffff00f0;
	t->bitmaps[1].words[7] = UINT64_C(1) << 63;
	t->chunks[0] = (struct sf_chunk){ DATA_OFF, 11, 3, 100, 0x0003,
	    SF_METHOD_LZ4 };
	t->chunks[1] = (struct sf_chunk){ DATA_OFF + 128, 12, 31, 4096, 0x8000,
	    SF_METHOD_RAW };
	t->chunks[2] = (struct sf_chunk){ DATA_OFF + 4224, 13, 96, 64, 0x00f0,
	    SF_METHOD_LZ4 };
	t->chunks[3] = (struct sf_chunk){ DATA_OFF + 4288, 14, 4 * 32 + 31, 1,
	    0x8000, SF_METHOD_LZ4 };
	t->h = (struct sf_header){
		.file_bytes = DATA_OFF + 4352, .data_off = DATA_OFF,
		.nr_pages = 512 + 20 + 1 + 512, .nr_data_pages = 8,
		.nr_groups = 6, .nr_extents = NR_EXTENTS,
		.nr_bitmaps = NR_BITMAPS, .nr_chunks = NR_CHUNKS
	};
}

/* 0, or -1 and the message. */
static int
decode(struct tables *t, struct sf_image *out, struct err *e)
{
	const struct sf_image image = { t->h.nr_groups, NR_EXTENTS, NR_BITMAPS,
	    NR_CHUNKS, t->extents, t->bitmaps, t->chunks };

	(void)err_set(e, ERR_NONE, 0, "%s", "");
	sf_index_encode(&t->h, &image, t->meta);
	return sf_index_decode(&t->h, t->meta, out, e);
}

static void
test_roundtrip(struct tables *t)
{
	struct sf_image image;
	struct err e;
	bool same;
	size_t i;

	make_good(t);
	if (!ok(decode(t, &image, &e) == 0, "good tables are accepted %s",
	    e.msg))
		return;
	same = memcmp(image.extents, t->extents, sizeof(t->extents)) == 0 &&
	    memcmp(image.bitmaps, t->bitmaps, sizeof(t->bitmaps)) == 0;
	for (i = 0; i < NR_CHUNKS; i++)
		same = same && image.chunks[i].off == t->chunks[i].off &&
		    image.chunks[i].xxh3 == t->chunks[i].xxh3 &&
		    image.chunks[i].gfn_chunk == t->chunks[i].gfn_chunk &&
		    image.chunks[i].stored_bytes ==
		    t->chunks[i].stored_bytes &&
		    image.chunks[i].page_mask == t->chunks[i].page_mask &&
		    image.chunks[i].method == t->chunks[i].method;
	ok(same, "they come back as they were");
	sf_index_free(&image);
}

/* Sets a number in the tables, of one of these sizes. */
#define SET(field, value, says) do {					\
	make_good(t);							\
	t->field = (value);						\
	ok(decode(t, &image, &e) == -1 && e.code == ERR_INPUT &&	\
	    strstr(e.msg, says) != NULL,				\
	    #field " = " #value ": \"%s\" is %s", e.msg, says);		\
	sf_index_free(&image);						\
} while (0)

static void
test_extents(struct tables *t)
{
	struct sf_image image;
	struct err e;

	SET(extents[0].first_group, 1, "leaves a gap");
	SET(extents[1].first_group, 0, "overlaps");
	SET(extents[2].first_group, UINT32_MAX, "leaves a gap");
	SET(extents[1].nr_groups, 0, "covers no group");
	SET(extents[1].nr_groups, 3, "overlaps");
	SET(extents[4].nr_groups, 2, "reaches past nr_groups");
	SET(extents[4].nr_groups, UINT32_MAX, "reaches past nr_groups");
	SET(extents[1].kind, 4, "unknown kind");
	SET(extents[1].kind, UINT32_MAX, "unknown kind");
	SET(extents[1].kind, SF_EXTENT_PARTIAL, "more than one group");
	SET(extents[1].kind, SF_EXTENT_DATA, "same kind");
	SET(extents[1].kind, SF_EXTENT_ZERO, "extents populate");
	SET(extents[4].kind, SF_EXTENT_ABSENT, "is the last and is absent");
	SET(extents[4].kind, SF_EXTENT_DATA, "group 5 has no chunk");
	SET(extents[0].kind, SF_EXTENT_ZERO, "lies in a zero extent");
	SET(extents[0].kind, SF_EXTENT_ABSENT, "same kind");
	SET(extents[3].kind, SF_EXTENT_ZERO, "names a bitmap");
	SET(extents[2].bitmap, 1, "names the wrong bitmap");
	SET(extents[3].bitmap, 0, "names the wrong bitmap");
	SET(extents[3].bitmap, 2, "names the wrong bitmap");
	SET(extents[0].bitmap, 1, "names a bitmap");
	SET(h.nr_groups, 7, "ends before nr_groups");
	SET(bitmaps[0].words[0], 0, "bitmap 0 has no bit set");
	SET(bitmaps[1].words[0], 1, "extents populate");
	SET(h.nr_pages, 1044, "extents populate 1045 pages");
}

static void
test_chunks(struct tables *t)
{
	struct sf_image image;
	struct err e;

	SET(chunks[1].gfn_chunk, 32, "lies in an absent extent");
	SET(chunks[1].gfn_chunk, 3, "does not ascend");
	SET(chunks[1].gfn_chunk, 0, "does not ascend");
	SET(chunks[3].gfn_chunk, 6 * 32, "past nr_groups");
	SET(chunks[3].gfn_chunk, UINT32_MAX, "past nr_groups");
	SET(chunks[3].gfn_chunk, 5 * 32, "lies in a zero extent");
	SET(chunks[2].gfn_chunk, 98, "pages that are not populated");
	SET(chunks[2].page_mask, 0x01f0, "pages that are not populated");
	SET(chunks[2].page_mask, 0, "has no page");
	SET(chunks[2].page_mask, 0x0070, "header says 8");
	SET(chunks[0].off, DATA_OFF + 64, "leaves a gap");
	SET(chunks[0].off, 0, "overlaps");
	SET(chunks[1].off, DATA_OFF, "overlaps");
	SET(chunks[1].off, DATA_OFF + 192, "leaves a gap");
	SET(chunks[1].off, UINT64_MAX, "leaves a gap");
	SET(chunks[0].stored_bytes, 0, "is empty");
	SET(chunks[0].stored_bytes, UINT32_MAX, "ends after the file");
	SET(chunks[1].method, SF_METHOD_LZ4, "not smaller than its pages");
	SET(chunks[1].stored_bytes, 4095, "not of its pages' size");
	SET(chunks[1].page_mask, 0xc000, "not of its pages' size");
	SET(chunks[3].stored_bytes, 65, "ends after the file");
	SET(chunks[0].method, 2, "unknown method");
	SET(h.file_bytes, DATA_OFF + 4416, "the last chunk ends");
	SET(h.nr_data_pages, 9, "header says 9");
}

static void
test_zeros(struct tables *t)
{
	struct sf_image image;
	struct err e;
	size_t end, i;

	make_good(t);
	end = (size_t)sf_format_index_end(&t->h);
	t->meta[end] = 1;
	ok(decode(t, &image, &e) == -1 && strstr(e.msg, "after the index"),
	    "the byte after the index must be zero: %s", e.msg);
	make_good(t);
	t->meta[DATA_OFF - 1] = 1;
	ok(decode(t, &image, &e) == -1 && strstr(e.msg, "after the index"),
	    "the byte before the data must be zero: %s", e.msg);
	for (i = 27; i < SF_ENTRY_BYTES; i++) {
		make_good(t);
		(void)decode(t, &image, &e);
		sf_index_free(&image);
		t->meta[sf_format_index_off(&t->h) + i] = 1;
		ok(sf_index_decode(&t->h, t->meta, &image, &e) == -1 &&
		    strstr(e.msg, "reserved") != NULL,
		    "byte %zu of an entry must be zero", i);
	}
	make_good(t);
	memset(t->bitmaps[1].words, 0xff, sizeof(t->bitmaps[1].words));
	t->h.nr_pages += 511;
	ok(decode(t, &image, &e) == -1 &&
	    strstr(e.msg, "bitmap 1 has every bit set") != NULL,
	    "a full bitmap is refused");
}

int
main(void)
{
	struct tables *t = malloc(sizeof(*t));

	if (t == NULL)
		return 1;
	test_roundtrip(t);
	test_extents(t);
	test_chunks(t);
	test_zeros(t);
	free(t);
	return tap_done();
}
