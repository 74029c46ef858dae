/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests that look at what core has, or wait for its end: LIST, KILL,
 * STATUS, CHECK, LOG.
 */
#ifndef RS_ASK_H
#define RS_ASK_H

#include "rs_core.h"

void rs_ask(struct rs_core *c, const struct dvm_proto *m);
/* Something has ended: what waited for it may be answered. */
void rs_ask_progress(struct rs_core *c);
/* A check that waits is given up. */
void rs_ask_drop_check(struct rs_core *c);
/* What waits too long. */
void rs_ask_tick(struct rs_core *c);

#endif
