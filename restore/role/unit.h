/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The service as units of systemd's, one for each role, instead of a parent:
 * how each gets its descriptors.  Core connects to both others, which starts
 * them; they end when core has gone, but couriers only when none has a
 * disposable.  Core ends, and is started anew, when it loses one of them.
 *
 *   dvm-restored.socket   clients'               front has it
 *   dvm-front.socket      RS_UNIT_FRONT, root's  front has it, core connects
 *   dvm-couriers.socket   RS_UNIT_COURIERS, root's  likewise, the stock
 */
#ifndef RS_UNIT_H
#define RS_UNIT_H

#include "restore/core/core.h"
#include "restore/front/front.h"

#define RS_UNIT_FRONT "/run/dvm/front.sock"
#define RS_UNIT_COURIERS "/run/dvm/couriers.sock"

/* Take the lock, connect, accept; fill in descriptors and ids; and are then
 * rs_core_run() and rs_front_run(). */
int rs_unit_core(struct rs_core_params *p, const char *lock_path,
    struct err *e);
int rs_unit_front(struct rs_front_params *p, struct err *e);
/* Keeps a stock of couriers, for one core after the other.  argv: our own, the
 * couriers' too. */
int rs_unit_couriers(char *const *argv, struct err *e);

#endif
