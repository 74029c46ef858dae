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

#include "fake_fault.h"
#include "store.h"

/* Called after every node that a `write` has written, with the store and the
 * node's path: may write in turn, with fake_store_put(). */
struct fake_store_reaction {
	void (*react)(void *arg, struct store *s, const char *path);
	void *arg;
};

/* Both may be NULL.  ops->close frees it. */
struct store *fake_store_open(struct fake_fault *fault,
    const struct fake_store_reaction *reaction);

/* A ready-made reaction: a vbd backend whose directory is complete (its
 * `frontend` is there) goes to state 2; one told to go to 5 goes to 6. */
void fake_store_vbd_backend(void *arg, struct store *s, const char *path);

/* For tests and reactions: no faults, no further reactions. */
void fake_store_put(struct store *s, const char *path, const char *value);
/* The value, NULL if there is no such node; the store's. */
const char *fake_store_get(const struct store *s, const char *path);
/* false if there is no such node. */
bool fake_store_perms(const struct store *s, const char *path,
    uint32_t *owner, uint32_t *reader);

/* Nodes, those of the tree's root aside; domains introduced and not gone. */
size_t fake_store_held(const struct store *s);
bool fake_store_introduced(const struct store *s, uint32_t domid);

#endif
