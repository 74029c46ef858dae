/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Takers that more than one operation needs, for store_xen.c and
 * store_wait.c.
 */
#ifndef STORE_ANSWER_H
#define STORE_ANSWER_H

#include "include/err.h"
#include "restore/host/store_wire.h"

/* The error for an answer that is the daemon's refusal; -1. */
int store_answer_refused(const struct store_wire_answer *a, struct err *e);

/* store_wire_run() for requests whose only answer is "OK".  The daemon's errno
 * `tolerated` is as good; 0 for none. */
int store_answer_run_ok(struct store_wire *w, int tolerated, struct err *e);

#endif
