/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Preparing a template, whole: from its configuration to a published
 * generation, or to nothing at all.
 */
#ifndef PR_PREPARE_H
#define PR_PREPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "pr_report.h"
#include "pr_seams.h"
#include "sf_page.h"

struct pr_params {
	const char *state_dir;
	const struct pr_config *config;
	bool force;			/* also if the generation is valid */
	unsigned keep;			/* old generations to keep */
	enum sf_codec codec;
	uint64_t delta_max;		/* bytes per disk; 0: all it may need */
	bool by_agent;			/* else settled after settle_seconds */
	unsigned settle_seconds;	/* to wait, or to wait for at most */
};

/* On failure the generation that was current still is, and nothing of this
 * run is left, unless the message says so. */
int pr_prepare_run(const struct pr_params *p, const struct pr_seams *s,
    struct pr_report *report, struct pr_result *result, struct err *e);

/* Removes what killed runs of this template left, once nothing of them runs
 * any more: the watchdog's part. */
int pr_prepare_clean(const char *state_dir, const char *template_name,
    const struct pr_seams *s, struct err *e);

#endif
