/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A new domain's shape and its non-memory state; part of hv_xen.
 */
#ifndef HV_XEN_STATE_H
#define HV_XEN_STATE_H

#include <xenctrl.h>

#include "include/seam/hv.h"

/* vCPUs, paging pool, memory limit and claim, CPU policy, TSC.  On failure the
 * domain is the caller's to destroy. */
int hv_xen_state_shape(xc_interface *xch, uint32_t domid,
    const struct hv_domain_params *p, struct err *e);

/* The recorded params, and fresh channels in place of the recorded ones. */
int hv_xen_state_params(xc_interface *xch, uint32_t domid,
    const struct hv_blob *params, struct hv_channels *channels,
    struct err *e);

/* What needs the memory in place: hv_ops.load_state. */
int hv_xen_state_load(xc_interface *xch, uint32_t domid,
    const struct hv_state *s, struct err *e);

#endif
