/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hypervisor seam in plain memory: domains whose frames are pages of a
 * sparse file, so that mapping them works as in Xen.  Counts what is held.
 */
#ifndef FAKE_HV_H
#define FAKE_HV_H

#include "include/seam/hv.h"
#include "include/seam/store.h"
#include "tests/fake/fake_fault.h"
#include "tests/fake/fake_heap.h"

struct fake_hv_params {
	struct fake_fault *fault;	/* NULL: nothing fails */
	uint64_t host_pages;		/* memory of the host */
	bool scrubbed;			/* else fresh frames are full of 0xa5 */
	bool fragmented;		/* every third superpage is refused */
	/* What save writes, in the domain's place, and its length. */
	const uint8_t *stream;
	size_t stream_len;
	/* The guests' agents answer in this fake_store, when they are
	 * unpaused and as the heap's config says; NULL: they do not. */
	struct store *agents;
};

/* A host of its own: domids are used again at once.  ops->close ends it. */
struct hv *fake_hv_open(const struct fake_hv_params *p);
/* A handle on the host that `heap` holds and that outlives it; domids go up
 * as Xen's do.  Frames are pages of memory_fd, which it takes over. */
struct hv *fake_hv_attach(const struct fake_hv_params *p,
    struct fake_heap *heap, int memory_fd);

/* Domains and claimed or populated pages that are held now, and this handle's
 * mappings. */
unsigned fake_hv_held(const struct hv *hv);
/* Adds a domain as if a toolstack had made it. */
uint32_t fake_hv_add(struct hv *hv, const uint8_t *uuid, uint32_t nr_vcpus);
/* The guest suspends itself, or powers off. */
void fake_hv_suspend(struct hv *hv, uint32_t domid);
void fake_hv_power_off(struct hv *hv, uint32_t domid);
bool fake_hv_is_running(const struct hv *hv, uint32_t domid);
/* A copy of one frame; false if it is not populated. */
bool fake_hv_read(const struct hv *hv, uint32_t domid, uint64_t gfn,
    uint8_t *page);
uint64_t fake_hv_nr_populated(const struct hv *hv, uint32_t domid);

#endif
