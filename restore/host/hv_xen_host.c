/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What Xen says of the host and of its domains; part of hv_xen.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenguest.h>

#include "restore/host/hv_xen_host.h"

/* xc_domain_getinfolist() takes any number, but the hypercall holds Xen's
 * domain list lock per entry: ask in pieces. */
#define LIST_BATCH 64

/* Is a boolean parameter on, off or (dflt) absent on Xen's command line?  The
 * last mention wins, as in Xen (docs/misc/xen-command-line.pandoc). */
static bool
command_line_bool(const char *line, const char *name, bool dflt)
{
	static const char *const off[] = { "no", "off", "false", "disable",
	    "0" };
	char word[128];
	size_t len = strlen(name);
	bool value = dflt;
	int used;

	while (sscanf(line, "%127s%n", word, &used) == 1) {
		line += used;
		if (strncmp(word, "no-", 3) == 0 &&
		    strcmp(word + 3, name) == 0) {
			value = false;
			continue;
		}
		if (strncmp(word, name, len) != 0 ||
		    (word[len] != '\0' && word[len] != '='))
			continue;
		value = true;
		for (size_t i = 0; word[len] == '=' &&
		    i < sizeof(off) / sizeof(off[0]); i++)
			if (strcmp(word + len + 1, off[i]) == 0)
				value = false;
	}
	return value;
}

static int
host_version(xc_interface *xch, struct hv_host *host, struct err *e)
{
	union {
		xen_build_id_t id;
		uint8_t room[sizeof(xen_build_id_t) + 32];
	} build = { .id = { .len = 32 } };
	xen_commandline_t line;
	xen_extraversion_t extra;
	int version, len;

	version = xc_version(xch, XENVER_version, NULL);
	if (version < 0 || xc_version(xch, XENVER_extraversion, &extra) < 0 ||
	    xc_version(xch, XENVER_commandline, &line) < 0)
		return err_set(e, ERR_XEN, errno, "cannot read Xen's version");
	host->xen_major = (uint32_t)version >> 16;
	host->xen_minor = (uint32_t)version & 0xffff;
	(void)snprintf(host->xen_extra, sizeof(host->xen_extra), "%.15s",
	    extra);
	line[sizeof(line) - 1] = '\0';
	host->scrub_domheap = command_line_bool(line, "scrub-domheap", false) &&
	    command_line_bool(line, "bootscrub", true);

	(void)snprintf(host->build_id, sizeof(host->build_id), "none");
	len = xc_version(xch, XENVER_build_id, &build.id);
	for (int i = 0; i < len && i < 32; i++)
		(void)snprintf(host->build_id + 2 * i, 3, "%02x",
		    build.room[offsetof(xen_build_id_t, buf) + (size_t)i]);
	return 0;
}

/* The greatest policy Xen offers to an HVM or PVH guest: changes with the CPU,
 * its microcode, Xen and its command line. */
static int
host_cpu_policy(xc_interface *xch, struct hv_host *host, struct err *e)
{
	xc_cpu_policy_t *policy = NULL;
	xen_cpuid_leaf_t *leaves = NULL;
	xen_msr_entry_t *msrs = NULL;
	uint32_t nr_leaves, nr_msrs;
	size_t leaf_bytes, msr_bytes;
	int rc = -1;

	if (xc_cpu_policy_get_size(xch, &nr_leaves, &nr_msrs) != 0) {
		err_set(e, ERR_XEN, errno, "cannot read the CPU policy");
		return -1;
	}
	policy = xc_cpu_policy_init();
	leaves = calloc(nr_leaves, sizeof(*leaves));
	msrs = calloc(nr_msrs, sizeof(*msrs));
	if (policy == NULL || leaves == NULL || msrs == NULL) {
		err_set(e, ERR_NOMEM, errno, "CPU policy");
		goto out;
	}
	if (xc_cpu_policy_get_system(xch, XEN_SYSCTL_cpu_policy_hvm_max,
	    policy) != 0 || xc_cpu_policy_serialise(xch, policy, leaves,
	    &nr_leaves, msrs, &nr_msrs) != 0) {
		err_set(e, ERR_XEN, errno, "cannot read the CPU policy");
		goto out;
	}
	leaf_bytes = nr_leaves * sizeof(*leaves);
	msr_bytes = nr_msrs * sizeof(*msrs);
	if (leaf_bytes + msr_bytes > sizeof(host->cpu_policy)) {
		err_set(e, ERR_XEN, 0, "the CPU policy has %zu bytes, room is "
		    "for %zu", leaf_bytes + msr_bytes,
		    sizeof(host->cpu_policy));
		goto out;
	}
	memcpy(host->cpu_policy, leaves, leaf_bytes);
	memcpy(host->cpu_policy + leaf_bytes, msrs, msr_bytes);
	host->cpu_policy_len = leaf_bytes + msr_bytes;
	rc = 0;
out:
	free(msrs);
	free(leaves);
	if (policy != NULL)
		xc_cpu_policy_destroy(policy);
	return rc;
}

int
hv_xen_host(xc_interface *xch, struct hv_host *host, struct err *e)
{
	xc_physinfo_t phys;

	memset(host, 0, sizeof(*host));
	if (xc_physinfo(xch, &phys) != 0)
		return err_set(e, ERR_XEN, errno, "cannot read Xen's physinfo");
	host->tsc_khz = phys.cpu_khz;
	if (phys.free_pages > phys.outstanding_pages)
		host->free_bytes = (phys.free_pages - phys.outstanding_pages) *
		    XC_PAGE_SIZE;
	if (host_version(xch, host, e) != 0)
		return -1;
	return host_cpu_policy(xch, host, e);
}

static void
copy_info(const xc_domaininfo_t *from, struct hv_domain_info *to)
{
	memset(to, 0, sizeof(*to));
	to->domid = from->domain;
	memcpy(to->uuid, from->handle, sizeof(to->uuid));
	to->dying = (from->flags & XEN_DOMINF_dying) != 0;
	to->shutdown = (from->flags & XEN_DOMINF_shutdown) != 0;
	to->shutdown_reason = (from->flags >> XEN_DOMINF_shutdownshift) &
	    XEN_DOMINF_shutdownmask;
	to->nr_vcpus = from->max_vcpu_id + 1;
	to->nr_pages = from->tot_pages;
	to->max_mem_kb = from->max_pages * (XC_PAGE_SIZE / 1024);
}

int
hv_xen_host_list(xc_interface *xch, uint32_t first_domid,
    struct hv_domain_info *infos, size_t cap, struct err *e)
{
	xc_domaininfo_t batch[LIST_BATCH];
	size_t done = 0;

	while (done < cap) {
		unsigned want = cap - done < LIST_BATCH ?
		    (unsigned)(cap - done) : LIST_BATCH;
		int got = xc_domain_getinfolist(xch, first_domid, want, batch);

		if (got < 0)
			return err_set(e, ERR_XEN, errno,
			    "cannot list domains");
		for (int i = 0; i < got; i++)
			copy_info(&batch[i], &infos[done++]);
		if ((unsigned)got < want)
			break;
		first_domid = batch[got - 1].domain + 1u;
	}
	return (int)done;
}
