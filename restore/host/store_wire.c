/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One connection to the xenstore daemon.  Runs in the process that builds
 * domains.  The daemon is trusted to keep the store, not to keep the protocol:
 * all that it sends is checked before it is used.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#include "include/clock.h"
#include "restore/host/store_link.h"
#include "restore/host/store_wire.h"

/* Many answers are 19 bytes long, so one recv() brings thousands. */
#define IN_CAP (64 * 1024)

struct request {
	uint32_t type;
	bool answered;
	const char *path;
};

struct store_wire {
	int fd;
	bool broken;
	unsigned timeout_ms;
	uint64_t *nr_requests;	/* our opener's */

	/* The batch.  Its ids are consecutive, so that an answer's id gives
	 * its request directly. */
	uint32_t first_id;
	struct request *requests;
	size_t nr, cap, nr_answered;
	char *out;
	size_t out_len, out_cap, out_sent;

	size_t in_len;
	uint64_t nr_events, nr_events_told;
	void (*event)(void *arg, const char *untrusted_token);
	void *event_arg;
	char in[IN_CAP];
};

static const char *const request_names[XS_TYPE_COUNT] = {
	[XS_DIRECTORY] = "list",
	[XS_READ] = "read",
	[XS_WRITE] = "write",
	[XS_MKDIR] = "make",
	[XS_RM] = "remove",
	[XS_SET_PERMS] = "set the permissions of",
	[XS_WATCH] = "watch",
	[XS_UNWATCH] = "unwatch",
	[XS_INTRODUCE] = "introduce domain",
};

struct store_wire *
store_wire_open(const char *socket_path, unsigned timeout_ms,
    uint64_t *nr_requests, struct err *e)
{
	struct store_wire *w;

	w = calloc(1, sizeof(*w));
	if (w == NULL) {
		(void)err_set(e, ERR_NOMEM, ENOMEM, "xenstore connection");
		return NULL;
	}
	w->timeout_ms = timeout_ms;
	w->nr_requests = nr_requests;
	w->fd = store_link_connect(socket_path, timeout_ms, e);
	if (w->fd < 0) {
		free(w);
		return NULL;
	}
	return w;
}

bool
store_wire_is_broken(const struct store_wire *w)
{
	return w->broken;
}

void
store_wire_free(struct store_wire *w)
{
	if (w == NULL)
		return;
	(void)close(w->fd);
	free(w->requests);
	free(w->out);
	free(w);
}

static void
drop_batch(struct store_wire *w)
{
	/* Numbered on, so that a late answer is never taken for a new one. */
	w->first_id += (uint32_t)w->nr;
	w->nr = 0;
	w->nr_answered = 0;
	w->out_len = 0;
	w->out_sent = 0;
}

/* For the first error of a connection; what it knew is of no use then. */
static void
give_up(struct store_wire *w)
{
	w->broken = true;
	drop_batch(w);
}

static int
refuse(struct err *e)
{
	return err_set(e, ERR_STORE, 0, "the xenstore connection was given "
	    "up after an earlier error; open it again");
}

static int
reserve(struct store_wire *w, size_t more)
{
	size_t cap;
	void *grown;

	if (w->nr == w->cap) {
		cap = w->cap == 0 ? 64 : w->cap * 2;
		grown = reallocarray(w->requests, cap, sizeof(*w->requests));
		if (grown == NULL)
			return -1;
		w->requests = grown;
		w->cap = cap;
	}
	if (w->out_cap - w->out_len < more) {
		cap = w->out_cap * 2 + more;
		grown = realloc(w->out, cap);
		if (grown == NULL)
			return -1;
		w->out = grown;
		w->out_cap = cap;
	}
	return 0;
}

