/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The way to a guest's agent.  restore/courier/chan_xen.c is libxenvchan;
 * tests/fake/fake_chan.c, linked in its place, starts an agent of its own.
 */
#ifndef RS_CHAN_OPEN_H
#define RS_CHAN_OPEN_H

#include <stdint.h>

#include "include/wire/chan.h"

/* Until the deadline (clock_now_ns()), or until cancel_fd is readable or hung
 * up: ERR_INTERRUPTED.  To be called once, with the privileges that it takes;
 * what it opens is for the process's life.  After it, *io needs none. */
int rs_chan_open(uint32_t domid, uint64_t deadline_ns, int cancel_fd,
    struct chan_io *io, struct err *e);

#endif
