/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whole reads and writes on a descriptor, restarted after EINTR and short
 * transfers.
 */
#ifndef SF_IO_H
#define SF_IO_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

/* ERR_INPUT if the file ends before off + len. */
int sf_io_read_at(int fd, void *buf, size_t len, uint64_t off, struct err *e);
int sf_io_write_at(int fd, const void *buf, size_t len, uint64_t off,
    struct err *e);
/* At the descriptor's own position; also pipes. */
int sf_io_write(int fd, const void *buf, size_t len, struct err *e);

#endif
