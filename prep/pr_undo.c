/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Undoing a preparation; used by dvm-prepare and by its watchdog.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "include/ident.h"
#include "prep/pr_domain.h"
#include "prep/pr_domain_end.h"
#include "prep/pr_undo.h"

#define REMOVE_SECONDS 20u
#define NAMES_BYTES 8192

void
pr_undo_dm_name(const char *id, const char *vdev, char name[DISK_NAME_MAX])
{
	(void)snprintf(name, DISK_NAME_MAX, "%s%s-%s", IDENT_DM_PREP, id,
	    vdev);
}

int
pr_undo_remove_dev(struct disk *disk, struct disk_dev *dev, struct err *e)
{
	return disk_end(disk, dev, clock_now_ns() +
	    REMOVE_SECONDS * CLOCK_SECOND, e);
}

int
pr_undo_remove_devs(struct disk *disk, const char *prefix, struct err *e)
{
	char names[NAMES_BYTES];
	const char *name = names;
	int rc = 0, nr;

	nr = disk->ops->list(disk, prefix, names, sizeof(names), e);
	if (nr < 0)
		return -1;
	for (int i = 0; i < nr; i++, name += strlen(name) + 1) {
		struct disk_dev dev = { .major = 0 };
		struct err mine;

		(void)snprintf(dev.name, sizeof(dev.name), "%.*s",
		    DISK_NAME_MAX - 1, name);
		if (pr_undo_remove_dev(disk, &dev, &mine) == 0)
			continue;
		if (rc == 0)
			*e = mine;
		rc = -1;
	}
	return rc;
}

int
pr_undo(const struct pr_seams *s, const struct pr_dir *d, const char *id,
    struct err *e)
{
	char tmp[2 * PR_DIR_NAME_BYTES], prefix[DISK_NAME_MAX];
	uint8_t uuid[HV_UUID_BYTES];
	struct err later;

	/* A generation that was being pruned has a name of the same kind, but
	 * nothing else is left of it. */
	if (pr_domain_parse_id(id, uuid, &later) == 0) {
		pr_undo_dm_name(id, "", prefix);
		if (pr_domain_end(s, uuid, e) != 0) {
			(void)pr_undo_remove_devs(s->disk, prefix, &later);
			return -1;
		}
		/* The directory stays while a device writes into it: it is
		 * what the next attempt finds this by. */
		if (pr_undo_remove_devs(s->disk, prefix, e) != 0)
			return -1;
	}
	(void)snprintf(tmp, sizeof(tmp), "%s%s", PR_DIR_TMP, id);
	return pr_dir_remove(d, tmp, e);
}

int
pr_undo_all(const struct pr_seams *s, const struct pr_dir *d, unsigned *nr,
    struct err *e)
{
	struct pr_dir_id *ids;
	int found = pr_dir_list(d, PR_DIR_TMP, &ids, e);
	int rc = 0;

	*nr = 0;
	if (found < 0)
		return -1;
	for (int i = 0; i < found; i++) {
		struct err mine;

		if (pr_undo(s, d, ids[i].text, &mine) == 0) {
			++*nr;
			continue;
		}
		if (rc == 0)
			*e = mine;
		rc = -1;
	}
	free(ids);
	if (rc == 0)
		rc = pr_dir_undo_publish(d, e);
	return rc == 0 ? 0 : err_prefix(e, "cannot remove what an earlier "
	    "preparation left");
}
