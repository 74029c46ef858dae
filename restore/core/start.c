/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From a request to a running disposable.  Runs in core's main thread, but for
 * the run_* functions, and note(), which are the workers'.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/container_of.h"
#include "include/wire/launch_page.h"
#include "restore/core/channels.h"
#include "restore/core/cold.h"
#include "restore/core/end.h"
#include "restore/core/images.h"
#include "restore/core/life.h"
#include "restore/core/start.h"
#include "restore/launch/ack.h"

/* What follows has the reason and the next step. */
#define COLD_NOTICE "booting cold, which takes longer"
/* A launch that takes longer no longer goes before what other guests say. */
#define LAUNCH_NS (2 * CLOCK_SECOND)

static struct rs_slot *
of(struct rs_job *job)
{
	return container_of(job, struct rs_slot, job);
}

/* It is whole: what a later core must know of it. */
static void
note(struct rs_slot *s, const struct env *env)
{
	s->built = s->note;
	memcpy(s->built.name, s->domain.name, sizeof(s->built.name));
	s->built.started_ns = s->timings.start_ns;
	s->built.is_cold = s->is_cold;
	if (s->limit_ns != 0)
		s->built.until_ns = clock_now_ns() + s->limit_ns;
	s->job.rc = rs_tag_write(env, s->domain.domid, &s->built,
	    &s->job.err);
}

static void
run_launch(struct rs_job *job, const struct env *env)
{
	struct rs_slot *s = of(job);
	const struct rs_core_params *p = s->core->p;
	const struct rs_template *t = &s->held->t;
	struct rs_launch_params launch = p->launch;

	job->rc = -1;
	launch.uid = s->note.uid;
	s->is_stale = s->check_due &&
	    rs_template_check(t, p->state_dir, &job->err) != 0;
	if (s->is_stale ||
	    rs_launch(env, t, &launch, &s->domain, &s->timings,
	    &job->err) != 0 || (t->has_agent &&
	    rs_ack_wait(env, &s->domain, p->answer_timeout_s,
	    s->cancel_fd, &s->timings, &job->err) != 0))
		return;
	note(s, env);
}

static void
run_cold(struct rs_job *job, const struct env *env)
{
	struct rs_slot *s = of(job);
	const struct rs_core_params *p = s->core->p;
	const struct rs_cold_params cold = {
		.socket_path = p->boot_socket,
		.template_name = s->note.template_name,
		.store_bytes = p->launch.store_bytes,
		.boot_s = RS_COLD_BOOT_S,
		.undo_s = RS_COLD_UNDO_S,
		.uid = s->note.uid,
		.interrupt_fd = s->cancel_fd,
	};

	job->rc = -1;
	if (rs_cold_boot(env, &cold, &s->domain, &s->timings,
	    &job->err) == 0 && rs_ack_wait(env, &s->domain,
	    RS_COLD_ANSWER_TIMES * p->answer_timeout_s, s->cancel_fd,
	    &s->timings, &job->err) == 0)
		note(s, env);
}

bool
rs_start_any_ending(const struct rs_core *c)
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
queue_again(struct rs_slot *s)
{
	s->state = DVM_PROTO_STATE_QUEUED;
	if (s->held != NULL)
		rs_images_release(s->held);
	s->held = NULL;
}

bool
rs_start_goes_cold(struct rs_slot *s, const struct err *why)
{
	struct dvm_proto m = { .type = DVM_PROTO_QUEUED };
	struct rs_core *c = s->core;

	if (s->is_cold || s->why[0] != '\0' || !rs_cold_cures(why) ||
	    !rs_cold_is_allowed(c->p->boot_socket))
		return false;
	s->is_cold = true;
	rs_report_event(&c->report, "booting cold for uid %u: %s",
	    s->note.uid, why->msg);
	rs_core_text(&m, COLD_NOTICE, why->msg);
	rs_core_answer(c, s->client, &m);
	return true;
}

