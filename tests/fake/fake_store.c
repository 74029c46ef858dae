/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore seam in plain memory: a tree of nodes.  Test code only.
 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "tests/fake/fake_store.h"

#define NODES_MAX 32768u
#define DOMIDS 0x7ff0u
#define NAME_BYTES 64u
#define VALUE_BYTES 512u
#define LOOK_MS 1		/* how often a wait looks */

struct node {
	uint32_t child;		/* the first one; 0 for none */
	uint32_t next;		/* of the same parent, or free; 0 for none */
	uint32_t owner, reader;
	uint64_t since_ns;	/* before that it is not there */
	char name[NAME_BYTES];
	char value[VALUE_BYTES];
};

struct state {
	uint32_t free;		/* the first one; 0 for none */
	uint32_t nr_ever;	/* those behind were never used */
	uint32_t nr_held;
	bool introduced[DOMIDS];
	struct node nodes[NODES_MAX];	/* 0 is the root */
};

_Static_assert(sizeof(struct state) <= FAKE_HEAP_STORE_BYTES, "it fits");

struct fake {
	struct store store;
	struct fake_fault *fault;
	struct fake_store_reaction reaction;
	struct fake_heap *heap;
	struct state *state;	/* in the heap */
};

static struct fake *
of(struct store *s)
{
	return (struct fake *)s;
}

static const struct fake *
of_const(const struct store *s)
{
	return (const struct fake *)s;
}

static int
fault(struct fake *f, const char *doing, struct err *e)
{
	if (fake_fault_hit(f->fault))
		return err_set(e, ERR_STORE, 0, "fault: %s", doing);
	return 0;
}

/* The functions from here to the operations want the lock held. */
static struct node *
child_of(const struct fake *f, const struct node *parent, const char *name,
    size_t len)
{
	struct node *nodes = f->state->nodes;
	uint32_t i;

	for (i = parent->child; i != 0; i = nodes[i].next)
		if (strncmp(nodes[i].name, name, len) == 0 &&
		    nodes[i].name[len] == '\0')
			return &nodes[i];
	return NULL;
}

/* All that links it, not what it says. */
static void
note_links(const struct fake *f, const struct node *n)
{
	fake_heap_note(f->heap, n, offsetof(struct node, name));
}

static struct node *
add(const struct fake *f, struct node *parent, const char *name, size_t len)
{
	struct state *st = f->state;
	uint32_t number = st->free, *link = &parent->child;
	struct node *n;

	if (number != 0) {
		FAKE_SET(f->heap, st->free, st->nodes[number].next);
	} else {
		if (st->nr_ever + 1 == NODES_MAX)
			abort();
		number = st->nr_ever + 1;
		FAKE_SET(f->heap, st->nr_ever, number);
	}
	n = &st->nodes[number];
	note_links(f, n);
	*n = (struct node){ .owner = parent->owner,
	    .reader = parent == st->nodes ? STORE_NOBODY : parent->reader };
	memcpy(n->name, name, len);
	while (*link != 0)
		link = &st->nodes[*link].next;
	FAKE_SET(f->heap, *link, number);
	FAKE_SET(f->heap, st->nr_held, st->nr_held + 1);
	return n;
}

/* The node at path, or NULL; if `make`, made with all its parents. */
static struct node *
walk(const struct fake *f, const char *path, bool make)
{
	struct node *n = &f->state->nodes[0], *child;
	size_t len;

	while (*path == '/') {
		path++;
		len = strcspn(path, "/");
		if (len == 0 || len >= NAME_BYTES)
			return NULL;
		child = child_of(f, n, path, len);
		if (child == NULL && make)
			child = add(f, n, path, len);
		if (child == NULL)
			return NULL;
		n = child;
		path += len;
	}
	return *path == '\0' ? n : NULL;
}

static bool
is_there(const struct node *n)
{
	return n->since_ns == 0 || n->since_ns <= clock_now_ns();
}

