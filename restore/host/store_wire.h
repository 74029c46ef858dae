/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One connection to the xenstore daemon: framing, matching of answers to
 * requests, deadlines.  Knows the protocol (xen/io/xs_wire.h) and nothing of
 * what the requests mean; store_xen.c does.
 *
 * Requests are gathered with store_wire_add() and go out together with
 * store_wire_run(), without waiting for each other's answers.  The daemon
 * works through one connection's requests in order.  After a timeout or an
 * answer that breaks the protocol the connection is given up: every further
 * call fails at once with ERR_STORE.
 */
#ifndef STORE_WIRE_H
#define STORE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

struct store_wire;

struct store_wire_answer {
	size_t index;		/* of its request, counted from 0 */
	const char *path;	/* as given to store_wire_add() */
	const char *doing;	/* "read", "write" … for a message */
	int daemon_errno;	/* 0: done */
	const char *untrusted_data;	/* len bytes; nothing follows them */
	size_t len;		/* <= 4096 */
};

/* Takes one answer; -1 and *e if it is not what was hoped for.  The other
 * answers are still taken, and the first such error is the batch's. */
struct store_wire_taker {
	int (*take)(void *arg, const struct store_wire_answer *a,
	    struct err *e);
	void *arg;
};

/* socket_path NULL is the daemon's usual one.  timeout_ms is the time that a
 * batch, and the connecting, may take.  *nr_requests, which must outlive it,
 * goes up with each request sent. */
struct store_wire *store_wire_open(const char *socket_path,
    unsigned timeout_ms, uint64_t *nr_requests, struct err *e);

/* Given up, after a timeout or what no daemon of ours would say. */
bool store_wire_is_broken(const struct store_wire *w);

void store_wire_free(struct store_wire *w);

/* Adds one request to the batch: path, its NUL, and rest.  `path` stays the
 * caller's and must live until the batch has run.  On failure the whole batch
 * is dropped and nothing of it is sent. */
int store_wire_add(struct store_wire *w, uint32_t type, const char *path,
    const void *rest, size_t rest_len, struct err *e);

/* Sends the batch and takes all its answers. */
int store_wire_run(struct store_wire *w, const struct store_wire_taker *t,
    struct err *e);

/* Where watch events go, whenever one is read; NULL drops them. */
void store_wire_set_events(struct store_wire *w,
    void (*event)(void *arg, const char *untrusted_token), void *arg);

/* Waits until at least one event was handed over since the last such call: 1;
 * 0 if deadline_ns (CLOCK_MONOTONIC) has passed; -1 ERR_INTERRUPTED if
 * interrupt_fd (-1: none) is readable, and all other errors. */
int store_wire_wait_event(struct store_wire *w, uint64_t deadline_ns,
    int interrupt_fd, struct err *e);

#endif