int
store_wire_add(struct store_wire *w, uint32_t type, const char *path,
    const void *rest, size_t rest_len, struct err *e)
{
	struct xsd_sockmsg header = { .type = type };
	size_t path_len = strlen(path) + 1;

	if (w->broken)
		return refuse(e);
	if (path_len > XENSTORE_ABS_PATH_MAX + 1 ||
	    rest_len > XENSTORE_PAYLOAD_MAX - path_len) {
		drop_batch(w);
		return err_set(e, ERR_STORE, 0, "%.64s...: xenstore takes "
		    "paths of %d and requests of %d bytes, not %zu and %zu",
		    path, XENSTORE_ABS_PATH_MAX, XENSTORE_PAYLOAD_MAX,
		    path_len - 1, path_len + rest_len);
	}
	header.req_id = w->first_id + (uint32_t)w->nr;
	header.len = (uint32_t)(path_len + rest_len);
	if (reserve(w, sizeof(header) + header.len) != 0) {
		drop_batch(w);
		return err_set(e, ERR_NOMEM, ENOMEM, "xenstore requests");
	}
	memcpy(w->out + w->out_len, &header, sizeof(header));
	w->out_len += sizeof(header);
	memcpy(w->out + w->out_len, path, path_len);
	w->out_len += path_len;
	if (rest_len > 0)
		memcpy(w->out + w->out_len, rest, rest_len);
	w->out_len += rest_len;
	w->requests[w->nr++] = (struct request){ .type = type, .path = path };
	(*w->nr_requests)++;
	return 0;
}

/* The errno of an XS_ERROR answer, 0 if it is not one we know. */
static int
decode_error(const char *untrusted_name, size_t len)
{
	size_t i;

	for (i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++) {
		/* Compared with its NUL. */
		if (strlen(xsd_errors[i].errstring) + 1 == len &&
		    memcmp(xsd_errors[i].errstring, untrusted_name, len) == 0)
			return xsd_errors[i].errnum;
	}
	return 0;
}

static int
take_event(struct store_wire *w, const char *untrusted_data, size_t len,
    struct err *e)
{
	const char *untrusted_token;
	size_t path_len;

	path_len = strnlen(untrusted_data, len);
	if (path_len == len || len - path_len < 2 ||
	    untrusted_data[len - 1] != '\0')
		return err_set(e, ERR_STORE, 0, "xenstore: malformed event");
	untrusted_token = untrusted_data + path_len + 1;
	w->nr_events++;
	if (w->event != NULL)
		w->event(w->event_arg, untrusted_token);
	return 0;
}

/* Checks one whole message against the batch.  *taken_by is the taker's
 * first error; -1 is a broken protocol. */
static int
take_message(struct store_wire *w, const struct xsd_sockmsg *untrusted_header,
    const char *untrusted_data, const struct store_wire_taker *t,
    struct err *taken_by, struct err *e)
{
	struct store_wire_answer answer = { 0 };
	struct request *r;
	struct err here;
	uint32_t untrusted_index;

	if (untrusted_header->type == XS_WATCH_EVENT)
		return take_event(w, untrusted_data, untrusted_header->len, e);
	untrusted_index = untrusted_header->req_id - w->first_id;
	if (untrusted_index >= w->nr || untrusted_header->tx_id != 0 ||
	    w->requests[untrusted_index].answered) {
		return err_set(e, ERR_STORE, 0,
		    "xenstore answered a request that was not made (id %u)",
		    untrusted_header->req_id);
	}
	answer.index = untrusted_index;
	r = &w->requests[answer.index];
	answer.path = r->path;
	answer.doing = request_names[r->type];
	answer.untrusted_data = untrusted_data;
	answer.len = untrusted_header->len;
	if (untrusted_header->type == XS_ERROR) {
		answer.daemon_errno = decode_error(untrusted_data, answer.len);
		if (answer.daemon_errno == 0) {
			return err_set(e, ERR_STORE, 0,
			    "xenstore: cannot %s %s, for an unknown reason",
			    answer.doing, r->path);
		}
	} else if (untrusted_header->type != r->type) {
		return err_set(e, ERR_STORE, 0,
		    "xenstore answered %s %s with type %u", answer.doing,
		    r->path, untrusted_header->type);
	}
	r->answered = true;
	w->nr_answered++;
	if (t->take(t->arg, &answer, &here) != 0 &&
	    taken_by->code == ERR_NONE)
		*taken_by = here;
	return 0;
}

/* Takes all whole messages that have come in. */
static int
take_messages(struct store_wire *w, const struct store_wire_taker *t,
    struct err *taken_by, struct err *e)
{
	struct xsd_sockmsg untrusted_header;
	size_t at = 0, left;

