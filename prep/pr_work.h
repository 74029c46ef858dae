/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One preparation: what was asked for, and what its steps share.  Plain data.
 */
#ifndef PR_WORK_H
#define PR_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "prep/pr_dir.h"
#include "prep/pr_domain.h"
#include "prep/pr_report.h"
#include "prep/pr_seams.h"
#include "savefile/sf_page.h"

struct pr_params {
	const char *state_dir;
	const struct pr_config *config;
	bool force;			/* also if the generation is valid */
	unsigned keep;			/* old generations to keep */
	enum sf_codec codec;
	uint64_t delta_max;		/* bytes per disk; 0: all it may need */
	bool by_agent;			/* else settled after settle_seconds */
	unsigned settle_seconds;	/* to wait, or to wait for at most */
};

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

#endif
