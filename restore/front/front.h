/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The role `front`: clients' connections, and what they may ask.
 */
#ifndef RS_FRONT_H
#define RS_FRONT_H

#include <sys/types.h>

#include "include/err.h"

#define RS_FRONT_CLIENTS_MAX 1024u	/* a power of two: see number_of() */

struct rs_front_params {
	int listen_fd, link_fd;
	uid_t uid;		/* to run as */
	gid_t gid;
	pid_t parent;
};

/* Serves until core goes away. */
int rs_front_run(const struct rs_front_params *p, struct err *e);

#endif
