/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The role `courier`: hears what the guest of one disposable says.
 */
#ifndef RS_COURIER_H
#define RS_COURIER_H

#include <sys/types.h>

#include "include/err.h"

struct rs_courier_params {
	uid_t uid;
	gid_t gid;
	pid_t parent;
	int link_fd;		/* to core: struct rs_stock_job; its end is
				 * ours */
	int board_fd;		/* struct rs_stock_board */
};

/* Waits for its job, does it, and is done: 0. */
int rs_courier_run(const struct rs_courier_params *p, struct err *e);

#endif
