/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests that look at what core has, or wait for its end: LIST, KILL,
 * STATUS, CHECK, LOG.
 */
#ifndef RS_QUERIES_H
#define RS_QUERIES_H

#include "restore/core/core.h"

void rs_queries(struct rs_core *c, const struct dvm_proto *m);
/* Something has ended: what waited for it may be answered. */
void rs_queries_progress(struct rs_core *c);
/* A check that waits is given up. */
void rs_queries_drop_check(struct rs_core *c);
/* What waits too long. */
void rs_queries_tick(struct rs_core *c);

#endif
