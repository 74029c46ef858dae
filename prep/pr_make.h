/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Makes and publishes one generation.
 */
#ifndef PR_MAKE_H
#define PR_MAKE_H

#include "pr_dir.h"
#include "pr_domain.h"
#include "pr_prepare.h"

/* Everything that the steps share; filled by pr_prepare.c. */
struct pr_make {
	const struct pr_params *params;
	const struct pr_seams *seams;
	struct pr_report *report;
	struct pr_result *result;
	const struct pr_dir *dir;	/* locked */
	const struct hv_host *host;
	uint8_t host_key[SF_KEY_BYTES];
	struct sf_blob config_text, key_text;
	uint8_t uuid[HV_UUID_BYTES];
	char id[PR_DOMAIN_ID_TEXT];
	char tmp[PATH_MAX];		/* the path of tmp-ID */
	/* What is held. */
	struct disk_dev devs[PR_CONFIG_DISKS_MAX];
	uint32_t domid;
};

/* On failure everything stays where it is: pr_undo() of the id takes it
 * back. */
int pr_make(struct pr_make *m, struct err *e);

#endif
