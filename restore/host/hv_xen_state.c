/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A new domain's shape and its non-memory state, in the order that
 * libxenguest's own restore uses (tools/libs/guest/xg_sr_restore_x86_hvm.c in
 * Xen's tree); part of hv_xen.  The blobs come from a savefile whose signature
 * was checked; their sizes are checked all the same.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>
#include <xen/hvm/params.h>

#include "restore/host/hv_xen_state.h"

/* libxl's libxl__get_required_paging_memory(): one MiB a vCPU for its page
 * tables and Xen's own use, and 4 KiB for each MiB of guest memory. */
static uint64_t
paging_pool_bytes(const struct hv_domain_params *p)
{
	uint64_t pool_kb = 4 * (256 * (uint64_t)p->nr_vcpus +
	    p->max_mem_kb / 1024);

	return ((pool_kb + 1023) / 1024) << 20;
}

/* Fails now, with the domain still empty, rather than in mid-load. */
static int
claim(xc_interface *xch, uint32_t domid, const struct hv_domain_params *p,
    struct err *e)
{
	xc_physinfo_t phys = { .free_pages = 0 };
	int saved;

	if (xc_domain_claim_pages(xch, domid, p->nr_pages) == 0)
		return 0;
	saved = errno;
	if (saved != ENOMEM || xc_physinfo(xch, &phys) != 0)
		return err_set(e, ERR_XEN, saved, "cannot claim %llu MiB",
		    (unsigned long long)(p->nr_pages >> 8));
	return err_set(e, ERR_NOMEM, 0, "too little memory: the domain needs "
	    "%llu MiB, Xen has %llu MiB free; close a VM or give dom0 less",
	    (unsigned long long)(p->nr_pages >> 8),
	    (unsigned long long)((phys.free_pages -
	    (phys.outstanding_pages < phys.free_pages ?
	    phys.outstanding_pages : phys.free_pages)) >> 8));
}

static int
cpu_policy(xc_interface *xch, uint32_t domid,
    const struct hv_domain_params *p, struct err *e)
{
	uint32_t leaf = UINT32_MAX, subleaf = UINT32_MAX, msr = UINT32_MAX;
	size_t nr_leaves = p->cpuid.len / sizeof(xen_cpuid_leaf_t);
	size_t nr_msrs = p->msrs.len / sizeof(xen_msr_entry_t);
	xen_cpuid_leaf_t *leaves = NULL;
	xen_msr_entry_t *msrs = NULL;
	int rc = -1;

	/* Copies, aligned as Xen's types want and writable as libxc's
	 * prototype wants. */
	leaves = calloc(nr_leaves + 1, sizeof(*leaves));
	msrs = calloc(nr_msrs + 1, sizeof(*msrs));
	if (leaves == NULL || msrs == NULL) {
		err_set(e, ERR_NOMEM, errno, "CPU policy");
		goto out;
	}
	memcpy(leaves, p->cpuid.bytes, nr_leaves * sizeof(*leaves));
	memcpy(msrs, p->msrs.bytes, nr_msrs * sizeof(*msrs));
	rc = xc_set_domain_cpu_policy(xch, domid, (uint32_t)nr_leaves, leaves,
	    (uint32_t)nr_msrs, msrs, &leaf, &subleaf, &msr);
	if (rc != 0)
		rc = err_set(e, ERR_STALE, errno, "Xen refuses the recorded "
		    "CPU policy (leaf %#x, subleaf %#x, MSR %#x): prepare the "
		    "template again on this host", leaf, subleaf, msr);
out:
	free(msrs);
	free(leaves);
	return rc;
}

int
hv_xen_state_shape(xc_interface *xch, uint32_t domid,
    const struct hv_domain_params *p, struct err *e)
{
	if (xc_domain_max_vcpus(xch, domid, p->nr_vcpus) != 0)
		return err_set(e, ERR_XEN, errno, "cannot make %u vCPUs",
		    p->nr_vcpus);
	if (xc_set_paging_mempool_size(xch, domid, paging_pool_bytes(p)) != 0)
		return err_set(e, errno == ENOMEM ? ERR_NOMEM : ERR_XEN, errno,
		    "cannot set the paging pool to %llu MiB",
		    (unsigned long long)(paging_pool_bytes(p) >> 20));
	if (xc_domain_setmaxmem(xch, domid, p->max_mem_kb) != 0)
		return err_set(e, ERR_XEN, errno, "cannot set maxmem to %llu "
		    "KiB", (unsigned long long)p->max_mem_kb);
	if (claim(xch, domid, p, e) != 0 || cpu_policy(xch, domid, p, e) != 0)
		return -1;
	if (xc_domain_set_tsc_info(xch, domid, p->tsc_mode, p->tsc_nsec,
	    p->tsc_khz, p->tsc_incarnation) != 0)
		return err_set(e, ERR_XEN, errno, "cannot set the TSC");
	return 0;
}

