/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Where there is no valid image: a disposable that another process boots for
 * us (cold_proto.h).  The administrator allows it by having that run.
 */
#ifndef RS_COLD_H
#define RS_COLD_H

#include "restore/launch/launch.h"

/* What that process may take for a boot, and longer than its own limit; and for
 * taking one back. */
#define RS_COLD_BOOT_S 330
#define RS_COLD_UNDO_S 30
/* The guest's agent may take longer than after a launch, by this factor. */
#define RS_COLD_ANSWER_TIMES 5u

struct rs_cold_params {
	const char *socket_path;
	const char *template_name;
	uint64_t store_bytes;	/* rs_launch_params */
	unsigned boot_s, undo_s;
	uint32_t uid;		/* rs_launch_params */
	int interrupt_fd;	/* readable takes it back; -1 for none */
};

/* Is there somebody to ask? */
bool rs_cold_is_allowed(const char *socket_path);
/* Is it the image's fault, so that a boot without it might do? */
bool rs_cold_cures(const struct err *e);

/* As rs_launch(): it runs on return, RS_STAGE_UNPAUSE is set; on failure
 * nothing is left, or the message says what is, and *d has it.  Believes Xen,
 * not the answer. */
int rs_cold_boot(const struct env *env, const struct rs_cold_params *p,
    struct rs_domain *d, struct rs_timings *timings, struct err *e);

#endif
