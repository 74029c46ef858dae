/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hypervisor seam on libxenctrl, libxenguest and libxenforeignmemory.
 * Runs as root in dom0, in dvm-restored and dvm-prepare.  Trusts Xen and the
 * blobs it is given: they come from a savefile whose signature was checked.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>
#include <xentoollog.h>

#include "restore/host/hv_xen.h"
#include "restore/host/hv_xen_host.h"
#include "restore/host/hv_xen_state.h"

struct hv_xen {
	struct hv hv;		/* first, so that the two convert */
	xentoollog_logger *log;
	xc_interface *xch;
	xenforeignmemory_handle *fmem;
};

static struct hv_xen *
self(struct hv *hv)
{
	return (struct hv_xen *)(void *)hv;
}

static void
op_close(struct hv *hv)
{
	struct hv_xen *x = self(hv);

	if (x->fmem != NULL)
		(void)xenforeignmemory_close(x->fmem);
	if (x->xch != NULL)
		(void)xc_interface_close(x->xch);
	if (x->log != NULL)
		xtl_logger_destroy(x->log);
	free(x);
}

static int
op_host(struct hv *hv, struct hv_host *host, struct err *e)
{
	return hv_xen_host(self(hv)->xch, host, e);
}

static int
op_create(struct hv *hv, const struct hv_domain_params *p, uint32_t *domid,
    struct hv_channels *channels, struct err *e)
{
	xc_interface *xch = self(hv)->xch;
	struct xen_domctl_createdomain config = {
		.flags = XEN_DOMCTL_CDF_hvm | XEN_DOMCTL_CDF_hap |
		    XEN_DOMCTL_CDF_oos_off,
		.max_vcpus = p->nr_vcpus,
		.max_evtchn_port = 1023,	/* libxl's default */
		/* 0 in the savefile is Xen's own default, -1 here. */
		.max_grant_frames = p->max_grant_frames == 0 ? -1 :
		    (int32_t)p->max_grant_frames,
		.max_maptrack_frames = -1,
		.grant_opts = XEN_DOMCTL_GRANT_version(2),
		.arch.emulation_flags = XEN_X86_EMU_LAPIC,
	};

	memcpy(config.handle, p->uuid, sizeof(config.handle));
	*domid = 0;		/* Xen picks one */
	if (xc_domain_create(xch, domid, &config) != 0)
		return err_set(e, errno == ENOMEM ? ERR_NOMEM : ERR_XEN, errno,
		    "cannot create a domain");
	if (hv_xen_state_shape(xch, *domid, p, e) == 0 &&
	    hv_xen_state_params(xch, *domid, &p->hvm_params, channels, e) == 0)
		return 0;
	(void)xc_domain_destroy(xch, *domid);
	return -1;
}

static int
op_populate(struct hv *hv, uint32_t domid, unsigned order,
    const uint64_t *gfns, size_t nr, size_t *done, struct err *e)
{
	xc_interface *xch = self(hv)->xch;
	xen_pfn_t *extents;
	int rc;

	/* libxc's prototype wants them writable, and writes nothing for an
	 * auto-translated guest; copy all the same, the plan is shared. */
	*done = 0;
	if (nr == 0)
		return 0;
	extents = malloc(nr * sizeof(*extents));
	if (extents == NULL)
		return err_set(e, ERR_NOMEM, errno, "populate");
	memcpy(extents, gfns, nr * sizeof(*extents));
	rc = xc_domain_populate_physmap(xch, domid, nr, order, 0, extents);
	free(extents);
	if (rc > 0)
		*done = (size_t)rc;
	if (*done == nr)
		return 0;
	return err_set(e, ERR_NOMEM, rc < 0 ? errno : 0,
	    "Xen populated %zu of %zu extents of order %u", *done, nr, order);
}

static int
op_map(struct hv *hv, uint32_t domid, const uint64_t *gfns, size_t nr,
    void **addr, struct err *e)
{
	_Static_assert(sizeof(xen_pfn_t) == sizeof(uint64_t), "gfn size");
	*addr = xenforeignmemory_map(self(hv)->fmem, domid,
	    PROT_READ | PROT_WRITE, nr, gfns, NULL);
	if (*addr == NULL)
		return err_set(e, ERR_XEN, errno,
		    "cannot map %zu frames of domain %u", nr, domid);
	return 0;
}