static struct node *
find(const struct fake *f, const char *path)
{
	struct node *n = walk(f, path, false);

	return n != NULL && is_there(n) ? n : NULL;
}

static void
set_value(const struct fake *f, struct node *n, const char *value)
{
	size_t len = strlen(value) + 1;

	if (len > VALUE_BYTES)
		abort();
	fake_heap_note(f->heap, n->value, len);
	memcpy(n->value, value, len);
	FAKE_SET(f->heap, n->since_ns, 0);
}

/* Frees a node that nothing links to any more, and what is below it. */
static void
free_tree(const struct fake *f, uint32_t number)
{
	struct state *st = f->state;
	struct node *n = &st->nodes[number];
	uint32_t child, next;

	for (child = n->child; child != 0; child = next) {
		next = st->nodes[child].next;
		free_tree(f, child);
	}
	note_links(f, n);
	n->child = 0;
	n->next = st->free;
	FAKE_SET(f->heap, st->free, number);
	FAKE_SET(f->heap, st->nr_held, st->nr_held - 1);
}

static void
drop(const struct fake *f, const char *path)
{
	struct node *nodes = f->state->nodes, *n = walk(f, path, false);
	char above[STORE_PATH_MAX + 1], *slash;
	uint32_t number, *link;

	if (n == NULL || n == nodes)
		return;
	(void)snprintf(above, sizeof(above), "%s", path);
	slash = strrchr(above, '/');
	*slash = '\0';
	number = (uint32_t)(n - nodes);
	link = &walk(f, above, false)->child;
	while (*link != number)
		link = &nodes[*link].next;
	FAKE_SET(f->heap, *link, n->next);
	free_tree(f, number);
}

static bool
can_hold(const struct store_node *node)
{
	const char *at = node->path;
	bool good = *at == '/' && strlen(at) <= STORE_PATH_MAX &&
	    (node->value == NULL || strlen(node->value) < VALUE_BYTES);

	for (size_t len; good && *at == '/'; at += 1 + len) {
		len = strcspn(at + 1, "/");
		good = len > 0 && len < NAME_BYTES;
	}
	return good;
}

static void
write_one(const struct fake *f, const struct store_node *node)
{
	struct node *n;

	if (node->fresh)
		drop(f, node->path);
	n = walk(f, node->path, true);
	if (node->value != NULL)
		set_value(f, n, node->value);
	if (node->owner != STORE_NO_PERMS) {
		note_links(f, n);
		n->owner = node->owner;
		n->reader = node->reader;
	}
}

static void
fake_close(struct store *s)
{
	fake_heap_close(of(s)->heap);
	free(of(s));
}

static int
fake_write(struct store *s, const struct store_node *nodes, size_t nr,
    struct err *e)
{
	struct fake *f = of(s);
	size_t i;

	for (i = 0; i < nr; i++) {
		/* Each node counts: a batch may end anywhere. */
		if (fault(f, nodes[i].path, e) != 0)
			return -1;
		if (!can_hold(&nodes[i])) {
			return err_set(e, ERR_STORE, EINVAL,
			    "cannot write %.60s", nodes[i].path);
		}
		fake_heap_lock(f->heap);
		write_one(f, &nodes[i]);
		if (f->reaction.react != NULL)
			f->reaction.react(f->reaction.arg, s, nodes[i].path);
		fake_heap_unlock(f->heap);
	}
	return 0;
}

static int
fake_read(struct store *s, const char *path, char *value, size_t cap,
    struct err *e)
{
	struct fake *f = of(s);
	const struct node *n;
	int found = 0;

