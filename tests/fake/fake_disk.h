/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disk seam in plain memory: devices that stand on each other, counted.
 * No file is made or read.
 */
#ifndef FAKE_DISK_H
#define FAKE_DISK_H

#include <stdbool.h>
#include <stddef.h>

#include "include/seam/disk.h"
#include "tests/fake/fake_fault.h"
#include "tests/fake/fake_heap.h"

/* fault may be NULL.  ops->close frees it, devices or not, as the real one's
 * devices outlive their process. */
struct disk *fake_disk_open(struct fake_fault *fault);
/* A handle on the devices that `heap` holds and that outlive it. */
struct disk *fake_disk_attach(struct fake_fault *fault,
    struct fake_heap *heap);

/* dm devices that exist. */
size_t fake_disk_held(const struct disk *d);

/* Somebody else (a backend) opens or lets go of a device: until then remove
 * says ERR_BUSY. */
void fake_disk_set_open(struct disk *d, const char *name, bool is_open);

#endif
