/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A daemon's listening sockets, of type SOCK_SEQPACKET: systemd's, or its own.
 */
#ifndef LISTEN_H
#define LISTEN_H

#include <stdbool.h>
#include <sys/types.h>

#include "include/err.h"

struct listen_place {
	const char *path;
	mode_t dir_mode;	/* of its directory, if that is to be made */
	gid_t gid;		/* who may connect besides root; 0: nobody */
	int type;		/* SOCK_NONBLOCK or 0 */
	int backlog;
};

/* The one that systemd made for that unit of its (sd_listen_fds_with_names(3)),
 * close-on-exec; -1 if it made none. */
int listen_inherited(const char *unit);

/* The directory of `path`, with that mode whatever the umask is; one that is
 * there keeps its own. */
int listen_make_dir(const char *path, mode_t mode, struct err *e);

/* Does somebody listen there?  One that was killed may seem to, for a moment:
 * who holds a lock need not ask. */
bool listen_is_served(const char *path);

/* Replaces what is at the path.  The descriptor is the caller's, and is
 * close-on-exec. */
int listen_at(const struct listen_place *p, struct err *e);

#endif
