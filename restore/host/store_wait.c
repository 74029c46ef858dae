/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waiting for values in xenstore, in the process that builds domains.  The
 * values may be a guest's: they are compared, never interpreted.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xen/io/xs_wire.h>

#include "restore/host/store_answer.h"
#include "restore/host/store_wait.h"

/* What store_wait() knows of its paths. */
struct waiting {
	const struct store_wait_params *p;
	size_t nr_met;
	bool *met;		/* seen with its value, once */
	bool *fired;		/* to be read again */
	size_t *reading;	/* which path each request of a batch reads */
};

static void
token_of(const struct waiting *wt, size_t i, char token[48])
{
	(void)snprintf(token, 48, "dvm-%" PRIu64 "-%zu", wt->p->serial, i);
}

static void
take_event(void *arg, const char *untrusted_token)
{
	struct waiting *wt = arg;
	char token[48];
	size_t i;

	/* Others' and earlier tokens match none. */
	for (i = 0; i < wt->p->nr; i++) {
		token_of(wt, i, token);
		if (strcmp(token, untrusted_token) == 0)
			wt->fired[i] = true;
	}
}

static int
take_waited(void *arg, const struct store_wire_answer *a, struct err *e)
{
	struct waiting *wt = arg;
	size_t i = wt->reading[a->index];
	const char *want = wt->p->want == NULL ? NULL : wt->p->want[i];

	if (a->daemon_errno == ENOENT)
		return 0;
	if (a->daemon_errno != 0)
		return store_answer_refused(a, e);
	if (want != NULL && (strlen(want) != a->len ||
	    memcmp(want, a->untrusted_data, a->len) != 0))
		return 0;
	wt->met[i] = true;
	wt->nr_met++;
	return 0;
}

/* Reads every path that fired and has not been met. */
static int
read_fired(struct store_wire *w, struct waiting *wt, struct err *e)
{
	struct store_wire_taker t = { take_waited, wt };
	size_t i, nr_reading = 0;

	for (i = 0; i < wt->p->nr; i++) {
		if (wt->fired[i] && !wt->met[i]) {
			wt->reading[nr_reading++] = i;
			if (store_wire_add(w, XS_READ, wt->p->paths[i],
			    NULL, 0, e) != 0)
				return -1;
		}
		wt->fired[i] = false;
	}
	return store_wire_run(w, &t, e);
}

/* Watches (or no longer watches) the paths that were not met at the start. */
static int
set_watches(struct store_wire *w, const struct waiting *wt,
    const bool *watched, uint32_t type, struct err *e)
{
	char token[48];
	size_t i;

	for (i = 0; i < wt->p->nr; i++) {
		if (!watched[i])
			continue;
		token_of(wt, i, token);
		if (store_wire_add(w, type, wt->p->paths[i], token,
		    strlen(token) + 1, e) != 0)
			return -1;
	}
	/* A failed batch of watches may have set only some of them. */
	return store_answer_run_ok(w, type == XS_UNWATCH ? ENOENT : 0, e);
}

static int
wait_events(struct store_wire *w, struct waiting *wt, struct err *e)
{
	const struct store_wait_params *p = wt->p;
	const char *want;
	size_t i;
	int got;

	while (wt->nr_met < p->nr) {
		got = store_wire_wait_event(w, p->deadline_ns,
		    p->interrupt_fd, e);
		if (got < 0)
			return -1;
		if (got == 0)
			break;
		if (read_fired(w, wt, e) != 0)
			return -1;
	}
	for (i = 0; i < p->nr; i++) {
		if (wt->met[i])
			continue;
		want = p->want == NULL ? NULL : p->want[i];
		return err_set(e, ERR_TIMEOUT, 0, "waited too long for %s%s%s "
		    "in xenstore", p->paths[i], want == NULL ? "" : " to be ",
		    want == NULL ? "" : want);
	}
	return 0;
}

int
store_wait(struct store_wire *w, const struct store_wait_params *p,
    struct err *e)
{
	struct waiting wt = { .p = p };
	struct err unwatch_err;
	bool *flags = NULL, *watched;
	size_t i;
	int rc = -1;

	if (p->nr == 0)
		return 0;
	flags = calloc(p->nr, 3 * sizeof(*flags));
	wt.reading = calloc(p->nr, sizeof(*wt.reading));
	if (flags == NULL || wt.reading == NULL) {
		(void)err_set(e, ERR_NOMEM, ENOMEM, "waiting on xenstore");
		goto out;
	}
	wt.met = flags;
	wt.fired = flags + p->nr;
	watched = flags + 2 * p->nr;
	/* Most are there already, and then no watch is needed. */
	memset(wt.fired, true, p->nr);
	rc = read_fired(w, &wt, e);
	if (rc != 0 || wt.nr_met == p->nr)
		goto out;
	for (i = 0; i < p->nr; i++)
		watched[i] = !wt.met[i];
	/* A watch fires as soon as it is set: nothing is missed between. */
	store_wire_set_events(w, take_event, &wt);
	rc = set_watches(w, &wt, watched, XS_WATCH, e);
	if (rc == 0)
		rc = wait_events(w, &wt, e);
	store_wire_set_events(w, NULL, NULL);
	if (set_watches(w, &wt, watched, XS_UNWATCH, &unwatch_err) != 0 &&
	    rc == 0) {
		*e = unwatch_err;
		rc = -1;
	}
out:
	free(wt.reading);
	free(flags);
	return rc;
}
