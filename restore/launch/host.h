/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens what a launch works with, on this host.  restore/launch/host.c is Xen;
 * tests/fake/fake_host.c, linked in its place, the fakes.
 */
#ifndef RS_HOST_H
#define RS_HOST_H

#include "include/seam/env.h"

/* All four, for one thread; several may be open at once, and in several
 * threads.  On failure nothing is held. */
int rs_host_open(const char *state_dir, struct env *env, struct err *e);

#endif
