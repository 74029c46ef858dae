/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore seam in plain memory: a tree with permissions that children
 * inherit, and backends that react when they are written to.
 */
#ifndef FAKE_STORE_H
#define FAKE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/seam/store.h"
#include "tests/fake/fake_fault.h"
#include "tests/fake/fake_heap.h"

/* Called after every node that a `write` has written, with the store and the
 * node's path, under the lock: may write in turn, with fake_store_put(). */
struct fake_store_reaction {
	void (*react)(void *arg, struct store *s, const char *path);
	void *arg;
};

/* Both may be NULL.  ops->close frees it.  Its `wait` never waits: what the
 * reactions have not done will not happen. */
struct store *fake_store_open(struct fake_fault *fault,
    const struct fake_store_reaction *reaction);
/* A handle on the tree that `heap` holds and that outlives it.  Its `wait`
 * waits for what others do. */
struct store *fake_store_attach(struct fake_fault *fault,
    const struct fake_store_reaction *reaction, struct fake_heap *heap);

/* A ready-made reaction: a vbd backend whose directory is complete (its
 * `frontend` is there) goes to state 2; one told to go to 5 goes to 6. */
void fake_store_vbd_backend(void *arg, struct store *s, const char *path);

/* For tests and reactions: no faults, no further reactions. */
void fake_store_put(struct store *s, const char *path, const char *value);
/* There for everybody in so many milliseconds from now. */
void fake_store_put_later(struct store *s, const char *path,
    const char *value, uint32_t ms);
/* The value, NULL if there is no such node; the store's, so of use only if
 * nobody else writes. */
const char *fake_store_get(const struct store *s, const char *path);
/* false if there is no such node. */
bool fake_store_perms(const struct store *s, const char *path,
    uint32_t *owner, uint32_t *reader);

/* Nodes, those of the tree's root aside; domains introduced and not gone. */
size_t fake_store_held(const struct store *s);
bool fake_store_introduced(const struct store *s, uint32_t domid);
/* Calls it with each node's path, also of those that are there later. */
void fake_store_visit(const struct store *s,
    void (*visit)(void *arg, const char *path), void *arg);

#endif
