/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disk seam on loop devices and the device mapper's snapshot target.
 */
#ifndef DISK_DM_H
#define DISK_DM_H

#include "include/seam/disk.h"

/* Needs root.  ops->close frees it. */
struct disk *disk_dm_open(struct err *e);

#endif
