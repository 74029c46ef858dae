/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Holding a disposable: the connection to the service is the hold.  If the
 * service goes away, it is looked for again while the disposable runs on.
 */
#ifndef DVM_HOLD_H
#define DVM_HOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "restore/client/dvm_link.h"

struct dvm_hold {
	struct dvm_link link;		/* .fd: to poll for, if it is there */
	struct dvm_proto running;	/* the answer; its name is "" before */
	struct dvm_proto ended;		/* the last answer */
	uint64_t start_ns;
	uint64_t wake_ns;		/* when to take a turn; 0: never */
	uint64_t away_until_ns;		/* 0: the service is there */
	unsigned limit_s;		/* to live; 0: none */
	bool quiet;			/* nothing but errors is said */
	bool is_cold;			/* it boots cold, which was said */
};

/* signal_fd: as dvm_link has it, or -1. */
void dvm_hold_init(struct dvm_hold *h, int signal_fd, unsigned limit_s,
    bool quiet);

/* Asks for one of this template, "" is the default, with an end of a channel
 * if channel_fd is not -1, and waits.  1: h->running; 0: h->ended, it is no
 * more; -1: as dvm_link, or what the service says. */
int dvm_hold_launch(struct dvm_hold *h, const char *template, int channel_fd,
    struct err *e);

/* To be called when h->link.fd is readable, or at h->wake_ns.  Does not wait.
 * 1: it goes on; 0: h->ended; -1: it is not held any more. */
int dvm_hold_turn(struct dvm_hold *h, bool readable, struct err *e);

/* What h->ended tells of: 0, or the error. */
int dvm_hold_why(const struct dvm_hold *h, struct err *e);

/* Lets it go: the service ends it. */
void dvm_hold_close(struct dvm_hold *h);

#endif
