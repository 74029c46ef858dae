/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starting disposables: from an image, or by a cold boot.
 */
#ifndef RS_START_H
#define RS_START_H

#include "restore/core/core.h"

/* Queued ones; they stay so if there is no room for them. */
void rs_start_launch(struct rs_slot *s, struct rs_image *h);
void rs_start_cold(struct rs_slot *s);

/* There is no image for it, and why: is it to be booted cold instead?  Then its
 * client is told. */
bool rs_start_goes_cold(struct rs_slot *s, const struct err *why);

/* Will there be more memory soon? */
bool rs_start_any_ending(const struct rs_core *c);

#endif
