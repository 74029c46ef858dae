/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What launchers that were killed have left: found by listing Xen, xenstore
 * and the device mapper, and removed.
 */
#ifndef RS_RECONCILE_H
#define RS_RECONCILE_H

#include "restore/launch/launch.h"
#include "restore/launch/tag.h"

/* Every launcher of the host holds the file `path`, IDENT_LAUNCH_LOCK, locked
 * and shared as long as it has something.  The descriptor, which is the
 * caller's; *alone says that there was no other launcher, and then the lock is
 * exclusive.  ERR_BUSY if there is a service. */
int rs_reconcile_lock(const char *path, bool *alone, struct err *e);
/* For the service: exclusive for as long as it runs.  ERR_BUSY at once if
 * anybody else has it. */
int rs_reconcile_lock_alone(const char *path, struct err *e);
/* Lets others launch too. */
int rs_reconcile_share(int lock_fd, struct err *e);

/* Disposables of an earlier service that still run; or that have been ended,
 * but something does not let go of them yet. */
struct rs_survivor {
	bool ending;
	struct rs_domain domain;
	struct rs_tag note;
};

struct rs_survivors {
	bool unseen;		/* there may be more: not all could be seen */
	struct rs_survivor *all;	/* nr of them; caller frees */
	size_t nr;
	/* Names of the bases that their disks stand on, each NUL-terminated;
	 * to be removed after them.  Caller frees. */
	char *bases;
	size_t bases_bytes;
};

/* With the exclusive lock: all that is a disposable's is nobody's, and is
 * removed; but with `kept`, complete disposables that run are put there and
 * left alone.  *nr_removed counts domains, dead domains' nodes and devices.
 * What cannot be removed is in *e, and all else is tried. */
int rs_reconcile(const struct env *env, struct rs_survivors *kept,
    unsigned *nr_removed, struct err *e);
/* Removes those of kept->bases that nothing stands on any more, and takes
 * them from the list. */
void rs_reconcile_bases(const struct env *env, struct rs_survivors *kept);

#endif
