/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Holding a disposable.  Runs in dvm, as any user.  The service ends it when
 * the connection is closed, also by our death.  Trusts the service as far as
 * dvm_link does.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "include/clock.h"
#include "restore/client/dvm_hold.h"

#define LAUNCH_TIMEOUT_S 300
#define COLD_TIMEOUT_S 900
/* How long a service that went away may take to come back, and how often it
 * is looked for. */
#define AWAY_TIMEOUT_S 60
#define AWAY_MS 200
/* What the service may take beyond the time limit until it is gone. */
#define END_TIMEOUT_S 90

void
dvm_hold_init(struct dvm_hold *h, int signal_fd, unsigned limit_s, bool quiet)
{
	*h = (struct dvm_hold){ .link = { .fd = -1, .signal_fd = signal_fd },
	    .start_ns = clock_now_ns(), .limit_s = limit_s, .quiet = quiet };
}

/* A line that is written over while it waits, for people only. */
static void
show_queue(const struct dvm_hold *h, uint64_t before)
{
	if (!h->quiet && isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\rqueued, %" PRIu64 " launches before "
		    "this one\033[K", before);
}

/* It will take its time, once, and the reason is for whoever waits. */
static void
show_cold(struct dvm_hold *h, const char *text)
{
	if (h->is_cold)
		return;
	h->is_cold = true;
	if (!h->quiet)
		(void)fprintf(stderr, "%sdvm: %s\n", isatty(STDERR_FILENO) ?
		    "\r\033[K" : "", text);
	dvm_link_expect(&h->link, COLD_TIMEOUT_S);
}

/* It is held, and will be for so long. */
static void
held(struct dvm_hold *h)
{
	h->away_until_ns = 0;
	h->wake_ns = h->limit_s == 0 ? 0 : clock_now_ns() +
	    (h->limit_s + (uint64_t)END_TIMEOUT_S) * CLOCK_SECOND;
}

int
dvm_hold_launch(struct dvm_hold *h, const char *template, int channel_fd,
    struct err *e)
{
	struct dvm_proto request = { .type = DVM_PROTO_RUN,
	    .value = { h->limit_s, channel_fd >= 0 } };
	struct dvm_proto m;
	bool failed, queue_shown = false;
	int rc;

	(void)snprintf(request.template, sizeof(request.template), "%s",
	    template);
	dvm_link_expect(&h->link, LAUNCH_TIMEOUT_S);
	if (dvm_link_open(&h->link, &request, channel_fd, e) != 0)
		return -1;
	while ((rc = dvm_link_receive(&h->link, &m, &failed, e)) == 1 &&
	    m.type == DVM_PROTO_QUEUED) {
		if (m.text[0] != '\0') {
			show_cold(h, m.text);
			continue;
		}
		show_queue(h, m.value[0]);
		queue_shown = !h->quiet && isatty(STDERR_FILENO);
	}
	if (queue_shown)
		(void)fprintf(stderr, "\r\033[K");
	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_SYS, 0, "the service went away before "
		    "it ran: try again, or see systemctl status "
		    "dvm-restored");
	if (m.type == DVM_PROTO_ENDED) {
		h->ended = m;
		return 0;
	}
	h->running = m;
	held(h);
	return 1;
}

static int
gave_up(const struct dvm_hold *h, struct err *e)
{
	return err_set(e, ERR_SYS, 0, "the service did not come back within "
	    "%u s: see systemctl status dvm-restored, then dvm kill %s",
	    h->link.timeout_s, h->running.name);
}

/* It went away again, is not there yet, or is busy finding what runs. */
static int
try_later(struct dvm_hold *h)
{
	dvm_link_close(&h->link);
	h->wake_ns = clock_now_ns() + AWAY_MS * CLOCK_MS;
	return 1;
}

/* Asks for it again; the answer is another turn's. */
static int
ask_again(struct dvm_hold *h, struct err *e)
{
	struct dvm_proto request = { .type = DVM_PROTO_ATTACH,
	    .launch_id = h->running.launch_id };

	/* Who has no room for us is as one who is not there. */
	h->link.deadline_ns = 1;
	if (dvm_link_open(&h->link, &request, -1, e) != 0)
		return e->code == ERR_SYS || e->code == ERR_TIMEOUT ?
		    try_later(h) : -1;
	h->wake_ns = h->away_until_ns;
	return 1;
}

static int
went_away(struct dvm_hold *h, struct err *e)
{
	dvm_link_close(&h->link);
	dvm_link_expect(&h->link, AWAY_TIMEOUT_S);
	h->away_until_ns = h->link.deadline_ns;
	if (!h->quiet)
		(void)fprintf(stderr, "dvm: %s: the service went away; "
		    "waiting up to %u s for it to come back\n",
		    h->running.name, h->link.timeout_s);
	return ask_again(h, e);
}

/* Something came from the service. */
static int
take_answer(struct dvm_hold *h, struct err *e)
{
	bool away = h->away_until_ns != 0, failed;
	struct dvm_proto m;
	int rc;

	h->link.deadline_ns = 0;
	rc = dvm_link_receive(&h->link, &m, &failed, e);
	if (rc == 1 && m.type == DVM_PROTO_ENDED) {
		h->ended = m;
		return 0;
	}
	if (rc == 1 && away) {
		held(h);
		return 1;
	}
	if (rc == 1)
		return err_set(e, ERR_INPUT, 0, "the service's answer: type "
		    "%u while it runs", m.type);
	if (away && (rc == 0 || (failed && e->code == ERR_BUSY)))
		return try_later(h);
	return rc == 0 ? went_away(h, e) : -1;
}

int
dvm_hold_turn(struct dvm_hold *h, bool readable, struct err *e)
{
	bool away = h->away_until_ns != 0;

	if (readable && h->link.fd >= 0)
		return take_answer(h, e);
	if (h->wake_ns == 0 || clock_now_ns() < h->wake_ns)
		return 1;
	if (!away)
		return err_set(e, ERR_TIMEOUT, 0, "the service did not answer "
		    "within %u s: see systemctl status dvm-restored",
		    h->limit_s + END_TIMEOUT_S);
	if (clock_now_ns() >= h->away_until_ns)
		return gave_up(h, e);
	return ask_again(h, e);
}

int
dvm_hold_why(const struct dvm_hold *h, struct err *e)
{
	if (h->ended.code == 0)
		return 0;
	return err_set(e, err_from_exit_status(h->ended.code), 0,
	    "it ended: %.400s", h->ended.text);
}

void
dvm_hold_close(struct dvm_hold *h)
{
	dvm_link_close(&h->link);
}
