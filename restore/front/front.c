/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The role `front`.  Runs as a user of its own, without privileges, and talks
 * to everybody who may open the socket: it checks who they are and the form of
 * what they ask, counts, and hands on.  Trusts core.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "include/wire/dvm_proto.h"
#include "restore/front/front.h"
#include "restore/role/confine.h"
#include "restore/role/link.h"

#define CLIENTS_PER_UID 128u	/* root has all */
#define REFUSED_PER_UID 96u	/* that are told so, and have yet to go */
#define CLIENTS_OF_ROOT 32u	/* places that nobody else gets */
#define CLIENT_QUEUE 2048u	/* a list of all disposables, and more */
#define LINK_QUEUE 8192u
/* Each connection, and each channel that core has not taken yet. */
#define FILES_MAX (2 * RS_FRONT_CLIENTS_MAX + 32)
/* For a request to come; for a client to go after its final answer. */
#define DEADLINE_S 10

/* A place: taken by a connection, and after its end until core has given the
 * final answer, so that what core has to do for a user is bounded too. */
struct client {
	struct front *front;
	bool taken;
	bool owed;		/* core has its request */
	struct rs_link *link;	/* NULL: the connection is closed */
	struct event *deadline;
	uint32_t number;	/* place, and above it which use of it */
	uint32_t uid;
	bool asked, answered;
};

struct front {
	const struct rs_front_params *p;
	struct event_base *base;
	struct rs_link *core;
	struct event *accept;
	struct client clients[RS_FRONT_CLIENTS_MAX];
	unsigned nr_clients;
	bool core_ended;
};

static void
place_free(struct client *cl)
{
	struct front *f = cl->front;

	cl->taken = false;
	if (f->nr_clients-- == RS_FRONT_CLIENTS_MAX)
		(void)event_add(f->accept, NULL);
}

static void
tell_gone(const struct client *cl)
{
	const struct dvm_proto gone = { .version = DVM_PROTO_VERSION,
	    .type = DVM_PROTO_GONE, .client = cl->number };

	rs_link_send(cl->front->core, &gone);
}

static void
client_free(struct client *cl)
{
	if (cl->owed && !cl->answered)
		tell_gone(cl);
	rs_link_free(cl->link);
	event_free(cl->deadline);
	cl->link = NULL;
	if (!cl->owed)
		place_free(cl);
}

static void
set_deadline(struct client *cl)
{
	const struct timeval tv = { .tv_sec = DEADLINE_S };

	(void)event_add(cl->deadline, &tv);
}

static void
deadline_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_free(arg);
}

/* The client closes when it has read this, or its deadline does. */
static void
refuse(struct client *cl, const struct err *e)
{
	struct dvm_proto m = { .version = DVM_PROTO_VERSION,
	    .type = DVM_PROTO_FAILED,
	    .code = (uint32_t)err_exit_status(e->code) };

	memcpy(m.text, e->msg, sizeof(e->msg));
	cl->answered = true;
	rs_link_send(cl->link, &m);
	set_deadline(cl);
}

static int
socket_option(int fd, int option)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 ? value :
	    -1;
}

/* A channel is a stream socket of AF_UNIX: on that, nothing makes the courier
 * wait. */
static bool
is_channel(int fd)
{
	return socket_option(fd, SO_DOMAIN) == AF_UNIX &&
	    socket_option(fd, SO_TYPE) == SOCK_STREAM;
}

/* Takes the descriptor. */
static void
client_message(void *arg, const struct dvm_proto *untrusted_m,
    int untrusted_fd)
{
	struct client *cl = arg;
	struct dvm_proto m = *untrusted_m;
	bool wants_channel = m.type == DVM_PROTO_RUN && m.value[1] == 1;
	struct err e;

	if (cl->answered) {
		;		/* refused already */
	} else if (cl->asked) {
		tell_gone(cl);
		(void)err_set(&e, ERR_INPUT, 0, "a connection carries one "
		    "request");
		refuse(cl, &e);
	} else if (dvm_proto_check_request(&m, &e) != 0) {
		refuse(cl, &e);
	} else if (wants_channel != (untrusted_fd >= 0) ||
	    (wants_channel && !is_channel(untrusted_fd))) {
		(void)err_set(&e, ERR_INPUT, 0, "a channel is one stream "
		    "socket, sent with the request that asks for it");
		refuse(cl, &e);
	} else {
		cl->asked = cl->owed = true;
		(void)event_del(cl->deadline);
		m.client = cl->number;
		m.uid = cl->uid;
		rs_link_send_fd(cl->front->core, &m, untrusted_fd);
		return;
	}
	if (untrusted_fd >= 0)
		(void)close(untrusted_fd);
}

static void
client_closed(void *arg, const struct err *why)
{
	struct client *cl = arg;

	/* Not a message at all: say so to who may still listen. */
	if (why->code == ERR_INPUT && !cl->asked && !cl->answered) {
		refuse(cl, why);
		return;
	}
	client_free(cl);
}

