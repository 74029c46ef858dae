/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the user sees of a preparation: one line per step, live on a terminal,
 * and a summary at the end.
 */
#ifndef PR_REPORT_H
#define PR_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "prep/pr_settle.h"
#include "savefile/sf_writer.h"

#define PR_REPORT_STEPS_MAX 8

struct pr_report {
	FILE *out;		/* NULL: nothing is said */
	bool live;		/* out is a terminal */
	unsigned nr_steps;
	struct {
		const char *name;	/* a literal */
		uint64_t ns;
	} steps[PR_REPORT_STEPS_MAX];
	bool in_step;
	uint64_t since_ns, drawn_ns;
};

/* What a preparation came to. */
struct pr_result {
	bool up_to_date;	/* nothing was done */
	unsigned nr_undone;	/* leftovers of earlier runs, removed */
	char id[64];		/* of the generation */
	struct pr_settled settled;
	struct sf_writer_stats stats;
	uint64_t savefile_bytes;	/* the whole file */
	uint64_t delta_bytes;	/* on disk, of all deltas */
};

/* Ends the step before, if any, and begins one. */
void pr_report_step(struct pr_report *r, const char *name);
/* What the live line says beside the seconds. */
void pr_report_note(struct pr_report *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Ends the last step; `good` or not. */
void pr_report_end(struct pr_report *r, bool good);

void pr_report_text(const struct pr_report *r, const char *template_name,
    const struct pr_result *result, FILE *out);
void pr_report_json(const struct pr_report *r, const char *template_name,
    const struct pr_result *result, FILE *out);

#endif
