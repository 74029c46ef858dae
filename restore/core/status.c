/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What templates there are and whether they can be launched is looked up by a
 * worker: it reads files, and opens what is not held.  Runs in core.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "include/container_of.h"
#include "restore/core/cold.h"
#include "restore/core/images.h"
#include "restore/core/queries.h"
#include "restore/core/status.h"

#define TEMPLATES_MAX 64

struct status {
	struct rs_job job;
	struct rs_core *core;
	uint32_t client;
	struct rs_image *held[TEMPLATES_MAX];	/* in use by us */
	bool is_seen[TEMPLATES_MAX], is_stale[TEMPLATES_MAX];	/* of those */
	unsigned nr_held, nr;
	struct dvm_proto templates[TEMPLATES_MAX];
};

static struct status *
of(struct rs_job *job)
{
	return container_of(job, struct status, job);
}

static void
describe(const struct rs_template *t, struct dvm_proto *m)
{
	(void)snprintf(m->text, sizeof(m->text), "%s",
	    strrchr(t->gen.dir, '/') + 1);
	m->value[2] = t->plan.nr_data * SF_PAGE_BYTES;
	m->value[3] = t->resident != NULL ? t->resident_bytes : 0;
}

static void
look_at(struct status *st, const struct env *env, const char *name,
    struct dvm_proto *m)
{
	const struct rs_template_params p = {
		.state_dir = st->core->p->state_dir, .template_name = name };
	struct rs_template *t;
	struct err e, ignored;
	unsigned i;

	(void)snprintf(m->template, sizeof(m->template), "%.*s",
	    GEN_NAME_MAX, name);
	for (i = 0; i < st->nr_held; i++)
		if (strcmp(st->held[i]->name, name) == 0)
			break;
	if (i < st->nr_held) {
		st->is_seen[i] = true;
		st->is_stale[i] = rs_template_check(&st->held[i]->t,
		    p.state_dir, &e) != 0;
		if (!st->is_stale[i]) {
			describe(&st->held[i]->t, m);
			return;
		}
	}
	t = malloc(sizeof(*t));
	if (t == NULL)
		(void)err_set(&e, ERR_NOMEM, errno, "template %s", name);
	else if (rs_template_open(&p, env->hv, env->disk, t, &e) == 0) {
		describe(t, m);
		/* Once more: nobody else knows of its bases. */
		if (rs_template_close(t, env->disk, &ignored) != 0)
			(void)rs_template_close(t, env->disk, &ignored);
		free(t);
		return;
	}
	free(t);
	m->code = (uint32_t)err_exit_status(e.code);
	m->value[4] = rs_cold_cures(&e) &&
	    rs_cold_is_allowed(st->core->p->boot_socket);
	(void)snprintf(m->text, sizeof(m->text), "%s", e.msg);
}

static void
run_status(struct rs_job *job, const struct env *env)
{
	struct status *st = of(job);
	const char *state_dir = st->core->p->state_dir;
	DIR *dir = opendir(state_dir);
	struct dirent *entry;
	struct err ignored;

	while (dir != NULL && st->nr < TEMPLATES_MAX &&
	    (entry = readdir(dir)) != NULL)
		if (gen_is_template(state_dir, entry->d_name))
			look_at(st, env, entry->d_name,
			    &st->templates[st->nr++]);
	if (dir != NULL)
		(void)closedir(dir);
	/* Templates that are gone. */
	for (unsigned i = 0; i < st->nr_held; i++)
		if (!st->is_seen[i])
			st->is_stale[i] = rs_template_check(&st->held[i]->t,
			    state_dir, &ignored) != 0;
}

static void
add_counts(const struct rs_core *c, struct dvm_proto *m)
{
	const struct rs_slot *s;
	const struct rs_image *h;

	TAILQ_FOREACH(s, &c->slots, entry)
		m->value[0] += strcmp(s->note.template_name, m->template) == 0;
	TAILQ_FOREACH(h, &c->held, entry)
		m->value[1] += strcmp(h->name, m->template) == 0 ?
		    h->nr_launches : 0;
}

static void
answer_counters(struct rs_core *c, uint32_t client)
{
	struct dvm_proto m = { .type = DVM_PROTO_COUNTERS };
	struct hv_host *host = malloc(sizeof(*host));
	const struct rs_slot *s;
	struct err ignored;

	memcpy(m.value, c->report.counters, sizeof(m.value));
	m.value[DVM_PROTO_LIVE] = m.value[DVM_PROTO_WAITING] = 0;
	m.value[DVM_PROTO_ZOMBIES] = 0;
	TAILQ_FOREACH(s, &c->slots, entry) {
		m.value[DVM_PROTO_LIVE] +=
		    s->state == DVM_PROTO_STATE_RUNNING;
		m.value[DVM_PROTO_WAITING] +=
		    s->state < DVM_PROTO_STATE_RUNNING;
		m.value[DVM_PROTO_ZOMBIES] +=
		    s->state == DVM_PROTO_STATE_ZOMBIE;
	}
	m.value[DVM_PROTO_UPTIME_NS] = clock_now_ns() - c->report.start_ns;
	if (host != NULL && c->env.hv->ops->host(c->env.hv, host,
	    &ignored) == 0)
		m.value[DVM_PROTO_FREE_BYTES] = host->free_bytes;
	free(host);
	rs_core_answer(c, client, &m);
}

static void
done_status(struct rs_job *job, void *arg)
{
	struct rs_core *c = arg;
	struct status *st = of(job);
	struct dvm_proto done = { .type = DVM_PROTO_DONE };

	for (unsigned i = 0; i < st->nr; i++) {
		struct dvm_proto *m = &st->templates[i];

		m->type = DVM_PROTO_TEMPLATE;
		add_counts(c, m);
		rs_core_answer(c, st->client, m);
	}
	for (unsigned i = 0; i < RS_REPORT_STAGES; i++) {
		struct dvm_proto m = { .type = DVM_PROTO_STAGE };

		if (rs_report_stage(&c->report, i, &m))
			rs_core_answer(c, st->client, &m);
	}
	answer_counters(c, st->client);
	rs_core_answer(c, st->client, &done);
	for (unsigned i = 0; i < st->nr_held; i++) {
		if (st->is_stale[i])
			rs_images_is_stale(st->held[i]);
		rs_images_release(st->held[i]);
	}
	free(st);
	c->nr_status--;
	rs_queries_progress(c);
}

void
rs_status(struct rs_core *c, const struct dvm_proto *m)
{
	struct status *st = calloc(1, sizeof(*st));
	struct rs_image *h;
	struct err e;

	if (st == NULL) {
		(void)err_set(&e, ERR_NOMEM, errno, "status");
		rs_core_fail(c, m->client, &e);
		return;
	}
	st->core = c;
	st->client = m->client;
	TAILQ_FOREACH(h, &c->held, entry) {
		if (h->is_current && st->nr_held < TEMPLATES_MAX) {
			rs_images_use(h);
			st->held[st->nr_held++] = h;
		}
	}
	c->nr_status++;
	st->job.run = run_status;
	st->job.done = done_status;
	rs_work_put(c->lookers, &st->job);
}
