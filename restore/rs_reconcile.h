/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What launchers that were killed have left: found by listing Xen, xenstore
 * and the device mapper, and removed.
 */
#ifndef RS_RECONCILE_H
#define RS_RECONCILE_H

#include "rs_launch.h"

/* Every launcher of the host holds the file `path`, IDENT_LAUNCH_LOCK, locked
 * and shared as long as it has something.  The descriptor, which is the
 * caller's; *alone says that there was no other launcher, and then the lock is
 * exclusive. */
int rs_reconcile_lock(const char *path, bool *alone, struct err *e);
/* Lets others launch too. */
int rs_reconcile_share(int lock_fd, struct err *e);

/* With the exclusive lock: all that is a disposable's is nobody's, and is
 * removed.  *nr_removed counts domains, dead domains' nodes and devices.  What
 * cannot be removed is in *e, and all else is tried. */
int rs_reconcile(const struct rs_env *env, unsigned *nr_removed,
    struct err *e);

#endif
