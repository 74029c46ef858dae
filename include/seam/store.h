/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore seam.  restore/host/store_xen.c speaks the wire protocol with
 * the daemon, many requests in flight; tests/fake/fake_store.c is the other.
 * Every operation is mandatory, takes a batch where there can be one, and never
 * waits past the handle's deadline (set when it is opened, per operation).
 * ERR_STORE on failure, ERR_TIMEOUT past a deadline; after either the next
 * operation connects again.  One thread at a time.
 */
#ifndef STORE_H
#define STORE_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

/* xenstore's own limit on an absolute path, without the NUL. */
#define STORE_PATH_MAX 3072

#define STORE_NO_PERMS UINT32_MAX	/* inherit the parent's */
#define STORE_NOBODY (UINT32_MAX - 1)	/* no second domain named */

/* One node to write.  Parents are made as needed, before children that are
 * listed later: list a directory with its permissions before what lies in it,
 * since children inherit. */
struct store_node {
	const char *path;
	const char *value;	/* NULL makes an empty directory */
	uint32_t owner;		/* a domid: nOWNER; or STORE_NO_PERMS */
	uint32_t reader;	/* a domid: rREADER; or STORE_NOBODY */
	int fresh;		/* remove what is there first, if any */
};

struct store;

struct store_ops {
	void (*close)(struct store *s);
	/* Writes all in order.  On failure some may be written. */
	int (*write)(struct store *s, const struct store_node *nodes,
	    size_t nr, struct err *e);
	/* 1 and the value, NUL-terminated; 0 if there is no such node;
	 * -1 on failure or if it does not fit. */
	int (*read)(struct store *s, const char *path, char *value,
	    size_t cap, struct err *e);
	/* Removes trees; a path that does not exist is no error. */
	int (*remove)(struct store *s, const char *const *paths, size_t nr,
	    struct err *e);
	/* The names below path, each NUL-terminated, one after the other in
	 * `names`; their number, 0 if there is no such node. */
	int (*list)(struct store *s, const char *path, char *names,
	    size_t cap, struct err *e);
	/* Makes the daemon talk to the domain. */
	int (*introduce)(struct store *s, uint32_t domid, uint64_t gfn,
	    uint32_t port, struct err *e);
	/* Until the node's value is `want` (any value if NULL, also ""), for
	 * all nr paths, or deadline_ns on CLOCK_MONOTONIC: ERR_TIMEOUT names
	 * the path.  interrupt_fd readable ends it with ERR_INTERRUPTED; -1
	 * for none. */
	int (*wait)(struct store *s, const char *const *paths,
	    const char *const *want, size_t nr, uint64_t deadline_ns,
	    int interrupt_fd, struct err *e);
};

struct store {
	const struct store_ops *ops;
	uint64_t nr_requests;	/* sent so far; for reports */
};

#endif
