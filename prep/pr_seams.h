/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Everything that preparing a template does to the outside world goes through
 * here, so that the whole of it also runs on fakes.
 */
#ifndef PR_SEAMS_H
#define PR_SEAMS_H

#include "include/seam/disk.h"
#include "include/seam/hv.h"
#include "include/seam/store.h"
#include "prep/pr_config.h"

/* A domain to start.  devs[i] is what the guest gets for config->disks[i]. */
struct pr_start {
	const struct pr_config *config;
	const char *name;		/* in Xen */
	const uint8_t *uuid;		/* HV_UUID_BYTES */
	const struct disk_dev *devs;
	int lock_fd;			/* kept open by all that this starts */
	int interrupt_fd;
};

/* Both are mandatory.  prep/pr_xl.c has the real ones. */
struct pr_domain_ops {
	/* Boots the domain; it runs on return.  After a failure or an
	 * interruption there may be any part of it, but nothing that still
	 * adds to it. */
	int (*start)(void *ctx, const struct pr_start *s, struct err *e);
	/* Removes what `start` left outside Xen and xenstore. */
	void (*tidy)(void *ctx, uint32_t domid, const char *uuid_text);
};

struct pr_seams {
	struct hv *hv;
	struct store *store;
	struct disk *disk;
	const struct pr_domain_ops *domain;
	void *domain_ctx;
	int interrupt_fd;		/* pr_clock.h */
};

#endif
