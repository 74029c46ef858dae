/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One disposable: what it is called and what it holds.  Plain data; rs_launch
 * fills it and undoes it.
 */
#ifndef RS_DOMAIN_H
#define RS_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "include/seam/disk.h"
#include "include/seam/hv.h"

#define RS_DISKS_MAX 8
#define RS_NAME_BYTES 16	/* "disp1234" */
#define RS_UUID_TEXT_BYTES 37

struct rs_vbd {
	char vdev[16];		/* "xvda" */
	uint32_t devid;		/* 51712 */
	bool writable;
	/* Its own device, or, read-only, nothing: the guest gets the base. */
	struct disk_dev cow;
	uint32_t major, minor;	/* what the backend opens */
};

struct rs_load;

struct rs_domain {
	struct rs_load *load;	/* its memory while it is mapped, or NULL */
	bool created;		/* the domain exists */
	bool in_store;		/* nodes may exist */
	uint32_t domid;
	char name[RS_NAME_BYTES];
	uint8_t uuid[HV_UUID_BYTES];
	char uuid_text[RS_UUID_TEXT_BYTES];
	uint32_t nr_vcpus;
	uint64_t target_mem_kb, max_mem_kb;
	uint32_t nr_vbds;
	struct rs_vbd vbds[RS_DISKS_MAX];
};

#endif
