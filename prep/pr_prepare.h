/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Preparing a template, whole: from its configuration to a published
 * generation, or to nothing at all.
 */
#ifndef PR_PREPARE_H
#define PR_PREPARE_H

#include "prep/pr_work.h"

/* On failure the generation that was current still is, and nothing of this
 * run is left, unless the message says so. */
int pr_prepare_run(const struct pr_params *p, const struct pr_seams *s,
    struct pr_report *report, struct pr_result *result, struct err *e);

/* Removes what killed runs of this template left, once nothing of them runs
 * any more: the watchdog's part. */
int pr_prepare_clean(const char *state_dir, const char *template_name,
    const struct pr_seams *s, struct err *e);

#endif
