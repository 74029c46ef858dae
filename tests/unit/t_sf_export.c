/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The exported migration stream, read back record by record as libxc's
 * restorer does: sizes, order, and every page of the guest.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_export.h"
#include "tests/fake/sf_build.h"
#include "tests/unit/tap.h"

static const struct sf_limits limits = { UINT64_C(1) << 40 };

/* A position in a stream in memory. */
struct stream {
	const uint8_t *p;
	size_t at, len;
};

struct record {
	uint32_t type, len;
	const uint8_t *body;
};

/* The next record; false at the end or if it is not whole. */
static bool
next_record(struct stream *s, struct record *rec)
{
	size_t padded;

	if (s->len - s->at < 8)
		return false;
	rec->type = sf_get_u32(s->p + s->at);
	rec->len = sf_get_u32(s->p + s->at + 4);
	rec->body = s->p + s->at + 8;
	padded = (size_t)sf_round_up(rec->len, 8);
	if (padded > s->len - s->at - 8)
		return false;
	s->at += 8 + padded;
	return true;
}

/* Exports the guest; the caller frees. */
static uint8_t *
make_stream(const struct sf_guest *g, const struct sf_state *s, bool xl,
    size_t *len)
{
	struct sf_reader *r = NULL;
	uint8_t *p = NULL;
	struct err e;
	int in, out;

	in = sf_build_file(g, s, SF_CODEC_LZ4, NULL, &e);
	out = sf_build_memfd(NULL, 0);
	if (in != -1)
		r = sf_reader_open(in, NULL, &limits, &e);
	if (r != NULL && out != -1 && sf_export(r, out, xl, &e) == 0)
		p = sf_build_slurp(out, len);
	sf_reader_close(r);
	if (in != -1)
		(void)close(in);
	if (out != -1)
		(void)close(out);
	return p;
}

/* One PAGE_DATA record: are these the guest's next pages?  *gfn is where to
 * look on from. */
static bool
pages_match(const struct record *rec, const struct sf_guest *g, uint64_t *gfn)
{
	uint8_t want[SF_PAGE_BYTES];
	const uint8_t *pages;
	uint32_t nr, i;

	if (rec->len < 8 || rec->len > 128u << 20)
		return false;
	nr = sf_get_u32(rec->body);
	if (nr == 0 || nr > 1024 || sf_get_u32(rec->body + 4) != 0 ||
	    rec->len != 8 + (size_t)nr * (8 + SF_PAGE_BYTES))
		return false;
	pages = rec->body + 8 + (size_t)nr * 8;
	for (i = 0; i < nr; i++, ++*gfn) {
		while (*gfn < g->nr_gfns &&
		    g->kinds[*gfn] == SF_PAGE_ABSENT)
			++*gfn;
		if (*gfn >= g->nr_gfns ||
		    sf_get_u64(rec->body + 8 + (size_t)i * 8) != *gfn)
			return false;
		sf_guest_page(g, *gfn, want);
		if (memcmp(pages + (size_t)i * SF_PAGE_BYTES, want,
		    SF_PAGE_BYTES) != 0)
			return false;
	}
	return true;
}

static bool
is_blob(const struct record *rec, uint32_t type, const struct sf_blob *b)
{
	return rec->type == type && rec->len == b->len &&
	    memcmp(rec->body, b->bytes, b->len) == 0;
}

static bool
static_data_matches(struct stream *x, const struct sf_state *s)
{
	struct record rec;

	return next_record(x, &rec) && is_blob(&rec, 0x11, &s->cpuid) &&
	    next_record(x, &rec) && is_blob(&rec, 0x12, &s->msrs) &&
	    next_record(x, &rec) && rec.type == 0x10 && rec.len == 0;
}

/* From the TSC record, which was read, to the end. */
static bool
platform_matches(struct stream *x, const struct record *tsc,
    const struct sf_state *s)
{
	struct sf_blob params = { NULL, 0 };
	struct record rec;

	if (tsc->type != 8 || tsc->len != 24 ||
	    sf_get_u32(tsc->body) != s->tsc_mode ||
	    sf_get_u32(tsc->body + 4) != s->tsc_khz ||
	    sf_get_u64(tsc->body + 8) != s->tsc_nsec ||
	    sf_get_u32(tsc->body + 16) != s->tsc_incarnation)
		return false;
	if (!next_record(x, &rec) || !is_blob(&rec, 9, &s->hvm_context))
		return false;
	if (!next_record(x, &rec) || rec.type != 10 ||
	    rec.len != 8 + s->hvm_params.len ||
	    sf_get_u32(rec.body) != s->hvm_params.len / 16)
		return false;
	params.bytes = rec.body + 8;
	params.len = rec.len - 8;
	if (memcmp(params.bytes, s->hvm_params.bytes, params.len) != 0)
		return false;
	return next_record(x, &rec) && rec.type == 0 && rec.len == 0;
}

