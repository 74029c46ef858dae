/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The memory that the fakes keep their state in: a process's own, or a file
 * that several processes map, each wherever it likes (no pointer is in it).
 * The lock in it may be taken again by its holder.  If the holder dies, at
 * any instruction, what it changed since it took the lock is undone by the
 * next one that takes it: so everything is changed with FAKE_SET, or after
 * fake_heap_note().
 */
#ifndef FAKE_HEAP_H
#define FAKE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

enum fake_heap_part { FAKE_HEAP_HV, FAKE_HEAP_STORE, FAKE_HEAP_DISK };

#define FAKE_HEAP_HV_BYTES (80u << 20)
#define FAKE_HEAP_STORE_BYTES (24u << 20)
#define FAKE_HEAP_DISK_BYTES (1u << 20)

/* How the host behaves.  All zero in a process's own memory. */
struct fake_heap_config {
	uint64_t host_pages;
	bool silent;		/* the guests' agents never answer */
	uint32_t answer_ms;	/* or so long after the unpause */
};

struct fake_heap;

/* A process's own, zero; aborts if there is no memory. */
struct fake_heap *fake_heap_private(void);
/* Makes the file.  Sparse: 105 MiB that hold what is used. */
int fake_heap_make(const char *path, const struct fake_heap_config *config,
    struct err *e);
/* NULL and *e if it is none. */
struct fake_heap *fake_heap_open(const char *path, struct err *e);
/* One more user of this handle, in the same thread. */
struct fake_heap *fake_heap_again(struct fake_heap *h);
/* One user less; the last one's frees it. */
void fake_heap_close(struct fake_heap *h);

bool fake_heap_is_shared(const struct fake_heap *h);
const struct fake_heap_config *fake_heap_config(const struct fake_heap *h);
/* Zero at first, aligned to a page. */
void *fake_heap_part(struct fake_heap *h, enum fake_heap_part part);

void fake_heap_lock(struct fake_heap *h);
void fake_heap_unlock(struct fake_heap *h);

/* With the lock held: len bytes there are about to change. */
void fake_heap_note(struct fake_heap *h, const void *at, size_t len);

#define FAKE_SET(heap, place, value) \
	(fake_heap_note((heap), &(place), sizeof(place)), (place) = (value))

#endif
