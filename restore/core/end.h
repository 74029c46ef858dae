/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The end of disposables: destroyed by workers, again and again until Xen and
 * the backends let go.
 */
#ifndef RS_END_H
#define RS_END_H

#include "restore/core/core.h"

/* Ends one, whatever it does now; `why` is told and logged, and whether it is
 * what its client wanted (code 0).  May free it. */
void rs_end(struct rs_slot *s, uint32_t code, const char *why);
/* Begins to destroy one that is not busy and knows why. */
void rs_end_start(struct rs_slot *s);
/* After the answer: gives back what only the launch needed. */
void rs_end_finish(struct rs_slot *s);
/* Tells its client why it ended. */
void rs_end_answer(struct rs_slot *s);
/* Forgets one of which nothing is left. */
void rs_end_free(struct rs_slot *s);

#endif
