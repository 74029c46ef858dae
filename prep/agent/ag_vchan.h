/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The channel's way out of the guest: libxenvchan's server, whose client is
 * dom0's courier.
 */
#ifndef AG_VCHAN_H
#define AG_VCHAN_H

#include "include/err.h"
#include "include/wire/chan.h"

/* While the guest settles: loads the modules that it needs.  Says on stderr
 * what is missing, which is no failure: such a guest cannot run programs. */
void ag_vchan_prepare(void);

/* Offers it in xenstore, below the domain's own path.  Until the client comes
 * there is nothing to read. */
int ag_vchan_open(struct chan_io *io, struct err *e);
/* What was written can still be read by the other side. */
void ag_vchan_close(struct chan_io *io);

#endif
