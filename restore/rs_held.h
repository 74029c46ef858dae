/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Templates that core holds open, so that nothing is opened, hashed or parsed
 * for a launch.
 */
#ifndef RS_HELD_H
#define RS_HELD_H

#include "rs_core.h"

/* What is at most so old is not looked at again before a launch. */
#define RS_HELD_FRESH_NS CLOCK_SECOND

/* Opens what is in the state directory; to be called once. */
void rs_held_open_all(struct rs_core *c);
/* The template's current generation; NULL while it is being opened: then
 * rs_life_template() is called when that is over. */
struct rs_held *rs_held_get(struct rs_core *c, const char *name);
/* It turned out to be no longer current. */
void rs_held_is_stale(struct rs_held *h);
/* Is any being opened or closed? */
bool rs_held_any_busy(const struct rs_core *c);
void rs_held_use(struct rs_held *h);
/* The last user of one that is not current closes it. */
void rs_held_release(struct rs_held *h);
/* At the end: all are released; nothing runs any more. */
void rs_held_close_all(struct rs_core *c);

#endif
