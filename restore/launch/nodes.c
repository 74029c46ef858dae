/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore nodes of a disposable: those that somebody reads, and no more,
 * since xenstore is the dearest part of a launch.  libxl writes three times as
 * many: what only a booting guest looks at, what Windows' drivers want, what
 * `xl block-list` prints, and entries for a console backend that xenconsoled
 * does not use.  A node inherits its parent's permissions, so they are given
 * only where they change.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restore/launch/nodes.h"

/* A domain has 11 nodes, one more a vCPU and 14 more a disk; a node's path and
 * value are under 160 bytes. */
#define NODES_FIXED 12
#define NODES_PER_DISK 15
#define NODE_TEXT_BYTES 160

struct builder {
	struct rs_nodes *n;
	size_t cap, text_cap, text_len;
	uint32_t owner, reader;		/* of the next node only, */
	int fresh;			/* and this */
	bool overflow;
};

static const char * __attribute__((format(printf, 2, 0)))
text(struct builder *b, const char *fmt, va_list ap)
{
	char *at = b->n->text + b->text_len;
	int len;

	len = vsnprintf(at, b->text_cap - b->text_len, fmt, ap);
	if (len < 0 || (size_t)len >= b->text_cap - b->text_len) {
		b->overflow = true;
		return "";
	}
	b->text_len += (size_t)len + 1;
	return at;
}

/* Of the node that is added next.  A fresh one replaces what a dead domain of
 * the same number left behind: domids come round after 32752. */
static void
perms(struct builder *b, uint32_t owner, uint32_t reader)
{
	b->owner = owner;
	b->reader = reader;
}

/* One node, in the directory `dir`.  A NULL fmt makes it a directory. */
static void __attribute__((format(printf, 4, 5)))
add(struct builder *b, const char *dir, const char *name, const char *fmt, ...)
{
	struct store_node *node;
	size_t room = b->text_cap - b->text_len;
	va_list ap;
	int len;

	if (b->n->nr == b->cap) {
		b->overflow = true;
		return;
	}
	node = &b->n->nodes[b->n->nr++];
	*node = (struct store_node){ .path = b->n->text + b->text_len,
	    .owner = b->owner, .reader = b->reader, .fresh = b->fresh };
	len = snprintf(b->n->text + b->text_len, room, "%s%s%s", dir,
	    *name != '\0' ? "/" : "", name);
	if (len < 0 || (size_t)len >= room) {
		b->overflow = true;
		return;
	}
	b->text_len += (size_t)len + 1;
	if (fmt != NULL) {
		va_start(ap, fmt);
		node->value = text(b, fmt, ap);
		va_end(ap);
	}
	b->owner = STORE_NO_PERMS;
	b->reader = STORE_NOBODY;
	b->fresh = 0;
}

static void
add_domain(struct builder *b, const struct rs_domain *d, const char *dom)
{
	char name[64];

	add(b, dom, "name", "%s", d->name);
	add(b, dom, "domid", "%u", d->domid);
	/* The guest's balloon driver acts on target when it resumes: it must
	 * be the template's. */
	add(b, dom, "memory/target", "%llu",
	    (unsigned long long)d->target_mem_kb);
	for (uint32_t i = 0; i < d->nr_vcpus; i++) {
		(void)snprintf(name, sizeof(name), "cpu/%u/availability", i);
		add(b, dom, name, "online");
	}
	/* The guest acknowledges requests of xl by writing into control; what
	 * it says itself, its agent above all, goes into data. */
	perms(b, d->domid, STORE_NOBODY);
	add(b, dom, "control", NULL);
	perms(b, d->domid, STORE_NOBODY);
	add(b, dom, "data", NULL);
}

/* For xenconsoled, which looks when the domain is introduced.  Without a limit
 * a guest could fill its memory. */
static void
add_console(struct builder *b, const char *dom, const struct hv_channels *ch)
{
	add(b, dom, "console/limit", "1048576");
	add(b, dom, "console/port", "%u", ch->console_port);
	add(b, dom, "console/ring-ref", "%llu",
	    (unsigned long long)ch->console_gfn);
}