	if (fault(f, path, e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	n = find(f, path);
	if (n != NULL)
		found = strlen(n->value) < cap ? 1 : -1;
	if (found == 1)
		memcpy(value, n->value, strlen(n->value) + 1);
	fake_heap_unlock(f->heap);
	return found >= 0 ? found : err_set(e, ERR_STORE, 0, "%s does not fit",
	    path);
}

static int
fake_remove(struct store *s, const char *const *paths, size_t nr,
    struct err *e)
{
	struct fake *f = of(s);
	size_t i;

	for (i = 0; i < nr; i++) {
		if (fault(f, paths[i], e) != 0)
			return -1;
		fake_heap_lock(f->heap);
		drop(f, paths[i]);
		fake_heap_unlock(f->heap);
	}
	return 0;
}

static int
fake_list(struct store *s, const char *path, char *names, size_t cap,
    struct err *e)
{
	struct fake *f = of(s);
	const struct node *n, *nodes = f->state->nodes;
	size_t len, used = 0;
	uint32_t i;
	int nr = 0;

	if (fault(f, path, e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	n = find(f, path);
	for (i = n != NULL ? n->child : 0; i != 0; i = nodes[i].next) {
		if (!is_there(&nodes[i]))
			continue;
		len = strlen(nodes[i].name) + 1;
		if (len > cap - used) {
			nr = err_set(e, ERR_STORE, 0, "%s: too long", path);
			break;
		}
		memcpy(names + used, nodes[i].name, len);
		used += len;
		nr++;
	}
	fake_heap_unlock(f->heap);
	return nr;
}

static int
fake_introduce(struct store *s, uint32_t domid, uint64_t gfn, uint32_t port,
    struct err *e)
{
	struct fake *f = of(s);

	(void)gfn;
	(void)port;
	if (fault(f, "introduce", e) != 0)
		return -1;
	if (domid >= DOMIDS)
		return err_set(e, ERR_STORE, EINVAL, "domid %u", domid);
	fake_heap_lock(f->heap);
	FAKE_SET(f->heap, f->state->introduced[domid], true);
	fake_heap_unlock(f->heap);
	return 0;
}

/* The first path that is not as wanted, or NULL. */
static const char *
missing(const struct fake *f, const char *const *paths,
    const char *const *want, size_t nr)
{
	const char *path = NULL;
	const struct node *n;
	size_t i;

	fake_heap_lock(f->heap);
	for (i = 0; path == NULL && i < nr; i++) {
		n = find(f, paths[i]);
		if (n == NULL || (want != NULL && want[i] != NULL &&
		    strcmp(n->value, want[i]) != 0))
			path = paths[i];
	}
	fake_heap_unlock(f->heap);
	return path;
}

static int
fake_wait(struct store *s, const char *const *paths, const char *const *want,
    size_t nr, uint64_t deadline_ns, int interrupt_fd, struct err *e)
{
	struct pollfd p = { .fd = interrupt_fd, .events = POLLIN };
	struct fake *f = of(s);
	const char *path;

	if (fault(f, "wait", e) != 0)
		return -1;
	while ((path = missing(f, paths, want, nr)) != NULL) {
		if (!fake_heap_is_shared(f->heap) ||
		    clock_now_ns() >= deadline_ns) {
			return err_set(e, ERR_TIMEOUT, 0,
			    "waited too long for %s", path);
		}
		/* A negative fd is left out by poll(). */
		if (poll(&p, 1, LOOK_MS) == 1) {
			return err_set(e, ERR_INTERRUPTED, 0,
			    "interrupted while waiting for %s", path);
		}
	}
	return 0;
}

static const struct store_ops fake_ops = {
	.close = fake_close,
	.write = fake_write,
	.read = fake_read,
	.remove = fake_remove,
	.list = fake_list,
	.introduce = fake_introduce,
	.wait = fake_wait,
};

struct store *
fake_store_attach(struct fake_fault *f_fault,
    const struct fake_store_reaction *reaction, struct fake_heap *heap)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->store.ops = &fake_ops;
	f->fault = f_fault;
	if (reaction != NULL)
		f->reaction = *reaction;
	f->heap = fake_heap_again(heap);
	f->state = fake_heap_part(heap, FAKE_HEAP_STORE);
	return &f->store;
}

struct store *
fake_store_open(struct fake_fault *f_fault,
    const struct fake_store_reaction *reaction)
{
	struct fake_heap *heap = fake_heap_private();
	struct store *s = fake_store_attach(f_fault, reaction, heap);

	fake_heap_close(heap);
	return s;
}

void
fake_store_vbd_backend(void *arg, struct store *s, const char *path)
{
	static const char above[] = "/local/domain/0/backend/vbd/";
	char state[STORE_PATH_MAX + 1], frontend[STORE_PATH_MAX + 1];
	const char *now;
	int len;

	(void)arg;
	/* Up to and with the device: above, domid, '/', vdev. */
	if (strncmp(path, above, strlen(above)) != 0)
		return;
	path += strlen(above);
	len = (int)strcspn(path, "/");
	if (path[len] == '\0')
		return;
	len += 1 + (int)strcspn(path + len + 1, "/");
	(void)snprintf(state, sizeof(state), "%s%.*s/state", above, len, path);
	(void)snprintf(frontend, sizeof(frontend), "%s%.*s/frontend", above,
	    len, path);
	now = fake_store_get(s, state);
	if (now == NULL || fake_store_get(s, frontend) == NULL)
		return;
	if (strcmp(now, "1") == 0)
		fake_store_put(s, state, "2");
	else if (strcmp(now, "5") == 0)
		fake_store_put(s, state, "6");
}

void
fake_store_put(struct store *s, const char *path, const char *value)
{
	fake_store_put_later(s, path, value, 0);
}

void
fake_store_put_later(struct store *s, const char *path, const char *value,
    uint32_t ms)
{
	struct fake *f = of(s);
	struct node *n;

	fake_heap_lock(f->heap);
	n = walk(f, path, true);
	if (n == NULL)
		abort();
	set_value(f, n, value);
	if (ms > 0)
		FAKE_SET(f->heap, n->since_ns, clock_now_ns() + ms * CLOCK_MS);
	fake_heap_unlock(f->heap);
}

const char *
fake_store_get(const struct store *s, const char *path)
{
	const struct fake *f = of_const(s);
	const struct node *n;

	fake_heap_lock(f->heap);
	n = find(f, path);
	fake_heap_unlock(f->heap);
	return n == NULL ? NULL : n->value;
}

bool
fake_store_perms(const struct store *s, const char *path, uint32_t *owner,
    uint32_t *reader)
{
	const struct fake *f = of_const(s);
	const struct node *n;

	fake_heap_lock(f->heap);
	n = find(f, path);
	if (n != NULL) {
		*owner = n->owner;
		*reader = n->reader;
	}
	fake_heap_unlock(f->heap);
	return n != NULL;
}

size_t
fake_store_held(const struct store *s)
{
	const struct fake *f = of_const(s);
	size_t nr;

	fake_heap_lock(f->heap);
	nr = f->state->nr_held;
	fake_heap_unlock(f->heap);
	return nr;
}

bool
fake_store_introduced(const struct store *s, uint32_t domid)
{
	const struct fake *f = of_const(s);
	bool introduced;

	fake_heap_lock(f->heap);
	introduced = domid < DOMIDS && f->state->introduced[domid];
	fake_heap_unlock(f->heap);
	return introduced;
}

/* All below dir, which ends at path + len. */
static void
visit_below(const struct fake *f, const struct node *dir,
    char path[STORE_PATH_MAX + 1], size_t len,
    void (*visit)(void *arg, const char *path), void *arg)
{
	const struct node *nodes = f->state->nodes;
	int more;

	for (uint32_t i = dir->child; i != 0; i = nodes[i].next) {
		more = snprintf(path + len, STORE_PATH_MAX + 1 - len, "/%s",
		    nodes[i].name);
		visit(arg, path);
		visit_below(f, &nodes[i], path, len + (size_t)more, visit,
		    arg);
	}
}

void
fake_store_visit(const struct store *s,
    void (*visit)(void *arg, const char *path), void *arg)
{
	const struct fake *f = of_const(s);
	char path[STORE_PATH_MAX + 1];

	fake_heap_lock(f->heap);
	visit_below(f, &f->state->nodes[0], path, 0, visit, arg);
	fake_heap_unlock(f->heap);
}
