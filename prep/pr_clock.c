/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Time and interruptible waiting; used by dvm-prepare.
 */
#include <poll.h>
#include <time.h>

#include "prep/pr_clock.h"

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
