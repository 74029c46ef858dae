/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The invariants: what Xen, xenstore, the device mapper and the state
 * directory have is what the service has, and nothing else of ours.
 */
#ifndef RS_CHECK_H
#define RS_CHECK_H

#include "restore/launch/launch.h"

#define RS_CHECK_FINDINGS_MAX 64

struct rs_check {
	const char *state_dir;
	/* What should be there. */
	const struct rs_domain *live;
	size_t nr_live;
	char (*bases)[DISK_NAME_MAX];
	size_t nr_bases;
	/* What was found. */
	unsigned nr_held, nr_broken;	/* invariants */
	unsigned nr_findings;
	char findings[RS_CHECK_FINDINGS_MAX][256];
};

/* Nothing may be launched or destroyed meanwhile. */
void rs_check(struct rs_check *k, const struct env *env);
/* One more invariant, and what to say if it does not hold. */
void rs_check_that(struct rs_check *k, bool holds, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
