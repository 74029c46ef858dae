/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What core asks of who boots disposables for want of a valid image
 * (dvm-prepare.8, COLD BOOTS): one request on a connection to
 * IDENT_BOOT_SOCKET, of type SOCK_SEQPACKET, and one answer.  Who shuts its
 * end down for writing takes the request back, and is answered when all of it
 * is undone.  The connection is closed when nothing that was started for it
 * runs any more.
 *
 * On the wire: the fields in their order, as wire.h has them, after the
 * version in 4 bytes.
 */
#ifndef COLD_PROTO_H
#define COLD_PROTO_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

#define COLD_PROTO_VERSION 1u
#define COLD_PROTO_REQUEST_BYTES 108
#define COLD_PROTO_ANSWER_BYTES 524
#define COLD_PROTO_UUID_BYTES 16

struct cold_proto_request {
	uint64_t store_bytes;	/* of RAM for each disk's writes; sectors */
	uint8_t uuid[COLD_PROTO_UUID_BYTES];	/* IDENT_UUID_DISP... */
	char name[16];		/* "disp1234" */
	char template[64];
};

struct cold_proto_answer {
	uint32_t code;		/* 0: it runs; else an exit status, and */
	uint32_t domid;
	char text[512];		/* a sentence */
};

void cold_proto_encode_request(const struct cold_proto_request *r,
    uint8_t wire[COLD_PROTO_REQUEST_BYTES]);
void cold_proto_encode_answer(const struct cold_proto_answer *a,
    uint8_t wire[COLD_PROTO_ANSWER_BYTES]);

/* All fields are checked, the answer's against each other too.  ERR_INPUT. */
int cold_proto_decode_request(const uint8_t *untrusted_wire, size_t len,
    struct cold_proto_request *r, struct err *e);
int cold_proto_decode_answer(const uint8_t *untrusted_wire, size_t len,
    struct cold_proto_answer *a, struct err *e);

#endif
