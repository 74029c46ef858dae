/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Compares what should be there with what is.  Runs in a worker of core, with
 * handles of its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#include "include/cleanup.h"
#include "include/ident.h"
#include "restore/core/check.h"
#include "restore/launch/template.h"
#include "savefile/gen/gen.h"
#include "savefile/sf_reader.h"

#define NAMES_BYTES (1u << 20)

static void find(struct rs_check *k, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
find(struct rs_check *k, const char *fmt, va_list ap)
{
	char *to;

	if (k->nr_findings == RS_CHECK_FINDINGS_MAX)
		return;
	to = k->findings[k->nr_findings++];
	(void)vsnprintf(to, sizeof(k->findings[0]), fmt, ap);
}

static void found(struct rs_check *k, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
found(struct rs_check *k, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	find(k, fmt, ap);
	va_end(ap);
}

void
rs_check_that(struct rs_check *k, bool holds, const char *fmt, ...)
{
	va_list ap;

	k->nr_held += holds;
	k->nr_broken += !holds;
	if (holds)
		return;
	va_start(ap, fmt);
	find(k, fmt, ap);
	va_end(ap);
}

/* One invariant, many places to look: it holds if nothing was found. */
static void
settle(struct rs_check *k, unsigned nr_before)
{
	k->nr_held += k->nr_findings == nr_before;
	k->nr_broken += k->nr_findings != nr_before;
}

/* Marks those that exist, in `exists`; and all domids, in `alive`. */
static void
check_domains(struct rs_check *k, const struct env *env, bool *exists,
    bool *alive)
{
	unsigned before = k->nr_findings;
	struct err e;
	size_t nr;
	struct hv_domain_info *all = hv_list_all(env->hv, &nr, &e);

	if (all == NULL)
		found(k, "Xen does not list its domains: %s", e.msg);
	for (size_t i = 0; i < nr; i++) {
		bool known = false;

		if (all[i].domid <= UINT16_MAX)
			alive[all[i].domid] = true;
		for (size_t n = 0; n < k->nr_live; n++)
			if (k->live[n].domid == all[i].domid &&
			    memcmp(k->live[n].uuid, all[i].uuid,
			    HV_UUID_BYTES) == 0)
				known = exists[n] = true;
		if (memcmp(all[i].uuid, IDENT_UUID_DISP, 4) == 0 && !known)
			found(k, "domain %u is a disposable that the service "
			    "does not know%s", all[i].domid, all[i].dying ?
			    " and that Xen does not let go" : "");
	}
	free(all);
	for (size_t n = 0; n < k->nr_live; n++)
		if (!exists[n])
			found(k, "%s has no domain %u", k->live[n].name,
			    k->live[n].domid);
	settle(k, before);
}

static bool
is_disk_of(const struct rs_domain *d, const char *name)
{
	for (uint32_t i = 0; i < d->nr_vbds; i++)
		if (strcmp(d->vbds[i].cow.name, name) == 0)
			return true;
	return false;
}

static bool
is_expected(const struct rs_check *k, const char *name)
{
	for (size_t i = 0; i < k->nr_bases; i++)
		if (strcmp(k->bases[i], name) == 0)
			return true;
	for (size_t i = 0; i < k->nr_live; i++)
		if (is_disk_of(&k->live[i], name))
			return true;
	return false;
}

static void
check_disks(struct rs_check *k, const struct env *env, char *names)
{
	static const char *const prefixes[] = { IDENT_DM_DISP,
	    IDENT_DM_BASE };
	unsigned before = k->nr_findings;
	size_t nr_expected = k->nr_bases, nr_there = 0;
	struct err e;

	for (size_t i = 0; i < k->nr_live; i++)
		for (uint32_t n = 0; n < k->live[i].nr_vbds; n++)
			nr_expected += k->live[i].vbds[n].cow.name[0] != '\0';
	for (size_t p = 0; p < 2; p++) {
		const char *at = names;
		int nr = env->disk->ops->list(env->disk, prefixes[p], names,
		    NAMES_BYTES, &e);

		if (nr < 0)
			found(k, "the device mapper does not list: %s", e.msg);
		for (int i = 0; i < nr; i++, at += strlen(at) + 1) {
			nr_there++;
			if (!is_expected(k, at))
				found(k, "the dm device %s is nobody's", at);
		}
	}
	if (nr_there < nr_expected)
		found(k, "%zu of %zu disks are not there", nr_expected -
		    nr_there, nr_expected);
	settle(k, before);
}

/* Trees that xl has written for one that was booted. */
static void
check_vm(struct rs_check *k, const struct env *env, char *names)
{
	char prefix[RS_UUID_TEXT_BYTES];
	const char *at = names;
	struct err e;
	int nr = env->store->ops->list(env->store, "/vm", names, NAMES_BYTES,
	    &e);

	rs_launch_uuid_text((const uint8_t *)IDENT_UUID_DISP "\0\0\0\0\0\0\0\0"
	    "\0\0\0", prefix);
	for (int i = 0; i < nr; i++, at += strlen(at) + 1) {
		bool known = strncmp(at, prefix, 8) != 0;

		for (size_t n = 0; n < k->nr_live && !known; n++)
			known = strcmp(at, k->live[n].uuid_text) == 0;
		if (!known)
			found(k, "nodes of a dead disposable: /vm/%s", at);
	}
}

static void
check_nodes(struct rs_check *k, const struct env *env, const bool *alive,
    char *names)
{
	unsigned before = k->nr_findings;
	struct store *s = env->store;
	char path[64], text[256], *end;
	const char *at = names;
	struct err e;
	int nr = s->ops->list(s, "/local/domain", names, NAMES_BYTES, &e);

	if (nr < 0)
		found(k, "%s", e.msg);
	for (int i = 0; i < nr; i++, at += strlen(at) + 1) {
		unsigned long domid = strtoul(at, &end, 10);

		if (*end != '\0' || domid > UINT16_MAX || alive[domid])
			continue;
		(void)snprintf(path, sizeof(path), "/local/domain/%lu/name",
		    domid);
		if (s->ops->read(s, path, text, sizeof(text), &e) == 1 &&
		    ident_is_disposable(text))
			found(k, "nodes of %s, the dead domain %lu", text,
			    domid);
	}
	at = names;
	nr = s->ops->list(s, "/libxl", names, NAMES_BYTES, &e);
	for (int i = 0; i < nr; i++, at += strlen(at) + 1) {
		unsigned long domid = strtoul(at, &end, 10);

		if (*end != '\0' || domid > UINT16_MAX || alive[domid])
			continue;
		(void)snprintf(path, sizeof(path), "/libxl/%lu/dvm", domid);
		if (s->ops->read(s, path, text, sizeof(text), &e) == 1)
			found(k, "nodes of the dead domain %lu in /libxl",
			    domid);
	}
	check_vm(k, env, names);
	settle(k, before);
}

/* What dvm-prepare left, if none is at work there. */
static void
check_temporary(struct rs_check *k, const char *template_dir)
{
	DIR *dir = opendir(template_dir);
	char path[PATH_MAX + 8];
	struct dirent *entry;
	AUTO_FD fd = -1;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, "tmp-", 4) != 0)
			continue;
		/* Taken only now: it would refuse a dvm-prepare. */
		if (fd < 0) {
			(void)snprintf(path, sizeof(path), "%s/lock",
			    template_dir);
			fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
			if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0)
				break;
		}
		found(k, "%.100s/%.100s is left of a preparation",
		    template_dir, entry->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
}

