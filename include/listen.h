/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A daemon's listening socket: systemd's, or its own.
 */
#ifndef DVM_LISTEN_H
#define DVM_LISTEN_H

#include <sys/types.h>

#include "err.h"

/* The one that systemd has made (sd_listen_fds(3)), close-on-exec; -1 if it
 * has made none. */
int listen_inherited(void);

/* The directory of `path`, if there is none. */
int listen_make_dir(const char *path, mode_t mode, struct err *e);

/* A SOCK_SEQPACKET socket that does not block, at `path`, root's alone (0600),
 * in a directory that is made with dir_mode if there is none.  A socket that
 * nobody listens on is replaced; ERR_BUSY if somebody does.  The descriptor is
 * the caller's. */
int listen_at(const char *path, mode_t dir_mode, struct err *e);

#endif
