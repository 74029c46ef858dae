/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The service's parent: starts the roles, and starts them again.  Where there
 * is systemd, it does that instead (rs_unit.h).
 */
#ifndef RS_PARENT_H
#define RS_PARENT_H

#include "include/err.h"
#include "restore/role/spawn.h"

struct rs_parent_params {
	const char *socket_path;
	const char *lock_path;		/* IDENT_LAUNCH_LOCK */
	const char *user, *group;	/* front's; who may connect */
	char *const *argv;		/* our own: the roles' too */
};

/* What a role finds open, and is told: descriptors in this order. */
enum {
	RS_PARENT_LINK_FD = RS_SPAWN_FD,	/* to the other role; a
					 * courier's: to core */
	RS_PARENT_OTHER_FD,		/* front: the socket; core: ready;
					 * courier: the board */
	RS_PARENT_STOCK_FD,		/* core's: rs_stock.h */
	RS_PARENT_LOCK_FD		/* core's alone, while it lives */
};

/* Serves until SIGTERM or SIGINT: 0 when nothing is left.  ERR_BUSY if there
 * is another instance, or a dvm-restored --once. */
int rs_parent_run(const struct rs_parent_params *p, struct err *e);

#endif
