/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: the messages between dvm and its service.  The first byte says
 * what the others are: a request, or an answer and to what; and whether they
 * are a whole message, filled up with zeros, or as long as they are.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "include/ident.h"
#include "restore/client/dvm_link.h"

#define EXACT 0x80u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static bool
is_text(const char *text, size_t cap)
{
	size_t len = strnlen(text, cap);

	for (size_t i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	return len < cap;
}

/* As front does. */
static void
take_request(const uint8_t *wire, size_t len)
{
	uint8_t again[DVM_PROTO_BYTES];
	struct dvm_proto m;
	struct err e;

	if (dvm_proto_decode(wire, len, &m, &e) != 0) {
		must(e.code == ERR_INPUT && is_text(e.msg, sizeof(e.msg)));
		return;
	}
	must(len == DVM_PROTO_BYTES && m.version == DVM_PROTO_VERSION);
	dvm_proto_encode(&m, again);
	must(memcmp(wire, again, sizeof(again)) == 0);
	if (dvm_proto_check_request(&m, &e) != 0) {
		must(e.code == ERR_INPUT && is_text(e.msg, sizeof(e.msg)));
		return;
	}
	must(m.type >= DVM_PROTO_RUN && m.type <= DVM_PROTO_LOG);
	must(m.client == 0 && m.uid == 0 && m.domid == 0 && m.code == 0 &&
	    m.state == 0 && m.text[0] == '\0');
	must(m.template[0] == '\0' || m.type == DVM_PROTO_RUN);
	must(m.launch_id == 0 || m.type == DVM_PROTO_ATTACH);
	must(m.name[0] == '\0' || (m.type == DVM_PROTO_KILL &&
	    ident_is_disposable(m.name)));
	/* Core puts it after a directory's name. */
	must(strchr(m.template, '/') == NULL && m.template[0] != '.');
	for (unsigned i = 0; i < DVM_PROTO_VALUES; i++)
		must(m.value[i] == 0 || (m.type == DVM_PROTO_RUN &&
		    ((i == 0 && m.value[0] <= 365 * 86400) ||
		    (i == 1 && m.value[1] == 1))));
}

/* As dvm does, off a socket. */
static void
take_answer(uint16_t request, const uint8_t *wire, size_t len)
{
	static int fds[2] = { -1, -1 };
	struct dvm_link l = { .signal_fd = -1, .request = request };
	struct dvm_proto m;
	struct err e = { .code = ERR_NONE };
	bool failed;
	int rc;

	if (fds[0] < 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds) != 0)
		abort();
	/* Of no bytes would be the connection's end. */
	if (len == 0 || send(fds[1], wire, len, 0) != (ssize_t)len)
		return;
	l.fd = fds[0];
	rc = dvm_link_receive(&l, &m, &failed, &e);
	must(rc == 1 || rc == -1);
	must(rc == -1 || (!failed && len == DVM_PROTO_BYTES &&
	    m.type > DVM_PROTO_FAILED && m.type <= DVM_PROTO_DONE));
	must(rc == 1 || (e.code != ERR_NONE && e.msg[0] != '\0' &&
	    is_text(e.msg, sizeof(e.msg))));
	must(rc == -1 || (is_text(m.name, sizeof(m.name)) &&
	    is_text(m.template, sizeof(m.template)) &&
	    is_text(m.text, sizeof(m.text))));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how = size > 0 ? data[0] : 0;
	size_t len = DVM_PROTO_BYTES, nr;
	uint8_t *wire;

	if (size == 0)
		return 0;
	nr = size - 1;
	if (how & EXACT)
		len = nr;
	if (nr > len)
		nr = len;
	/* Of just its length, so that a byte too many is seen. */
	wire = calloc(1, len > 0 ? len : 1);
	if (wire == NULL)
		return 0;
	memcpy(wire, data + 1, nr);
	how &= (uint8_t)~EXACT;
	if (how == 0)
		take_request(wire, len);
	else
		take_answer((uint16_t)(how % 8), wire, len);
	free(wire);
	return 0;
}
