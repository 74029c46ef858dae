/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Answers to who asks what there is.  Runs in core's main thread, but for the
 * run_* functions, which are the workers'.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "include/container_of.h"
#include "restore/core/channels.h"
#include "restore/core/check.h"
#include "restore/core/end.h"
#include "restore/core/images.h"
#include "restore/core/life.h"
#include "restore/core/queries.h"
#include "restore/core/status.h"

#define FILES_EACH 2u		/* a held template has its savefile open */
#define KILL_WAIT_NS (60 * CLOCK_SECOND)
#define QUIET_WAIT_NS (30 * CLOCK_SECOND)

struct rs_queries_check {
	struct rs_job job;
	struct rs_core *core;
	uint32_t client;
	uint64_t asked_ns;
	bool running;
	unsigned nr_files;	/* open, right after it */
	struct rs_domain *live;
	char (*bases)[DISK_NAME_MAX];
	struct rs_check check;
};

static void
list(struct rs_core *c, const struct dvm_proto *request)
{
	struct dvm_proto done = { .type = DVM_PROTO_DONE };
	const struct rs_slot *s;

	TAILQ_FOREACH(s, &c->slots, entry) {
		struct dvm_proto m = { .type = DVM_PROTO_RECORD };

		rs_life_describe(s, &m);
		rs_core_answer(c, request->client, &m);
	}
	rs_core_answer(c, request->client, &done);
}

static void
tell_log(struct rs_core *c, const struct dvm_proto *request)
{
	struct dvm_proto done = { .type = DVM_PROTO_DONE };
	uint64_t nr = c->report.nr_events;
	uint64_t i = nr > RS_REPORT_EVENTS ? nr - RS_REPORT_EVENTS : 0;

	for (; i < nr; i++) {
		struct dvm_proto m = { .type = DVM_PROTO_EVENT };
		const struct rs_report_event *ev =
		    &c->report.events[i % RS_REPORT_EVENTS];

		m.value[0] = ev->wall_ns;
		memcpy(m.text, ev->text, sizeof(m.text));
		rs_core_answer(c, request->client, &m);
	}
	rs_core_answer(c, request->client, &done);
}

/* Is it one that the request is about? */
static bool
is_killed(const struct rs_kill *k, const struct rs_slot *s)
{
	if (k->name[0] != '\0')
		return strcmp(k->name, s->note.name) == 0;
	return (k->uid == 0 || k->uid == s->note.uid) &&
	    s->asked_ns <= k->asked_ns;
}

static void
kill_asked(struct rs_core *c, const struct dvm_proto *m)
{
	struct rs_kill *k = calloc(1, sizeof(*k));
	struct rs_slot *s, *next;
	struct err e = { .code = ERR_NONE };

	if (k == NULL) {
		(void)err_set(&e, ERR_NOMEM, errno, "kill");
		rs_core_fail(c, m->client, &e);
		return;
	}
	k->client = m->client;
	k->uid = m->uid;
	k->asked_ns = clock_now_ns();
	memcpy(k->name, m->name, sizeof(k->name));
	for (s = TAILQ_FIRST(&c->slots); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (!is_killed(k, s))
			continue;
		if (k->uid != 0 && k->uid != s->note.uid) {
			(void)err_set(&e, ERR_AUTH, 0, "%s is another user's",
			    k->name);
			break;
		}
		k->nr++;
		rs_end(s, 1, "killed");
	}
	if (k->nr == 0 && k->name[0] != '\0' && e.code == ERR_NONE)
		(void)err_set(&e, ERR_STALE, 0, "there is no disposable %s: "
		    "see dvm ls", k->name);
	if (e.code != ERR_NONE) {
		rs_core_fail(c, m->client, &e);
		free(k);
		return;
	}
	TAILQ_INSERT_TAIL(&c->kills, k, entry);
	rs_queries_progress(c);
}

