/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of disposables.  Runs in core's main thread, but for the run_*
 * functions, which are the workers'.  Trusts nothing in a message but its
 * form, which front has checked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "ident.h"
#include "launch_page.h"
#include "rs_answer.h"
#include "rs_ask.h"
#include "rs_couriers.h"
#include "rs_end.h"
#include "rs_held.h"
#include "rs_life.h"

static struct rs_slot *
of(struct rs_job *job)
{
	return (struct rs_slot *)(void *)((char *)job -
	    offsetof(struct rs_slot, job));
}

static struct rs_slot *
slot_new(struct rs_core *c)
{
	struct rs_slot *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->core = c;
	s->state = DVM_PROTO_STATE_QUEUED;
	s->asked_ns = clock_now_ns();
	s->cancel_fd = s->channel_fd = -1;
	TAILQ_INSERT_TAIL(&c->slots, s, entry);
	c->nr_slots++;
	return s;
}

void
rs_life_describe(const struct rs_slot *s, struct dvm_proto *m)
{
	uint64_t now = clock_now_ns();

	m->state = s->state;
	m->uid = s->note.uid;
	(void)snprintf(m->template, sizeof(m->template), "%s",
	    s->note.template_name);
	m->value[0] = now - (s->note.started_ns != 0 ? s->note.started_ns :
	    s->asked_ns);
	if (s->note.until_ns > now)
		m->value[2] = (s->note.until_ns - now + CLOCK_SECOND - 1) /
		    CLOCK_SECOND;
	/* Until it runs its domain is its worker's. */
	if (s->note.name[0] == '\0')
		return;
	memcpy(m->name, s->note.name, sizeof(m->name));
	m->domid = s->domain.domid;
	m->launch_id = launch_page_id(s->domain.uuid);
	m->value[1] = s->domain.max_mem_kb * 1024;
	(void)snprintf(m->text, sizeof(m->text), "%s", s->domain.uuid_text);
}

static void
answer_running(struct rs_slot *s)
{
	struct dvm_proto m = { .type = DVM_PROTO_RUNNING };

	rs_life_describe(s, &m);
	memset(m.value, 0, sizeof(m.value));
	for (unsigned i = 0; i < RS_STAGES; i++)
		m.value[i] = s->timings.end_ns[i];
	rs_core_answer(s->core, s->client, &m);
}

static void
run_launch(struct rs_job *job, const struct rs_env *env)
{
	struct rs_slot *s = of(job);
	const struct rs_core_params *p = s->core->p;
	const struct rs_template *t = &s->held->t;

	job->rc = -1;
	s->is_stale = s->check_due &&
	    rs_template_check(t, p->state_dir, &job->err) != 0;
	if (s->is_stale ||
	    rs_launch(env, t, &p->launch, &s->domain, &s->timings,
	    &job->err) != 0 ||
	    rs_answer_wait(env, t, &s->domain, p->answer_timeout_s,
	    s->cancel_fd, &s->timings, &job->err) != 0)
		return;
	s->built = s->note;
	memcpy(s->built.name, s->domain.name, sizeof(s->built.name));
	s->built.started_ns = s->timings.start_ns;
	if (s->limit_ns != 0)
		s->built.until_ns = clock_now_ns() + s->limit_ns;
	job->rc = rs_note_write(env, s->domain.domid, &s->built, &job->err);
}

static bool
any_ending(const struct rs_core *c)
{
	const struct rs_slot *s;

	/* One that was tried in vain frees nothing soon, one that never had a
	 * domain frees nothing. */
	TAILQ_FOREACH(s, &c->slots, entry) {
		if (s->state == DVM_PROTO_STATE_ENDING && s->nr_tries == 0 &&
		    (s->note.started_ns != 0 ||
		    s->timings.end_ns[RS_STAGE_CREATE] != 0))
			return true;
	}
	return false;
}

static void
launch_failed(struct rs_slot *s, const struct err *e)
{
	struct rs_core *c = s->core;

	/* What is being freed may be enough: it keeps its place. */
	if (e->code == ERR_NOMEM && !s->domain.created && any_ending(c) &&
	    s->why[0] == '\0') {
		s->state = DVM_PROTO_STATE_QUEUED;
		rs_held_release(s->held);
		s->held = NULL;
		c->low_memory = true;
		return;
	}
	if (s->why[0] == '\0') {
		/* What the guest said is for its client, not the log. */
		bool is_guests = e->code == ERR_INPUT &&
		    s->timings.end_ns[RS_STAGE_UNPAUSE] != 0;

		c->report.counters[DVM_PROTO_LAUNCH_FAILED]++;
		rs_report_event(&c->report, "%s: launch of template %s for "
		    "uid %u failed: %s", s->domain.name, s->note.template_name,
		    s->note.uid, is_guests ? "its agent did not answer as it "
		    "should" : e->msg);
		rs_core_fail(c, s->client, e);
		s->client = 0;
		(void)snprintf(s->why, sizeof(s->why), "its launch failed");
		s->end_ns = clock_now_ns();
	}
	rs_end_start(s);
}

