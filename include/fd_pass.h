/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A message on a UNIX socket, and at most one descriptor with it.
 */
#ifndef FD_PASS_H
#define FD_PASS_H

#include <sys/types.h>

/* As send(2) with MSG_DONTWAIT and MSG_NOSIGNAL.  fd -1: none; it stays the
 * caller's. */
ssize_t fd_pass_send(int socket_fd, const void *data, size_t len, int fd);

/* As recv(2) with MSG_DONTWAIT.  *fd is the caller's, or -1; if fd is NULL, and
 * of more than one, what came is closed. */
ssize_t fd_pass_receive(int socket_fd, void *data, size_t len, int *fd);

#endif
