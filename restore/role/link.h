/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Messages of include/wire/dvm_proto.h on a socket, in an event loop: what
 * cannot be sent at once waits in a bounded queue.
 */
#ifndef RS_LINK_H
#define RS_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "include/wire/dvm_proto.h"

struct event_base;
struct rs_link;

struct rs_link_ops {
	/* A well-formed message; what it says is not checked.  fd: the
	 * descriptor that came with it, now the callee's, or -1. */
	void (*message)(void *arg, const struct dvm_proto *untrusted_m,
	    int fd);
	/* The other end is gone, or does not take what is sent; or it sent
	 * what is no message: ERR_INPUT, and then one may still send.
	 * Nothing more will come.  May free the link; `message` may not. */
	void (*closed)(void *arg, const struct err *why);
};

struct rs_link_params {
	int fd;			/* taken, also on failure; non-blocking */
	unsigned queue_max;	/* messages that may wait */
	unsigned stall_s;	/* how long the first may; 0: for ever */
	/* Reads on only while fewer wait; 0: always.  At one end only, or
	 * both wait for each other. */
	unsigned read_below;
	bool takes_fds;		/* else one that comes is closed */
	struct rs_link_ops ops;
	void *arg;
};

struct rs_link *rs_link_new(struct event_base *base,
    const struct rs_link_params *p, struct err *e);
/* A full queue breaks the link: `closed` is called, later, by the loop. */
void rs_link_send(struct rs_link *l, const struct dvm_proto *m);
/* With a descriptor, which is taken; -1: none. */
void rs_link_send_fd(struct rs_link *l, const struct dvm_proto *m, int fd);
/* Does nothing wait to be sent?  Nor does it for who has gone. */
bool rs_link_is_flushed(const struct rs_link *l);
/* Closes the socket.  Takes NULL. */
void rs_link_free(struct rs_link *l);

#endif
