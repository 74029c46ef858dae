/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The messages' form.  Runs in dvm, which trusts the service, and in front and
 * core, which trust nobody: whatever the bytes, decode reads only them.
 */
#include <string.h>

#include "include/ident.h"
#include "include/wire/dvm_proto.h"
#include "include/wire/wire.h"

void
dvm_proto_encode(const struct dvm_proto *m, uint8_t wire[DVM_PROTO_BYTES])
{
	uint8_t *at = wire;

	wire_put(&at, m->version, 2);
	wire_put(&at, m->type, 2);
	wire_put(&at, m->client, 4);
	wire_put(&at, m->uid, 4);
	wire_put(&at, m->domid, 4);
	wire_put(&at, m->launch_id, 8);
	wire_put(&at, m->code, 4);
	wire_put(&at, m->state, 4);
	for (unsigned i = 0; i < DVM_PROTO_VALUES; i++)
		wire_put(&at, m->value[i], 8);
	wire_put_text(&at, m->name, sizeof(m->name));
	wire_put_text(&at, m->template, sizeof(m->template));
	wire_put_text(&at, m->text, sizeof(m->text));
}

int
dvm_proto_decode(const uint8_t *untrusted_wire, size_t len,
    struct dvm_proto *m, struct err *e)
{
	const uint8_t *at = untrusted_wire;

	memset(m, 0, sizeof(*m));
	if (len != DVM_PROTO_BYTES)
		return err_set(e, ERR_INPUT, 0, "a message has %zu bytes "
		    "instead of %d", len, DVM_PROTO_BYTES);
	m->version = (uint16_t)wire_get(&at, 2);
	if (m->version != DVM_PROTO_VERSION)
		return err_set(e, ERR_INPUT, 0, "a message is of version %u, "
		    "this is version %u: install dvm and dvm-restored of one "
		    "version, and restart the service", m->version,
		    DVM_PROTO_VERSION);
	m->type = (uint16_t)wire_get(&at, 2);
	m->client = (uint32_t)wire_get(&at, 4);
	m->uid = (uint32_t)wire_get(&at, 4);
	m->domid = (uint32_t)wire_get(&at, 4);
	m->launch_id = wire_get(&at, 8);
	m->code = (uint32_t)wire_get(&at, 4);
	m->state = (uint32_t)wire_get(&at, 4);
	for (unsigned i = 0; i < DVM_PROTO_VALUES; i++)
		m->value[i] = wire_get(&at, 8);
	if (wire_get_text(&at, m->name, sizeof(m->name), e) != 0 ||
	    wire_get_text(&at, m->template, sizeof(m->template), e) != 0 ||
	    wire_get_text(&at, m->text, sizeof(m->text), e) != 0)
		return -1;
	return 0;
}

int
dvm_proto_check_request(const struct dvm_proto *m, struct err *e)
{
	/* What may be set is taken out; the rest must be as in no message. */
	struct dvm_proto rest = *m;
	static const struct dvm_proto nothing;
	int rc = 0;

	rest.version = rest.type = 0;
	switch (m->type) {
	case DVM_PROTO_RUN:
		if (m->template[0] != '\0' &&
		    !ident_is_template(m->template))
			rc = err_set(e, ERR_INPUT, 0, "'%s' is no template's "
			    "name", m->template);
		memset(rest.template, 0, sizeof(rest.template));
		if (rc == 0 && m->value[0] > 365 * 86400ul)
			rc = err_set(e, ERR_INPUT, 0, "a time limit of over a "
			    "year");
		if (rc == 0 && m->value[1] > 1)
			rc = err_set(e, ERR_INPUT, 0, "a channel is there or "
			    "not, 1 or 0");
		rest.value[0] = rest.value[1] = 0;
		break;
	case DVM_PROTO_ATTACH:
		rest.launch_id = 0;
		break;
	case DVM_PROTO_KILL:
		if (m->name[0] != '\0' && !ident_is_disposable(m->name))
			rc = err_set(e, ERR_INPUT, 0, "'%s' is no "
			    "disposable's name, disp0001 to disp9999",
			    m->name);
		memset(rest.name, 0, sizeof(rest.name));
		break;
	case DVM_PROTO_LIST:
	case DVM_PROTO_STATUS:
	case DVM_PROTO_CHECK:
	case DVM_PROTO_LOG:
		break;
	default:
		return err_set(e, ERR_INPUT, 0, "%u is no request", m->type);
	}
	/* Both were cleared as a whole, and copied as one: padding too. */
	if (rc == 0 && memcmp(&rest, &nothing, sizeof(rest)) != 0)
		rc = err_set(e, ERR_INPUT, 0, "a request sets a field that it "
		    "does not have");
	return rc;
}

bool
dvm_proto_is_final(const struct dvm_proto *m)
{
	return m->type == DVM_PROTO_FAILED || m->type == DVM_PROTO_ENDED ||
	    m->type == DVM_PROTO_DONE;
}

const char *
dvm_proto_state_name(uint32_t state)
{
	static const char *const names[] = { "?", "queued", "building",
	    "running", "ending", "zombie" };

	return names[state <= DVM_PROTO_STATE_ZOMBIE ? state : 0];
}

const char *
dvm_proto_stage_name(unsigned stage)
{
	static const char *const names[DVM_PROTO_STAGES] = { "create", "disks",
	    "nodes", "backend", "load", "state", "introduce", "unpause",
	    "answer" };

	return stage < DVM_PROTO_STAGES ? names[stage] : "?";
}
