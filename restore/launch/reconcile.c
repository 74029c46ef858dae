/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Cleaning up after launchers that were killed.  There is no journal to trust:
 * a disposable's domain is known by its UUID, its devices by their names, the
 * nodes of a dead one by its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/listen.h"
#include "restore/launch/find.h"
#include "restore/launch/reconcile.h"

#define DOMID_MAX 0x7ff0u	/* DOMID_FIRST_RESERVED */
#define NAMES_BYTES (1u << 20)	/* of all nodes or devices at once */
#define BUSY_NS (10 * CLOCK_SECOND)	/* for all together */

struct reconcile {
	const struct env *env;
	struct rs_survivors *kept;	/* NULL: nothing is */
	uint64_t deadline_ns;
	bool unseen;		/* one may run that is not in `kept` */
	unsigned nr_removed;
	bool alive[DOMID_MAX];	/* a domain of this number exists */
	char names[NAMES_BYTES];
	int rc;
	struct err *e;		/* the first one */
};

static int
open_lock(const char *path, struct err *e)
{
	int fd;

	/* The service's socket will be there too. */
	if (listen_make_dir(path, 0755, e) != 0)
		return -1;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : err_set(e, ERR_SYS, errno, "cannot open '%s'",
	    path);
}

int
rs_reconcile_lock(const char *path, bool *alone, struct err *e)
{
	int fd = open_lock(path, e);
	struct stat st;

	if (fd < 0)
		return -1;
	*alone = flock(fd, LOCK_EX | LOCK_NB) == 0;
	/* What a service that is gone has written is no longer true. */
	if (*alone && ftruncate(fd, 0) == 0)
		return fd;
	/* One that cleans up is soon done, a service is not. */
	if (*alone || fstat(fd, &st) != 0)
		(void)err_set(e, ERR_SYS, errno, "%s", path);
	else if (st.st_size > 0)
		(void)err_set(e, ERR_BUSY, 0, "dvm-restored runs as a service "
		    "on this host: use dvm run, or stop the service first");
	else if (rs_reconcile_share(fd, e) == 0)
		return fd;
	(void)close(fd);
	return -1;
}

int
rs_reconcile_lock_alone(const char *path, struct err *e)
{
	static const char mark[] = "service\n";
	int fd = open_lock(path, e);

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		(void)err_set(e, errno == EWOULDBLOCK ? ERR_BUSY : ERR_SYS,
		    0, "another dvm-restored runs on this host: it holds %s",
		    path);
	else if (pwrite(fd, mark, sizeof(mark) - 1, 0) != sizeof(mark) - 1)
		(void)err_set(e, ERR_SYS, errno, "%s", path);
	else
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

/* The next place among those that are kept; NULL after saying why not. */
static struct rs_survivor *
add_survivor(struct reconcile *r, const struct hv_domain_info *info)
{
	struct rs_survivors *kept = r->kept;
	struct rs_survivor *more, *s;
	struct err e;

	more = reallocarray(kept->all, kept->nr + 1, sizeof(*more));
	if (more == NULL) {
		(void)err_set(&e, ERR_NOMEM, errno, "domain %u", info->domid);
		failed(r, &e);
		r->unseen = true;
		return NULL;
	}
	kept->all = more;
	s = &more[kept->nr++];
	*s = (struct rs_survivor){ .ending = false };
	rs_find_domain(info, &s->domain);
	return s;
}

/* One that something does not let go of is the service's to try again.  No
 * info: it is dead. */
static void
remove_domain(struct reconcile *r, struct rs_domain *d,
    const struct hv_domain_info *info)
{
	uint64_t now = clock_now_ns();
	struct rs_survivor *s;
	struct err e;

	if (rs_launch_destroy(r->env, d, now < r->deadline_ns ?
	    (unsigned)((r->deadline_ns - now) / CLOCK_MS) : 0, &e) == 0) {
		r->nr_removed++;
		return;
	}
	if (info == NULL || r->kept == NULL || e.code != ERR_BUSY) {
		failed(r, &e);
		return;
	}
	s = add_survivor(r, info);
	if (s != NULL)
		s->ending = true;
}

/* 1 if the domain is not to be removed: complete, or not known to be half. */
static int
keep_domain(struct reconcile *r, const struct hv_domain_info *info)
{
	struct rs_survivor *s;
	struct rs_tag note;
	struct err e;
	int found;

	if (r->kept == NULL || info->shutdown || info->dying)
		return 0;
	found = rs_tag_read(r->env, info->domid, &note, &e);
	if (found <= 0) {
		if (found < 0)
			failed(r, &e);
		r->unseen = r->unseen || found < 0;
		return found < 0;
	}
	s = add_survivor(r, info);
	if (s == NULL)
		return 1;
	s->note = note;
	memcpy(s->domain.name, note.name, sizeof(s->domain.name));
	return 1;
}

static void
remove_domains(struct reconcile *r)
{
	struct rs_domain d;
	struct err e;
	size_t nr;
	struct hv_domain_info *all = hv_list_all(r->env->hv, &nr, &e);

	if (all == NULL) {
		failed(r, &e);
		r->unseen = true;
	}
	for (size_t i = 0; i < nr; i++) {
		if (all[i].domid < DOMID_MAX)
			r->alive[all[i].domid] = true;
		/* A dying one may need its nodes gone to be dead: a backend
		 * holds its frames. */
		if (memcmp(all[i].uuid, IDENT_UUID_DISP, 4) != 0 ||
		    keep_domain(r, &all[i]))
			continue;
		rs_find_domain(&all[i], &d);
		remove_domain(r, &d, &all[i]);
	}
	free(all);
}

/* One that xl booted has a tree under its UUID, which nothing else says when
 * the domain is gone. */
static void
find_uuid(struct reconcile *r, struct rs_domain *d)
{
	struct store *s = r->env->store;
	char path[64], vm[4 + RS_UUID_TEXT_BYTES];
	struct err ignored;

	(void)snprintf(path, sizeof(path), "/local/domain/%u/vm", d->domid);
	if (s->ops->read(s, path, vm, sizeof(vm), &ignored) == 1 &&
	    strncmp(vm, "/vm/", 4) == 0 && strchr(vm + 4, '/') == NULL)
		(void)snprintf(d->uuid_text, sizeof(d->uuid_text), "%s",
		    vm + 4);
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
		struct rs_domain d = { .in_store = true };

		if (*end != '\0' || domid == 0 || domid >= DOMID_MAX ||
		    r->alive[domid])
			continue;
		d.domid = (uint32_t)domid;
		(void)snprintf(path, sizeof(path), "/local/domain/%lu/name",
		    domid);
		found = s->ops->read(s, path, name, sizeof(name), &e);
		if (found < 0)
			failed(r, &e);
		if (found != 1 || !ident_is_disposable(name))
			continue;
		find_uuid(r, &d);
		remove_domain(r, &d, NULL);
	}
}

