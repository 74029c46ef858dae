/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time, and waiting that a signal can end.  The interrupt descriptor (a
 * signalfd, -1 for none) is readable once we are asked to stop, and stays so:
 * nobody reads it.
 */
#ifndef PR_CLOCK_H
#define PR_CLOCK_H

#include <stdint.h>

#include "err.h"

#define PR_CLOCK_SECOND UINT64_C(1000000000)
#define PR_CLOCK_MS UINT64_C(1000000)

uint64_t pr_clock_now_ns(void);		/* CLOCK_MONOTONIC */

/* Waits that long; ERR_INTERRUPTED, at once, if we are asked to stop.  0 ms
 * only asks. */
int pr_clock_pause(int interrupt_fd, unsigned ms, struct err *e);

#endif
