/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore seam in plain memory: a list of nodes by full path, slow and
 * simple.  Test code only.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake_store.h"

#define MAX_DOMAINS 64

struct node {
	struct node *next;
	uint32_t owner, reader;
	char *value;
	char path[];
};

struct fake {
	struct store store;
	struct fake_fault *fault;
	struct fake_store_reaction reaction;
	struct node *nodes;	/* children after their parents */
	uint32_t introduced[MAX_DOMAINS];
	size_t nr_introduced;
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

static struct node *
find(const struct fake *f, const char *path)
{
	struct node *n;

	for (n = f->nodes; n != NULL; n = n->next) {
		if (strcmp(n->path, path) == 0)
			break;
	}
	return n;
}

/* Is `path` below (or at) dir? */
static bool
is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 &&
	    (path[len] == '/' || path[len] == '\0');
}

static char *
copy(const char *text)
{
	char *c = strdup(text);

	if (c == NULL)
		abort();	/* a test has no use for this */
	return c;
}

/* The node, made with all of its parents if need be. */
static struct node *
get(struct fake *f, const char *path)
{
	struct node *n = find(f, path), **end, *parent = NULL;
	char *above, *slash;
	size_t len;

	if (n != NULL)
		return n;
	above = copy(path);
	slash = strrchr(above, '/');
	if (slash != NULL && slash != above) {
		*slash = '\0';
		parent = get(f, above);
	}
	free(above);
	len = strlen(path) + 1;
	n = calloc(1, sizeof(*n) + len);
	if (n == NULL)
		abort();
	memcpy(n->path, path, len);
	n->value = copy("");
	n->owner = parent != NULL ? parent->owner : 0;
	n->reader = parent != NULL ? parent->reader : STORE_NOBODY;
	for (end = &f->nodes; *end != NULL; end = &(*end)->next)
		;
	*end = n;
	return n;
}

static void
set_value(struct node *n, const char *value)
{
	free(n->value);
	n->value = copy(value);
}

static void
drop(struct fake *f, const char *dir)
{
	struct node **at = &f->nodes, *n;

	while ((n = *at) != NULL) {
		if (dir == NULL || is_below(n->path, dir)) {
			*at = n->next;
			free(n->value);
			free(n);
		} else {
			at = &n->next;
		}
	}
}

static void
fake_close(struct store *s)
{
	drop(of(s), NULL);
	free(of(s));
}

static int
fake_write(struct store *s, const struct store_node *nodes, size_t nr,
    struct err *e)
{
	struct fake *f = of(s);
	struct node *n;
	size_t i;

	for (i = 0; i < nr; i++) {
		/* Each node counts: a batch may end anywhere. */
		if (fault(f, nodes[i].path, e) != 0)
			return -1;
		if (nodes[i].path[0] != '/' ||
		    strlen(nodes[i].path) > STORE_PATH_MAX) {
			return err_set(e, ERR_STORE, EINVAL,
			    "cannot write %.60s", nodes[i].path);
		}
		if (nodes[i].fresh)
			drop(f, nodes[i].path);
		n = get(f, nodes[i].path);
		if (nodes[i].value != NULL)
			set_value(n, nodes[i].value);
		if (nodes[i].owner != STORE_NO_PERMS) {
			n->owner = nodes[i].owner;
			n->reader = nodes[i].reader;
		}
		if (f->reaction.react != NULL)
			f->reaction.react(f->reaction.arg, s, nodes[i].path);
	}
	return 0;
}

static int
fake_read(struct store *s, const char *path, char *value, size_t cap,
    struct err *e)
{
	struct fake *f = of(s);
	const struct node *n;

	if (fault(f, path, e) != 0)
		return -1;
	n = find(f, path);
	if (n == NULL)
		return 0;
	if (strlen(n->value) >= cap)
		return err_set(e, ERR_STORE, 0, "%s does not fit", path);
	memcpy(value, n->value, strlen(n->value) + 1);
	return 1;
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
		drop(f, paths[i]);
	}
	return 0;
}

static int
fake_list(struct store *s, const char *path, char *names, size_t cap,
    struct err *e)
{
	struct fake *f = of(s);
	const struct node *n;
	const char *name;
	size_t len, used = 0, skip = strlen(path) + 1;
	int nr = 0;

	if (fault(f, path, e) != 0)
		return -1;
	for (n = f->nodes; n != NULL; n = n->next) {
		if (!is_below(n->path, path) || strlen(n->path) <= skip)
			continue;
		name = n->path + skip;
		if (strchr(name, '/') != NULL)
			continue;
		len = strlen(name) + 1;
		if (len > cap - used)
			return err_set(e, ERR_STORE, 0, "%s: too long", path);
		memcpy(names + used, name, len);
		used += len;
		nr++;
	}
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
	if (fake_store_introduced(s, domid))
		return 0;
	if (f->nr_introduced == MAX_DOMAINS)
		return err_set(e, ERR_STORE, 0, "too many domains");
	f->introduced[f->nr_introduced++] = domid;
	return 0;
}

/* Answered at once: what the reactions have not done will not happen. */
static int
fake_wait(struct store *s, const char *const *paths, const char *const *want,
    size_t nr, uint64_t deadline_ns, int interrupt_fd, struct err *e)
{
	struct fake *f = of(s);
	const struct node *n;
	size_t i;

	(void)deadline_ns;
	(void)interrupt_fd;
	if (fault(f, "wait", e) != 0)
		return -1;
	for (i = 0; i < nr; i++) {
		n = find(f, paths[i]);
		if (n == NULL || (want != NULL && want[i] != NULL &&
		    strcmp(n->value, want[i]) != 0)) {
			return err_set(e, ERR_TIMEOUT, 0,
			    "waited too long for %s", paths[i]);
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
fake_store_open(struct fake_fault *f_fault,
    const struct fake_store_reaction *reaction)
{
	struct fake *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->store.ops = &fake_ops;
	f->fault = f_fault;
	if (reaction != NULL)
		f->reaction = *reaction;
	return &f->store;
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
	set_value(get(of(s), path), value);
}

const char *
fake_store_get(const struct store *s, const char *path)
{
	const struct node *n = find(of_const(s), path);

	return n == NULL ? NULL : n->value;
}

bool
fake_store_perms(const struct store *s, const char *path, uint32_t *owner,
    uint32_t *reader)
{
	const struct node *n = find(of_const(s), path);

	if (n == NULL)
		return false;
	*owner = n->owner;
	*reader = n->reader;
	return true;
}

size_t
fake_store_held(const struct store *s)
{
	const struct node *n;
	size_t nr = 0;

	for (n = of_const(s)->nodes; n != NULL; n = n->next)
		nr++;
	return nr;
}

bool
fake_store_introduced(const struct store *s, uint32_t domid)
{
	const struct fake *f = of_const(s);
	size_t i;

	for (i = 0; i < f->nr_introduced; i++) {
		if (f->introduced[i] == domid)
			return true;
	}
	return false;
}