static void
progress_kills(struct rs_core *c)
{
	struct rs_kill *k, *next;
	const struct rs_slot *s;

	for (k = TAILQ_FIRST(&c->kills); k != NULL; k = next) {
		struct dvm_proto done = { .type = DVM_PROTO_DONE,
		    .value = { k->nr } };

		next = TAILQ_NEXT(k, entry);
		TAILQ_FOREACH(s, &c->slots, entry) {
			if (is_killed(k, s))
				break;
		}
		if (s != NULL)
			continue;
		rs_core_answer(c, k->client, &done);
		TAILQ_REMOVE(&c->kills, k, entry);
		free(k);
	}
}

static void
run_check(struct rs_job *job, const struct env *env)
{
	struct rs_queries_check *k = container_of(job,
	    struct rs_queries_check, job);

	rs_check(&k->check, env);
	k->nr_files = rs_core_count_files();
}

static void
free_check(struct rs_queries_check *k)
{
	k->core->check = NULL;
	k->core->checking = false;
	free(k->live);
	free(k->bases);
	free(k);
}

/* What only the main thread knows. */
static void
check_self(struct rs_queries_check *k)
{
	struct rs_core *c = k->core;
	uint64_t nr_open = 1;		/* the check itself */
	unsigned nr_right = c->nr_files + rs_channels_files(c);
	const struct rs_kill *kill;
	const struct rs_slot *s;
	const struct rs_image *h;

	TAILQ_FOREACH(s, &c->slots, entry)
		nr_open += s->client != 0;
	TAILQ_FOREACH(kill, &c->kills, entry)
		nr_open++;
	nr_open += c->nr_status;
	rs_check_that(&k->check, c->nr_requests - c->nr_answers == nr_open,
	    "%llu requests had %llu final answers, and %llu are waiting",
	    (unsigned long long)c->nr_requests,
	    (unsigned long long)c->nr_answers, (unsigned long long)nr_open);
	TAILQ_FOREACH(h, &c->held, entry)
		nr_right += h->is_open ? FILES_EACH : 0;
	rs_check_that(&k->check, k->nr_files <= nr_right, "the service has "
	    "%u descriptors open, %u are right", k->nr_files, nr_right);
}

static void
done_check(struct rs_job *job, void *arg)
{
	struct rs_core *c = arg;
	struct rs_queries_check *k = c->check;
	struct dvm_proto done = { .type = DVM_PROTO_DONE };

	(void)job;
	check_self(k);
	for (unsigned i = 0; i < k->check.nr_findings; i++) {
		struct dvm_proto m = { .type = DVM_PROTO_FINDING };

		(void)snprintf(m.text, sizeof(m.text), "%s",
		    k->check.findings[i]);
		rs_report_event(&c->report, "check: %s", m.text);
		rs_core_answer(c, k->client, &m);
	}
	done.value[0] = k->check.nr_held;
	done.value[1] = k->check.nr_broken;
	rs_core_answer(c, k->client, &done);
	free_check(k);
	rs_life_dispatch(c);
}

/* The names of dm devices that templates, and survivors' bases, have. */
static int
add_bases(struct rs_queries_check *k)
{
	const struct rs_survivors *v = &k->core->survivors;
	const struct rs_image *h;
	size_t cap = 1;

	TAILQ_FOREACH(h, &k->core->held, entry)
		cap += RS_DISKS_MAX;
	for (size_t i = 0; i < v->bases_bytes; i++)
		cap += v->bases[i] == '\0';
	k->bases = calloc(cap, sizeof(*k->bases));
	if (k->bases == NULL)
		return -1;
	k->check.bases = k->bases;
	TAILQ_FOREACH(h, &k->core->held, entry) {
		for (uint32_t i = 0; i < h->t.nr_disks; i++)
			memcpy(k->bases[k->check.nr_bases++],
			    h->t.disks[i].base.name, DISK_NAME_MAX);
	}
	for (size_t at = 0; at < v->bases_bytes;
	    at += strlen(v->bases + at) + 1)
		(void)snprintf(k->bases[k->check.nr_bases++], DISK_NAME_MAX,
		    "%s", v->bases + at);
	return 0;
}

