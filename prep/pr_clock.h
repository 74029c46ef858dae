/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time, and waiting that a signal can end.  The interrupt descriptor (a
 * signalfd, -1 for none) is readable once we are asked to stop, and stays so:
 * nobody reads it.
 */
#ifndef PR_CLOCK_H
#define PR_CLOCK_H

#include <stdint.h>

#include "include/err.h"

/* Waits that long; ERR_INTERRUPTED, at once, if we are asked to stop.  0 ms
 * only asks. */
int pr_clock_pause(int interrupt_fd, unsigned ms, struct err *e);

#endif
