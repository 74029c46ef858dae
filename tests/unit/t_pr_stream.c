/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The migration stream's parser: what it takes out of a good stream, and that
 * it refuses every broken one.
 */
#include "prep/pr_stream.h"
#include "tests/unit/t_pr_build.h"
#include "tests/unit/tap.h"

struct memory {
	const uint8_t *bytes;
	size_t len, at;
};

struct seen {
	uint64_t nr_pages, nr_wrong, last_gfn;
	uint64_t fail_at;	/* the sink refuses this page; 0 for none */
};

static int
read_memory(void *ctx, uint8_t *buf, size_t len, struct err *e)
{
	struct memory *m = ctx;

	if (len > m->len - m->at)
		return err_set(e, ERR_INPUT, 0, "ends early");
	memcpy(buf, m->bytes + m->at, len);
	m->at += len;
	return 0;
}

static int
see_page(void *ctx, uint64_t gfn, const uint8_t *page, struct err *e)
{
	struct seen *s = ctx;
	uint8_t want[4096];

	t_pr_page(gfn, want);
	s->nr_pages++;
	s->nr_wrong += memcmp(page, want, sizeof(want)) != 0;
	s->last_gfn = gfn;
	return s->nr_pages == s->fail_at ?
	    err_set(e, ERR_SYS, 28, "sink") : 0;
}

static int
parse(const uint8_t *bytes, size_t len, struct seen *seen,
    struct pr_stream_state *state, struct err *e)
{
	struct memory m = { bytes, len, 0 };
	const struct pr_stream_source source = { read_memory, &m };
	const struct pr_stream_sink sink = { see_page, seen };

	return pr_stream_read(&source, &sink, state, e);
}

static bool
all_bytes(const struct pr_stream_blob *b, uint8_t value, size_t len)
{
	if (b->len != len)
		return false;
	for (size_t i = 0; i < len; i++)
		if (b->bytes[i] != value)
			return false;
	return true;
}

static void
test_good(void)
{
	struct t_pr_stream s = t_pr_good(2500);
	struct pr_stream_state st;
	struct seen seen = { .nr_pages = 0 };
	struct err e = { .code = ERR_NONE };

	ok(parse(s.bytes, s.len, &seen, &st, &e) == 0, "a good stream is taken "
	    "(%s)", e.msg);
	ok(seen.nr_pages == 2507 && st.nr_pages == 2507 && seen.nr_wrong == 0
	    && seen.last_gfn == 0xfefff, "every page came, as it was");
	ok(all_bytes(&st.blobs[PR_STREAM_CPUID], 0x11, 24 * T_PR_NR_LEAVES) &&
	    all_bytes(&st.blobs[PR_STREAM_MSRS], 0x12, 16 * T_PR_NR_MSRS) &&
	    all_bytes(&st.blobs[PR_STREAM_HVM_CONTEXT], 0x09,
	    T_PR_CONTEXT_BYTES), "policies and context came");
	ok(st.blobs[PR_STREAM_HVM_PARAMS].len == 16 * T_PR_NR_PARAMS &&
	    st.blobs[PR_STREAM_HVM_PARAMS].bytes[0] == 1 &&
	    st.blobs[PR_STREAM_HVM_PARAMS].bytes[16] == 2,
	    "HVM params came, without their count");
	ok(st.tsc_mode == 2 && st.tsc_khz == 2000000 && st.tsc_nsec ==
	    123456789 && st.tsc_incarnation == 7 && st.xen_major == 4 &&
	    st.xen_minor == 17, "TSC and version came");
	pr_stream_state_free(&st);
	ok(st.blobs[PR_STREAM_CPUID].bytes == NULL, "freed is empty");
	free(s.bytes);
}

static void
test_truncated(void)
{
	struct t_pr_stream s = t_pr_small();
	size_t nr_taken = 0, nr_other = 0;

	for (size_t len = 0; len < s.len; len++) {
		/* A copy of just that length: a read past it is caught. */
		uint8_t *cut = malloc(len + 1);
		struct pr_stream_state st;
		struct seen seen = { .nr_pages = 0 };
		struct err e = { .code = ERR_NONE };

		if (cut == NULL)
			abort();
		memcpy(cut, s.bytes, len);
		nr_taken += parse(cut, len, &seen, &st, &e) == 0;
		nr_other += e.code != ERR_INPUT;
		pr_stream_state_free(&st);
		free(cut);
	}
	ok(s.len > 6000 && nr_taken == 0, "none of %zu truncations is taken",
	    s.len);
	ok(nr_other == 0, "each is called malformed");
	free(s.bytes);
}

/* Two bits of every byte, one at a time: no crash, and nothing is taken that
 * says less than it should. */
