/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The bytes below store_wire.c: a stream socket to the xenstore daemon that
 * is never waited for past a deadline.  The descriptor is blocking, for
 * connect() alone.
 */
#ifndef STORE_LINK_H
#define STORE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

/* The descriptor, close-on-exec, or -1.  socket_path NULL is the daemon's
 * usual one. */
int store_link_connect(const char *socket_path, unsigned timeout_ms,
    struct err *e);

/* Sleeps until the socket can be read (or written, if want_write), and
 * returns 1.  0 once deadline_ns has passed, whether or not the socket can be
 * used, so that a daemon that never falls silent ends there too.  -1
 * ERR_INTERRUPTED if interrupt_fd (-1: none) is readable. */
int store_link_wait(int fd, bool want_write, uint64_t deadline_ns,
    int interrupt_fd, struct err *e);

/* Moves what can be moved now: *n bytes, 0 if the socket would block.  No
 * SIGPIPE; the end of the stream is an error. */
int store_link_send(int fd, const char *bytes, size_t len, size_t *n,
    struct err *e);
int store_link_receive(int fd, char *bytes, size_t cap, size_t *n,
    struct err *e);

#endif
