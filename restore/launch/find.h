/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A disposable that another process has made: described from what Xen and the
 * device mapper have of it.
 */
#ifndef RS_FIND_H
#define RS_FIND_H

#include "restore/launch/launch.h"

/* All but its name and its disks. */
void rs_find_domain(const struct hv_domain_info *info, struct rs_domain *d);
/* Is the dm device a disk of it?  Then it is noted there. */
bool rs_find_disk(struct rs_domain *d, const char *dm_name);

/* The one whose UUID is d->uuid, and its disks; d->name stays.  1, or 0 if
 * there is no such domain: then *d has the nodes and disks that are left of
 * it. */
int rs_find(const struct env *env, struct rs_domain *d, struct err *e);

#endif