static uint64_t
le64(const uint8_t *p)
{
	uint64_t v = 0;

	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static int
set_param(xc_interface *xch, uint32_t domid, uint32_t index, uint64_t value,
    struct err *e)
{
	if (xc_hvm_param_set(xch, domid, index, value) != 0)
		return err_set(e, ERR_XEN, errno, "cannot set HVM param %u",
		    index);
	return 0;
}

static int
load_params(xc_interface *xch, uint32_t domid, const struct hv_blob *params,
    struct hv_channels *channels, struct err *e)
{
	for (size_t off = 0; off + 16 <= params->len; off += 16) {
		uint64_t index = le64(params->bytes + off);
		uint64_t value = le64(params->bytes + off + 8);

		if (index > UINT32_MAX)
			return err_set(e, ERR_INPUT, 0, "HVM param %llu",
			    (unsigned long long)index);
		if (index == HVM_PARAM_STORE_PFN)
			channels->store_gfn = value;
		if (index == HVM_PARAM_CONSOLE_PFN)
			channels->console_gfn = value;
		if (set_param(xch, domid, (uint32_t)index, value, e) != 0)
			return -1;
	}
	if (channels->store_gfn == 0 || channels->console_gfn == 0)
		return err_set(e, ERR_INPUT, 0, "the savefile names no store "
		    "or console page");
	return 0;
}

static int
alloc_channel(xc_interface *xch, uint32_t domid, uint32_t param,
    uint32_t *port, struct err *e)
{
	int rc;

	rc = xc_evtchn_alloc_unbound(xch, domid, 0);
	if (rc < 0)
		return err_set(e, ERR_XEN, errno, "cannot allocate a channel");
	*port = (uint32_t)rc;
	return set_param(xch, domid, param, *port, e);
}

int
hv_xen_state_params(xc_interface *xch, uint32_t domid,
    const struct hv_blob *params, struct hv_channels *channels, struct err *e)
{
	memset(channels, 0, sizeof(*channels));
	/* libxl's default: no delay for missed ticks. */
	if (set_param(xch, domid, HVM_PARAM_TIMER_MODE, 1, e) != 0 ||
	    load_params(xch, domid, params, channels, e) != 0 ||
	    alloc_channel(xch, domid, HVM_PARAM_STORE_EVTCHN,
	    &channels->store_port, e) != 0)
		return -1;
	return alloc_channel(xch, domid, HVM_PARAM_CONSOLE_EVTCHN,
	    &channels->console_port, e);
}

int
hv_xen_state_load(xc_interface *xch, uint32_t domid, const struct hv_state *s,
    struct err *e)
{
	const uint64_t rings[] = { s->channels.store_gfn,
	    s->channels.console_gfn };
	uint8_t *context;
	int rc;

	if (xc_domain_claim_pages(xch, domid, 0) != 0)
		return err_set(e, ERR_XEN, errno, "cannot end the claim");
	/* The rings of a past life: the guest starts new ones. */
	for (int i = 0; i < 2; i++)
		if (xc_clear_domain_pages(xch, domid, rings[i], 1) != 0)
			return err_set(e, ERR_XEN, errno, "cannot clear frame "
			    "%#llx", (unsigned long long)rings[i]);

	context = malloc(s->hvm_context.len);
	if (context == NULL)
		return err_set(e, ERR_NOMEM, errno, "HVM context");
	memcpy(context, s->hvm_context.bytes, s->hvm_context.len);
	rc = xc_domain_hvm_setcontext(xch, domid, context,
	    (uint32_t)s->hvm_context.len);
	free(context);
	if (rc != 0)
		return err_set(e, ERR_XEN, errno, "Xen refuses the recorded "
		    "HVM context");
	if (xc_dom_gnttab_seed(xch, domid, true, s->channels.console_gfn,
	    s->channels.store_gfn, 0, 0) != 0)
		return err_set(e, ERR_XEN, errno, "cannot seed the grants");
	return 0;
}
