/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The state records: they come back as they were, each rule refuses with its
 * reason, and the texts are read by name.
 */
#include <stdlib.h>
#include <string.h>

#include "savefile/sf_bytes.h"
#include "tests/fake/sf_build.h"
#include "tests/unit/tap.h"

/* Encoded state; the caller frees. */
static uint8_t *
encode(const struct sf_state *s, size_t *len)
{
	uint8_t *p;

	*len = sf_state_encoded_bytes(s);
	p = malloc(*len);
	if (p != NULL)
		sf_state_encode(s, p);
	return p;
}

static bool
same(const struct sf_blob *a, const struct sf_blob *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static void
test_roundtrip(void)
{
	struct sf_state_room room;
	struct sf_state s, back;
	struct err e;
	uint8_t *p;
	size_t len;

	sf_build_state(7, 3, 1001, &room, &s);
	p = encode(&s, &len);
	ok(p != NULL && len % 8 == 0 &&
	    sf_state_decode(p, len, &back, &e) == 0 &&
	    back.guest_type == s.guest_type && back.nr_vcpus == 3 &&
	    back.max_mem_kb == s.max_mem_kb &&
	    back.target_mem_kb == s.target_mem_kb &&
	    back.xen_major == 4 && back.xen_minor == 17 &&
	    strcmp(back.xen_extra, ".6-pre") == 0 &&
	    back.tsc_mode == s.tsc_mode && back.tsc_khz == s.tsc_khz &&
	    back.tsc_nsec == s.tsc_nsec &&
	    back.tsc_incarnation == s.tsc_incarnation &&
	    back.max_grant_frames == s.max_grant_frames &&
	    back.launch_gfn == s.launch_gfn &&
	    same(&back.cpuid, &s.cpuid) && same(&back.msrs, &s.msrs) &&
	    same(&back.hvm_context, &s.hvm_context) &&
	    same(&back.hvm_params, &s.hvm_params) && same(&back.key, &s.key) &&
	    same(&back.config, &s.config), "the state comes back");
	free(p);
}

/* One change to the encoded state: at record `type`, byte `off` of it (its
 * header is 0..7). */
struct refusal {
	unsigned type;
	size_t off;
	uint8_t value;
	const char *says;
};

static const struct refusal refusals[] = {
	{ 1, 0, 9, "record type 9 is unknown" },
	{ 1, 0, 0, "record type 0 is unknown" },
	{ 2, 0, 3, "record type 3 is out of order" },
	{ 2, 0, 1, "record type 1 is out of order" },
	{ 1, 4, 72, "PLATFORM has 72 bytes" },
	{ 2, 7, 0xff, "CPUID of" },
	{ 2, 4, 1, "not a multiple of 24" },
	{ 3, 4, 17, "not a multiple of 16" },
	{ 5, 4, 8, "not a multiple of 16" },
	{ 4, 8 + 1001, 1, "HVM_CONTEXT is not padded" },
	{ 1, 8, 2, "guest type 2 is unknown" },
	{ 1, 12, 0, "0 vCPUs" },
	{ 1, 12, 129, "129 vCPUs" },
	{ 1, 8 + 32, 7, "xen_extra is not printable" },
	{ 1, 8 + 47, 'x', "xen_extra is not padded" },
	{ 6, 8 + 3, '\n', "line 1 has no '='" },
	{ 6, 8 + 3, 0x7f, "line 1 has a byte that is not printable" },
	{ 6, 8, '=', "line 1 has no name" },
};

static size_t
find_record(const uint8_t *p, unsigned type)
{
	size_t at = 0;

	while (sf_get_u32(p + at) != type)
		at += 8 + sf_round_up(sf_get_u32(p + at + 4), 8);
	return at;
}

static void
test_refusals(void)
{
	struct sf_state_room room;
	struct sf_state s, back;
	const struct refusal *r;
	struct err e;
	uint8_t *p;
	size_t len, i;

	sf_build_state(7, 3, 1001, &room, &s);
	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		r = &refusals[i];
		p = encode(&s, &len);
		if (p == NULL)
			break;
		e.msg[0] = '\0';
		p[find_record(p, r->type) + r->off] = r->value;
		ok(sf_state_decode(p, len, &back, &e) == -1 &&
		    e.code == ERR_INPUT && strstr(e.msg, r->says) != NULL,
		    "refused: \"%s\" is %s", e.msg, r->says);
		free(p);
	}
}

