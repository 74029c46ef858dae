/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The end of disposables, off everybody's path.  Runs in core's main thread,
 * but for the run_* functions, which are the workers'.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/container_of.h"
#include "include/wire/launch_page.h"
#include "restore/core/channels.h"
#include "restore/core/end.h"
#include "restore/core/images.h"
#include "restore/core/life.h"
#include "restore/core/queries.h"

/* One try to destroy; more follow, each second. */
#define DESTROY_TRY_MS 3000u
#define RETRY_NS CLOCK_SECOND

static struct rs_slot *
of(struct rs_job *job)
{
	return container_of(job, struct rs_slot, job);
}

void
rs_end_free(struct rs_slot *s)
{
	struct rs_core *c = s->core;

	TAILQ_REMOVE(&c->slots, s, entry);
	c->nr_slots--;
	if (s->held != NULL)
		rs_images_release(s->held);
	if (s->cancel_fd >= 0)
		(void)close(s->cancel_fd);
	rs_channels_end(s);
	free(s);
	rs_queries_progress(c);
}

void
rs_end_answer(struct rs_slot *s)
{
	struct dvm_proto m = { .type = DVM_PROTO_ENDED, .code = s->code };

	memcpy(m.name, s->note.name, sizeof(m.name));
	(void)snprintf(m.text, sizeof(m.text), "%s", s->why);
	rs_core_answer(s->core, s->client, &m);
	s->client = 0;
}

static void
put(struct rs_slot *s, void (*run)(struct rs_job *, const struct env *),
    void (*done)(struct rs_job *, void *))
{
	s->busy = true;
	s->job.run = run;
	s->job.done = done;
	rs_work_put(s->core->enders, &s->job);
}

/* Bases that survivors' disks stood on; on a worker, as any disk. */
static void
run_sweep(struct rs_job *job, const struct env *env)
{
	struct rs_core *c = container_of(job, struct rs_core, sweep);

	rs_reconcile_bases(env, &c->survivors);
}

static void done_sweep(struct rs_job *job, void *arg);

static void
sweep(struct rs_core *c)
{
	/* The one under way may have found a base in use that no longer is. */
	c->sweep_again = c->sweeping;
	if (c->sweeping || c->survivors.bases_bytes == 0)
		return;
	c->sweeping = true;
	c->sweep.run = run_sweep;
	c->sweep.done = done_sweep;
	rs_work_put(c->enders, &c->sweep);
}

static void
done_sweep(struct rs_job *job, void *arg)
{
	struct rs_core *c = arg;

	(void)job;
	c->sweeping = false;
	if (c->sweep_again)
		sweep(c);
	rs_queries_progress(c);
}

static void
run_destroy(struct rs_job *job, const struct env *env)
{
	job->rc = rs_launch_destroy(env, &of(job)->domain, DESTROY_TRY_MS,
	    &job->err);
}

static void
done_destroy(struct rs_job *job, void *arg)
{
	struct rs_core *c = arg;
	struct rs_slot *s = of(job);
	uint64_t now = clock_now_ns();

	s->busy = false;
	if (job->rc != 0) {
		if (s->nr_tries++ == 0)
			rs_report_event(&c->report, "%s: not gone yet, trying "
			    "again each second: %s", s->note.name,
			    job->err.msg);
		s->state = DVM_PROTO_STATE_ZOMBIE;
		s->retry_ns = now + RETRY_NS;
		return;
	}
	/* A launch that failed was reported as that. */
	if (s->note.started_ns != 0) {
		c->report.counters[DVM_PROTO_DESTROYED]++;
		rs_report_sample(&c->report, RS_REPORT_DESTROY,
		    now - s->end_ns);
		rs_report_event(&c->report, "%s launch=%016" PRIx64 " gone "
		    "after %.3f s: %s", s->note.name,
		    launch_page_id(s->domain.uuid),
		    (double)(now - s->end_ns) / 1e9, s->why);
	}
	rs_end_answer(s);
	c->low_memory = false;
	if (s->held == NULL)
		sweep(c);
	rs_end_free(s);
	rs_life_dispatch(c);
}

/* While the invariants are checked nothing begins: then rs_life_dispatch()
 * does it after that. */
void
rs_end_start(struct rs_slot *s)
{
	if (s->core->checking)
		return;
	s->state = DVM_PROTO_STATE_ENDING;
	/* It maps the guest's memory. */
	rs_channels_end(s);
	put(s, run_destroy, done_destroy);
}

void
rs_end(struct rs_slot *s, uint32_t code, const char *why)
{
	if (s->why[0] != '\0')
		return;
	(void)snprintf(s->why, sizeof(s->why), "%s", why);
	s->code = code;
	s->end_ns = clock_now_ns();
	if (s->busy) {
		if (s->cancel_fd >= 0)
			(void)eventfd_write(s->cancel_fd, 1);
	} else if (s->state == DVM_PROTO_STATE_QUEUED) {
		rs_end_answer(s);
		rs_end_free(s);
	} else {
		rs_end_start(s);
	}
}

static void
run_finish(struct rs_job *job, const struct env *env)
{
	(void)env;
	rs_launch_finish(&of(job)->domain);
}

static void
done_finish(struct rs_job *job, void *arg)
{
	struct rs_slot *s = of(job);

	s->busy = false;
	if (s->why[0] != '\0')
		rs_end_start(s);
	rs_queries_progress(arg);
}

void
rs_end_finish(struct rs_slot *s)
{
	put(s, run_finish, done_finish);
}