static void
launched(struct rs_slot *s)
{
	struct rs_core *c = s->core;
	const struct rs_timings *t = &s->timings;

	s->state = DVM_PROTO_STATE_RUNNING;
	s->note = s->built;
	c->report.counters[DVM_PROTO_LAUNCHED]++;
	s->held->nr_launches++;
	rs_report_launch(&c->report, t);
	rs_report_event(&c->report, "%s launch=%016" PRIx64 " template=%s "
	    "uid=%u domid=%u queue=%.3f create=%.3f load=%.3f unpause=%.3f "
	    "answer=%.3f", s->note.name, launch_page_id(s->domain.uuid),
	    s->note.template_name, s->note.uid, s->domain.domid,
	    (double)(t->start_ns - s->asked_ns) / 1e9,
	    (double)t->end_ns[RS_STAGE_CREATE] / 1e9,
	    (double)t->end_ns[RS_STAGE_LOAD] / 1e9,
	    (double)t->end_ns[RS_STAGE_UNPAUSE] / 1e9,
	    (double)t->end_ns[RS_STAGE_ANSWER] / 1e9);
	rs_report_sample(&c->report, RS_REPORT_QUEUE,
	    t->start_ns - s->asked_ns);
	answer_running(s);
	rs_couriers_give(s);
	/* Unmapping is dear: only now. */
	rs_end_finish(s);
}

static void
done_launch(struct rs_job *job, void *arg)
{
	struct rs_core *c = arg;
	struct rs_slot *s = of(job);

	s->busy = false;
	c->nr_building--;
	(void)close(s->cancel_fd);
	s->cancel_fd = -1;
	if (s->is_stale) {
		/* The generation that is current now decides. */
		rs_held_is_stale(s->held);
		rs_held_release(s->held);
		s->held = NULL;
		s->state = DVM_PROTO_STATE_QUEUED;
		if (s->why[0] != '\0') {
			rs_end_answer(s);
			rs_end_free(s);
		}
	} else if (job->rc != 0) {
		launch_failed(s, &job->err);
	} else {
		if (s->check_due)
			s->held->checked_ns = s->timings.start_ns;
		launched(s);
	}
	rs_life_dispatch(c);
}

static void
start_launch(struct rs_slot *s, struct rs_held *h)
{
	struct rs_core *c = s->core;

	s->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->cancel_fd < 0)
		return;			/* the next tick tries again */
	s->state = DVM_PROTO_STATE_BUILDING;
	s->held = h;
	rs_held_use(h);
	s->check_due = clock_now_ns() > h->checked_ns + RS_HELD_FRESH_NS;
	c->nr_building++;
	s->busy = true;
	s->job.run = run_launch;
	s->job.done = done_launch;
	rs_work_put(c->builders, &s->job);
}

void
rs_life_dispatch(struct rs_core *c)
{
	struct rs_slot *s;
	struct rs_held *h;

	TAILQ_FOREACH(s, &c->slots, entry) {
		if (s->why[0] != '\0' && !s->busy &&
		    s->state < DVM_PROTO_STATE_ENDING)
			rs_end_start(s);
	}
	TAILQ_FOREACH(s, &c->slots, entry) {
		if (c->low_memory && any_ending(c))
			break;
		if (c->nr_building >= c->p->nr_builders || c->checking)
			break;
		if (s->state != DVM_PROTO_STATE_QUEUED)
			continue;
		h = rs_held_get(c, s->note.template_name);
		if (h != NULL)
			start_launch(s, h);
	}
	rs_ask_progress(c);
}

void
rs_life_template(struct rs_core *c, const char *name, const struct err *e)
{
	struct rs_slot *s, *next;

	for (s = TAILQ_FIRST(&c->slots); e != NULL && s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->state != DVM_PROTO_STATE_QUEUED ||
		    strcmp(s->note.template_name, name) != 0)
			continue;
		c->report.counters[DVM_PROTO_LAUNCH_FAILED]++;
		rs_core_fail(c, s->client, e);
		rs_end_free(s);
	}
	rs_life_dispatch(c);
}

