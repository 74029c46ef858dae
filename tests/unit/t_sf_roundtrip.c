/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the writer was given comes out of the reader, page by page, for every
 * shape of guest and both codecs.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "savefile/sf_reader.h"
#include "savefile/sf_writer.h"
#include "tests/fake/sf_build.h"
#include "tests/unit/tap.h"

static const struct sf_limits limits = { UINT64_C(1) << 40 };

static bool
populated(const struct sf_image *image, uint64_t gfn)
{
	uint32_t group = (uint32_t)(gfn / SF_GROUP_PAGES), i;
	const struct sf_extent *x;

	for (i = 0; i < image->nr_extents; i++) {
		x = &image->extents[i];
		if (group < x->first_group ||
		    group - x->first_group >= x->nr_groups)
			continue;
		if (x->kind == SF_EXTENT_PARTIAL)
			return sf_bitmap_test(&image->bitmaps[x->bitmap],
			    (unsigned)(gfn % SF_GROUP_PAGES));
		return x->kind != SF_EXTENT_ABSENT;
	}
	return false;
}

/* Rebuilds the guest's memory from the file and compares. */
static bool
same_memory(const struct sf_reader *r, const struct sf_guest *g)
{
	const struct sf_image *image = sf_reader_image(r);
	uint8_t pages[SF_CHUNK_BYTES], want[SF_PAGE_BYTES];
	const uint8_t *got;
	const struct sf_chunk *c = NULL;
	static const uint8_t zero[SF_PAGE_BYTES];
	struct err e;
	uint64_t gfn;
	uint32_t next = 0;

	for (gfn = 0; gfn < g->nr_gfns; gfn++) {
		if (populated(image, gfn) !=
		    (g->kinds[gfn] != SF_PAGE_ABSENT))
			return false;
		if (next < image->nr_chunks &&
		    image->chunks[next].gfn_chunk == gfn / SF_CHUNK_PAGES) {
			c = &image->chunks[next++];
			if (sf_page_decode(c, sf_reader_stored(r, c), pages,
			    &e) == -1)
				return false;
		}
		if (g->kinds[gfn] == SF_PAGE_ABSENT)
			continue;
		sf_guest_page(g, gfn, want);
		got = zero;
		if (c != NULL && c->gfn_chunk == gfn / SF_CHUNK_PAGES &&
		    (c->page_mask >> gfn % SF_CHUNK_PAGES & 1) != 0)
			got = pages + SF_PAGE_BYTES * (size_t)
			    __builtin_popcount(c->page_mask &
			    ((1u << gfn % SF_CHUNK_PAGES) - 1));
		if (memcmp(got, want, SF_PAGE_BYTES) != 0)
			return false;
	}
	return next == image->nr_chunks;
}

static bool
same_blob(const struct sf_blob *a, const struct sf_blob *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static bool
same_state(const struct sf_state *a, const struct sf_state *b)
{
	return a->nr_vcpus == b->nr_vcpus && a->max_mem_kb == b->max_mem_kb &&
	    strcmp(a->xen_extra, b->xen_extra) == 0 &&
	    a->tsc_nsec == b->tsc_nsec &&
	    a->max_grant_frames == b->max_grant_frames &&
	    a->launch_gfn == b->launch_gfn &&
	    same_blob(&a->cpuid, &b->cpuid) && same_blob(&a->msrs, &b->msrs) &&
	    same_blob(&a->hvm_context, &b->hvm_context) &&
	    same_blob(&a->hvm_params, &b->hvm_params) &&
	    same_blob(&a->key, &b->key) && same_blob(&a->config, &b->config);
}

static void
roundtrip(const char *shape, enum sf_codec codec, uint64_t seed)
{
	struct sf_state_room room;
	struct sf_state s;
	struct sf_guest g;
	struct sf_reader *r = NULL;
	struct err e = { .msg = "" };
	int fd = -1;

	sf_build_state(seed, 2, 9000, &room, &s);
	if (sf_guest_make(shape, seed, &g))
		fd = sf_build_file(&g, &s, codec, sf_build_key, &e);
	if (fd != -1)
		r = sf_reader_open(fd, sf_build_key, &limits, &e);
	ok(r != NULL && sf_reader_prefault(r, &e) == 0 &&
	    same_state(sf_reader_state(r), &s) && same_memory(r, &g) &&
	    sf_reader_header(r)->nr_pages == g.nr_pages &&
	    sf_reader_verify_data(r, &e) == 0,
	    "%s, %s: comes back as it was %s", shape,
	    codec == SF_CODEC_RAW ? "raw" : "lz4", e.msg);
	sf_reader_close(r);
	if (fd != -1)
		(void)close(fd);
	sf_guest_free(&g);
}

int
main(void)
{
	const char *const *shape;
	uint64_t seed;

	for (shape = sf_guest_shapes; *shape != NULL; shape++)
		for (seed = 1; seed <= 2; seed++) {
			roundtrip(*shape, SF_CODEC_RAW, seed);
			roundtrip(*shape, SF_CODEC_LZ4, seed);
		}
	return tap_done();
}
