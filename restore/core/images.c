/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opening and closing generations, by workers.  Runs in core.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "include/container_of.h"
#include "restore/core/images.h"
#include "restore/core/life.h"
#include "restore/core/queries.h"

static struct rs_image *
of(struct rs_job *job)
{
	return container_of(job, struct rs_image, job);
}

static void done_open(struct rs_job *job, void *arg);

static void
run_open(struct rs_job *job, const struct env *env)
{
	struct rs_image *h = of(job);
	const struct rs_template_params p = {
		.state_dir = h->core->p->state_dir,
		.template_name = h->name,
		.resident_max = h->resident_max,
	};

	job->rc = rs_template_open(&p, env->hv, env->disk, &h->t, &job->err);
}

static void
run_close(struct rs_job *job, const struct env *env)
{
	job->rc = rs_template_close(&of(job)->t, env->disk, &job->err);
}

/* One after the other, so that each knows how much room is left. */
static void
open_next(struct rs_core *c)
{
	struct rs_image *h;

	TAILQ_FOREACH(h, &c->held, entry) {
		if (!h->is_open && h->busy)
			return;
	}
	TAILQ_FOREACH(h, &c->held, entry) {
		if (!h->is_open && !c->draining)
			break;
	}
	if (h == NULL)
		return;
	h->busy = true;
	h->resident_max = c->p->resident_max > c->resident_bytes ?
	    c->p->resident_max - c->resident_bytes : 0;
	h->job.run = run_open;
	h->job.done = done_open;
	rs_work_put(c->builders, &h->job);
}

static void
drop(struct rs_image *h)
{
	TAILQ_REMOVE(&h->core->held, h, entry);
	free(h);
}

static void
done_close(struct rs_job *job, void *arg)
{
	struct rs_core *c = arg;

	c->resident_bytes -= of(job)->t.resident_bytes;
	/* The bases that are left are found by the next start, and by
	 * `dvm status --check`. */
	if (job->rc != 0)
		rs_report_event(&c->report, "template %s: a base is left: %s",
		    of(job)->name, job->err.msg);
	drop(of(job));
	rs_queries_progress(c);
}

static void
close_if_unused(struct rs_image *h)
{
	struct rs_core *c = h->core;

	if (h->nr_users > 0 || h->is_current || h->busy)
		return;
	h->busy = true;
	h->job.run = run_close;
	h->job.done = done_close;
	rs_work_put(c->enders, &h->job);
}

static void
done_open(struct rs_job *job, void *arg)
{
	struct rs_core *c = arg;
	struct rs_image *h = of(job);
	char name[sizeof(h->name)];

	h->busy = false;
	memcpy(name, h->name, sizeof(name));
	if (job->rc != 0) {
		struct err e = job->err;

		rs_report_event(&c->report, "%s", e.msg);
		drop(h);
		open_next(c);
		rs_life_template(c, name, &e);
		return;
	}
	h->is_open = h->is_current = true;
	h->checked_ns = clock_now_ns();
	c->resident_bytes += h->t.resident_bytes;
	rs_report_event(&c->report, "template %s: %s is open, %zu MiB of data"
	    "%s%s", name, strrchr(h->t.gen.dir, '/') + 1,
	    (h->t.plan.nr_data * SF_PAGE_BYTES) >> 20,
	    h->t.resident != NULL ? ", decoded ahead" : "",
	    h->t.has_agent ? "" : "; it has no agent, its disposables share "
	    "random numbers");
	open_next(c);
	rs_life_template(c, name, NULL);
}

bool
rs_images_any_busy(const struct rs_core *c)
{
	const struct rs_image *h;

	TAILQ_FOREACH(h, &c->held, entry) {
		if (h->busy)
			return true;
	}
	return false;
}

struct rs_image *
rs_images_get(struct rs_core *c, const char *name)
{
	struct rs_image *h;

	TAILQ_FOREACH(h, &c->held, entry) {
		if (strcmp(h->name, name) == 0 &&
		    (h->is_current || !h->is_open))
			return h->is_open ? h : NULL;
	}
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return NULL;		/* the next tick asks again */
	h->core = c;
	(void)snprintf(h->name, sizeof(h->name), "%s", name);
	TAILQ_INSERT_TAIL(&c->held, h, entry);
	open_next(c);
	return NULL;
}

void
rs_images_open_all(struct rs_core *c)
{
	DIR *dir = opendir(c->p->state_dir);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (gen_is_template(c->p->state_dir, entry->d_name))
			(void)rs_images_get(c, entry->d_name);
	if (dir != NULL)
		(void)closedir(dir);
}

void
rs_images_is_stale(struct rs_image *h)
{
	h->is_current = false;
	close_if_unused(h);
}

void
rs_images_use(struct rs_image *h)
{
	h->nr_users++;
}

void
rs_images_release(struct rs_image *h)
{
	h->nr_users--;
	close_if_unused(h);
}

void
rs_images_close_all(struct rs_core *c)
{
	struct rs_image *h;
	struct err e;

	while ((h = TAILQ_FIRST(&c->held)) != NULL) {
		if (h->is_open && rs_template_close(&h->t, c->env.disk,
		    &e) != 0)
			rs_report_event(&c->report, "template %s: a base is "
			    "left: %s", h->name, e.msg);
		drop(h);
	}
}
