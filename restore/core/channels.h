/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Core's couriers, from a stock (rs_stock.h): each disposable whose
 * client wants a channel gets one.
 */
#ifndef RS_CHANNELS_H
#define RS_CHANNELS_H

#include "restore/core/core.h"

/* fd is taken. */
struct rs_channels *rs_channels_new(struct rs_core *c, int fd, struct err *e);
/* Takes NULL. */
void rs_channels_free(struct rs_channels *r);

/* Hands the slot's channel to a courier, now or when there is one. */
void rs_channels_give(struct rs_slot *s);
/* Ends the slot's courier, if it has one, and closes a channel that none has
 * yet.  May be called again. */
void rs_channels_end(struct rs_slot *s);
/* Launches are under way until then, at the longest; 0: none.  What guests say
 * waits for them. */
void rs_channels_launching(struct rs_channels *r, uint64_t until_ns);
/* Descriptors that belong to couriers, and channels that none has yet. */
unsigned rs_channels_files(const struct rs_core *c);
/* When what runs is known: those that were at work go on for their disposables,
 * or end if there is none any more; before any launch. */
void rs_channels_adopt(struct rs_core *c);

#endif
