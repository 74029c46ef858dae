/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore seam on the daemon's socket: the wire protocol of
 * xen/io/xs_wire.h with many requests in flight, and a deadline for each
 * operation, which libxenstore has neither of.
 */
#ifndef STORE_XEN_H
#define STORE_XEN_H

#include "include/seam/store.h"

#define STORE_XEN_TIMEOUT_MS 30000

/* socket_path NULL is the daemon's usual one.  ops->close frees it. */
struct store *store_xen_open(const char *socket_path, unsigned timeout_ms,
    struct err *e);

#endif
