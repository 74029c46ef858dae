/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Who has which courier.  Runs in core's main thread; what the stock says is
 * believed.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "include/fd_pass.h"
#include "restore/core/channels.h"
#include "restore/courier/stock.h"

struct courier {
	TAILQ_ENTRY(courier) entry;
	uint32_t id, domid;		/* domid 0: it waits */
	int fd;				/* the parent has it too */
};

struct rs_channels {
	struct rs_core *core;
	struct event *read;
	int fd;
	struct rs_stock_board *board;	/* NULL until it was said */
	TAILQ_HEAD(, courier) all;
};

static void
forget(struct rs_channels *r, struct courier *one)
{
	TAILQ_REMOVE(&r->all, one, entry);
	(void)close(one->fd);
	free(one);
}

/* The parent reads at once, and without it there is no core. */
static void
tell(const struct rs_channels *r, enum rs_stock_what what, uint32_t id,
    uint32_t domid)
{
	const struct rs_stock_word w = { .what = what, .id = id,
	    .domid = domid };

	while (send(r->fd, &w, sizeof(w), MSG_NOSIGNAL) < 0 && errno == EINTR)
		;
}

static int
give(struct rs_channels *r, struct courier *one, struct rs_slot *s)
{
	const struct rs_stock_job job = { .domid = s->domain.domid };

	if (fd_pass_send(one->fd, &job, sizeof(job), s->channel_fd) !=
	    sizeof(job))
		return -1;
	tell(r, RS_STOCK_TAKEN, one->id, job.domid);
	one->domid = job.domid;
	s->courier = one->id;
	(void)close(s->channel_fd);
	s->channel_fd = -1;
	return 0;
}

void
rs_channels_give(struct rs_slot *s)
{
	struct rs_channels *r = s->core->couriers;
	struct courier *one, *next;

	for (one = TAILQ_FIRST(&r->all); one != NULL && s->channel_fd >= 0;
	    one = next) {
		next = TAILQ_NEXT(one, entry);
		if (one->domid != 0 || give(r, one, s) == 0)
			continue;
		/* It died while it waited, or is of no use. */
		tell(r, RS_STOCK_END, one->id, 0);
		forget(r, one);
	}
}

void
rs_channels_end(struct rs_slot *s)
{
	struct rs_channels *r = s->core->couriers;
	struct courier *one;

	if (s->channel_fd >= 0)
		(void)close(s->channel_fd);
	s->channel_fd = -1;
	if (s->courier == 0)
		return;
	tell(r, RS_STOCK_END, s->courier, 0);
	TAILQ_FOREACH(one, &r->all, entry)
		if (one->id == s->courier)
			break;
	if (one != NULL)
		forget(r, one);
	s->courier = 0;
}

static struct rs_slot *
slot_of(struct rs_core *c, uint32_t domid)
{
	struct rs_slot *s;

	TAILQ_FOREACH(s, &c->slots, entry)
		if (s->state == DVM_PROTO_STATE_RUNNING &&
		    s->domain.domid == domid)
			return s;
	return NULL;
}

/* One that was at work before we were. */
static void
adopt(struct rs_channels *r, struct courier *one)
{
	struct rs_slot *s = slot_of(r->core, one->domid);

	if (s != NULL) {
		s->courier = one->id;
		return;
	}
	tell(r, RS_STOCK_END, one->id, 0);
	forget(r, one);
}

/* A stock whose couriers die while they wait hands out one after the other. */
static void
forget_dead(struct rs_channels *r)
{
	struct courier *one, *next;
	struct pollfd p;

	for (one = TAILQ_FIRST(&r->all); one != NULL; one = next) {
		next = TAILQ_NEXT(one, entry);
		p = (struct pollfd){ .fd = one->fd };
		if (one->domid == 0 && poll(&p, 1, 0) == 1)
			forget(r, one);
	}
}

/* Disposables are known by now. */
static bool
read_one(struct rs_channels *r)
{
	struct rs_stock_word w;
	struct courier *one;
	int fd;

	if (fd_pass_receive(r->fd, &w, sizeof(w), &fd) != sizeof(w) || fd < 0)
		return false;
	if (w.what == RS_STOCK_BOARD) {
		r->board = rs_stock_board(fd, true);
		return true;
	}
	forget_dead(r);
	one = calloc(1, sizeof(*one));
	if (one == NULL) {
		(void)close(fd);
		tell(r, RS_STOCK_END, w.id, 0);
		return true;
	}
	*one = (struct courier){ .id = w.id, .domid = w.domid, .fd = fd };
	TAILQ_INSERT_TAIL(&r->all, one, entry);
	if (one->domid != 0)
		adopt(r, one);
	return true;
}

static void
can_read(evutil_socket_t fd, short what, void *arg)
{
	struct rs_channels *r = arg;
	struct rs_slot *s;

	(void)fd;
	(void)what;
	if (!read_one(r)) {
		(void)event_del(r->read);
		rs_core_lost(r->core, "couriers", "their stock went away");
	}
	TAILQ_FOREACH(s, &r->core->slots, entry)
		if (s->state == DVM_PROTO_STATE_RUNNING && s->channel_fd >= 0)
			rs_channels_give(s);
}

struct rs_channels *
rs_channels_new(struct rs_core *c, int fd, struct err *e)
{
	struct rs_channels *r = calloc(1, sizeof(*r));

	if (r != NULL)
		r->read = event_new(c->base, fd, EV_READ | EV_PERSIST,
		    can_read, r);
	if (r == NULL || r->read == NULL || event_add(r->read, NULL) != 0) {
		(void)err_set(e, ERR_NOMEM, 0, "couriers");
		(void)close(fd);
		free(r);
		return NULL;
	}
	r->core = c;
	r->fd = fd;
	TAILQ_INIT(&r->all);
	return r;
}

void
rs_channels_free(struct rs_channels *r)
{
	if (r == NULL)
		return;
	while (!TAILQ_EMPTY(&r->all))
		forget(r, TAILQ_FIRST(&r->all));
	if (r->board != NULL)
		(void)munmap(r->board, sizeof(*r->board));
	event_free(r->read);
	(void)close(r->fd);
	free(r);
}

void
rs_channels_launching(struct rs_channels *r, uint64_t until_ns)
{
	if (r->board != NULL)
		atomic_store(&r->board->launch_until_ns, until_ns);
}

unsigned
rs_channels_files(const struct rs_core *c)
{
	const struct courier *one;
	const struct rs_slot *s;
	unsigned nr = 0;

	TAILQ_FOREACH(one, &c->couriers->all, entry)
		nr++;
	TAILQ_FOREACH(s, &c->slots, entry)
		nr += s->channel_fd >= 0;
	return nr;
}

void
rs_channels_adopt(struct rs_core *c)
{
	/* Those that were said before we were started; others may follow. */
	while (read_one(c->couriers))
		;
}
