/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The form of the two messages about a cold boot.  Both ends are root's; each
 * checks the other nevertheless.
 */
#include <string.h>

#include "include/ident.h"
#include "include/wire/cold_proto.h"
#include "include/wire/wire.h"

#define SECTOR_BYTES 512u
#define DOMID_END 0x7ff0u	/* DOMID_FIRST_RESERVED */

void
cold_proto_encode_request(const struct cold_proto_request *r,
    uint8_t wire[COLD_PROTO_REQUEST_BYTES])
{
	uint8_t *at = wire;

	wire_put(&at, COLD_PROTO_VERSION, 4);
	wire_put(&at, r->store_bytes, 8);
	memcpy(at, r->uuid, sizeof(r->uuid));
	at += sizeof(r->uuid);
	wire_put_text(&at, r->name, sizeof(r->name));
	wire_put_text(&at, r->template, sizeof(r->template));
}

void
cold_proto_encode_answer(const struct cold_proto_answer *a,
    uint8_t wire[COLD_PROTO_ANSWER_BYTES])
{
	uint8_t *at = wire;

	wire_put(&at, COLD_PROTO_VERSION, 4);
	wire_put(&at, a->code, 4);
	wire_put(&at, a->domid, 4);
	wire_put_text(&at, a->text, sizeof(a->text));
}

/* Length and version, which are before all else. */
static int
begin(const uint8_t **at, size_t len, size_t want, struct err *e)
{
	uint64_t version;

	if (len != want)
		return err_set(e, ERR_INPUT, 0, "a message about a cold boot "
		    "has %zu bytes instead of %zu", len, want);
	version = wire_get(at, 4);
	if (version != COLD_PROTO_VERSION)
		return err_set(e, ERR_INPUT, 0, "a message about a cold boot "
		    "is of version %u, this is version %u: install "
		    "dvm-prepare and dvm-restored of one version, and restart "
		    "both services", (unsigned)version, COLD_PROTO_VERSION);
	return 0;
}

int
cold_proto_decode_request(const uint8_t *untrusted_wire, size_t len,
    struct cold_proto_request *r, struct err *e)
{
	const uint8_t *at = untrusted_wire;

	memset(r, 0, sizeof(*r));
	if (begin(&at, len, COLD_PROTO_REQUEST_BYTES, e) != 0)
		return -1;
	r->store_bytes = wire_get(&at, 8);
	memcpy(r->uuid, at, sizeof(r->uuid));
	at += sizeof(r->uuid);
	if (wire_get_text(&at, r->name, sizeof(r->name), e) != 0 ||
	    wire_get_text(&at, r->template, sizeof(r->template), e) != 0)
		return -1;
	if (r->store_bytes == 0 || r->store_bytes % SECTOR_BYTES != 0 ||
	    memcmp(r->uuid, IDENT_UUID_DISP, 4) != 0 ||
	    !ident_is_disposable(r->name) || !ident_is_template(r->template))
		return err_set(e, ERR_INPUT, 0, "a request for a cold boot "
		    "asks for what is no disposable");
	return 0;
}

int
cold_proto_decode_answer(const uint8_t *untrusted_wire, size_t len,
    struct cold_proto_answer *a, struct err *e)
{
	const uint8_t *at = untrusted_wire;

	memset(a, 0, sizeof(*a));
	if (begin(&at, len, COLD_PROTO_ANSWER_BYTES, e) != 0)
		return -1;
	a->code = (uint32_t)wire_get(&at, 4);
	a->domid = (uint32_t)wire_get(&at, 4);
	if (wire_get_text(&at, a->text, sizeof(a->text), e) != 0)
		return -1;
	if (a->code == 0 ? a->domid == 0 || a->domid >= DOMID_END ||
	    a->text[0] != '\0' : a->domid != 0 || a->text[0] == '\0')
		return err_set(e, ERR_INPUT, 0, "the answer about a cold boot "
		    "is neither a domain nor an error");
	return 0;
}