static bool
is_quiet(const struct rs_core *c)
{
	const struct rs_slot *s;

	TAILQ_FOREACH(s, &c->slots, entry) {
		if (s->busy)
			return false;
	}
	return !rs_images_any_busy(c) && !c->sweeping && c->nr_status == 0;
}

/* Nothing is on its way any more: look. */
static void
progress_check(struct rs_core *c)
{
	struct rs_queries_check *k = c->check;
	const struct rs_slot *s;
	struct err e;

	if (k == NULL || k->running || !is_quiet(c))
		return;
	k->live = calloc(c->nr_slots + 1, sizeof(*k->live));
	if (k->live == NULL || add_bases(k) != 0) {
		(void)err_set(&e, ERR_NOMEM, errno, "the check");
		rs_core_fail(c, k->client, &e);
		free_check(k);
		return;
	}
	TAILQ_FOREACH(s, &c->slots, entry) {
		if (s->state != DVM_PROTO_STATE_QUEUED)
			k->live[k->check.nr_live++] = s->domain;
	}
	k->check.live = k->live;
	k->check.state_dir = c->p->state_dir;
	k->running = true;
	k->job.run = run_check;
	k->job.done = done_check;
	rs_work_put(c->lookers, &k->job);
}

static void
check_asked(struct rs_core *c, const struct dvm_proto *m)
{
	struct rs_queries_check *k = NULL;
	struct err e;

	/* While it looks nothing begins or ends. */
	if (m->uid != 0)
		(void)err_set(&e, ERR_AUTH, 0, "only root may check the "
		    "invariants");
	else if (c->check != NULL)
		(void)err_set(&e, ERR_BUSY, 0, "another check is under way");
	else if (c->draining)
		(void)err_set(&e, ERR_BUSY, 0, "the service is ending");
	else if ((k = calloc(1, sizeof(*k))) == NULL)
		(void)err_set(&e, ERR_NOMEM, errno, "the check");
	if (k == NULL) {
		rs_core_fail(c, m->client, &e);
		return;
	}
	k->core = c;
	k->client = m->client;
	k->asked_ns = clock_now_ns();
	c->check = k;
	c->checking = true;
	rs_queries_progress(c);
}

void
rs_queries_progress(struct rs_core *c)
{
	progress_kills(c);
	progress_check(c);
}

void
rs_queries_drop_check(struct rs_core *c)
{
	struct rs_queries_check *k = c->check;
	struct err e;

	if (k == NULL || k->running)
		return;
	(void)err_set(&e, ERR_BUSY, 0, "launches or destroys are under way, or "
	    "the service is ending: try again");
	rs_core_fail(c, k->client, &e);
	free_check(k);
}

void
rs_queries_tick(struct rs_core *c)
{
	const struct rs_queries_check *check = c->check;
	struct rs_kill *k = TAILQ_FIRST(&c->kills);
	uint64_t now = clock_now_ns();
	struct err e;

	if (k != NULL && k->asked_ns + KILL_WAIT_NS < now) {
		(void)err_set(&e, ERR_BUSY, 0, "Xen or a block backend does "
		    "not let it go, it is still tried: see dvm ls, and "
		    "`xl list`");
		rs_core_fail(c, k->client, &e);
		TAILQ_REMOVE(&c->kills, k, entry);
		free(k);
	}
	if (check != NULL && check->asked_ns + QUIET_WAIT_NS < now) {
		rs_queries_drop_check(c);
		rs_life_dispatch(c);
	}
}

void
rs_queries(struct rs_core *c, const struct dvm_proto *m)
{
	if (m->type == DVM_PROTO_LIST)
		list(c, m);
	else if (m->type == DVM_PROTO_KILL)
		kill_asked(c, m);
	else if (m->type == DVM_PROTO_STATUS)
		rs_status(c, m);
	else if (m->type == DVM_PROTO_CHECK)
		check_asked(c, m);
	else
		tell_log(c, m);
}
