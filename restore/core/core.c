/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The role `core`: its start, its loop, its end.  Root, confined; takes
 * messages of one size from front alone.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "include/clock.h"
#include "restore/core/channels.h"
#include "restore/core/core.h"
#include "restore/core/images.h"
#include "restore/core/life.h"
#include "restore/core/queries.h"
#include "restore/core/watch.h"
#include "restore/front/front.h"
#include "restore/launch/host.h"
#include "restore/role/confine.h"
#include "restore/role/link.h"

#define ENDERS 2u
#define LINK_QUEUE 8192u
#define FILES_MAX 4096u
/* After this the next start does the rest. */
#define DRAIN_SECONDS 40
#define RECONCILE_TRIES 2u
/* A pipe of the parent's, or the socket of sd_notify(3). */
#define READY "READY=1"

#define NR_SIGNALS 3
static const int stop_signal[NR_SIGNALS] = { SIGTERM, SIGINT, SIGHUP };

/* The main thread's, the workers'. */
struct hosts {
	struct env envs[RS_CORE_BUILDERS_MAX + RS_CORE_BOOTERS + ENDERS +
	    2];
	unsigned nr;
};

struct loop {
	struct rs_core c;		/* first: see rs_core_lost() */
	struct event *done, *signals[NR_SIGNALS], *drained;
	struct hosts hosts;
	int done_fd;
	struct err *e;
	int rc;
};

unsigned
rs_core_count_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned nr = 0;

	while (dir != NULL && readdir(dir) != NULL)
		nr++;
	if (dir != NULL)
		(void)closedir(dir);
	return nr;
}

void
rs_core_answer(struct rs_core *c, uint32_t client, struct dvm_proto *m)
{
	if (client == 0)
		return;
	m->version = DVM_PROTO_VERSION;
	m->client = client;
	c->nr_answers += dvm_proto_is_final(m);
	rs_link_send(c->link, m);
}

