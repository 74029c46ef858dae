/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One-target dm devices through libdevmapper.  Tables name devices by number
 * and nothing reads or makes /dev/mapper/NAME, so that it is the same with
 * udevd running and without; where it runs its rules are told to leave our
 * devices alone: nobody scans, links or opens what belongs to a guest.
 */
#ifndef DISK_MAP_H
#define DISK_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "include/err.h"
#include "include/seam/disk.h"

struct disk_map_params {
	const char *name;
	uint64_t sectors;
	const char *target;	/* "snapshot" */
	const char *table;	/* its parameters */
	bool read_only;
};

struct disk_map_status {
	bool exists;
	bool active;		/* has a table and is not suspended */
	bool read_only;
	bool failed;		/* a snapshot that lost its store */
	uint32_t major, minor;
	uint64_t sectors;
};

/* Once per process, before the others.  Opens the control device. */
int disk_map_open(struct err *e);
void disk_map_close(void);

/* ERR_BUSY if the name exists, or something below is held by others. */
int disk_map_create(const struct disk_map_params *p, struct disk_dev *dev,
    struct err *e);

/* !st->exists if there is no such device. */
int disk_map_query(const char *name, struct disk_map_status *st,
    struct err *e);

/* ERR_BUSY if it is open.  One that does not exist is removed. */
int disk_map_remove(const char *name, struct err *e);

/* See struct disk_ops, list. */
int disk_map_list(const char *prefix, char *names, size_t cap,
    struct err *e);

#endif