/* Does the disk belong to one that is kept?  Then it is noted there. */
static bool
keep_disk(struct reconcile *r, const char *name)
{
	for (size_t i = 0; r->kept != NULL && i < r->kept->nr; i++)
		if (rs_find_disk(&r->kept->all[i].domain, name))
			return true;
	return false;
}

static int
keep_base(struct rs_survivors *kept, const char *name)
{
	size_t len = strlen(name) + 1;
	char *more = realloc(kept->bases, kept->bases_bytes + len);

	if (more == NULL)
		return -1;
	memcpy(more + kept->bases_bytes, name, len);
	kept->bases = more;
	kept->bases_bytes += len;
	return 0;
}

static void
remove_devices(struct reconcile *r, const char *prefix, bool is_base)
{
	/* With disks that are kept, a base that is in use stays so. */
	bool may_stay = is_base && r->kept != NULL && r->kept->nr > 0;
	uint64_t deadline = may_stay ? 0 : r->deadline_ns;
	struct disk *disk = r->env->disk;
	const char *at = r->names;
	struct err e;
	int nr = disk->ops->list(disk, prefix, r->names, sizeof(r->names),
	    &e);

	if (nr < 0)
		failed(r, &e);
	for (int i = 0; i < nr; i++, at += strlen(at) + 1) {
		struct disk_dev dev = { .major = 0 };

		if (!is_base && keep_disk(r, at))
			continue;
		(void)snprintf(dev.name, sizeof(dev.name), "%.*s",
		    DISK_NAME_MAX - 1, at);
		if (disk_end(disk, &dev, deadline, &e) == 0)
			r->nr_removed++;
		else if (!may_stay || e.code != ERR_BUSY ||
		    keep_base(r->kept, at) != 0)
			failed(r, &e);
	}
}

void
rs_reconcile_bases(const struct env *env, struct rs_survivors *kept)
{
	size_t at = 0, to = 0, len;
	struct err ignored;

	for (; at < kept->bases_bytes; at += len) {
		struct disk_dev dev = { .major = 0 };

		len = strlen(kept->bases + at) + 1;
		(void)snprintf(dev.name, sizeof(dev.name), "%s",
		    kept->bases + at);
		if (env->disk->ops->remove(env->disk, &dev, &ignored) == 0)
			continue;
		memmove(kept->bases + to, kept->bases + at, len);
		to += len;
	}
	kept->bases_bytes = to;
}

int
rs_reconcile(const struct env *env, struct rs_survivors *kept,
    unsigned *nr_removed, struct err *e)
{
	struct reconcile *r = calloc(1, sizeof(*r));
	int rc;

	*nr_removed = 0;
	if (kept != NULL)
		kept->unseen = true;
	if (r == NULL)
		return err_set(e, ERR_NOMEM, errno, "reconcile");
	r->env = env;
	r->kept = kept;
	r->deadline_ns = clock_now_ns() + BUSY_NS;
	r->e = e;
	remove_domains(r);
	/* If not all could be seen, one that lives would look dead. */
	if (r->rc == 0)
		remove_nodes(r);
	if (!r->unseen) {
		remove_devices(r, IDENT_DM_DISP, false);
		remove_devices(r, IDENT_DM_BASE, true);
	}
	if (kept != NULL)
		kept->unseen = r->unseen;
	*nr_removed = r->nr_removed;
	rc = r->rc;
	free(r);
	return rc == 0 ? 0 : err_prefix(e, "cannot remove what a killed "
	    "launcher left");
}
