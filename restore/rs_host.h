/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens what a launch works with, on this host.  restore/rs_host.c is Xen;
 * tests/fake_host.c, linked in its place, the fakes.
 */
#ifndef RS_HOST_H
#define RS_HOST_H

#include "rs_launch.h"

/* rs_host_close(), which is the same for both, is rs_host_close.c's. */

/* All four, for one thread; several may be open at once, and in several
 * threads.  On failure nothing is held. */
int rs_host_open(const char *state_dir, struct rs_env *env, struct err *e);
void rs_host_close(struct rs_env *env);

#endif