static void
test_flipped(void)
{
	struct t_pr_stream s = t_pr_small();
	size_t nr_bad = 0;

	for (size_t at = 0; at < s.len; at++)
		for (unsigned bit = 0; bit < 8; bit += 7) {
			struct pr_stream_state st;
			struct seen seen = { .nr_pages = 0 };
			struct err e = { .code = ERR_NONE };

			s.bytes[at] ^= (uint8_t)(1u << bit);
			if (parse(s.bytes, s.len, &seen, &st, &e) == 0)
				nr_bad += st.nr_pages != seen.nr_pages ||
				    st.nr_pages == 0;
			else
				nr_bad += e.code != ERR_INPUT;
			pr_stream_state_free(&st);
			s.bytes[at] ^= (uint8_t)(1u << bit);
		}
	ok(nr_bad == 0, "no flipped bit makes a wrong result");
	free(s.bytes);
}

/* One broken stream each: a good one's parts around what is broken. */
enum part { HEADERS, POLICIES, MIDDLE, PAGES, TAIL, NR_PARTS };

struct hostile {
	const char *claim;
	void (*put)(struct t_pr_stream *s);
	enum part instead_of;	/* that part is left out; MIDDLE: none is */
};

static void
put_raw_pages(struct t_pr_stream *s, uint32_t len, uint32_t count,
    const uint64_t *pfns, uint32_t nr_pfns)
{
	t_pr_put_le(s, 1, 4);
	t_pr_put_le(s, len, 4);
	t_pr_put_le(s, count, 4);
	t_pr_put_le(s, 0, 4);
	for (uint32_t i = 0; i < nr_pfns; i++)
		t_pr_put_le(s, pfns[i], 8);
	t_pr_fill(s, 0, 4096 * (size_t)nr_pfns);
}

#define PAGES_CASE(name, len, count, ...) \
static void \
name(struct t_pr_stream *s) \
{ \
	static const uint64_t pfns[] = { __VA_ARGS__ }; \
	put_raw_pages(s, len, count, pfns, \
	    (uint32_t)(sizeof(pfns) / sizeof(pfns[0]))); \
}

PAGES_CASE(no_pfns, 8, 0, 0)
PAGES_CASE(many_pfns, 8 + 8 * 1025, 1025, 0)
PAGES_CASE(all_pfns, UINT32_MAX, UINT32_MAX, 0)
PAGES_CASE(wrapping_pfns, 8 + 4104, 0x20000001, 0)
PAGES_CASE(short_pfns, 8 + 4104, 2, 0)
PAGES_CASE(short_pages, 8 + 16 + 4096, 2, 0, 1)
PAGES_CASE(long_pages, 8 + 8 + 8192, 1, 0, 1)
PAGES_CASE(tiny_record, 4, 1, 0)
PAGES_CASE(descending, 8 + 16 + 8192, 2, 5, 4)
PAGES_CASE(repeated, 8 + 16 + 8192, 2, 5, 5)
PAGES_CASE(reserved_bits, 8 + 8 + 4096, 1, UINT64_C(1) << 52)
PAGES_CASE(page_table, 8 + 8 + 4096, 1, UINT64_C(1) << 60)
PAGES_CASE(broken_page, 8 + 8, 1, UINT64_C(0xd) << 60)
PAGES_CASE(absent_only, 8 + 8, 1, UINT64_C(0xf) << 60)

#define RECORD_CASE(name, type, len) \
static void \
name(struct t_pr_stream *s) \
{ \
	t_pr_put_le(s, type, 4); \
	t_pr_put_le(s, len, 4); \
	t_pr_fill(s, 0, 4096); \
}

RECORD_CASE(huge_cpuid, 0x11, UINT32_MAX)
RECORD_CASE(odd_cpuid, 0x11, 25)
RECORD_CASE(empty_msrs, 0x12, 0)
RECORD_CASE(huge_context, 9, 0x80000000u)
RECORD_CASE(no_context, 9, 0)
RECORD_CASE(tiny_params, 10, 7)
RECORD_CASE(empty_params, 10, 8)
RECORD_CASE(params_count, 10, 8 + 16)
RECORD_CASE(short_tsc, 8, 16)
RECORD_CASE(unknown, 0x42, 8)
RECORD_CASE(pv_record, 2, 8)
RECORD_CASE(checkpoint, 0xe, 0)
RECORD_CASE(huge_optional, 0x80000042u, UINT32_MAX)
RECORD_CASE(long_end, 0, 8)

static void
nothing(struct t_pr_stream *s)
{
	(void)s;
}

#define HEADER_CASE(name, offset, value) \
static void \
name(struct t_pr_stream *s) \
{ \
	t_pr_headers(s); \
	s->bytes[offset] = value; \
}

HEADER_CASE(bad_marker, 3, 0)
HEADER_CASE(bad_ident, 8, 'Y')
HEADER_CASE(version_2, 15, 2)
HEADER_CASE(big_endian, 17, 1)
HEADER_CASE(pv_type, 24, 1)
HEADER_CASE(big_pages, 28, 16)

