/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting until nodes have their values, for store_xen.c: the `wait` of
 * include/store.h, on one connection.
 */
#ifndef STORE_WAIT_H
#define STORE_WAIT_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"
#include "restore/host/store_wire.h"

struct store_wait_params {
	const char *const *paths;
	const char *const *want;	/* NULL, or of each path; may be NULL */
	size_t nr;
	uint64_t deadline_ns;
	int interrupt_fd;
	uint64_t serial;	/* not used before on this connection */
};

/* Watches are set for what is not there at once and are gone afterwards.  A
 * path counts once it was seen with its value, even if it moves on while
 * others are waited for: a device's states are passed through.  The
 * connection survives ERR_TIMEOUT at deadline_ns and ERR_INTERRUPTED. */
int store_wait(struct store_wire *w, const struct store_wait_params *p,
    struct err *e);

#endif
