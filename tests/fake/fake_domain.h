/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The domains of the hypervisor's fake, in a heap, and their memory, in a
 * sparse file.  The heap's lock is held in each call, and as long as a domain
 * that was found is used.
 */
#ifndef FAKE_DOMAIN_H
#define FAKE_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "include/seam/hv.h"
#include "tests/fake/fake_heap.h"

struct fake_domain {
	uint32_t domid;		/* 0: none */
	bool running, shutdown, state_loaded;
	uint32_t shutdown_reason;
	uint8_t uuid[HV_UUID_BYTES];
	uint32_t nr_vcpus;
	uint64_t claimed, populated;	/* pages */
};

struct fake_domain_state;

struct fake_domains {
	struct fake_heap *heap;
	struct fake_domain_state *state;	/* in the heap */
	int memory_fd;
};

/* What an extent is populated with. */
struct fake_domain_extent {
	uint64_t gfn;
	unsigned order;
	uint64_t host_pages;	/* of the host, to stay within */
	bool dirty;		/* its frames are full of 0xa5, else of 0 */
};

/* Neither heap nor file pass over.  An empty file gets its size. */
void fake_domain_init(struct fake_domains *all, struct fake_heap *heap,
    int memory_fd);

/* NULL if there is no such domain, or no place for another. */
struct fake_domain *fake_domain_find(const struct fake_domains *all,
    uint32_t domid);
struct fake_domain *fake_domain_new(const struct fake_domains *all,
    const uint8_t *uuid, uint32_t nr_vcpus);
void fake_domain_free(const struct fake_domains *all, struct fake_domain *d);
/* The one with the lowest domid from `first` on, or NULL. */
const struct fake_domain *fake_domain_next(const struct fake_domains *all,
    uint32_t first);

/* All or nothing; false if it cannot be. */
bool fake_domain_populate(const struct fake_domains *all,
    struct fake_domain *d, const struct fake_domain_extent *x);
bool fake_domain_has(const struct fake_domains *all,
    const struct fake_domain *d, uint64_t gfn);
/* Where gfn 0 would be in the memory file, in pages. */
uint64_t fake_domain_first_page(const struct fake_domains *all,
    const struct fake_domain *d);
/* Claimed or populated, of all. */
uint64_t fake_domain_used_pages(const struct fake_domains *all);

#endif
