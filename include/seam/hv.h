/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hypervisor seam: domains and their memory.  restore/host/hv_xen.c is the
 * real one, tests/fake/fake_hv.c the other.  Every operation is mandatory and
 * works on a batch.  -1 and *e on failure; then nothing was acquired, unless
 * the operation says otherwise.  map and unmap may be called from several
 * threads at once, all others from one.
 */
#ifndef HV_H
#define HV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

#define HV_UUID_BYTES 16

struct hv_blob {
	const uint8_t *bytes;
	size_t len;
};

/* What a savefile's key is compared with, and what admission needs. */
struct hv_host {
	uint32_t xen_major, xen_minor;
	char xen_extra[16];
	char build_id[65];	/* hex; "none" if Xen has none */
	uint32_t tsc_khz;
	uint64_t free_bytes;	/* free and not claimed */
	bool scrub_domheap;	/* every free frame is zero or gets zeroed */
	uint8_t cpu_policy[8192];	/* the host's CPUID and MSR policy, */
	size_t cpu_policy_len;		/* as Xen serialises it: to hash */
};

struct hv_domain_params {
	uint8_t uuid[HV_UUID_BYTES];
	uint32_t nr_vcpus;
	uint64_t max_mem_kb;
	uint64_t nr_pages;		/* to claim before anything is built */
	uint32_t max_grant_frames;
	struct hv_blob cpuid, msrs;	/* the recorded CPU policy */
	struct hv_blob hvm_params;	/* { u64 index, u64 value } each */
	uint32_t tsc_mode, tsc_khz;
	uint64_t tsc_nsec;
	uint32_t tsc_incarnation;
};

/* The two channels that a domain is introduced with. */
struct hv_channels {
	uint64_t store_gfn, console_gfn;
	uint32_t store_port, console_port;
};

/* What is left to load once the memory is in place. */
struct hv_state {
	struct hv_blob hvm_context;
	struct hv_channels channels;	/* as create gave them */
};

struct hv_domain_info {
	uint32_t domid;
	uint8_t uuid[HV_UUID_BYTES];
	bool dying, shutdown;
	uint32_t shutdown_reason;	/* SHUTDOWN_suspend is 2 */
	uint32_t nr_vcpus;
	uint64_t nr_pages, max_mem_kb;
};

struct hv;

struct hv_ops {
	void (*close)(struct hv *hv);
	int (*host)(struct hv *hv, struct hv_host *host, struct err *e);

	/* An empty, paused PVH domain with its memory claimed, CPU policy,
	 * TSC and HVM params set and both channels allocated.  ERR_NOMEM if
	 * Xen has too little. */
	int (*create)(struct hv *hv, const struct hv_domain_params *p,
	    uint32_t *domid, struct hv_channels *channels, struct err *e);
	/* nr extents of 2^order frames each, first gfns in `gfns`.  *done says
	 * how many were populated, also on failure. */
	int (*populate)(struct hv *hv, uint32_t domid, unsigned order,
	    const uint64_t *gfns, size_t nr, size_t *done, struct err *e);
	/* Maps nr frames writable, in a row; *addr is the caller's until
	 * unmap. */
	int (*map)(struct hv *hv, uint32_t domid, const uint64_t *gfns,
	    size_t nr, void **addr, struct err *e);
	void (*unmap)(struct hv *hv, void *addr, size_t nr);
	/* Gives back what is left of the claim, clears the store and console
	 * pages, loads the context and seeds the grants. */
	int (*load_state)(struct hv *hv, uint32_t domid,
	    const struct hv_state *s, struct err *e);
	int (*unpause)(struct hv *hv, uint32_t domid, struct err *e);
	/* 0 also if it is already gone. */
	int (*destroy)(struct hv *hv, uint32_t domid, struct err *e);
	/* 1 and *info, 0 if there is no such domain, -1. */
	int (*info)(struct hv *hv, uint32_t domid, struct hv_domain_info *info,
	    struct err *e);
	/* All domains from first_domid on, ascending, at most cap; their
	 * number, or -1. */
	int (*list)(struct hv *hv, uint32_t first_domid,
	    struct hv_domain_info *infos, size_t cap, struct err *e);
	/* Writes the domain's migration stream to fd.  `suspend` is called
	 * once, when the domain is to be suspended: 0 when it is. */
	int (*save)(struct hv *hv, uint32_t domid, int fd,
	    int (*suspend)(void *ctx), void *ctx, struct err *e);
};

struct hv {
	const struct hv_ops *ops;
};

/* All domains, in the order of their numbers; *nr may be 0.  The array is to be
 * freed.  NULL on failure. */
struct hv_domain_info *hv_list_all(struct hv *hv, size_t *nr, struct err *e);
/* The domain with this UUID: 1, or 0 if there is none, or -1. */
int hv_find(struct hv *hv, const uint8_t uuid[HV_UUID_BYTES],
    struct hv_domain_info *info, struct err *e);

#endif
