/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a template is, as far as preparing and launching it need to know, and
 * the savefile's CONFIG text made from it.
 */
#ifndef PR_CONFIG_H
#define PR_CONFIG_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "include/err.h"
#include "savefile/gen/gen.h"
#include "savefile/gen/gen_text.h"

#define PR_CONFIG_DISKS_MAX 8	/* as the launcher's */
#define PR_CONFIG_TEXT_MAX 65536

struct pr_config_disk {
	char vdev[16];			/* "xvda" */
	uint32_t devid;			/* 51712 */
	bool writable;
	char origin[PATH_MAX];		/* absolute; file or block device */
	uint64_t sectors;		/* of 512 bytes */
};

/* How the guest's agent is to let it settle (ident.h, dvm-prepare(8)). */
struct pr_config_settle {
	char prerun[256];		/* absolute, in the guest; or "" */
	char user[33];			/* of the guest, who runs it */
	bool drop_caches;
	unsigned boot_limit, prerun_limit, quiet_limit;	/* seconds */
	unsigned quiet_cpu;		/* % of all CPUs */
	unsigned quiet_disk;		/* KiB/s */
	unsigned quiet_seconds;
};

struct pr_config {
	char name[GEN_NAME_MAX + 1];	/* the template's */
	char cfg[PATH_MAX];		/* absolute, as the next two */
	char kernel[PATH_MAX];
	char ramdisk[PATH_MAX];		/* "" without one */
	uint64_t memory_kb;
	uint32_t nr_vcpus;
	uint32_t max_grant_frames;	/* 0 is Xen's own default */
	uint32_t nr_disks;
	struct pr_config_disk disks[PR_CONFIG_DISKS_MAX];
	struct pr_config_settle settle;
};

/* The number that Xen's block protocol gives "xvda"; ERR_INPUT for all that
 * is not an xvd name. */
int pr_config_devid(const char *untrusted_vdev, uint32_t *devid,
    struct err *e);

/* name=, cfg=, kernel=, ramdisk= (absent without one), memory_kb=, vcpus=,
 * agent=0|1, disk.count= and for each disk i from 0 disk.i.vdev=, .devid=,
 * .mode=r|w, .origin=, .sectors=, .delta= (a file in the generation). */
int pr_config_text(const struct pr_config *c, bool agent, struct gen_text *t,
    struct err *e);

/* The lines of IDENT_PREPARE. */
int pr_config_settle_text(const struct pr_config_settle *s, struct gen_text *t,
    struct err *e);

#endif
