/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A launch: from an open template to a running disposable, and the way back.
 */
#ifndef RS_LAUNCH_H
#define RS_LAUNCH_H

#include <stdint.h>

#include "include/seam/env.h"
#include "restore/launch/domain.h"
#include "restore/launch/load.h"
#include "restore/launch/template.h"

struct rs_launch_params {
	unsigned nr_workers;
	uint64_t store_bytes;	/* of RAM, at most, for each disk's writes */
	unsigned backend_timeout_ms;
	uint32_t uid;		/* for whom: rs_names.h */
};

/* Stages in the order they end, in ns since the request.  0: not reached.
 * dvm_proto_stage_name() has their names. */
enum rs_stage {
	RS_STAGE_CREATE,	/* empty domain, memory claimed */
	RS_STAGE_DISKS,		/* copy-on-write disks */
	RS_STAGE_NODES,		/* xenstore written */
	RS_STAGE_BACKEND,	/* block backends wait for the guest */
	RS_STAGE_LOAD,		/* memory in place (began after CREATE) */
	RS_STAGE_STATE,		/* context, grants */
	RS_STAGE_INTRODUCE,
	RS_STAGE_UNPAUSE,	/* the guest runs */
	RS_STAGE_ANSWER,	/* it has its identity; rs_ack_wait() */
	RS_STAGES
};

struct rs_timings {
	uint64_t start_ns;	/* CLOCK_MONOTONIC */
	uint64_t end_ns[RS_STAGES];
	struct rs_load_counts load;
	uint64_t store_requests;
};

void rs_launch_uuid_text(const uint8_t uuid[HV_UUID_BYTES],
    char text[RS_UUID_TEXT_BYTES]);
/* A disposable's new one, in d->uuid and d->uuid_text. */
int rs_launch_make_uuid(struct rs_domain *d, struct err *e);

/* On failure all is undone; if even that fails the message says what is
 * left.  On success the guest's memory is still mapped, since unmapping would
 * take CPU from its resume: rs_launch_finish() when it has answered. */
int rs_launch(const struct env *env, const struct rs_template *t,
    const struct rs_launch_params *p, struct rs_domain *d,
    struct rs_timings *timings, struct err *e);

/* Unmaps; once or more. */
void rs_launch_finish(struct rs_domain *d);

/* Ends the disposable and gives everything back: domain, nodes, disks.
 * Idempotent: call again if it failed.  Waits for the backends to let go of
 * the disks and for Xen to let go of the domain, timeout_ms at most: then
 * ERR_BUSY. */
int rs_launch_destroy(const struct env *env, struct rs_domain *d,
    unsigned timeout_ms, struct err *e);

#endif
