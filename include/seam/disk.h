/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disk seam: origins, a generation's deltas, a disposable's copy-on-write
 * devices.  restore/host/disk_dm.c does it with loop devices and dm-snapshot,
 * tests/fake/fake_disk.c is the other.  ERR_DISK on failure, and then nothing
 * was acquired.  One thread at a time.
 *
 *	origin (template's file or device, read-only)
 *	  + delta  (what the template wrote while it was prepared)
 *	  = base   (read-only; for all of one launcher's disposables)
 *	      + store in RAM  = a disposable's disk
 */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

/* Longer than any name we give; dm's limit is 127. */
#define DISK_NAME_MAX 96
#define DISK_PREFIX "dvm-"		/* every dm device of ours */

/* A dm device that is ours by name, with what lies below it.  Loop devices
 * below are auto-clear: they end with the dm device that holds them. */
struct disk_dev {
	char name[DISK_NAME_MAX];	/* "" if not held */
	uint32_t major, minor;
	uint64_t sectors;		/* of 512 bytes */
};

struct disk;

struct disk_ops {
	void (*close)(struct disk *d);
	/* For preparing: a writable device over the origin, which is opened
	 * read-only; what is written goes to a new file delta_path, sparse,
	 * delta_bytes long at most. */
	int (*make_delta)(struct disk *d, const char *name,
	    const char *origin_path, const char *delta_path,
	    uint64_t delta_bytes, struct disk_dev *dev, struct err *e);
	/* The generation's disk, read-only.  Each opener has its own, under a
	 * name of its own: nobody else's removal can take it away. */
	int (*open_base)(struct disk *d, const char *name,
	    const char *origin_path, const char *delta_path,
	    struct disk_dev *dev, struct err *e);
	/* A disposable's own disk over a base: store_bytes of sparse RAM that
	 * no file system names. */
	int (*make_cow)(struct disk *d, const char *name,
	    const struct disk_dev *base, uint64_t store_bytes,
	    struct disk_dev *dev, struct err *e);
	/* The same over an origin as it is now, where there is no generation
	 * to stand on. */
	int (*make_cow_of)(struct disk *d, const char *name,
	    const char *origin_path, uint64_t store_bytes,
	    struct disk_dev *dev, struct err *e);
	/* Ends a device; *dev is cleared.  ERR_BUSY if somebody else has it
	 * open (a base that disks stand on; a disk whose domain has not let go
	 * yet), and then *dev stays. */
	int (*remove)(struct disk *d, struct disk_dev *dev, struct err *e);
	/* Names of all dm devices that begin with `prefix`, each
	 * NUL-terminated; their number or -1. */
	int (*list)(struct disk *d, const char *prefix, char *names,
	    size_t cap, struct err *e);
};

struct disk {
	const struct disk_ops *ops;
};

/* Ends a device, if it is held, as soon as it is let go: the kernel's backend
 * closes a disk some time after its domain and its nodes are gone.  ERR_BUSY
 * past the deadline. */
int disk_end(struct disk *disk, struct disk_dev *dev, uint64_t deadline_ns,
    struct err *e);

#endif