	for (;;) {
		left = w->in_len - at;
		if (left < sizeof(untrusted_header))
			break;
		memcpy(&untrusted_header, w->in + at, sizeof(untrusted_header));
		if (untrusted_header.len > XENSTORE_PAYLOAD_MAX) {
			return err_set(e, ERR_STORE, 0,
			    "xenstore sent a message of %u bytes, over %d",
			    untrusted_header.len, XENSTORE_PAYLOAD_MAX);
		}
		if (left - sizeof(untrusted_header) < untrusted_header.len)
			break;
		at += sizeof(untrusted_header);
		if (take_message(w, &untrusted_header, w->in + at, t, taken_by,
		    e) != 0)
			return -1;
		at += untrusted_header.len;
	}
	memmove(w->in, w->in + at, left);
	w->in_len = left;
	return 0;
}

/* Both ways each time: the daemon stops reading while nobody reads its
 * answers, and then two full socket buffers would face each other. */
static int
exchange(struct store_wire *w, const struct store_wire_taker *t,
    struct err *taken_by, struct err *e)
{
	size_t n;

	if (store_link_send(w->fd, w->out + w->out_sent,
	    w->out_len - w->out_sent, &n, e) != 0)
		return -1;
	w->out_sent += n;
	/* Never full: all whole messages were taken, and the rest of one is
	 * far shorter. */
	if (store_link_receive(w->fd, w->in + w->in_len,
	    sizeof(w->in) - w->in_len, &n, e) != 0)
		return -1;
	w->in_len += n;
	return take_messages(w, t, taken_by, e);
}

int
store_wire_run(struct store_wire *w, const struct store_wire_taker *t,
    struct err *e)
{
	struct err taken_by = { 0 };
	uint64_t deadline_ns;
	int got;

	if (w->broken)
		return refuse(e);
	deadline_ns = clock_now_ns() +
	    (uint64_t)w->timeout_ms * CLOCK_MS;
	while (w->nr_answered < w->nr) {
		if (exchange(w, t, &taken_by, e) != 0)
			goto broken;
		if (w->nr_answered == w->nr)
			break;
		got = store_link_wait(w->fd, w->out_sent < w->out_len,
		    deadline_ns, -1, e);
		if (got < 0)
			goto broken;
		if (got == 0) {
			(void)err_set(e, ERR_TIMEOUT, 0, "xenstore answered "
			    "%zu of %zu requests within %u ms",
			    w->nr_answered, w->nr, w->timeout_ms);
			goto broken;
		}
	}
	drop_batch(w);
	if (taken_by.code != ERR_NONE) {
		*e = taken_by;
		return -1;
	}
	return 0;

broken:
	give_up(w);
	return -1;
}

void
store_wire_set_events(struct store_wire *w,
    void (*event)(void *arg, const char *untrusted_token), void *arg)
{
	w->event = event;
	w->event_arg = arg;
}

int
store_wire_wait_event(struct store_wire *w, uint64_t deadline_ns,
    int interrupt_fd, struct err *e)
{
	/* With no batch under way an answer is a protocol error, so that
	 * nobody's `take` is called. */
	static const struct store_wire_taker nobody = { 0 };
	struct err unused = { 0 };
	int got;

	if (w->broken)
		return refuse(e);
	/* Events that came in with a batch's answers are no reason to sleep,
	 * but a guest that never stops writing must not keep us past the
	 * deadline or deaf to the interrupt either. */
	if (w->nr_events != w->nr_events_told) {
		w->nr_events_told = w->nr_events;
		if (store_link_wait(w->fd, false, 0, interrupt_fd, e) < 0)
			return -1;
		return clock_now_ns() < deadline_ns;
	}
	while (w->nr_events == w->nr_events_told) {
		got = store_link_wait(w->fd, false, deadline_ns, interrupt_fd,
		    e);
		if (got == 0)
			return 0;
		if (got < 0 && e->code == ERR_INTERRUPTED)
			return -1;
		if (got < 0 || exchange(w, &nobody, &unused, e) != 0) {
			give_up(w);
			return -1;
		}
	}
	w->nr_events_told = w->nr_events;
	return 1;
}
