/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore seam's operations as batches of protocol requests, in the
 * process that builds domains.  No transactions: oxenstored lets their
 * conflicts starve us, and nothing here needs one, since a domain is
 * introduced only after all of its nodes are there.
 *
 * What nodes hold is a guest's to choose: data that passes through here is
 * bounded and NUL-terminated, not believed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/io/xs_wire.h>

#include "restore/host/store_answer.h"
#include "restore/host/store_wait.h"
#include "restore/host/store_wire.h"
#include "restore/host/store_xen.h"

struct store_xen {
	struct store store;
	struct store_wire *wire;
	uint64_t nr_waits;	/* makes tokens unique */
	unsigned timeout_ms;
	char socket_path[108];	/* sun_path's size; "" is the usual one */
};

static struct store_xen *
of(struct store *s)
{
	return (struct store_xen *)s;
}

static void
xen_close(struct store *s)
{
	struct store_xen *x = of(s);

	store_wire_free(x->wire);
	free(x);
}

/* At the start of each operation: a daemon that was too slow once, or was
 * started anew, gets a new connection. */
static int
connected(struct store_xen *x, struct err *e)
{
	struct store_wire *wire;

	if (!store_wire_is_broken(x->wire))
		return 0;
	wire = store_wire_open(x->socket_path[0] != '\0' ? x->socket_path :
	    NULL, x->timeout_ms, &x->store.nr_requests, e);
	if (wire == NULL)
		return -1;
	store_wire_free(x->wire);
	x->wire = wire;
	return 0;
}

/* "nOWNER" and, if there is a reader, "rREADER", each with its NUL.  The
 * first is who owns the node and what all others may do: nothing. */
static int
add_perms(struct store_xen *x, const struct store_node *node, struct err *e)
{
	char perms[32];
	int len, more;

	len = snprintf(perms, sizeof(perms), "n%" PRIu32, node->owner) + 1;
	if (node->reader != STORE_NOBODY) {
		more = snprintf(perms + len, sizeof(perms) - (size_t)len,
		    "r%" PRIu32, node->reader) + 1;
		len += more;
	}
	return store_wire_add(x->wire, XS_SET_PERMS, node->path, perms,
	    (size_t)len, e);
}

static int
xen_write(struct store *s, const struct store_node *nodes, size_t nr,
    struct err *e)
{
	struct store_xen *x = of(s);
	const struct store_node *node;
	size_t i;
	int rc;

	if (connected(x, e) != 0)
		return -1;
	for (i = 0; i < nr; i++) {
		node = &nodes[i];
		if (node->fresh && store_wire_add(x->wire, XS_RM, node->path,
		    NULL, 0, e) != 0)
			return -1;
		if (node->value == NULL)
			rc = store_wire_add(x->wire, XS_MKDIR, node->path,
			    NULL, 0, e);
		else
			rc = store_wire_add(x->wire, XS_WRITE, node->path,
			    node->value, strlen(node->value), e);
		if (rc == 0 && node->owner != STORE_NO_PERMS)
			rc = add_perms(x, node, e);
		if (rc != 0)
			return -1;
	}
	/* Only the removal of a tree that is not there says ENOENT. */
	return store_answer_run_ok(x->wire, ENOENT, e);
}

/* One node's value on its way to the caller. */
struct reading {
	char *out;
	size_t cap;
	int result;		/* what the operation returns */
};

static int
take_value(void *arg, const struct store_wire_answer *a, struct err *e)
{
	struct reading *r = arg;

	if (a->daemon_errno == ENOENT)
		return 0;
	if (a->daemon_errno != 0)
		return store_answer_refused(a, e);
	if (a->len >= r->cap) {
		return err_set(e, ERR_STORE, 0, "xenstore: the value of %s "
		    "has %zu bytes, over %zu", a->path, a->len, r->cap - 1);
	}
	if (memchr(a->untrusted_data, '\0', a->len) != NULL) {
		return err_set(e, ERR_STORE, 0,
		    "xenstore: the value of %s is not text", a->path);
	}
	memcpy(r->out, a->untrusted_data, a->len);
	r->out[a->len] = '\0';
	r->result = 1;
	return 0;
}

static int
read_with(struct store_xen *x, uint32_t type, const char *path,
    const struct store_wire_taker *t, struct err *e)
{
	const struct reading *r = t->arg;

	if (r->cap == 0)
		return err_set(e, ERR_USAGE, 0, "no room to read %s", path);
	if (connected(x, e) != 0 ||
	    store_wire_add(x->wire, type, path, NULL, 0, e) != 0 ||
	    store_wire_run(x->wire, t, e) != 0)
		return -1;
	return r->result;
}

