/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * When a guest has come to rest, and making its idle memory zero.
 */
#ifndef AG_QUIET_H
#define AG_QUIET_H

#include <stddef.h>
#include <stdint.h>

struct ag_quiet {
	unsigned cpu_percent;	/* of all CPUs, at most */
	unsigned disk_kib;	/* read and written a second, at most */
	unsigned seconds;	/* in a row */
	unsigned limit_s;
};

/* -1 if it was not so within the limit; then `why` has the last figures. */
int ag_quiet_wait(const struct ag_quiet *q, char *why, size_t cap);

/* Takes nearly all free memory and gives it back: the kernel hands out pages
 * zeroed and frees them as they are, so what a dead process left in them is
 * gone and costs nothing in the image.  The page cache is left alone. */
int ag_quiet_zero_free_memory(unsigned limit_s);

#endif
