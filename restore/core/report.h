/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What core tells: one line per event, to stderr and kept for `dvm log`; how
 * long the stages of its last launches took; counters.
 */
#ifndef RS_REPORT_H
#define RS_REPORT_H

#include <stdint.h>

#include "include/wire/dvm_proto.h"
#include "restore/launch/launch.h"

/* A launch's stages, and two more. */
enum {
	RS_REPORT_QUEUE = RS_STAGES,	/* from the request to its begin */
	RS_REPORT_DESTROY,		/* from the wish to the end */
	RS_REPORT_STAGES
};

#define RS_REPORT_EVENTS 256
#define RS_REPORT_SAMPLES 1024

struct rs_report_event {
	uint64_t wall_ns;	/* since 1970 */
	char text[sizeof(((struct dvm_proto *)NULL)->text)];
};

struct rs_report {
	uint64_t start_ns;
	uint64_t counters[DVM_PROTO_VALUES];	/* enum dvm_proto_counter */
	struct rs_report_event events[RS_REPORT_EVENTS];
	uint64_t nr_events;			/* ever */
	uint64_t samples[RS_REPORT_STAGES][RS_REPORT_SAMPLES];
	uint64_t nr_samples[RS_REPORT_STAGES];	/* ever */
};

/* One line, of our own words only: no guest's and no user's. */
void rs_report_event(struct rs_report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

void rs_report_sample(struct rs_report *r, unsigned stage, uint64_t ns);
/* All stages of a launch that answered. */
void rs_report_launch(struct rs_report *r, const struct rs_timings *t);

/* Fills name and values; returns 0 if there are no samples. */
int rs_report_stage(const struct rs_report *r, unsigned stage,
    struct dvm_proto *m);

#endif