static void
core_message(void *arg, const struct dvm_proto *m, int fd)
{
	struct front *f = arg;
	struct client *cl = &f->clients[m->client % RS_FRONT_CLIENTS_MAX];
	struct dvm_proto to = *m;
	bool is_final = dvm_proto_is_final(m);

	(void)fd;		/* it takes none */
	if (!cl->owed || cl->number != m->client)
		return;
	cl->owed = !is_final;
	if (cl->link == NULL) {
		if (is_final)
			place_free(cl);
		return;
	}
	if (cl->answered)
		return;		/* refused after its request */
	to.client = 0;
	rs_link_send(cl->link, &to);
	cl->answered = is_final;
	if (is_final)
		set_deadline(cl);
}

static void
core_closed(void *arg, const struct err *why)
{
	struct front *f = arg;

	(void)why;
	f->core_ended = true;
	(void)event_base_loopbreak(f->base);
}

static unsigned
nr_of_uid(const struct front *f, uint32_t uid)
{
	unsigned nr = 0;

	for (unsigned i = 0; i < RS_FRONT_CLIENTS_MAX; i++)
		nr += f->clients[i].taken && f->clients[i].uid == uid;
	return nr;
}

static struct client *
free_place(struct front *f)
{
	unsigned i = 0;

	while (f->clients[i].taken)
		i++;
	return &f->clients[i];
}

static void
accept_client(evutil_socket_t listen_fd, short what, void *arg)
{
	struct front *f = arg;
	struct ucred who;
	socklen_t len = sizeof(who);
	struct client *cl;
	struct err e;
	unsigned nr;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0 ||
	    len != sizeof(who)) {
		(void)close(fd);
		return;
	}
	cl = free_place(f);
	cl->front = f;
	cl->uid = who.uid;
	cl->asked = cl->answered = cl->owed = false;
	/* Never 0: that is nobody. */
	cl->number = cl->number + RS_FRONT_CLIENTS_MAX != 0 && cl->number != 0 ?
	    cl->number + RS_FRONT_CLIENTS_MAX :
	    RS_FRONT_CLIENTS_MAX + (uint32_t)(cl - f->clients);
	cl->deadline = event_new(f->base, -1, 0, deadline_over, cl);
	if (cl->deadline == NULL) {
		(void)close(fd);
		return;
	}
	cl->link = rs_link_new(f->base, &(struct rs_link_params){ .fd = fd,
	    .queue_max = CLIENT_QUEUE, .stall_s = DEADLINE_S,
	    .takes_fds = true, .arg = cl,
	    .ops = { client_message, client_closed } }, &e);
	if (cl->link == NULL) {
		event_free(cl->deadline);
		return;
	}
	cl->taken = true;
	set_deadline(cl);
	if (++f->nr_clients == RS_FRONT_CLIENTS_MAX)
		(void)event_del(f->accept);
	nr = nr_of_uid(f, who.uid);
	if (who.uid != 0 && (nr > CLIENTS_PER_UID + REFUSED_PER_UID ||
	    f->nr_clients > RS_FRONT_CLIENTS_MAX - CLIENTS_OF_ROOT)) {
		client_free(cl);	/* no time for a word */
	} else if (who.uid != 0 && nr > CLIENTS_PER_UID) {
		(void)err_set(&e, ERR_BUSY, 0, "you have %u requests open "
		    "already: end some first", CLIENTS_PER_UID);
		refuse(cl, &e);
	}
}

static int
confine(const struct rs_front_params *p, struct err *e)
{
	const struct rs_confine_params cp = { .role = RS_CONFINE_FRONT,
	    .uid = p->uid, .gid = p->gid, .parent = p->parent,
	    .nr_files = FILES_MAX, .leak_check = true };

	return rs_confine(&cp, e);
}

int
rs_front_run(const struct rs_front_params *p, struct err *e)
{
	struct front *f = calloc(1, sizeof(*f));
	const struct rs_link_params lp = { .fd = p->link_fd,
	    .queue_max = LINK_QUEUE, .arg = f,
	    .ops = { core_message, core_closed } };

	if (f == NULL)
		return err_set(e, ERR_NOMEM, errno, "front");
	f->p = p;
	if (confine(p, e) != 0)
		return -1;
	f->base = event_base_new();
	if (f->base == NULL)
		return err_set(e, ERR_NOMEM, 0, "front: the event loop");
	f->core = rs_link_new(f->base, &lp, e);
	f->accept = event_new(f->base, p->listen_fd, EV_READ | EV_PERSIST,
	    accept_client, f);
	if (f->core == NULL || f->accept == NULL ||
	    event_add(f->accept, NULL) != 0)
		return err_set(e, ERR_NOMEM, 0, "front: the event loop");
	(void)event_base_dispatch(f->base);
	if (!f->core_ended)
		return err_set(e, ERR_SYS, 0, "front: the event loop");
	for (unsigned i = 0; i < RS_FRONT_CLIENTS_MAX; i++)
		if (f->clients[i].link != NULL) {
			f->clients[i].owed = false;
			client_free(&f->clients[i]);
		}
	event_free(f->accept);
	rs_link_free(f->core);
	event_base_free(f->base);
	free(f);
	return 0;
}