static void
add_vbd(struct builder *b, const struct rs_domain *d,
    const struct rs_vbd *vbd)
{
	char front[96], back[96], dev[96];

	(void)snprintf(front, sizeof(front), "/local/domain/%u/device/vbd/%u",
	    d->domid, vbd->devid);
	(void)snprintf(back, sizeof(back),
	    "/local/domain/0/backend/vbd/%u/%u", d->domid, vbd->devid);
	(void)snprintf(dev, sizeof(dev), "/libxl/%u/device/vbd/%u", d->domid,
	    vbd->devid);
	perms(b, d->domid, 0);
	add(b, front, "", NULL);
	add(b, front, "backend", "%s", back);
	add(b, front, "backend-id", "0");
	add(b, front, "state", "1");
	perms(b, 0, d->domid);
	b->fresh = 1;
	add(b, back, "", NULL);
	add(b, back, "frontend", "%s", front);
	add(b, back, "frontend-id", "%u", d->domid);
	add(b, back, "online", "1");
	add(b, back, "mode", "%s", vbd->writable ? "w" : "r");
	/* blkback names its thread by it, and starts none without. */
	add(b, back, "dev", "%s", vbd->vdev);
	/* xl destroy runs the script to undo what it did when the disk was
	 * attached: nothing. */
	add(b, back, "script", "/bin/true");
	add(b, back, "physical-device", "%x:%x", vbd->major, vbd->minor);
	add(b, back, "state", "1");
	add(b, dev, "backend", "%s", back);
}

int
rs_nodes_make(const struct rs_domain *d, const struct hv_channels *channels,
    struct rs_nodes *n, struct err *e)
{
	struct builder b = { .n = n, .owner = STORE_NO_PERMS,
	    .reader = STORE_NOBODY };
	char dom[64], libxl[64];

	b.cap = NODES_FIXED + d->nr_vcpus + NODES_PER_DISK * d->nr_vbds;
	b.text_cap = b.cap * NODE_TEXT_BYTES;
	n->nr = 0;
	n->nodes = calloc(b.cap, sizeof(*n->nodes));
	n->text = malloc(b.text_cap);
	if (n->nodes == NULL || n->text == NULL) {
		rs_nodes_free(n);
		return err_set(e, ERR_NOMEM, errno, "xenstore nodes");
	}
	(void)snprintf(dom, sizeof(dom), "/local/domain/%u", d->domid);
	(void)snprintf(libxl, sizeof(libxl), "/libxl/%u", d->domid);
	perms(&b, 0, d->domid);
	b.fresh = 1;
	add(&b, dom, "", NULL);
	b.fresh = 1;
	add(&b, libxl, "", NULL);
	/* First what somebody has to act on: the backends start while the
	 * rest is written. */
	for (uint32_t i = 0; i < d->nr_vbds; i++)
		add_vbd(&b, d, &d->vbds[i]);
	add_domain(&b, d, dom);
	add_console(&b, dom, channels);
	add(&b, libxl, "type", "pvh");
	if (!b.overflow)
		return 0;
	rs_nodes_free(n);
	return err_set(e, ERR_SYS, 0, "too many xenstore nodes");
}

void
rs_nodes_free(struct rs_nodes *n)
{
	free(n->nodes);
	free(n->text);
	memset(n, 0, sizeof(*n));
}

void
rs_nodes_trees(const struct rs_domain *d, struct rs_nodes_trees *t)
{
	static const char *const above[] = { "/libxl",
	    "/local/domain/0/backend/vbd", "/local/domain/0/backend/console",
	    "/local/domain/0/error/backend/vbd", "/local/domain" };

	t->nr = 0;
	if (d->uuid_text[0] != '\0')
		(void)snprintf(t->text[t->nr++], sizeof(t->text[0]), "/vm/%s",
		    d->uuid_text);
	for (size_t i = 0; i < sizeof(above) / sizeof(above[0]); i++)
		(void)snprintf(t->text[t->nr++], sizeof(t->text[0]), "%s/%u",
		    above[i], d->domid);
	for (size_t i = 0; i < t->nr; i++)
		t->paths[i] = t->text[i];
}

void
rs_nodes_vbd_state_path(const struct rs_domain *d, const struct rs_vbd *vbd,
    char *path)
{
	(void)snprintf(path, 96, "/local/domain/0/backend/vbd/%u/%u/state",
	    d->domid, vbd->devid);
}
