/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Template and launch on the fakes, from real files: what a launch writes for
 * the guest and xl, what it refuses, and, failing each call in turn, that it
 * holds nothing after.  SHOWN names the file for the campaign's line.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/launch_page.h"
#include "restore/launch/ack.h"
#include "restore/launch/launch.h"
#include "restore/launch/names.h"
#include "tests/fake/fake_disk.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"
#include "tests/fake/fake_world.h"
#include "tests/unit/tap.h"

/* Room for some, not for 30 of the guest's. */
#define HOST_PAGES 6000u

/* A state directory with one template, "t", and the seams. */
struct world {
	char dir[64];
	struct fake_fault fault;
	struct fake_hv_params hp;
	struct env env;
	size_t baseline;	/* nodes that are there on every host */
	uint64_t launch_gfn;	/* of the savefile */
};

static void
open_world(struct world *w)
{
	static const struct fake_store_reaction backend = {
	    .react = fake_store_vbd_backend };
	struct err e;

	memset(w, 0, sizeof(*w));
	(void)snprintf(w->dir, sizeof(w->dir), "/tmp/t_rs_launch.XXXXXX");
	if (mkdtemp(w->dir) == NULL)
		abort();
	w->hp = (struct fake_hv_params){ .fault = &w->fault,
	    .host_pages = HOST_PAGES, .scrubbed = true };
	w->env.hv = fake_hv_open(&w->hp);
	w->env.store = fake_store_open(&w->fault, &backend);
	fake_store_put(w->env.store, "/local/domain/0/backend/vbd", "");
	fake_store_put(w->env.store, "/libxl", "");
	fake_store_put(w->env.store, "/vm", "");
	w->baseline = fake_store_held(w->env.store);
	w->env.disk = fake_disk_open(&w->fault);
	w->env.names_fd = rs_names_open(w->dir, &e);
	if (w->env.names_fd < 0)
		abort();
	w->launch_gfn = fake_world_add(w->dir, "t", w->env.hv);
}

static void
close_world(struct world *w)
{
	(void)close(w->env.names_fd);
	w->env.disk->ops->close(w->env.disk);
	w->env.store->ops->close(w->env.store);
	w->env.hv->ops->close(w->env.hv);
	fake_world_remove(w->dir, "t");
}

static size_t
held(const struct world *w)
{
	return fake_hv_held(w->env.hv) + fake_store_held(w->env.store) +
	    fake_disk_held(w->env.disk) - w->baseline;
}

static int
open_template(struct world *w, struct rs_template *t, struct err *e)
{
	const struct rs_template_params p = { .state_dir = w->dir,
	    .template_name = "t" };

	return rs_template_open(&p, w->env.hv, w->env.disk, t, e);
}

static const struct rs_launch_params launch_params = { .nr_workers = 2,
    .store_bytes = 1 << 20, .backend_timeout_ms = 1000 };

static bool
node_is(const struct world *w, const char *path, const char *want)
{
	const char *value = fake_store_get(w->env.store, path);

	return value != NULL && strcmp(value, want) == 0;
}

static void
test_launch(struct world *w)
{
	struct rs_template t;
	struct rs_domain d;
	struct rs_timings timings;
	struct err e = { .msg = "" };
	uint32_t owner, reader;

	if (!ok(open_template(w, &t, &e) == 0, "the template opens %s", e.msg))
		return;
	fake_store_put(w->env.store, "/local/domain/1/device/vif/0/mac", "x");
	ok(rs_launch(&w->env, &t, &launch_params, &d, &timings, &e) == 0,
	    "a launch succeeds %s", e.msg);
	ok(fake_store_get(w->env.store, "/local/domain/1/device/vif/0/mac") ==
	    NULL, "what a dead domain of its number left is gone");
	ok(fake_hv_is_running(w->env.hv, d.domid), "the domain runs");
	ok(fake_hv_nr_populated(w->env.hv, d.domid) ==
	    rs_plan_nr_pages(&t.plan), "all its pages are populated");
	ok(strlen(d.name) == 8 && strncmp(d.name, "disp", 4) == 0 &&
	    strncmp(d.uuid_text, "64766d31-", 9) == 0, "it is called %s %s",
	    d.name, d.uuid_text);
	ok(node_is(w, "/local/domain/1/name", d.name) &&
	    node_is(w, "/libxl/1/type", "pvh") &&
	    node_is(w, "/local/domain/1/cpu/1/availability", "online") &&
	    node_is(w, "/local/domain/1/console/port", "2"),
	    "xl and xenconsoled find their nodes");
	ok(fake_store_perms(w->env.store, "/local/domain/1", &owner,
	    &reader) && owner == 0 && reader == 1,
	    "the guest may read its directory and not write it");
	ok(fake_store_perms(w->env.store, "/local/domain/1/data", &owner,
	    &reader) && owner == 1, "the guest may write below data");
	ok(fake_store_perms(w->env.store, "/local/domain/0/backend/vbd/1/51712"
	    "/physical-device", &owner, &reader) && owner == 0 && reader == 1,
	    "the guest may not write its backend's nodes");
	ok(fake_store_introduced(w->env.store, d.domid), "it is introduced");
	ok(timings.load.bytes_copied == t.plan.nr_data * SF_PAGE_BYTES,
	    "each byte of data is copied once");
	for (int i = 1; i <= RS_STAGE_UNPAUSE; i++)
		if (timings.end_ns[i] < timings.end_ns[i - 1])
			ok(false, "stage %d ends in order", i);
	ok(rs_launch_destroy(&w->env, &d, 1000, &e) == 0,
	    "it is destroyed %s", e.msg);
	ok(rs_launch_destroy(&w->env, &d, 1000, &e) == 0,
	    "destroying it again does nothing");
	(void)rs_template_close(&t, w->env.disk, &e);
	ok(held(w) == 0, "nothing is held");
}