/* `current` is a generation that is signed and whole. */
static void
check_current(struct rs_check *k, const char *name)
{
	const struct sf_limits limits = {
	    .guest_bytes_max = RS_TEMPLATE_GUEST_MAX };
	uint8_t key[SF_KEY_BYTES];
	struct sf_reader *reader;
	struct gen gen;
	struct err e;

	if (gen_open_current(k->state_dir, name, &gen, &e) != 0) {
		if (e.code != ERR_STALE)
			found(k, "%.200s", e.msg);
		return;
	}
	reader = gen_host_key(k->state_dir, 0, key, &e) != 0 ? NULL :
	    sf_reader_open(gen.savefile_fd, key, &limits, &e);
	if (reader == NULL)
		found(k, "template %s: %.200s", name, e.msg);
	sf_reader_close(reader);
	gen_close(&gen);
}

static void
check_templates(struct rs_check *k)
{
	unsigned before = k->nr_findings;
	DIR *dir = opendir(k->state_dir);
	char path[PATH_MAX];
	struct dirent *entry;

	if (dir == NULL)
		found(k, "%s: %s", k->state_dir, strerror(errno));
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (!gen_is_template(k->state_dir, entry->d_name))
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", k->state_dir,
		    entry->d_name);
		check_temporary(k, path);
		check_current(k, entry->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	settle(k, before);
}

void
rs_check(struct rs_check *k, const struct env *env)
{
	bool *exists = calloc(k->nr_live + 1, sizeof(*exists));
	bool *alive = calloc(UINT16_MAX + 1, sizeof(*alive));
	char *names = malloc(NAMES_BYTES);

	if (exists != NULL && alive != NULL && names != NULL) {
		check_domains(k, env, exists, alive);
		check_disks(k, env, names);
		check_nodes(k, env, alive, names);
		check_templates(k);
	} else {
		rs_check_that(k, false, "too little memory to check");
	}
	free(names);
	free(alive);
	free(exists);
}
