/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every user of the disk seam needs, whichever is behind it.
 */
#include <time.h>

#include "include/clock.h"
#include "include/seam/disk.h"

int
disk_end(struct disk *disk, struct disk_dev *dev, uint64_t deadline_ns,
    struct err *e)
{
	const struct timespec pause = { .tv_nsec = 5 * CLOCK_MS };

	while (dev->name[0] != '\0' && disk->ops->remove(disk, dev, e) != 0) {
		if (e->code != ERR_BUSY || clock_now_ns() > deadline_ns)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}