/* What the guest finds in its launch page, and what dom0 makes of what its
 * agent then says. */
static void
test_identity(struct world *w)
{
	static const struct answer {
		const char *node, *value, *what;
		enum err_code code;
	} bad[] = {
		{ IDENT_AGENT_ANSWER, "0123456789abcdef", "another id",
		    ERR_INPUT },
		{ IDENT_AGENT_ANSWER, "\033[2J%s%n", "garbage", ERR_INPUT },
		{ IDENT_AGENT_ANSWER, "0123456789abcdef0123456789abcdef",
		    "too much", ERR_INPUT },
		{ IDENT_AGENT_ANSWER, "", "nothing", ERR_INPUT },
		{ IDENT_AGENT_FAILED, "no\033way", "that it failed",
		    ERR_INPUT },
		{ NULL, NULL, "nothing in time", ERR_TIMEOUT },
	};
	struct rs_template t;
	struct rs_domain d[2];
	struct rs_timings timings;
	struct launch_page p[2];
	struct err e = { .msg = "" };
	uint8_t page[LAUNCH_PAGE_BYTES];
	char answer[96], path[96], id[LAUNCH_PAGE_ID_TEXT];
	int taken = 0;

	if (!ok(open_template(w, &t, &e) == 0, "the template opens %s", e.msg))
		return;
	for (int i = 0; i < 2; i++) {
		memset(&p[i], 0, sizeof(p[i]));
		if (rs_launch(&w->env, &t, &launch_params, &d[i], &timings,
		    &e) == 0 && fake_hv_read(w->env.hv, d[i].domid,
		    w->launch_gfn, page))
			taken += launch_page_take(page, &p[i]);
	}
	ok(taken == 2 && memcmp(p[0].uuid, d[0].uuid, sizeof(p[0].uuid)) == 0 &&
	    strcmp(p[0].name, d[0].name) == 0 &&
	    strcmp(p[0].host_name, d[0].name) == 0, "the page says who it is");
	ok(p[0].launch_id != p[1].launch_id && memcmp(p[0].seed, p[1].seed,
	    sizeof(p[0].seed)) != 0 && p[0].wall_clock_ns / 1000000000u + 60 >
	    (uint64_t)time(NULL), "two have different seeds, and the time");
	launch_page_id_text(launch_page_id(d[1].uuid), id);
	(void)snprintf(answer, sizeof(answer), "/local/domain/%u/"
	    IDENT_AGENT_ANSWER, d[1].domid);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const struct answer *b = &bad[i];

		if (b->node != NULL) {
			(void)snprintf(path, sizeof(path), "/local/domain/%u/"
			    "%s", d[1].domid, b->node);
			fake_store_put(w->env.store, path, b->value);
		}
		timings.end_ns[RS_STAGE_UNPAUSE] = clock_now_ns() -
		    timings.start_ns;
		ok(rs_ack_wait(&w->env, &d[1], 0, -1, &timings, &e) ==
		    -1 && e.code == b->code && strchr(e.msg, 033) == NULL &&
		    timings.end_ns[RS_STAGE_ANSWER] == 0,
		    "an agent that says %s is refused: %s", b->what, e.msg);
		if (b->node != NULL)
			(void)w->env.store->ops->remove(w->env.store,
			    (const char *const[]){ path }, 1, &e);
	}
	fake_store_put(w->env.store, answer, id);
	ok(rs_ack_wait(&w->env, &d[1], 5, -1, &timings, &e) == 0 &&
	    timings.end_ns[RS_STAGE_ANSWER] >
	    timings.end_ns[RS_STAGE_UNPAUSE], "its launch id is taken");
	for (int i = 0; i < 2; i++)
		(void)rs_launch_destroy(&w->env, &d[i], 1000, &e);
	(void)rs_template_close(&t, w->env.disk, &e);
	ok(held(w) == 0, "nothing is held");
}

