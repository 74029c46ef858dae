/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting until the guest that is prepared can be recorded.
 */
#ifndef PR_SETTLE_H
#define PR_SETTLE_H

#include <stdbool.h>

#include "include/wire/launch_page.h"
#include "prep/pr_config.h"
#include "prep/pr_seams.h"

/* In the order in which the agent takes them. */
#define PR_SETTLE_STEPS 6

struct pr_settle_params {
	uint32_t domid;
	bool by_agent;		/* else just so many seconds */
	unsigned seconds;	/* to wait, or for the agent's first word */
	const struct pr_config_settle *how;
	/* Called about once a second with the agent's step, "" before the
	 * first, and the seconds that are left for it at most.  May be NULL. */
	void (*progress)(void *ctx, const char *step, unsigned seconds_left);
	void *progress_ctx;
};

/* By agent only; else all zero.  But for the magic it is what the guest says
 * of itself: to be shown and no more. */
struct pr_settled {
	uint8_t magic[LAUNCH_PAGE_MAGIC_BYTES];	/* of the launch page */
	uint64_t step_ms[PR_SETTLE_STEPS];
	uint64_t total_kb, free_kb, cached_kb;	/* of its /proc/meminfo */
};

const char *pr_settle_step_name(unsigned step);

/* ERR_TIMEOUT without a word from the agent; ERR_INPUT if the guest ends or
 * the agent says why it cannot settle. */
int pr_settle(const struct pr_seams *s, const struct pr_settle_params *p,
    struct pr_settled *settled, struct err *e);

#endif
