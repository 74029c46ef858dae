/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A daemon's listening socket: systemd's, or its own.
 */
#ifndef DVM_LISTEN_H
#define DVM_LISTEN_H

#include "err.h"

/* The one that systemd has made (sd_listen_fds(3)), close-on-exec; -1 if it
 * has made none. */
int listen_inherited(void);

/* A SOCK_SEQPACKET socket at `path`, root's alone (0600), in a directory that
 * is made 0700 if there is none.  A socket that nobody listens on is replaced;
 * ERR_BUSY if somebody does.  The descriptor is the caller's. */
int listen_at(const char *path, struct err *e);

#endif
