/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time and interruptible waiting; used by dvm-prepare.
 */
#include <poll.h>
#include <time.h>

#include "pr_clock.h"

uint64_t
pr_clock_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * PR_CLOCK_SECOND + (uint64_t)t.tv_nsec;
}

int
pr_clock_pause(int interrupt_fd, unsigned ms, struct err *e)
{
	struct pollfd p = { .fd = interrupt_fd, .events = POLLIN };

	/* poll() passes over a negative descriptor.  A wait cut short by a
	 * signal that we do handle elsewhere is only a shorter wait. */
	if (poll(&p, 1, (int)ms) > 0)
		return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
	return 0;
}
