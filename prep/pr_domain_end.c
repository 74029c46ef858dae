/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ends the domain of a preparation at whatever point it is: half made by an
 * xl that was killed, running, suspended, or gone with only its nodes left.
 * Used by dvm-prepare and by its watchdog.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "prep/pr_clock.h"
#include "prep/pr_domain.h"
#include "prep/pr_domain_end.h"

#define PATH_BYTES 160
#define NAMES_BYTES 4096
#define DOMAINS_NAMES_BYTES (256 << 10)
#define CLOSE_SECONDS 5u
#define DEATH_SECONDS 20u
#define DEATH_POLL_MS 20u

/* Lets the block backends go while the domain still exists: with online=0 and
 * the frontend Closed(6), blkback drops the disk and unregisters.  (It does
 * not look at its own state, and the guest, suspended or dead, will not close
 * by itself.) */
static int
close_backends(const struct pr_seams *s, uint32_t domid, struct err *e)
{
	char names[NAMES_BYTES], dir[64];
	char state[PATH_BYTES], online[PATH_BYTES], front[PATH_BYTES];
	int nr;
	const char *name = names;

	(void)snprintf(dir, sizeof(dir), "/local/domain/0/backend/vbd/%u",
	    domid);
	nr = s->store->ops->list(s->store, dir, names, sizeof(names), e);
	if (nr < 0)
		return -1;
	for (int i = 0; i < nr; i++, name += strlen(name) + 1) {
		const char *const paths[1] = { state };
		const char *const want[1] = { "6" };
		const struct store_node nodes[2] = {
			{ online, "0", STORE_NO_PERMS, STORE_NOBODY, 0 },
			{ front, "6", STORE_NO_PERMS, STORE_NOBODY, 0 }
		};

		(void)snprintf(online, sizeof(online), "%s/%.16s/online", dir,
		    name);
		(void)snprintf(state, sizeof(state), "%s/%.16s/state", dir,
		    name);
		(void)snprintf(front, sizeof(front),
		    "/local/domain/%u/device/vbd/%.16s/state", domid, name);
		if (s->store->ops->write(s->store, nodes, 2, e) != 0)
			return -1;
		/* A backend that was never set up does not answer; what it
		 * would hold is caught when the disk is removed. */
		if (s->store->ops->wait(s->store, paths, want, 1,
		    clock_now_ns() + CLOSE_SECONDS * CLOCK_SECOND, -1,
		    e) != 0 && e->code != ERR_TIMEOUT)
			return -1;
	}
	return 0;
}

/* All trees of one domid; its own path last, since by it we find the rest
 * again if we are killed in the middle. */
static int
remove_nodes(const struct pr_seams *s, uint32_t domid, const char *uuid_text,
    struct err *e)
{
	static const char *const kinds[] = { "vbd", "console", "vif", "qdisk",
	    "vkbd", "vfb" };
	enum { NR_KINDS = sizeof(kinds) / sizeof(kinds[0]) };
	char text[NR_KINDS + 3][PATH_BYTES];
	const char *paths[NR_KINDS + 3];
	size_t nr = 0;

	for (size_t i = 0; i < NR_KINDS; i++)
		(void)snprintf(text[nr++], PATH_BYTES,
		    "/local/domain/0/backend/%s/%u", kinds[i], domid);
	(void)snprintf(text[nr++], PATH_BYTES, "/libxl/%u", domid);
	(void)snprintf(text[nr++], PATH_BYTES, "/vm/%s", uuid_text);
	(void)snprintf(text[nr++], PATH_BYTES, "/local/domain/%u", domid);
	for (size_t i = 0; i < nr; i++)
		paths[i] = text[i];
	return s->store->ops->remove(s->store, paths, nr, e);
}

/* The domid whose nodes name this UUID though Xen has no such domain: 1 and
 * *domid, 0, -1. */
static int
find_nodes(const struct pr_seams *s, const char *uuid_text, uint32_t *domid,
    struct err *e)
{
	char path[PATH_BYTES], vm[PATH_BYTES], want[PATH_BYTES];
	char *names = malloc(DOMAINS_NAMES_BYTES);
	const char *name = names;
	int nr, rc = 0;

	if (names == NULL)
		return err_set(e, ERR_NOMEM, 0, "no memory for the list of "
		    "domains");
	(void)snprintf(want, sizeof(want), "/vm/%s", uuid_text);
	nr = s->store->ops->list(s->store, "/local/domain", names,
	    DOMAINS_NAMES_BYTES, e);
	if (nr < 0)
		rc = -1;
	for (int i = 0; i < nr && rc == 0; i++, name += strlen(name) + 1) {
		(void)snprintf(path, sizeof(path), "/local/domain/%.16s/vm",
		    name);
		rc = s->store->ops->read(s->store, path, vm, sizeof(vm), e);
		if (rc != 1)
			continue;
		rc = strcmp(vm, want) == 0;
		if (rc == 1)
			*domid = (uint32_t)strtoul(name, NULL, 10);
	}
	free(names);
	return rc;
}

/* Destroying is over when Xen no longer lists it: until then somebody, mostly
 * a backend, still maps its memory. */
static int
destroy(const struct pr_seams *s, const uint8_t *uuid, uint32_t domid,
    struct err *e)
{
	uint64_t deadline = clock_now_ns() +
	    DEATH_SECONDS * CLOCK_SECOND;
	struct hv_domain_info info;
	int found;

	if (s->hv->ops->destroy(s->hv, domid, e) != 0)
		return -1;
	while ((found = hv_find(s->hv, uuid, &info, e)) == 1) {
		if (clock_now_ns() >= deadline)
			return err_set(e, ERR_BUSY, 0, "domain %u does not go "
			    "away: a backend holds its memory", domid);
		(void)pr_clock_pause(-1, DEATH_POLL_MS, e);
	}
	return found;
}

int
pr_domain_end(const struct pr_seams *s, const uint8_t *uuid, struct err *e)
{
	char uuid_text[PR_DOMAIN_UUID_TEXT];
	struct hv_domain_info info = { .domid = 0 };
	uint32_t domid = 0;
	int exists, known;

	pr_domain_uuid_text(uuid, uuid_text);
	exists = known = hv_find(s->hv, uuid, &info, e);
	if (exists < 0)
		return -1;
	domid = info.domid;
	if (exists == 0)
		known = find_nodes(s, uuid_text, &domid, e);
	if (known <= 0)
		return known;
	/* Not stopping for a failed close: destroying frees the guest's
	 * memory, which matters more. */
	if (exists == 1)
		(void)close_backends(s, domid, e);
	if (exists == 1 && destroy(s, uuid, domid, e) != 0)
		return -1;
	s->domain->tidy(s->domain_ctx, domid, uuid_text);
	return remove_nodes(s, domid, uuid_text, e);
}