/* The template that is meant by what was said. */
static int
find_template(const struct rs_core *c, const char *said,
    char name[PR_GEN_NAME_MAX + 1], struct err *e)
{
	if (said[0] == '\0')
		return pr_gen_default(c->p->state_dir, name, e);
	/* No word of a user's goes on to the log. */
	if (!pr_gen_is_template(c->p->state_dir, said))
		return err_set(e, ERR_STALE, 0, "there is no template %s: run "
		    "dvm-prepare on its configuration", said);
	(void)snprintf(name, PR_GEN_NAME_MAX + 1, "%.*s", PR_GEN_NAME_MAX,
	    said);
	return 0;
}

void
rs_life_run(struct rs_core *c, const struct dvm_proto *m, int channel_fd)
{
	struct dvm_proto queued = { .type = DVM_PROTO_QUEUED };
	struct rs_slot *s = NULL, *other;
	char name[PR_GEN_NAME_MAX + 1];
	struct err e;

	if (c->draining)
		(void)err_set(&e, ERR_BUSY, 0, "the service is ending");
	else if (c->nr_slots >= RS_LIFE_SLOTS_MAX)
		(void)err_set(&e, ERR_BUSY, 0, "there are %u disposables: "
		    "end some first", c->nr_slots);
	else if (find_template(c, m->template, name, &e) == 0 &&
	    (s = slot_new(c)) == NULL)
		(void)err_set(&e, ERR_NOMEM, errno, "a disposable");
	if (s == NULL) {
		rs_core_fail(c, m->client, &e);
		if (channel_fd >= 0)
			(void)close(channel_fd);
		return;
	}
	s->client = m->client;
	s->channel_fd = channel_fd;
	s->note.uid = m->uid;
	s->limit_ns = m->value[0] * CLOCK_SECOND;
	memcpy(s->note.template_name, name, sizeof(name));
	TAILQ_FOREACH(other, &c->slots, entry)
		queued.value[0] += other != s &&
		    other->state == DVM_PROTO_STATE_QUEUED;
	rs_life_dispatch(c);
	if (s->state == DVM_PROTO_STATE_QUEUED)
		rs_core_answer(c, s->client, &queued);
}

void
rs_life_attach(struct rs_core *c, const struct dvm_proto *m)
{
	struct rs_slot *s;
	struct err e;

	TAILQ_FOREACH(s, &c->slots, entry) {
		if (s->note.name[0] == '\0' || s->why[0] != '\0' ||
		    launch_page_id(s->domain.uuid) != m->launch_id ||
		    (m->uid != s->note.uid && m->uid != 0))
			continue;
		if (s->client == 0) {
			s->client = m->client;
			s->grace_ns = 0;
			answer_running(s);
			return;
		}
		(void)err_set(&e, ERR_BUSY, 0, "%s is held already",
		    s->note.name);
		rs_core_fail(c, m->client, &e);
		return;
	}
	(void)err_set(&e, ERR_STALE, 0, "there is no such disposable of yours "
	    "any more");
	rs_core_fail(c, m->client, &e);
}

void
rs_life_gone(struct rs_core *c, uint32_t client)
{
	struct dvm_proto m = { .type = DVM_PROTO_ENDED };
	struct rs_slot *s;

	TAILQ_FOREACH(s, &c->slots, entry) {
		if (s->client != client)
			continue;
		s->client = 0;
		/* Nobody is left to have it, but front waits for it. */
		rs_core_answer(c, client, &m);
		rs_end(s, 0, "its client went away");
		return;
	}
}

void
rs_life_adopt(struct rs_core *c)
{
	uint64_t now = clock_now_ns();

	for (size_t i = 0; i < c->survivors.nr; i++) {
		const struct rs_survivor *from = &c->survivors.all[i];
		struct rs_slot *s = slot_new(c);

		if (s == NULL)
			continue;	/* --check will show it */
		s->domain = from->domain;
		s->note = from->note;
		if (from->ending) {
			s->state = DVM_PROTO_STATE_ZOMBIE;
			s->end_ns = s->retry_ns = now;
			(void)snprintf(s->why, sizeof(s->why), "left behind");
			continue;
		}
		s->state = DVM_PROTO_STATE_RUNNING;
		s->grace_ns = now + c->p->grace_s * CLOCK_SECOND;
		c->report.counters[DVM_PROTO_ADOPTED]++;
		rs_report_event(&c->report, "%s launch=%016" PRIx64
		    " template=%s uid=%u domid=%u found running",
		    s->note.name, launch_page_id(s->domain.uuid),
		    s->note.template_name, s->note.uid, s->domain.domid);
	}
	free(c->survivors.all);
	c->survivors.all = NULL;
	c->survivors.nr = 0;
}

void
rs_life_drain(struct rs_core *c)
{
	struct rs_slot *s, *next;

	c->draining = true;
	rs_ask_drop_check(c);
	for (s = TAILQ_FIRST(&c->slots); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		rs_end(s, 1, "the service ends");
	}
}
