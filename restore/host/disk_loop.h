/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a dm table stands on: a block device as it is, or a file through an
 * auto-clear loop device.  No state of ours: whoever holds the device keeps
 * it, and nobody has to end it.
 */
#ifndef DISK_LOOP_H
#define DISK_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "include/err.h"

struct disk_below {
	int fd;		/* of the block device; keeps it until closed */
	uint32_t major, minor;
	uint64_t sectors;	/* of 512 bytes */
};

/* Opens a file or a block device for reading only.  b->fd is the caller's to
 * close, -1 on failure. */
int disk_loop_open_origin(const char *path, struct disk_below *b,
    struct err *e);

/* A loop device over an open file, which stays the caller's; `what` is for
 * messages.  Read-only: the kernel then refuses every write, whatever dm
 * asks for.  b->fd as above. */
int disk_loop_attach(int file_fd, bool read_only, const char *what,
    struct disk_below *b, struct err *e);

#endif
