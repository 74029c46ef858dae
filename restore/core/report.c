/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Core's reports.  Runs in core's main thread.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "include/clock.h"
#include "restore/core/report.h"

void
rs_report_event(struct rs_report *r, const char *fmt, ...)
{
	struct rs_report_event *ev =
	    &r->events[r->nr_events++ % RS_REPORT_EVENTS];
	struct timespec now;
	va_list ap;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	ev->wall_ns = (uint64_t)now.tv_sec * CLOCK_SECOND +
	    (uint64_t)now.tv_nsec;
	va_start(ap, fmt);
	(void)vsnprintf(ev->text, sizeof(ev->text), fmt, ap);
	va_end(ap);
	/* What an agent or a file's name has brought in must stay one line. */
	for (char *at = ev->text; *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	(void)fprintf(stderr, "dvm-restored: %s\n", ev->text);
}

void
rs_report_sample(struct rs_report *r, unsigned stage, uint64_t ns)
{
	r->samples[stage][r->nr_samples[stage]++ % RS_REPORT_SAMPLES] = ns;
}

void
rs_report_launch(struct rs_report *r, const struct rs_timings *t)
{
	for (unsigned i = 0; i < RS_STAGES; i++)
		if (t->end_ns[i] != 0)
			rs_report_sample(r, i, t->end_ns[i]);
}

static int
compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int
rs_report_stage(const struct rs_report *r, unsigned stage,
    struct dvm_proto *m)
{
	uint64_t sorted[RS_REPORT_SAMPLES];
	uint64_t nr = r->nr_samples[stage];
	const char *name = stage == RS_REPORT_QUEUE ? "queue" :
	    stage == RS_REPORT_DESTROY ? "destroy" :
	    dvm_proto_stage_name(stage);

	if (nr > RS_REPORT_SAMPLES)
		nr = RS_REPORT_SAMPLES;
	if (nr == 0)
		return 0;
	memcpy(sorted, r->samples[stage], nr * sizeof(sorted[0]));
	qsort(sorted, nr, sizeof(sorted[0]), compare);
	(void)snprintf(m->name, sizeof(m->name), "%s", name);
	m->value[0] = sorted[nr / 2];
	m->value[1] = sorted[nr * 99 / 100];
	m->value[2] = nr;
	return 1;
}
