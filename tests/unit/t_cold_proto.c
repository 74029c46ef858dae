/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The two messages about a cold boot: what arrives is what was sent, and all
 * else is refused.
 */
#include <string.h>

#include "include/ident.h"
#include "include/wire/cold_proto.h"
#include "tests/unit/tap.h"

static const struct cold_proto_request request = { .store_bytes = 1 << 20,
    .uuid = IDENT_UUID_DISP "0123456789a", .name = "disp0042",
    .template = "debian-12" };

static bool
takes_request(const uint8_t *wire, size_t len)
{
	struct cold_proto_request r;
	struct err e = { .code = ERR_NONE };
	int rc = cold_proto_decode_request(wire, len, &r, &e);

	return rc == 0 || e.code != ERR_INPUT;
}

static bool
takes_answer(const struct cold_proto_answer *a)
{
	uint8_t wire[COLD_PROTO_ANSWER_BYTES];
	struct cold_proto_answer again;
	struct err e = { .code = ERR_NONE };

	cold_proto_encode_answer(a, wire);
	return cold_proto_decode_answer(wire, sizeof(wire), &again, &e) == 0 &&
	    memcmp(a, &again, sizeof(again)) == 0;
}

static void
test_request(void)
{
	uint8_t wire[COLD_PROTO_REQUEST_BYTES + 1] = { 0 };
	struct cold_proto_request r, wrong;
	unsigned taken = 0;
	struct err e;

	cold_proto_encode_request(&request, wire);
	ok(cold_proto_decode_request(wire, sizeof(wire) - 1, &r, &e) == 0 &&
	    memcmp(&r, &request, sizeof(r)) == 0, "a request arrives as it "
	    "was sent");
	for (size_t len = 0; len <= sizeof(wire); len++)
		taken += takes_request(wire, len);
	ok(taken == 1, "of one length only");
	wire[0] = 2;
	ok(!takes_request(wire, sizeof(wire) - 1), "and of one version");
	static const struct {
		const char *name, *template, *uuid;
		uint64_t store_bytes;
	} cases[] = {
		{ "disp42", "debian", IDENT_UUID_DISP, 512 },
		{ "debian", "debian", IDENT_UUID_DISP, 512 },
		{ "disp0042", "", IDENT_UUID_DISP, 512 },
		{ "disp0042", "../debian", IDENT_UUID_DISP, 512 },
		{ "disp0042", ".debian", IDENT_UUID_DISP, 512 },
		{ "disp0042", "a/b", IDENT_UUID_DISP, 512 },
		{ "disp0042", "debian", IDENT_UUID_PREP, 512 },
		{ "disp0042", "debian", "\0\0\0\0", 512 },
		{ "disp0042", "debian", IDENT_UUID_DISP, 0 },
		{ "disp0042", "debian", IDENT_UUID_DISP, 513 },
		{ "disp0042", "debi\nan", IDENT_UUID_DISP, 512 },
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		wrong = request;
		wrong.store_bytes = cases[i].store_bytes;
		memcpy(wrong.uuid, cases[i].uuid, 4);
		(void)snprintf(wrong.name, sizeof(wrong.name), "%s",
		    cases[i].name);
		(void)snprintf(wrong.template, sizeof(wrong.template), "%s",
		    cases[i].template);
		cold_proto_encode_request(&wrong, wire);
		ok(!takes_request(wire, sizeof(wire) - 1), "no request: %s of "
		    "%zu", cases[i].name, i);
	}
}

static void
test_answer(void)
{
	struct cold_proto_answer runs = { .domid = 7 };
	struct cold_proto_answer no = { .code = 4, .text = "it has changed" };

	ok(takes_answer(&runs), "a domain's number arrives");
	ok(takes_answer(&no), "a refusal arrives");
	runs.domid = 0;
	ok(!takes_answer(&runs), "dom0 is no disposable");
	runs.domid = 0x7ff0;
	ok(!takes_answer(&runs), "nor is DOMID_SELF");
	runs = (struct cold_proto_answer){ .domid = 7, .text = "but" };
	ok(!takes_answer(&runs), "one that runs needs no words");
	no.domid = 7;
	ok(!takes_answer(&no), "one that does not run has no number");
	no = (struct cold_proto_answer){ .code = 4 };
	ok(!takes_answer(&no), "a refusal has a reason");
	no = (struct cold_proto_answer){ .code = 4, .text = "\033[31m" };
	ok(!takes_answer(&no), "in plain text");
}

int
main(void)
{
	test_request();
	test_answer();
	return tap_done();
}
