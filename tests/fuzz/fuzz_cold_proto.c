/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: the two messages about a cold boot, of any length; the first byte
 * says which it is meant to be.
 */
#include <stdlib.h>
#include <string.h>

#include "include/ident.h"
#include "include/wire/cold_proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static void
take_request(const uint8_t *wire, size_t len)
{
	uint8_t again[COLD_PROTO_REQUEST_BYTES];
	struct cold_proto_request r;
	struct err e;

	if (cold_proto_decode_request(wire, len, &r, &e) != 0) {
		must(e.code == ERR_INPUT && e.msg[0] != '\0');
		return;
	}
	must(len == sizeof(again) && memcmp(r.uuid, IDENT_UUID_DISP, 4) == 0);
	/* These become parts of paths, and of xl's settings. */
	must(ident_is_disposable(r.name) && strchr(r.template, '/') == NULL &&
	    r.template[0] != '.' && r.template[0] != '\0');
	cold_proto_encode_request(&r, again);
	must(memcmp(wire, again, sizeof(again)) == 0);
}

static void
take_answer(const uint8_t *wire, size_t len)
{
	uint8_t again[COLD_PROTO_ANSWER_BYTES];
	struct cold_proto_answer a;
	struct err e;

	if (cold_proto_decode_answer(wire, len, &a, &e) != 0) {
		must(e.code == ERR_INPUT && e.msg[0] != '\0');
		return;
	}
	must(len == sizeof(again) && (a.code == 0) == (a.domid != 0));
	cold_proto_encode_answer(&a, again);
	must(memcmp(wire, again, sizeof(again)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *wire;

	if (size < 2)
		return 0;
	/* Of just its length, so that a byte too many is seen. */
	wire = malloc(size - 1);
	if (wire == NULL)
		return 0;
	memcpy(wire, data + 1, size - 1);
	if (data[0] & 1)
		take_request(wire, size - 1);
	else
		take_answer(wire, size - 1);
	free(wire);
	return 0;
}
