/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What every implementation of the hypervisor seam has in common.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/seam/hv.h"

#define LIST_BATCH 64u

struct hv_domain_info *
hv_list_all(struct hv *hv, size_t *nr, struct err *e)
{
	struct hv_domain_info *all = NULL, *more;
	uint32_t first = 0;
	int got;

	*nr = 0;
	do {
		more = reallocarray(all, *nr + LIST_BATCH, sizeof(*all));
		if (more == NULL) {
			(void)err_set(e, ERR_NOMEM, errno, "the list of "
			    "domains");
			break;
		}
		all = more;
		got = hv->ops->list(hv, first, all + *nr, LIST_BATCH, e);
		if (got < 0)
			break;
		*nr += (size_t)got;
		if ((unsigned)got < LIST_BATCH)
			return all;
		first = all[*nr - 1].domid + 1;
	} while (true);
	free(all);
	*nr = 0;
	return NULL;
}

int
hv_find(struct hv *hv, const uint8_t uuid[HV_UUID_BYTES],
    struct hv_domain_info *info, struct err *e)
{
	size_t nr;
	struct hv_domain_info *all = hv_list_all(hv, &nr, e);
	int rc = all == NULL ? -1 : 0;

	for (size_t i = 0; i < nr && rc == 0; i++) {
		if (memcmp(all[i].uuid, uuid, HV_UUID_BYTES) != 0)
			continue;
		*info = all[i];
		rc = 1;
	}
	free(all);
	return rc;
}
