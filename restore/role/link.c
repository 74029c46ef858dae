/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Sending and receiving messages.  Runs in front (towards clients, which it
 * does not trust, and core) and in core (towards front).
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "include/fd_pass.h"
#include "restore/role/link.h"

/* So that one that talks without pause does not keep the others waiting. */
#define MESSAGES_AT_ONCE 16

struct waiting {
	uint8_t wire[DVM_PROTO_BYTES];
	int fd;			/* that goes with it, or -1 */
};

struct rs_link {
	struct rs_link_params p;
	struct event *read, *write;
	struct waiting *queue;	/* a ring of p.queue_max */
	unsigned first, nr;
	bool broken;		/* `closed` is due, or was called */
	struct err why;
};

/* The loop calls back: never from within a send. */
static void
give_up(struct rs_link *l, const struct err *why)
{
	if (l->broken)
		return;
	l->broken = true;
	l->why = *why;
	event_active(l->read, EV_TIMEOUT, 1);
}

/* Closes the descriptor once it is sent. */
static int
send_one(const struct rs_link *l, const uint8_t *wire, int fd)
{
	ssize_t n;

	do
		n = fd_pass_send(l->p.fd, wire, DVM_PROTO_BYTES, fd);
	while (n < 0 && errno == EINTR);
	if (n != DVM_PROTO_BYTES)
		return -1;
	if (fd >= 0)
		(void)close(fd);
	return 0;
}

static bool
is_full(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS;
}

static void
wait_for_room(struct rs_link *l)
{
	const struct timeval stall = { .tv_sec = (time_t)l->p.stall_s };

	(void)event_add(l->write, l->p.stall_s > 0 ? &stall : NULL);
}

static void
can_write(evutil_socket_t fd, short what, void *arg)
{
	struct rs_link *l = arg;
	struct err e;

	(void)fd;
	if (what & EV_TIMEOUT) {
		(void)err_set(&e, ERR_TIMEOUT, 0, "it takes no answers");
		give_up(l, &e);
		return;
	}
	while (l->nr > 0) {
		if (send_one(l, l->queue[l->first].wire,
		    l->queue[l->first].fd) != 0) {
			if (!is_full()) {
				(void)err_set(&e, ERR_SYS, errno, "send");
				give_up(l, &e);
				return;
			}
			wait_for_room(l);
			return;
		}
		l->first = (l->first + 1) % l->p.queue_max;
		if (l->nr-- == l->p.read_below)
			(void)event_add(l->read, NULL);
	}
}

/* 0: it is sent, or waits; the descriptor is taken only then. */
static int
send_or_queue(struct rs_link *l, const struct waiting *w, struct err *e)
{
	if (l->broken)
		return -1;
	if (l->nr == 0) {
		if (send_one(l, w->wire, w->fd) == 0)
			return 0;
		if (!is_full())
			return err_set(e, ERR_SYS, errno, "send");
	}
	if (l->queue == NULL)
		l->queue = calloc(l->p.queue_max, sizeof(*l->queue));
	if (l->queue == NULL || l->nr == l->p.queue_max)
		return err_set(e, ERR_NOMEM, 0, "%u messages wait already",
		    l->nr);
	l->queue[(l->first + l->nr) % l->p.queue_max] = *w;
	if (l->nr++ == 0)
		wait_for_room(l);
	return 0;
}

void
rs_link_send_fd(struct rs_link *l, const struct dvm_proto *m, int fd)
{
	struct waiting w = { .fd = fd };
	struct err e = { .code = ERR_NONE };

	dvm_proto_encode(m, w.wire);
	if (send_or_queue(l, &w, &e) == 0)
		return;
	if (fd >= 0)
		(void)close(fd);
	give_up(l, &e);
}

void
rs_link_send(struct rs_link *l, const struct dvm_proto *m)
{
	rs_link_send_fd(l, m, -1);
}

static void
can_read(evutil_socket_t fd, short what, void *arg)
{
	struct rs_link *l = arg;
	uint8_t untrusted_wire[DVM_PROTO_BYTES + 1];
	struct dvm_proto m;
	struct err e;
	ssize_t n;
	int passed;

	(void)what;
	for (int i = 0; i < MESSAGES_AT_ONCE && !l->broken; i++) {
		if (l->p.read_below != 0 && l->nr >= l->p.read_below) {
			(void)event_del(l->read);	/* can_write() adds */
			return;
		}
		/* One byte more than a message shows one that is too long. */
		n = fd_pass_receive(fd, untrusted_wire, sizeof(untrusted_wire),
		    l->p.takes_fds ? &passed : NULL);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		/* Said once, if something of ours was not read: what came
		 * before the end is still there. */
		if (n < 0 && errno == ECONNRESET)
			continue;
		if (n > 0 && dvm_proto_decode(untrusted_wire, (size_t)n, &m,
		    &e) != 0) {
			if (l->p.takes_fds && passed >= 0)
				(void)close(passed);
			(void)event_del(l->read);
			l->p.ops.closed(l->p.arg, &e);
			return;
		}
		if (n > 0) {
			l->p.ops.message(l->p.arg, &m,
			    l->p.takes_fds ? passed : -1);
			continue;
		}
		l->broken = true;
		(void)err_set(&l->why, ERR_SYS, n < 0 ? errno : 0,
		    "it went away");
	}
	if (!l->broken)
		return;
	(void)event_del(l->read);
	(void)event_del(l->write);
	e = l->why;
	l->p.ops.closed(l->p.arg, &e);
}

struct rs_link *
rs_link_new(struct event_base *base, const struct rs_link_params *p,
    struct err *e)
{
	struct rs_link *l = calloc(1, sizeof(*l));

	if (l == NULL) {
		(void)close(p->fd);
		(void)err_set(e, ERR_NOMEM, errno, "a connection");
		return NULL;
	}
	l->p = *p;
	l->read = event_new(base, p->fd, EV_READ | EV_PERSIST, can_read, l);
	l->write = event_new(base, p->fd, EV_WRITE, can_write, l);
	if (l->read != NULL && l->write != NULL &&
	    event_add(l->read, NULL) == 0)
		return l;
	(void)err_set(e, ERR_NOMEM, 0, "a connection");
	rs_link_free(l);
	return NULL;
}

bool
rs_link_is_flushed(const struct rs_link *l)
{
	return l->nr == 0 || l->broken;
}

void
rs_link_free(struct rs_link *l)
{
	if (l == NULL)
		return;
	if (l->read != NULL)
		event_free(l->read);
	if (l->write != NULL)
		event_free(l->write);
	for (; l->nr > 0; l->nr--) {
		if (l->queue[l->first].fd >= 0)
			(void)close(l->queue[l->first].fd);
		l->first = (l->first + 1) % l->p.queue_max;
	}
	(void)close(l->p.fd);
	free(l->queue);
	free(l);
}
