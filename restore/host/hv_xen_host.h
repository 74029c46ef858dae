/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What Xen says of the host and of its domains; part of hv_xen.
 */
#ifndef HV_XEN_HOST_H
#define HV_XEN_HOST_H

#include <xenctrl.h>

#include "include/seam/hv.h"

int hv_xen_host(xc_interface *xch, struct hv_host *host, struct err *e);
int hv_xen_host_list(xc_interface *xch, uint32_t first_domid,
    struct hv_domain_info *infos, size_t cap, struct err *e);

#endif
