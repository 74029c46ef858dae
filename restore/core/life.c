/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of disposables.  Runs in core's main thread.  Trusts nothing in a
 * message but its form, which front has checked.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/launch_page.h"
#include "restore/core/channels.h"
#include "restore/core/cold.h"
#include "restore/core/end.h"
#include "restore/core/images.h"
#include "restore/core/life.h"
#include "restore/core/queries.h"
#include "restore/core/start.h"

#define COLD_HINT ", or allow cold boots: systemctl enable --now " \
	"dvm-cold-boot.socket"

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
	m->value[3] = s->is_cold || s->note.is_cold;
	/* Until it runs its domain is its worker's. */
	if (s->note.name[0] == '\0')
		return;
	memcpy(m->name, s->note.name, sizeof(m->name));
	m->domid = s->domain.domid;
	m->launch_id = launch_page_id(s->domain.uuid);
	m->value[1] = s->domain.max_mem_kb * 1024;
	(void)snprintf(m->text, sizeof(m->text), "%s", s->domain.uuid_text);
}

void
rs_life_tell_running(struct rs_slot *s)
{
	struct dvm_proto m = { .type = DVM_PROTO_RUNNING };

	rs_life_describe(s, &m);
	memset(m.value, 0, sizeof(m.value));
	for (unsigned i = 0; i < RS_STAGES; i++)
		m.value[i] = s->timings.end_ns[i];
	m.value[DVM_PROTO_STAGES] = s->note.is_cold;
	rs_core_answer(s->core, s->client, &m);
}

void
rs_life_dispatch(struct rs_core *c)
{
	struct rs_slot *s;
	struct rs_image *h;

	TAILQ_FOREACH(s, &c->slots, entry) {
		if (s->why[0] != '\0' && !s->busy &&
		    s->state < DVM_PROTO_STATE_ENDING)
			rs_end_start(s);
	}
	TAILQ_FOREACH(s, &c->slots, entry) {
		if (c->checking || (c->low_memory && rs_start_any_ending(c)))
			break;
		if (s->state != DVM_PROTO_STATE_QUEUED)
			continue;
		if (s->is_cold) {
			rs_start_cold(s);
			continue;
		}
		/* Cold boots have places of their own. */
		if (c->nr_building >= c->p->nr_builders)
			continue;
		h = rs_images_get(c, s->note.template_name);
		if (h != NULL)
			rs_start_launch(s, h);
	}
	rs_queries_progress(c);
}

/* The template cannot be opened, and why; the other way out is said too. */
static void
refuse(struct rs_core *c, uint32_t client, const struct err *why)
{
	struct err e = *why;
	size_t len = strlen(e.msg);

	if (rs_cold_cures(why) && len + sizeof(COLD_HINT) <= sizeof(e.msg))
		memcpy(e.msg + len, COLD_HINT, sizeof(COLD_HINT));
	rs_core_fail(c, client, &e);
}

void
rs_life_template(struct rs_core *c, const char *name, const struct err *e)
{
	struct rs_slot *s, *next;

	for (s = TAILQ_FIRST(&c->slots); e != NULL && s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->state != DVM_PROTO_STATE_QUEUED || s->is_cold ||
		    strcmp(s->note.template_name, name) != 0 ||
		    rs_start_goes_cold(s, e))
			continue;
		c->report.counters[DVM_PROTO_LAUNCH_FAILED]++;
		refuse(c, s->client, e);
		rs_end_free(s);
	}
	rs_life_dispatch(c);
}

/* The template that is meant by what was said. */
static int
find_template(const struct rs_core *c, const char *said,
    char name[GEN_NAME_MAX + 1], struct err *e)
{
	if (said[0] == '\0')
		return gen_default(c->p->state_dir, name, e);
	/* No word of a user's goes on to the log. */
	if (!gen_is_template(c->p->state_dir, said))
		return err_set(e, ERR_STALE, 0, "there is no template %s: run "
		    "dvm-prepare on its configuration", said);
	(void)snprintf(name, GEN_NAME_MAX + 1, "%.*s", GEN_NAME_MAX,
	    said);
	return 0;
}

void
rs_life_run(struct rs_core *c, const struct dvm_proto *m, int channel_fd)
{
	struct dvm_proto queued = { .type = DVM_PROTO_QUEUED };
	struct rs_slot *s = NULL, *other;
	char name[GEN_NAME_MAX + 1];
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
			rs_life_tell_running(s);
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
	rs_queries_drop_check(c);
	for (s = TAILQ_FIRST(&c->slots); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		rs_end(s, 1, "the service ends");
	}
}
