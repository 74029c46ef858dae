/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The messages' form.  Runs in dvm, which trusts the service, and in front and
 * core, which trust nobody: whatever the bytes, decode reads only them.
 */
#include <string.h>

#include "dvm_proto.h"
#include "ident.h"

struct cursor {
	uint8_t *at;
};

static void
put(struct cursor *c, uint64_t value, unsigned nr_bytes)
{
	for (unsigned i = 0; i < nr_bytes; i++)
		*c->at++ = (uint8_t)(value >> 8 * i);
}

static void
put_text(struct cursor *c, const char *text, size_t cap)
{
	size_t len = strnlen(text, cap - 1);

	memset(c->at, 0, cap);
	memcpy(c->at, text, len);
	c->at += cap;
}

void
dvm_proto_encode(const struct dvm_proto *m, uint8_t wire[DVM_PROTO_BYTES])
{
	struct cursor c = { .at = wire };

	put(&c, m->version, 2);
	put(&c, m->type, 2);
	put(&c, m->client, 4);
	put(&c, m->uid, 4);
	put(&c, m->domid, 4);
	put(&c, m->launch_id, 8);
	put(&c, m->code, 4);
	put(&c, m->state, 4);
	for (unsigned i = 0; i < DVM_PROTO_VALUES; i++)
		put(&c, m->value[i], 8);
	put_text(&c, m->name, sizeof(m->name));
	put_text(&c, m->template, sizeof(m->template));
	put_text(&c, m->text, sizeof(m->text));
}

static uint64_t
get(const uint8_t **at, unsigned nr_bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < nr_bytes; i++)
		value |= (uint64_t)*(*at)++ << 8 * i;
	return value;
}

/* Printable, ended, and nothing behind its end. */
static int
get_text(const uint8_t **at, char *text, size_t cap, struct err *e)
{
	size_t len = strnlen((const char *)*at, cap);

	for (size_t i = 0; i < cap; i++)
		if (i < len ? (*at)[i] < 0x20 || (*at)[i] > 0x7e :
		    (*at)[i] != 0)
			return err_set(e, ERR_INPUT, 0, "a message's text has "
			    "a byte that no text has");
	if (len == cap)
		return err_set(e, ERR_INPUT, 0, "a message's text has no end");
	memcpy(text, *at, cap);
	*at += cap;
	return 0;
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
	m->version = (uint16_t)get(&at, 2);
	if (m->version != DVM_PROTO_VERSION)
		return err_set(e, ERR_INPUT, 0, "a message is of version %u, "
		    "this is version %u: install dvm and dvm-restored of one "
		    "version, and restart the service", m->version,
		    DVM_PROTO_VERSION);
	m->type = (uint16_t)get(&at, 2);
	m->client = (uint32_t)get(&at, 4);
	m->uid = (uint32_t)get(&at, 4);
	m->domid = (uint32_t)get(&at, 4);
	m->launch_id = get(&at, 8);
	m->code = (uint32_t)get(&at, 4);
	m->state = (uint32_t)get(&at, 4);
	for (unsigned i = 0; i < DVM_PROTO_VALUES; i++)
		m->value[i] = get(&at, 8);
	if (get_text(&at, m->name, sizeof(m->name), e) != 0 ||
	    get_text(&at, m->template, sizeof(m->template), e) != 0 ||
	    get_text(&at, m->text, sizeof(m->text), e) != 0)
		return -1;
	return 0;
}

/* What pr_gen_template_name() makes: a name, and no path. */
static int
check_template(const char *untrusted_name, struct err *e)
{
	size_t len = strlen(untrusted_name);

	if (len == 0 || len > 32 || untrusted_name[0] == '.' ||
	    untrusted_name[0] == '-' || strspn(untrusted_name,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789_.-") != len)
		return err_set(e, ERR_INPUT, 0, "'%s' is no template's name",
		    untrusted_name);
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
		if (m->template[0] != '\0')
			rc = check_template(m->template, e);
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