void
rs_core_text(struct dvm_proto *m, const char *what, const char *why)
{
	(void)snprintf(m->text, sizeof(m->text), "%s%s%s", what != NULL ?
	    what : "", what != NULL ? ": " : "", why);
	for (char *at = m->text; *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
}

void
rs_core_fail(struct rs_core *c, uint32_t client, const struct err *e)
{
	struct dvm_proto m = { .type = DVM_PROTO_FAILED,
	    .code = (uint32_t)err_exit_status(e->code) };

	rs_core_text(&m, NULL, e->msg);
	rs_core_answer(c, client, &m);
}

/* Front asks once for each client. */
static int
check_number(const struct rs_core *c, struct err *e)
{
	if (c->nr_requests - c->nr_answers <= RS_FRONT_CLIENTS_MAX)
		return 0;
	return err_set(e, ERR_BUSY, 0, "there are %u requests already",
	    RS_FRONT_CLIENTS_MAX);
}

/* A request; the descriptor is a RUN's, or of no use. */
static void
request(struct rs_core *c, const struct dvm_proto *m, int fd)
{
	struct dvm_proto bare = *m;
	struct err e;

	c->nr_requests++;
	/* Front has looked; one that was taken over has not. */
	bare.client = bare.uid = 0;
	if (dvm_proto_check_request(&bare, &e) != 0 ||
	    check_number(c, &e) != 0) {
		rs_core_fail(c, m->client, &e);
	} else if (m->type == DVM_PROTO_RUN) {
		rs_life_run(c, m, fd);
		return;
	} else if (m->type == DVM_PROTO_ATTACH) {
		rs_life_attach(c, m);
	} else {
		rs_queries(c, m);
	}
	if (fd >= 0)
		(void)close(fd);
}

static void
message(void *arg, const struct dvm_proto *m, int fd)
{
	struct loop *l = arg;

	if (m->client != 0 && m->type != DVM_PROTO_GONE) {
		request(&l->c, m, fd);
		return;
	}
	if (m->client != 0)
		rs_life_gone(&l->c, m->client);
	if (fd >= 0)
		(void)close(fd);
}

void
rs_core_lost(struct rs_core *c, const char *who, const char *why)
{
	struct loop *l = (struct loop *)(void *)c;

	if (c->draining)
		return;			/* nobody is left to tell: go on */
	l->rc = err_set(l->e, ERR_SYS, 0, "core: %s: %.200s", who, why);
	(void)event_base_loopbreak(c->base);
}

static void
front_closed(void *arg, const struct err *why)
{
	struct loop *l = arg;

	rs_core_lost(&l->c, "front", why->msg);
}

static void
stop_if_drained(struct loop *l)
{
	if (l->c.draining && TAILQ_EMPTY(&l->c.slots) &&
	    !rs_images_any_busy(&l->c) && !l->c.sweeping &&
	    rs_link_is_flushed(l->c.link))
		(void)event_base_loopbreak(l->c.base);
}

static void
jobs_done(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	struct rs_work *works[] = { l->c.builders, l->c.booters, l->c.enders,
	    l->c.lookers };
	struct rs_job *job;
	eventfd_t ignored;

	(void)what;
	(void)eventfd_read(fd, &ignored);
	for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
		while ((job = rs_work_take(works[i])) != NULL)
			job->done(job, &l->c);
	stop_if_drained(l);
}

static void
tick(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	/* With nothing there, nothing is looked at: an idle service sleeps. */
	if (!TAILQ_EMPTY(&l->c.slots))
		rs_watch(&l->c);
	rs_queries_tick(&l->c);
	stop_if_drained(l);
}

static void
drain_over(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->rc = err_set(l->e, ERR_BUSY, 0, "core: %u disposables do not end: "
	    "the next start tries again", l->c.nr_slots);
	(void)event_base_loopbreak(l->c.base);
}

static void
signalled(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval most = { .tv_sec = DRAIN_SECONDS };
	struct loop *l = arg;

	(void)fd;
	(void)what;
	if (l->c.draining)
		return;
	rs_report_event(&l->c.report, "ending %u disposables", l->c.nr_slots);
	(void)event_add(l->drained, &most);
	rs_life_drain(&l->c);
	stop_if_drained(l);
}

static int
open_hosts(struct hosts *h, const struct rs_core_params *p, struct err *e)
{
	unsigned nr = p->nr_builders + RS_CORE_BOOTERS + ENDERS + 2;

	for (; h->nr < nr; h->nr++)
		if (rs_host_open(p->state_dir, &h->envs[h->nr], e) != 0)
			return -1;
	return 0;
}

static int
start_workers(struct loop *l, struct err *e)
{
	const struct env *envs = l->hosts.envs + 1;
	unsigned nr = l->c.p->nr_builders;

	l->c.env = l->hosts.envs[0];
	l->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->done_fd < 0)
		return err_set(e, ERR_SYS, errno, "eventfd");
	l->c.builders = rs_work_new(envs, nr, l->done_fd, e);
	envs += nr;
	if (l->c.builders != NULL)
		l->c.booters = rs_work_new(envs, RS_CORE_BOOTERS, l->done_fd,
		    e);
	envs += RS_CORE_BOOTERS;
	if (l->c.booters != NULL)
		l->c.enders = rs_work_new(envs, ENDERS, l->done_fd, e);
	if (l->c.enders != NULL)
		l->c.lookers = rs_work_new(envs + ENDERS, 1, l->done_fd, e);
	return l->c.lookers != NULL ? 0 : -1;
}

static int
start_events(struct loop *l, struct err *e)
{
	const struct timeval every = {
	    .tv_usec = RS_WATCH_MS * 1000 };
	struct event_base *b = event_base_new();
	const struct rs_link_params lp = { .fd = l->c.p->link_fd,
	    .queue_max = LINK_QUEUE, .read_below = LINK_QUEUE / 2,
	    .takes_fds = true, .arg = l,
	    .ops = { .message = message, .closed = front_closed } };

	l->c.base = b;
	if (b == NULL)
		return err_set(e, ERR_NOMEM, 0, "the event loop");
	l->done = event_new(b, l->done_fd, EV_READ | EV_PERSIST, jobs_done,
	    l);
	l->c.tick = event_new(b, -1, EV_PERSIST, tick, l);
	l->drained = event_new(b, -1, 0, drain_over, l);
	if (l->done == NULL || l->c.tick == NULL || l->drained == NULL ||
	    event_add(l->done, NULL) != 0 ||
	    event_add(l->c.tick, &every) != 0)
		return err_set(e, ERR_NOMEM, 0, "the event loop");
	for (size_t i = 0; i < NR_SIGNALS; i++) {
		l->signals[i] = evsignal_new(b, stop_signal[i], signalled, l);
		if (l->signals[i] == NULL ||
		    event_add(l->signals[i], NULL) != 0)
			return err_set(e, ERR_NOMEM, 0, "the event loop");
	}
	l->c.couriers = rs_channels_new(&l->c, l->c.p->stock_fd, e);
	if (l->c.couriers != NULL)
		l->c.link = rs_link_new(b, &lp, e);
	return l->c.link != NULL ? 0 : -1;
}

