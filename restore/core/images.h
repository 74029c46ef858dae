/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Templates that core holds open, so that nothing is opened, hashed or parsed
 * for a launch.
 */
#ifndef RS_IMAGES_H
#define RS_IMAGES_H

#include "restore/core/core.h"

/* What is at most so old is not looked at again before a launch. */
#define RS_IMAGES_FRESH_NS CLOCK_SECOND

/* Opens what is in the state directory; to be called once. */
void rs_images_open_all(struct rs_core *c);
/* The template's current generation; NULL while it is being opened: then
 * rs_life_template() is called when that is over. */
struct rs_image *rs_images_get(struct rs_core *c, const char *name);
/* It turned out to be no longer current. */
void rs_images_is_stale(struct rs_image *h);
/* Is any being opened or closed? */
bool rs_images_any_busy(const struct rs_core *c);
void rs_images_use(struct rs_image *h);
/* The last user of one that is not current closes it. */
void rs_images_release(struct rs_image *h);
/* At the end: all are released; nothing runs any more. */
void rs_images_close_all(struct rs_core *c);

#endif