static int
xen_read(struct store *s, const char *path, char *value, size_t cap,
    struct err *e)
{
	struct reading r = { .out = value, .cap = cap };
	struct store_wire_taker t = { take_value, &r };

	return read_with(of(s), XS_READ, path, &t, e);
}

static int
xen_remove(struct store *s, const char *const *paths, size_t nr,
    struct err *e)
{
	struct store_xen *x = of(s);
	size_t i;

	if (connected(x, e) != 0)
		return -1;
	for (i = 0; i < nr; i++) {
		if (store_wire_add(x->wire, XS_RM, paths[i], NULL, 0, e) != 0)
			return -1;
	}
	return store_answer_run_ok(x->wire, ENOENT, e);
}

static int
take_names(void *arg, const struct store_wire_answer *a, struct err *e)
{
	const char *untrusted_name = a->untrusted_data;
	struct reading *r = arg;
	size_t left, len;
	int nr = 0;

	if (a->daemon_errno == ENOENT)
		return 0;
	if (a->daemon_errno != 0)
		return store_answer_refused(a, e);
	if (a->len > r->cap) {
		return err_set(e, ERR_STORE, 0, "xenstore: the names below %s "
		    "take %zu bytes, over %zu", a->path, a->len, r->cap);
	}
	for (left = a->len; left > 0; left -= len + 1) {
		len = strnlen(untrusted_name, left);
		if (len == 0 || len == left ||
		    memchr(untrusted_name, '/', len) != NULL) {
			return err_set(e, ERR_STORE, 0,
			    "xenstore: malformed names below %s", a->path);
		}
		untrusted_name += len + 1;
		nr++;
	}
	memcpy(r->out, a->untrusted_data, a->len);
	r->result = nr;
	return 0;
}

static int
xen_list(struct store *s, const char *path, char *names, size_t cap,
    struct err *e)
{
	struct reading r = { .out = names, .cap = cap };
	struct store_wire_taker t = { take_names, &r };

	return read_with(of(s), XS_DIRECTORY, path, &t, e);
}

/* Decimal strings: domid, frame, port. */
static int
xen_introduce(struct store *s, uint32_t domid, uint64_t gfn, uint32_t port,
    struct err *e)
{
	struct store_xen *x = of(s);
	char who[16], rest[48];
	int len;

	(void)snprintf(who, sizeof(who), "%" PRIu32, domid);
	len = snprintf(rest, sizeof(rest), "%" PRIu64 "%c%" PRIu32, gfn, '\0',
	    port) + 1;
	if (connected(x, e) != 0 ||
	    store_wire_add(x->wire, XS_INTRODUCE, who, rest, (size_t)len,
	    e) != 0)
		return -1;
	return store_answer_run_ok(x->wire, 0, e);
}

static int
xen_wait(struct store *s, const char *const *paths, const char *const *want,
    size_t nr, uint64_t deadline_ns, int interrupt_fd, struct err *e)
{
	struct store_xen *x = of(s);
	const struct store_wait_params params = {
		.paths = paths,
		.want = want,
		.nr = nr,
		.deadline_ns = deadline_ns,
		.interrupt_fd = interrupt_fd,
		.serial = ++x->nr_waits,
	};

	return connected(x, e) != 0 ? -1 : store_wait(x->wire, &params, e);
}

static const struct store_ops xen_ops = {
	.close = xen_close,
	.write = xen_write,
	.read = xen_read,
	.remove = xen_remove,
	.list = xen_list,
	.introduce = xen_introduce,
	.wait = xen_wait,
};

struct store *
store_xen_open(const char *socket_path, unsigned timeout_ms, struct err *e)
{
	struct store_xen *x;

	x = calloc(1, sizeof(*x));
	if (x == NULL) {
		(void)err_set(e, ERR_NOMEM, ENOMEM, "xenstore handle");
		return NULL;
	}
	x->store.ops = &xen_ops;
	x->timeout_ms = timeout_ms;
	if (socket_path != NULL)
		(void)snprintf(x->socket_path, sizeof(x->socket_path), "%s",
		    socket_path);
	x->wire = store_wire_open(socket_path, timeout_ms,
	    &x->store.nr_requests, e);
	if (x->wire == NULL) {
		free(x);
		return NULL;
	}
	return &x->store;
}