static void
launch_failed(struct rs_slot *s, const struct err *e)
{
	struct rs_core *c = s->core;

	/* What is being freed may be enough: it keeps its place. */
	if (e->code == ERR_NOMEM && !s->domain.created &&
	    rs_start_any_ending(c) && s->why[0] == '\0') {
		queue_again(s);
		c->low_memory = true;
		return;
	}
	/* Its image is not what it seemed to be. */
	if (!s->domain.created && s->timings.end_ns[RS_STAGE_UNPAUSE] == 0 &&
	    rs_start_goes_cold(s, e)) {
		queue_again(s);
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
	if (s->held != NULL)
		s->held->nr_launches++;
	/* A boot says nothing of how long launches take. */
	if (s->is_cold)
		c->report.counters[DVM_PROTO_COLD]++;
	else
		rs_report_launch(&c->report, t);
	rs_report_event(&c->report, "%s launch=%016" PRIx64 " template=%s "
	    "uid=%u domid=%u queue=%.3f create=%.3f load=%.3f unpause=%.3f "
	    "answer=%.3f%s", s->note.name, launch_page_id(s->domain.uuid),
	    s->note.template_name, s->note.uid, s->domain.domid,
	    (double)(t->start_ns - s->asked_ns) / 1e9,
	    (double)t->end_ns[RS_STAGE_CREATE] / 1e9,
	    (double)t->end_ns[RS_STAGE_LOAD] / 1e9,
	    (double)t->end_ns[RS_STAGE_UNPAUSE] / 1e9,
	    (double)t->end_ns[RS_STAGE_ANSWER] / 1e9,
	    s->is_cold ? " booted cold" : "");
	if (!s->is_cold)
		rs_report_sample(&c->report, RS_REPORT_QUEUE,
		    t->start_ns - s->asked_ns);
	rs_life_tell_running(s);
	rs_channels_give(s);
	/* Unmapping is dear: only now. */
	rs_end_finish(s);
}

static void
done_launch(struct rs_job *job, void *arg)
{
	struct rs_core *c = arg;
	struct rs_slot *s = of(job);

	s->busy = false;
	if (s->is_cold)
		c->nr_booting--;
	else if (--c->nr_building == 0)
		rs_channels_launching(c->couriers, 0);
	(void)close(s->cancel_fd);
	s->cancel_fd = -1;
	if (s->is_stale) {
		/* The generation that is current now decides. */
		rs_images_is_stale(s->held);
		queue_again(s);
		if (s->why[0] != '\0') {
			rs_end_answer(s);
			rs_end_free(s);
		}
	} else if (job->rc != 0) {
		launch_failed(s, &job->err);
	} else {
		if (s->check_due && s->held != NULL)
			s->held->checked_ns = s->timings.start_ns;
		launched(s);
	}
	rs_life_dispatch(c);
}

/* False if there is too little for it: the next tick tries again. */
static bool
put(struct rs_slot *s, struct rs_work *work,
    void (*run)(struct rs_job *, const struct env *))
{
	s->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->cancel_fd < 0)
		return false;
	s->state = DVM_PROTO_STATE_BUILDING;
	s->busy = true;
	s->job.run = run;
	s->job.done = done_launch;
	rs_work_put(work, &s->job);
	return true;
}

void
rs_start_launch(struct rs_slot *s, struct rs_image *h)
{
	struct rs_core *c = s->core;

	s->held = h;
	s->check_due = clock_now_ns() > h->checked_ns + RS_IMAGES_FRESH_NS;
	if (!put(s, c->builders, run_launch)) {
		s->held = NULL;
		return;
	}
	rs_images_use(h);
	c->nr_building++;
	rs_channels_launching(c->couriers, clock_now_ns() + LAUNCH_NS);
}

void
rs_start_cold(struct rs_slot *s)
{
	struct rs_core *c = s->core;

	s->is_stale = s->check_due = false;
	if (c->nr_booting < RS_CORE_BOOTERS && put(s, c->booters, run_cold))
		c->nr_booting++;
}
