/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Deaths, time limits, those that nobody came back for, those that would not
 * go.
 */
#ifndef RS_WATCH_H
#define RS_WATCH_H

#include "restore/core/core.h"

/* How often. */
#define RS_WATCH_MS 250u

void rs_watch(struct rs_core *c);

#endif