static void
op_unmap(struct hv *hv, void *addr, size_t nr)
{
	(void)xenforeignmemory_unmap(self(hv)->fmem, addr, nr);
}

static int
op_load_state(struct hv *hv, uint32_t domid, const struct hv_state *s,
    struct err *e)
{
	return hv_xen_state_load(self(hv)->xch, domid, s, e);
}

static int
op_unpause(struct hv *hv, uint32_t domid, struct err *e)
{
	if (xc_domain_unpause(self(hv)->xch, domid) != 0)
		return err_set(e, ERR_XEN, errno, "cannot unpause domain %u",
		    domid);
	return 0;
}

static int
op_destroy(struct hv *hv, uint32_t domid, struct err *e)
{
	if (xc_domain_destroy(self(hv)->xch, domid) != 0 && errno != ESRCH)
		return err_set(e, ERR_XEN, errno, "cannot destroy domain %u",
		    domid);
	return 0;
}

static int
op_list(struct hv *hv, uint32_t first_domid, struct hv_domain_info *infos,
    size_t cap, struct err *e)
{
	return hv_xen_host_list(self(hv)->xch, first_domid, infos, cap, e);
}

static int
op_info(struct hv *hv, uint32_t domid, struct hv_domain_info *info,
    struct err *e)
{
	int nr;

	nr = hv_xen_host_list(self(hv)->xch, domid, info, 1, e);
	if (nr < 0)
		return -1;
	return nr == 1 && info->domid == domid;
}

struct save_ctx {
	int (*suspend)(void *ctx);
	void *ctx;
};

/* libxenguest wants 1 for "it is suspended". */
static int
save_suspend(void *data)
{
	struct save_ctx *s = data;

	return s->suspend(s->ctx) == 0;
}

/* Only an HVM guest's device model would have to log; libxenguest insists on
 * the callback for PVH too. */
static int
save_no_device_model(uint32_t domid, unsigned enable, void *data)
{
	(void)domid;
	(void)enable;
	(void)data;
	return 0;
}

static int
op_save(struct hv *hv, uint32_t domid, int fd, int (*suspend)(void *ctx),
    void *ctx, struct err *e)
{
	struct save_ctx s = { .suspend = suspend, .ctx = ctx };
	struct save_callbacks callbacks = {
		.suspend = save_suspend,
		.switch_qemu_logdirty = save_no_device_model,
		.data = &s,
	};

	if (xc_domain_save(self(hv)->xch, fd, domid, 0, &callbacks,
	    XC_STREAM_PLAIN, -1) != 0)
		return err_set(e, ERR_XEN, errno, "cannot save domain %u",
		    domid);
	return 0;
}

static const struct hv_ops hv_xen_ops = {
	.close = op_close,
	.host = op_host,
	.create = op_create,
	.populate = op_populate,
	.map = op_map,
	.unmap = op_unmap,
	.load_state = op_load_state,
	.unpause = op_unpause,
	.destroy = op_destroy,
	.info = op_info,
	.list = op_list,
	.save = op_save,
};

struct hv *
hv_xen_open(struct err *e)
{
	struct hv_xen *x;

	x = calloc(1, sizeof(*x));
	if (x == NULL) {
		err_set(e, ERR_NOMEM, errno, "hypervisor handle");
		return NULL;
	}
	x->hv.ops = &hv_xen_ops;
	/* libxc logs by itself; what it says of an error is less than what
	 * our callers say, so only its last words come through. */
	x->log = (xentoollog_logger *)xtl_createlogger_stdiostream(stderr,
	    XTL_CRITICAL, XTL_STDIOSTREAM_HIDE_PROGRESS);
	x->xch = xc_interface_open(x->log, x->log, 0);
	if (x->xch != NULL)
		x->fmem = xenforeignmemory_open(x->log, 0);
	if (x->log != NULL && x->xch != NULL && x->fmem != NULL)
		return &x->hv;
	err_set(e, ERR_XEN, errno, "cannot talk to Xen: is this dom0, are "
	    "/dev/xen/privcmd and root's rights there?");
	op_close(&x->hv);
	return NULL;
}
