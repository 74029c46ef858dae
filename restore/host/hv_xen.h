/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hypervisor seam on libxenctrl, libxenguest and libxenforeignmemory.
 */
#ifndef HV_XEN_H
#define HV_XEN_H

#include "include/seam/hv.h"

/* Opens the handles; needs root in dom0.  ops->close frees it. */
struct hv *hv_xen_open(struct err *e);

#endif