/* What an earlier core left is found before the first request is read.  Who is
 * overlooked would run on unknown: rather no start than that. */
static int
reconcile(struct rs_core *c, struct err *e)
{
	unsigned nr_removed, nr = 0, tries = 0;
	int rc;

	do {
		free(c->survivors.all);
		free(c->survivors.bases);
		c->survivors = (struct rs_survivors){ .all = NULL };
		rc = rs_reconcile(&c->env, &c->survivors, &nr_removed, e);
		if (rc != 0)
			rs_report_event(&c->report, "%s", e->msg);
		nr += nr_removed;
		/* What is busy has had its time. */
	} while (rc != 0 && e->code != ERR_BUSY && ++tries < RECONCILE_TRIES);
	if (nr > 0)
		rs_report_event(&c->report, "removed %u domains, nodes or "
		    "devices that an earlier service left", nr);
	if (c->survivors.unseen)
		return err_prefix(e, "core: not all disposables can be seen");
	rs_life_adopt(c);
	rs_channels_adopt(c);
	return 0;
}

static void
stop(struct loop *l)
{
	struct rs_core *c = &l->c;
	struct event *events[] = { l->done, c->tick, l->drained };

	rs_work_free(c->builders);
	rs_work_free(c->booters);
	rs_work_free(c->enders);
	rs_work_free(c->lookers);
	rs_link_free(c->link);
	rs_channels_free(c->couriers);
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	for (size_t i = 0; i < NR_SIGNALS; i++)
		if (l->signals[i] != NULL)
			event_free(l->signals[i]);
	if (c->base != NULL)
		event_base_free(c->base);
	if (l->done_fd >= 0)
		(void)close(l->done_fd);
	rs_images_close_all(c);
	for (unsigned i = 0; i < l->hosts.nr; i++)
		env_close(&l->hosts.envs[i]);
	free(c->survivors.bases);
	free(l);
}

static int
confine(const struct rs_core_params *p, struct err *e)
{
	const struct rs_confine_params cp = { .role = RS_CONFINE_CORE,
	    .parent = p->parent, .nr_files = FILES_MAX,
	    .leak_check = true };

	return rs_confine(&cp, e);
}

int
rs_core_run(const struct rs_core_params *p, struct err *e)
{
	struct loop *l = calloc(1, sizeof(*l));
	int rc;

	if (l == NULL)
		return err_set(e, ERR_NOMEM, errno, "core");
	l->c.p = p;
	l->e = e;
	l->done_fd = -1;
	l->c.report.start_ns = clock_now_ns();
	TAILQ_INIT(&l->c.slots);
	TAILQ_INIT(&l->c.held);
	TAILQ_INIT(&l->c.kills);
	/* Handles first, then confinement, then threads, which inherit it. */
	rc = -1;
	if (open_hosts(&l->hosts, p, e) != 0 || confine(p, e) != 0 ||
	    start_workers(l, e) != 0 || start_events(l, e) != 0 ||
	    reconcile(&l->c, e) != 0)
		goto out;
	l->c.nr_files = rs_core_count_files() - rs_channels_files(&l->c);
	rs_images_open_all(&l->c);
	if (write(p->ready_fd, READY, sizeof(READY) - 1) < 0) {
		(void)err_set(e, ERR_SYS, errno, "core: cannot say that it is "
		    "ready");
		goto out;
	}
	(void)close(p->ready_fd);
	l->c.nr_files--;
	if (event_base_dispatch(l->c.base) < 0)
		l->rc = err_set(e, ERR_SYS, 0, "core: the event loop");
	rc = l->rc;
out:
	/* Front is gone, or there was no start: no time for order, since all
	 * is found again. */
	if (rc == 0)
		stop(l);
	return rc;
}
