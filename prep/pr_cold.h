/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A disposable booted from its template's disks, for want of a valid image.
 */
#ifndef PR_COLD_H
#define PR_COLD_H

#include "include/wire/cold_proto.h"
#include "prep/pr_seams.h"
#include "savefile/gen/gen_text.h"

struct pr_cold_params {
	const char *state_dir;
	const struct cold_proto_request *request;
	int lock_fd;		/* kept open by all that this starts */
};

/* Boots it and tells its agent who it is.  *domid runs on return, and is core's
 * to watch and to end.  On failure nothing is left, unless the message says
 * so.  Interruptible (s->interrupt_fd). */
int pr_cold_boot(const struct pr_cold_params *p, const struct pr_seams *s,
    uint32_t *domid, struct err *e);
/* Takes it back, whatever there is of it. */
int pr_cold_undo(const struct cold_proto_request *r,
    const struct pr_seams *s, struct err *e);

/* The lines of IDENT_COLD. */
int pr_cold_text(const struct cold_proto_request *r,
    const struct pr_config_settle *settle, struct gen_text *t, struct err *e);

#endif