static void
test_lengths(void)
{
	struct sf_state_room room;
	struct sf_state s, back;
	unsigned accepted = 0;
	uint8_t *p, *exact;
	struct err e;
	size_t len, cut;

	sf_build_state(7, 3, 1001, &room, &s);
	p = encode(&s, &len);
	for (cut = 0; p != NULL && cut < len; cut++) {
		/* Its own allocation, so that reading past it is seen. */
		exact = malloc(cut + 1);
		if (exact == NULL)
			break;
		memcpy(exact + 1, p, cut);
		if (sf_state_decode(exact + 1, cut, &back, &e) == 0)
			accepted++;
		free(exact);
	}
	ok(p != NULL && accepted == 0, "cut short at each of %zu bytes", len);
	exact = calloc(1, len + 8);
	if (p != NULL && exact != NULL)
		memcpy(exact, p, len);
	ok(exact != NULL && sf_state_decode(exact, len + 8, &back, &e) == -1 &&
	    strstr(e.msg, "after the last record") != NULL,
	    "bytes after the last record are refused");
	free(exact);
	free(p);
}

/* A state whose key is `text`; the message, or "" if it is accepted. */
static void
decode_text(const char *text, size_t text_len, struct err *e)
{
	struct sf_state_room room;
	struct sf_state s, back;
	uint8_t *p;
	size_t len;

	sf_build_state(7, 1, 100, &room, &s);
	s.key = (struct sf_blob){ (const uint8_t *)text, text_len };
	p = encode(&s, &len);
	(void)err_set(e, ERR_NONE, 0, "%s", "");
	if (p == NULL || sf_state_decode(p, len, &back, e) == 0)
		(void)err_set(e, ERR_NONE, 0, "%s", "");
	free(p);
}

static void
test_texts(void)
{
	char *text = malloc(SF_TEXT_BYTES_MAX + 1);
	struct err e;
	size_t at, i;

	decode_text("a=1\nb=\nab==x\n", 13, &e);
	ok(e.msg[0] == '\0', "empty values and further '=' are fine %s",
	    e.msg);
	decode_text("a=1\nb=2\na=3\n", 12, &e);
	ok(strstr(e.msg, "line 3 has a name that came before") != NULL,
	    "a name that comes twice is refused");
	decode_text("a=1\nb=2", 7, &e);
	ok(strstr(e.msg, "line 2 has no end") != NULL,
	    "a last line without newline is refused");
	if (text == NULL)
		return;
	memset(text, 'x', SF_TEXT_BYTES_MAX + 1);
	text[1] = '=';
	text[SF_TEXT_BYTES_MAX - 1] = text[SF_TEXT_BYTES_MAX] = '\n';
	decode_text(text, SF_TEXT_BYTES_MAX, &e);
	ok(e.msg[0] == '\0', "the longest text is accepted");
	decode_text(text, SF_TEXT_BYTES_MAX + 1, &e);
	ok(strstr(e.msg, "bytes of text") != NULL, "a longer one is not");
	for (i = 0, at = 0; i <= SF_TEXT_LINES_MAX; i++)
		at += (size_t)snprintf(text + at, 8, "%zu=\n", i);
	decode_text(text, at - 6, &e);
	ok(e.msg[0] == '\0', "%u lines are accepted", SF_TEXT_LINES_MAX);
	decode_text(text, at, &e);
	ok(strstr(e.msg, "lines") != NULL, "one more is not");
	free(text);
}

static void
test_get(void)
{
	static const char text[] = "name=work\nn=42\nbig=18446744073709551616\n"
	    "neg=-1\nempty=\nmax=18446744073709551615\n";
	const struct sf_blob b = { (const uint8_t *)text, sizeof(text) - 1 };
	char value[5];
	struct err e;
	uint64_t n;

	ok(sf_state_text_get(&b, "name", value, 5, &e) == 0 &&
	    strcmp(value, "work") == 0, "a value is found by name");
	ok(sf_state_text_get(&b, "name", value, 4, &e) == -1 &&
	    e.code == ERR_INPUT, "a value that does not fit is an error");
	ok(sf_state_text_get(&b, "nam", value, 5, &e) == -1 &&
	    strstr(e.msg, "\"nam=\"") != NULL, "a missing name is named");
	ok(sf_state_text_get_u64(&b, "n", &n, &e) == 0 && n == 42,
	    "a number is read");
	ok(sf_state_text_get_u64(&b, "max", &n, &e) == 0 && n == UINT64_MAX,
	    "the largest too");
	ok(sf_state_text_get_u64(&b, "big", &n, &e) == -1,
	    "a larger one is refused");
	ok(sf_state_text_get_u64(&b, "neg", &n, &e) == -1 &&
	    sf_state_text_get_u64(&b, "empty", &n, &e) == -1 &&
	    sf_state_text_get_u64(&b, "name", &n, &e) == -1,
	    "what is no number is refused");
}

int
main(void)
{
	test_roundtrip();
	test_refusals();
	test_lengths();
	test_texts();
	test_get();
	return tap_done();
}