static const struct hostile hostiles[] = {
	{ "a wrong marker", bad_marker, HEADERS },
	{ "a wrong ident", bad_ident, HEADERS },
	{ "version 2", version_2, HEADERS },
	{ "big-endian", big_endian, HEADERS },
	{ "a PV guest", pv_type, HEADERS },
	{ "64 KiB pages", big_pages, HEADERS },
	{ "no headers", nothing, HEADERS },
	{ "no policies", nothing, POLICIES },
	{ "no memory", nothing, PAGES },
	{ "only absent memory", absent_only, PAGES },
	{ "no tail", nothing, TAIL },
	{ "a record without pfns", no_pfns, PAGES },
	{ "1025 pfns", many_pfns, PAGES },
	{ "2^32 - 1 pfns", all_pfns, PAGES },
	{ "a count that wraps when multiplied", wrapping_pfns, PAGES },
	{ "more pfns than bytes", short_pfns, PAGES },
	{ "fewer pages than pfns", short_pages, PAGES },
	{ "more pages than pfns", long_pages, PAGES },
	{ "4 bytes of page data", tiny_record, PAGES },
	{ "descending pfns", descending, PAGES },
	{ "a pfn twice", repeated, PAGES },
	{ "a pfn with reserved bits", reserved_bits, PAGES },
	{ "a page table page", page_table, PAGES },
	{ "a broken page", broken_page, PAGES },
	{ "4 GiB of CPUID policy", huge_cpuid, POLICIES },
	{ "half a CPUID leaf", odd_cpuid, POLICIES },
	{ "empty MSR policy", empty_msrs, POLICIES },
	{ "2 GiB of HVM context", huge_context, TAIL },
	{ "empty HVM context", no_context, TAIL },
	{ "7 bytes of HVM params", tiny_params, TAIL },
	{ "no HVM params in the record", empty_params, TAIL },
	{ "a wrong count of HVM params", params_count, TAIL },
	{ "half a TSC record", short_tsc, TAIL },
	{ "a second CPUID policy", t_pr_policies, MIDDLE },
	{ "an unknown mandatory record", unknown, MIDDLE },
	{ "a PV record", pv_record, MIDDLE },
	{ "a checkpoint", checkpoint, MIDDLE },
	{ "4 GiB of an optional record", huge_optional, MIDDLE },
	{ "an end with a body", long_end, TAIL },
};

static void
build(struct t_pr_stream *s, void (*put)(struct t_pr_stream *s),
    enum part instead_of)
{
	static void (*const puts[NR_PARTS])(struct t_pr_stream *) = {
		[HEADERS] = t_pr_headers, [POLICIES] = t_pr_policies,
		[MIDDLE] = nothing, [TAIL] = t_pr_tail
	};

	s->len = 0;
	for (enum part i = HEADERS; i < NR_PARTS; i++) {
		if (i == instead_of)
			put(s);
		else if (i == PAGES)
			t_pr_pages(s, 8, 4, NULL);
		else
			puts[i](s);
	}
}

static void
test_hostile(void)
{
	struct t_pr_stream s = { .bytes = NULL };
	struct pr_stream_state st;
	struct seen seen = { .nr_pages = 0 };
	struct err e = { .code = ERR_NONE };

	build(&s, nothing, MIDDLE);
	ok(parse(s.bytes, s.len, &seen, &st, &e) == 0,
	    "control: the frame of the following is taken (%s)", e.msg);
	pr_stream_state_free(&st);
	for (size_t i = 0; i < sizeof(hostiles) / sizeof(hostiles[0]); i++) {
		build(&s, hostiles[i].put, hostiles[i].instead_of);
		e.code = ERR_NONE;
		ok(parse(s.bytes, s.len, &seen, &st, &e) == -1 &&
		    e.code == ERR_INPUT, "refused: %s (%s)",
		    hostiles[i].claim, e.msg);
		pr_stream_state_free(&st);
	}
	free(s.bytes);
}

static void
put_optional(struct t_pr_stream *s)
{
	t_pr_record(s, 0x80000042u, "optional!", 9);
}

static void
test_passed_on(void)
{
	struct t_pr_stream s = { .bytes = NULL };
	struct pr_stream_state st;
	struct seen seen = { .fail_at = 3 };
	struct err e = { .code = ERR_NONE };

	build(&s, put_optional, MIDDLE);
	ok(parse(s.bytes, s.len, &seen, &st, &e) == -1 && e.code == ERR_SYS &&
	    e.sys_errno == 28, "the sink's error comes out as it is");
	pr_stream_state_free(&st);
	seen = (struct seen){ .nr_pages = 0 };
	ok(parse(s.bytes, s.len, &seen, &st, &e) == 0 && seen.nr_pages == 4,
	    "an unknown optional record is passed over");
	pr_stream_state_free(&st);
	free(s.bytes);
}

int
main(void)
{
	test_good();
	test_truncated();
	test_flipped();
	test_hostile();
	test_passed_on();
	return tap_done();
}
