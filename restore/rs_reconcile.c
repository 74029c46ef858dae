/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cleaning up after launchers that were killed.  There is no journal to trust:
 * a disposable's domain is known by its UUID, its devices by their names, the
 * nodes of a dead one by its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "clock.h"
#include "ident.h"
#include "rs_nodes.h"
#include "rs_reconcile.h"

#define LIST_BATCH 64
#define DOMID_MAX 0x7ff0u	/* DOMID_FIRST_RESERVED */
#define NAMES_BYTES (1u << 20)	/* of all nodes or devices at once */
#define DESTROY_MS 30000u
#define BUSY_NS (30 * CLOCK_SECOND)

struct reconcile {
	const struct rs_env *env;
	unsigned nr_removed;
	bool alive[DOMID_MAX];	/* a domain of this number exists */
	char names[NAMES_BYTES];
	int rc;
	struct err *e;		/* the first one */
};

int
rs_reconcile_lock(const char *path, bool *alone, struct err *e)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "cannot open '%s'", path);
	*alone = flock(fd, LOCK_EX | LOCK_NB) == 0;
	if (*alone || rs_reconcile_share(fd, e) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

int
rs_reconcile_share(int lock_fd, struct err *e)
{
	/* Waits for one that is cleaning up, seconds at most. */
	if (flock(lock_fd, LOCK_SH) != 0)
		return err_set(e, ERR_SYS, errno, "flock");
	return 0;
}

static void
failed(struct reconcile *r, const struct err *e)
{
	if (r->rc == 0)
		*r->e = *e;
	r->rc = -1;
}

static void
remove_domain(struct reconcile *r, uint32_t domid, const uint8_t *uuid)
{
	struct rs_domain d = { .created = uuid != NULL, .in_store = true,
	    .domid = domid };
	struct err e;

	if (uuid != NULL)
		memcpy(d.uuid, uuid, sizeof(d.uuid));
	if (rs_launch_destroy(r->env, &d, DESTROY_MS, &e) != 0)
		failed(r, &e);
	else
		r->nr_removed++;
}

static void
remove_domains(struct reconcile *r)
{
	struct hv *hv = r->env->hv;
	struct hv_domain_info infos[LIST_BATCH];
	uint32_t first = 0;
	struct err e;
	int nr;

	do {
		nr = hv->ops->list(hv, first, infos, LIST_BATCH, &e);
		if (nr < 0)
			failed(r, &e);
		for (int i = 0; i < nr; i++) {
			first = infos[i].domid + 1;
			if (infos[i].domid < DOMID_MAX)
				r->alive[infos[i].domid] = true;
			if (memcmp(infos[i].uuid, IDENT_UUID_DISP, 4) == 0 &&
			    !infos[i].dying)
				remove_domain(r, infos[i].domid,
				    infos[i].uuid);
		}
	} while (nr == LIST_BATCH);
}

static bool
is_our_name(const char *name)
{
	return strncmp(name, "disp", 4) == 0 && strlen(name) == 8 &&
	    strspn(name + 4, "0123456789") == 4;
}

/* Nodes of a disposable that is gone; the one with its name goes last. */
static void
remove_nodes(struct reconcile *r)
{
	struct store *s = r->env->store;
	const char *at = r->names;
	char path[64], name[32], *end;
	struct err e;
	int nr, found;

	nr = s->ops->list(s, "/local/domain", r->names, sizeof(r->names), &e);
	if (nr < 0)
		failed(r, &e);
	for (int i = 0; i < nr; i++, at += strlen(at) + 1) {
		unsigned long domid = strtoul(at, &end, 10);

		if (*end != '\0' || domid == 0 || domid >= DOMID_MAX ||
		    r->alive[domid])
			continue;
		(void)snprintf(path, sizeof(path), "/local/domain/%lu/name",
		    domid);
		found = s->ops->read(s, path, name, sizeof(name), &e);
		if (found < 0)
			failed(r, &e);
		else if (found == 1 && is_our_name(name))
			remove_domain(r, (uint32_t)domid, NULL);
	}
}

static void
remove_devices(struct reconcile *r, const char *prefix)
{
	uint64_t deadline = clock_now_ns() + BUSY_NS;
	struct disk *disk = r->env->disk;
	const char *at = r->names;
	struct err e;
	int nr = disk->ops->list(disk, prefix, r->names, sizeof(r->names),
	    &e);

	if (nr < 0)
		failed(r, &e);
	for (int i = 0; i < nr; i++, at += strlen(at) + 1) {
		struct disk_dev dev = { .major = 0 };

		(void)snprintf(dev.name, sizeof(dev.name), "%.*s",
		    DISK_NAME_MAX - 1, at);
		if (disk_end(disk, &dev, deadline, &e) != 0)
			failed(r, &e);
		else
			r->nr_removed++;
	}
}

int
rs_reconcile(const struct rs_env *env, unsigned *nr_removed, struct err *e)
{
	struct reconcile *r = calloc(1, sizeof(*r));
	int rc;

	*nr_removed = 0;
	if (r == NULL)
		return err_set(e, ERR_NOMEM, errno, "reconcile");
	r->env = env;
	r->e = e;
	remove_domains(r);
	/* If not all could be listed, one that lives would look dead. */
	if (r->rc == 0)
		remove_nodes(r);
	remove_devices(r, IDENT_DM_DISP);
	remove_devices(r, IDENT_DM_BASE);
	*nr_removed = r->nr_removed;
	rc = r->rc;
	free(r);
	return rc == 0 ? 0 : err_prefix(e, "cannot remove what a killed "
	    "launcher left");
}
