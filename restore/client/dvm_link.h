/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One connection of dvm to the service: one request, and the answers to it.
 */
#ifndef DVM_LINK_H
#define DVM_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "include/wire/dvm_proto.h"

struct dvm_link {
	int fd;			/* -1: closed; DVM_LINK_CLOSED */
	int signal_fd;		/* readable ends every wait; -1: none */
	uint16_t request;	/* its type: which answers there may be */
	unsigned timeout_s;
	uint64_t deadline_ns;	/* 0: none */
};

/* So many seconds, or $DVM_TIMEOUT if that is less: it makes every deadline
 * shorter, none longer. */
unsigned dvm_link_seconds(unsigned timeout_s);

/* Sets the deadline of all that follows; 0: none. */
void dvm_link_expect(struct dvm_link *l, unsigned timeout_s);

/* Is $DVM_TIMEOUT, if set, a number?  ERR_USAGE. */
int dvm_link_check_timeout(struct err *e);

/* Connects and sends; sets the version in *request.  pass_fd, -1 for none, goes
 * with it and stays the caller's.  Until the deadline.  Closed again if it
 * fails.
 * ERR_USAGE: it is no valid request; ERR_INTERRUPTED: signal_fd; ERR_TIMEOUT;
 * ERR_SYS: there is no service, or it may not be used. */
int dvm_link_open(struct dvm_link *l, struct dvm_proto *request, int pass_fd,
    struct err *e);

/* 1: an answer to the request; 0: the service went away; -1: ERR_TIMEOUT,
 * ERR_INTERRUPTED, ERR_INPUT for what is no answer, or, with *failed, what a
 * FAILED answer says. */
int dvm_link_receive(struct dvm_link *l, struct dvm_proto *answer,
    bool *failed, struct err *e);

/* Waits for so long, or until signal_fd: ERR_INTERRUPTED. */
int dvm_link_pause(const struct dvm_link *l, unsigned pause_ms,
    struct err *e);

/* May be called again. */
void dvm_link_close(struct dvm_link *l);

#endif