/* `xl destroy` was faster, and another domain has the number now. */
static void
test_reused_domid(struct world *w)
{
	static const uint8_t other[HV_UUID_BYTES] = "somebody else's";
	struct rs_template t;
	struct rs_domain d;
	struct rs_timings timings;
	struct err e = { .msg = "" };
	uint32_t domid;

	if (open_template(w, &t, &e) != 0 || rs_launch(&w->env, &t,
	    &launch_params, &d, &timings, &e) != 0) {
		ok(false, "a disposable for the reused number: %s", e.msg);
		return;
	}
	(void)w->env.hv->ops->destroy(w->env.hv, d.domid, &e);
	domid = fake_hv_add(w->env.hv, other, 1);
	ok(domid == d.domid && rs_launch_destroy(&w->env, &d, 1000, &e) == 0,
	    "a disposable is destroyed whose number is another's");
	ok(node_is(w, "/local/domain/1/name", d.name) &&
	    w->env.hv->ops->info(w->env.hv, domid,
	    &(struct hv_domain_info){ 0 }, &e) == 1,
	    "the other domain and its nodes are left alone");
	(void)w->env.hv->ops->destroy(w->env.hv, domid, &e);
	(void)w->env.store->ops->remove(w->env.store,
	    (const char *const[]){ "/local/domain/1", "/libxl/1",
	    "/local/domain/0/backend/vbd/1" }, 3, &e);
	(void)rs_template_close(&t, w->env.disk, &e);
	ok(held(w) == 0, "and nothing of ours");
}

/* A change to a file the image was made from, and the refusal. */
static void
test_stale(struct world *w, const char *file, const char *named)
{
	struct rs_template t;
	struct err e = { .msg = "" };
	int rc;

	fake_world_write(w->dir, file, "changed");
	rc = open_template(w, &t, &e);
	ok(rc != 0 && e.code == ERR_STALE && strstr(e.msg, named) != NULL,
	    "a changed %s is refused: %s", file, e.msg);
	ok(held(w) == 0, "and holds nothing");
	if (rc == 0)
		(void)rs_template_close(&t, w->env.disk, &e);
}

static void
test_memory(struct world *w)
{
	struct rs_domain d[64];
	struct rs_template t;
	struct rs_timings timings;
	struct err e = { .msg = "" };
	int nr = 0, rc = 0;

	if (open_template(w, &t, &e) != 0)
		return;
	while (nr < 30 && (rc = rs_launch(&w->env, &t, &launch_params, &d[nr],
	    &timings, &e)) == 0)
		nr++;
	ok(nr > 0 && rc != 0 && e.code == ERR_NOMEM,
	    "launch %d of many is refused for want of memory: %s", nr + 1,
	    e.msg);
	while (nr > 0)
		(void)rs_launch_destroy(&w->env, &d[--nr], 1000, &e);
	(void)rs_template_close(&t, w->env.disk, &e);
	ok(held(w) == 0, "and all is given back");
}

/* One whole life, with call `fail_at` failing; what is held after. */
static size_t
life(struct world *w, unsigned fail_at, bool *reached)
{
	struct rs_template t;
	struct rs_domain d;
	struct rs_timings timings;
	struct err e;

	w->fault = (struct fake_fault){ .fail_at = fail_at };
	if (open_template(w, &t, &e) == 0) {
		if (rs_launch(&w->env, &t, &launch_params, &d, &timings,
		    &e) == 0 && rs_launch_destroy(&w->env, &d, 1000, &e) != 0)
			(void)rs_launch_destroy(&w->env, &d, 1000, &e);
		if (rs_template_close(&t, w->env.disk, &e) != 0)
			(void)rs_template_close(&t, w->env.disk, &e);
	}
	*reached = w->fault.nr_calls >= fail_at;
	w->fault = (struct fake_fault){ .fail_at = 0 };
	return held(w);
}

static void
test_faults(struct world *w)
{
	const char *shown = getenv("SHOWN");
	unsigned n, lost = 0;
	bool reached = true;
	FILE *f;

	for (n = 1; reached && n < 1000; n++)
		lost += life(w, n, &reached) != 0;
	ok(!reached && n > 12 && lost == 0, "nothing is held after a failure "
	    "of each of %u calls of a launch (%u lost)", n - 2, lost);
	f = shown != NULL ? fopen(shown, "a") : NULL;
	if (f != NULL) {
		(void)fprintf(f, "fault_launch\t%u\t%u\t0\n", n - 2, lost);
		(void)fclose(f);
	}
}

int
main(void)
{
	struct world w;

	open_world(&w);
	test_launch(&w);
	test_identity(&w);
	test_reused_domid(&w);
	test_memory(&w);
	test_faults(&w);
	test_stale(&w, "kernel", "kernel");
	close_world(&w);
	open_world(&w);
	test_stale(&w, "t.cfg", "config");
	close_world(&w);
	open_world(&w);
	test_stale(&w, "disk", "disk");
	close_world(&w);
	return tap_done();
}
