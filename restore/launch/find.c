/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Describing what is found.  Runs in core; trusts Xen and the device mapper,
 * where only root can make what has our names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/ident.h"
#include "restore/launch/find.h"

#define NAMES_BYTES 8192	/* of one disposable's disks */
#define DOMAINS_BYTES (256u << 10)

void
rs_find_domain(const struct hv_domain_info *info, struct rs_domain *d)
{
	*d = (struct rs_domain){ .created = true, .in_store = true,
	    .domid = info->domid, .nr_vcpus = info->nr_vcpus,
	    .max_mem_kb = info->max_mem_kb };
	memcpy(d->uuid, info->uuid, sizeof(d->uuid));
	rs_launch_uuid_text(info->uuid, d->uuid_text);
}

bool
rs_find_disk(struct rs_domain *d, const char *dm_name)
{
	if (strncmp(dm_name + strlen(IDENT_DM_DISP), d->uuid_text,
	    strlen(d->uuid_text)) != 0 || d->nr_vbds == RS_DISKS_MAX)
		return false;
	(void)snprintf(d->vbds[d->nr_vbds++].cow.name, DISK_NAME_MAX, "%.*s",
	    DISK_NAME_MAX - 1, dm_name);
	return true;
}

static int
find_domain(const struct env *env, struct rs_domain *d, struct err *e)
{
	struct hv_domain_info info;
	int rc = hv_find(env->hv, d->uuid, &info, e);

	if (rc == 1)
		rs_find_domain(&info, d);
	return rc;
}

/* The nodes of one that is dead name its UUID. */
static int
find_nodes(const struct env *env, struct rs_domain *d, struct err *e)
{
	struct store *s = env->store;
	char path[96], vm[128], want[128], *names = malloc(DOMAINS_BYTES);
	const char *at = names;
	int nr, rc = 0;

	if (names == NULL)
		return err_set(e, ERR_NOMEM, errno, "the list of domains");
	(void)snprintf(want, sizeof(want), "/vm/%s", d->uuid_text);
	nr = s->ops->list(s, "/local/domain", names, DOMAINS_BYTES, e);
	for (int i = 0; i < nr && rc == 0; i++, at += strlen(at) + 1) {
		(void)snprintf(path, sizeof(path), "/local/domain/%.16s/vm",
		    at);
		rc = s->ops->read(s, path, vm, sizeof(vm), e);
		if (rc != 1)
			continue;
		rc = d->in_store = strcmp(vm, want) == 0;
		d->domid = (uint32_t)strtoul(at, NULL, 10);
	}
	free(names);
	return nr < 0 || rc < 0 ? -1 : 0;
}

int
rs_find(const struct env *env, struct rs_domain *d, struct err *e)
{
	struct rs_domain found = { .created = false };
	char prefix[DISK_NAME_MAX], names[NAMES_BYTES];
	const char *at = names;
	int rc, nr;

	memcpy(found.uuid, d->uuid, sizeof(found.uuid));
	rs_launch_uuid_text(d->uuid, found.uuid_text);
	rc = find_domain(env, &found, e);
	memcpy(found.name, d->name, sizeof(found.name));
	if (rc < 0 || (rc == 0 && find_nodes(env, &found, e) != 0))
		return -1;
	(void)snprintf(prefix, sizeof(prefix), IDENT_DM_DISP "%s-",
	    found.uuid_text);
	nr = env->disk->ops->list(env->disk, prefix, names, sizeof(names), e);
	for (int i = 0; i < nr; i++, at += strlen(at) + 1)
		(void)rs_find_disk(&found, at);
	*d = found;
	return nr < 0 ? -1 : rc;
}