static bool
stream_matches(struct stream *x, const struct sf_guest *g,
    const struct sf_state *s)
{
	static const uint8_t header[40] = {
		255, 255, 255, 255, 255, 255, 255, 255, 'X', 'E', 'N', 'F',
		0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0,
		2, 0, 0, 0, 12, 0, 0, 0, 4, 0, 0, 0, 17, 0, 0, 0
	};
	struct record rec = { 0, 0, NULL };
	uint64_t gfn = 0;

	if (x->len - x->at < 40 || memcmp(x->p + x->at, header, 40) != 0)
		return false;
	x->at += 40;
	if (!static_data_matches(x, s))
		return false;
	while (next_record(x, &rec) && rec.type == 1)
		if (!pages_match(&rec, g, &gfn))
			return false;
	while (gfn < g->nr_gfns && g->kinds[gfn] == SF_PAGE_ABSENT)
		gfn++;
	return gfn == g->nr_gfns && platform_matches(x, &rec, s);
}

static void
test_shape(const char *shape)
{
	struct sf_state_room room;
	struct stream x = { NULL, 0, 0 };
	struct sf_state s;
	struct sf_guest g;
	uint8_t *p = NULL;

	sf_build_state(3, 2, 1003, &room, &s);
	if (sf_guest_make(shape, 3, &g))
		p = make_stream(&g, &s, false, &x.len);
	x.p = p;
	ok(p != NULL && stream_matches(&x, &g, &s) && x.at == x.len,
	    "%s: the stream has all pages and records, in order", shape);
	free(p);
	sf_guest_free(&g);
}

static void
test_envelope(void)
{
	struct sf_state_room room;
	struct stream x = { NULL, 0, 0 };
	struct record rec;
	struct sf_state s;
	struct sf_guest g;
	uint8_t *p = NULL;

	sf_build_state(3, 1, 1003, &room, &s);
	if (sf_guest_make("small", 3, &g))
		p = make_stream(&g, &s, true, &x.len);
	x.p = p;
	ok(p != NULL && x.len > 72 &&
	    memcmp(p, "Xen saved domain, xl format\n \0 \r", 32) == 0 &&
	    memcmp(p + 32, "\4\3\2\1\2\0\0\0\0\0\0\0\0\0\0\0", 16) == 0,
	    "xl's header: byte order, flag for stream 2, no options");
	x.at = 64;
	ok(p != NULL && memcmp(p + 48, "LibxlFmt\0\0\0\2\0\0\0\0", 16) == 0 &&
	    next_record(&x, &rec) && rec.type == 1 && rec.len == 0,
	    "libxl's header and LIBXC_CONTEXT");
	ok(p != NULL && stream_matches(&x, &g, &s), "the stream");
	ok(p != NULL && next_record(&x, &rec) && rec.type == 0 &&
	    rec.len == 0 && x.at == x.len, "libxl's END, and no more");
	free(p);
	sf_guest_free(&g);
}

static void
test_empty_policy(void)
{
	struct sf_state_room room;
	struct stream x = { NULL, 40, 0 };
	struct record rec;
	struct sf_state s;
	struct sf_guest g;
	uint8_t *p = NULL;

	sf_build_state(3, 1, 1003, &room, &s);
	s.cpuid.len = s.msrs.len = s.hvm_params.len = 0;
	if (sf_guest_make("all-zero", 3, &g))
		p = make_stream(&g, &s, false, &x.len);
	x.p = p;
	ok(p != NULL && next_record(&x, &rec) && rec.type == 0x10,
	    "empty policy records are left out");
	while (p != NULL && next_record(&x, &rec) && rec.type != 9)
		continue;
	ok(p != NULL && next_record(&x, &rec) && rec.type == 0 &&
	    x.at == x.len, "and empty params");
	free(p);
	sf_guest_free(&g);
}

int
main(void)
{
	const char *const *shape;

	for (shape = sf_guest_shapes; *shape != NULL; shape++)
		test_shape(*shape);
	test_envelope();
	test_empty_policy();
	return tap_done();
}
