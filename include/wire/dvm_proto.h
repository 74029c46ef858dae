/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What dvm and dvm-restored say to each other (dvm-restored.8, PROTOCOL): on a
 * SOCK_SEQPACKET socket, messages of one fixed size and shape.  A connection
 * carries one request and the answers to it; closing it takes the request
 * back, and ends the disposable that it holds.  Inside the service the same
 * messages go between front and core, with `client` and `uid` filled in by
 * front.
 *
 * On the wire: little-endian, in the order of struct dvm_proto without
 * padding; text is NUL-terminated and the rest of its field zero.
 */
#ifndef DVM_PROTO_H
#define DVM_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

#define DVM_PROTO_VERSION 1u
#define DVM_PROTO_BYTES 704
#define DVM_PROTO_VALUES 10
#define DVM_PROTO_SOCKET "/run/dvm/dvm.sock"

enum dvm_proto_type {
	/* Requests.  Fields not named are zero. */
	DVM_PROTO_RUN = 1,	/* template, "" the default one; value[0]:
				 * seconds to live, 0 no limit; value[1]: 1 if
				 * an end of a channel (chan.h) comes with it.
				 * Answers: QUEUED*, RUNNING, ENDED */
	DVM_PROTO_ATTACH,	/* launch_id: holds one's own disposable again
				 * after the service was restarted.  Answers:
				 * RUNNING, ENDED */
	DVM_PROTO_LIST,		/* RECORD*, DONE */
	DVM_PROTO_KILL,		/* name, "" for all of one's own, root's being
				 * all: DONE, when gone, value[0] of them */
	DVM_PROTO_STATUS,	/* TEMPLATE*, STAGE*, COUNTERS, DONE */
	DVM_PROTO_CHECK,	/* FINDING*, DONE: value[0] invariants held,
				 * value[1] did not */
	DVM_PROTO_LOG,		/* EVENT*, DONE: the last ones */

	/* Answers.  FAILED is the last one to any request. */
	DVM_PROTO_FAILED = 64,	/* code, text: a sentence */
	DVM_PROTO_QUEUED,	/* value[0]: launches before this one; or text:
				 * that it boots cold, and why */
	DVM_PROTO_RUNNING,	/* a RECORD, but value[i] is the end of stage i
				 * in ns since the request was taken up, [9] 1
				 * if it was booted cold; text: the domain's
				 * UUID */
	DVM_PROTO_ENDED,	/* it is gone; name, if it ever ran; text: why;
				 * code 0 if as wished or by itself */
	DVM_PROTO_RECORD,	/* launch_id, domid, name, template, uid,
				 * state; value[0] age in ns, [1] its memory in
				 * bytes, [2] seconds left to live, 0 no
				 * limit, [3] 1 if it was booted cold; text:
				 * the domain's UUID */
	DVM_PROTO_TEMPLATE,	/* template; code 0 and text its generation,
				 * else text is why it cannot be launched;
				 * value[0] disposables of it, [1] launches,
				 * [2] bytes of data, [3] bytes decoded ahead,
				 * [4] 1 if it boots cold instead */
	DVM_PROTO_STAGE,	/* name: the stage (a launch's last is answer,
				 * then queue and destroy); value[0] p50 in ns
				 * of the last launches, [1] p99, [2] how
				 * many */
	DVM_PROTO_COUNTERS,	/* value[i]: enum dvm_proto_counter */
	DVM_PROTO_FINDING,	/* text: an invariant that does not hold */
	DVM_PROTO_EVENT,	/* value[0]: ns since 1970; text: the line */
	DVM_PROTO_DONE,

	/* Between front and core only. */
	DVM_PROTO_GONE = 128,	/* client: its connection is closed */
};

enum dvm_proto_counter {
	DVM_PROTO_LAUNCHED, DVM_PROTO_LAUNCH_FAILED, DVM_PROTO_DESTROYED,
	DVM_PROTO_LIVE, DVM_PROTO_WAITING, DVM_PROTO_ZOMBIES,
	DVM_PROTO_ADOPTED,	/* found running when the service began */
	DVM_PROTO_UPTIME_NS, DVM_PROTO_FREE_BYTES,	/* free in Xen */
	DVM_PROTO_COLD,		/* of those launched, booted cold */
};

enum dvm_proto_state {
	DVM_PROTO_STATE_QUEUED = 1,
	DVM_PROTO_STATE_BUILDING,
	DVM_PROTO_STATE_RUNNING,
	DVM_PROTO_STATE_ENDING,
	DVM_PROTO_STATE_ZOMBIE,	/* Xen or a backend does not let it go */
};

struct dvm_proto {
	uint16_t version, type;
	uint32_t client, uid;	/* zero in a client's request */
	uint32_t domid;
	uint64_t launch_id;
	uint32_t code;		/* an exit status, err_exit_status() */
	uint32_t state;
	uint64_t value[DVM_PROTO_VALUES];
	char name[16];		/* "disp1234" */
	char template[64];
	char text[512];
};

void dvm_proto_encode(const struct dvm_proto *m,
    uint8_t wire[DVM_PROTO_BYTES]);

/* Checks size, version and text's form; what the fields say is the caller's
 * to check.  ERR_INPUT. */
int dvm_proto_decode(const uint8_t *untrusted_wire, size_t len,
    struct dvm_proto *m, struct err *e);

/* Is it a request that a client may make?  Everything in it is checked: the
 * type, the form of the names, that unused fields are zero.  ERR_INPUT. */
int dvm_proto_check_request(const struct dvm_proto *m, struct err *e);

/* Is it the last answer to a request? */
bool dvm_proto_is_final(const struct dvm_proto *m);

/* Stages of a launch, as RUNNING has them: "create", ... */
#define DVM_PROTO_STAGES 9
const char *dvm_proto_stage_name(unsigned stage);

/* "running" and so on; "?" for a number that is none. */
const char *dvm_proto_state_name(uint32_t state);

#endif
