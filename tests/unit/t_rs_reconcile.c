/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a killed launcher leaves at each of its calls is found and removed, and
 * nothing else.  SHOWN names the file for the campaigns' lines.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/ident.h"
#include "restore/launch/reconcile.h"
#include "tests/fake/fake_disk.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"
#include "tests/unit/tap.h"

/* Of IDENT_UUID_DISP "0123456789". */
#define UUID_TEXT "64766d31-3031-3233-3435-363738390000"

struct host {
	struct fake_fault fault;
	struct fake_hv_params hp;
	struct env env;
	size_t baseline;
};

static void
open_host(struct host *h)
{
	memset(h, 0, sizeof(*h));
	h->hp = (struct fake_hv_params){ .fault = &h->fault,
	    .host_pages = 6000, .scrubbed = true };
	h->env.hv = fake_hv_open(&h->hp);
	h->env.store = fake_store_open(&h->fault, NULL);
	h->env.disk = fake_disk_open(&h->fault);
	fake_store_put(h->env.store, "/local/domain/0/backend/vbd", "");
	fake_store_put(h->env.store, "/local/domain/0/backend/console", "");
	fake_store_put(h->env.store, "/libxl", "");
	fake_store_put(h->env.store, "/vm", "");
}

static void
close_host(struct host *h)
{
	h->env.disk->ops->close(h->env.disk);
	h->env.store->ops->close(h->env.store);
	h->env.hv->ops->close(h->env.hv);
}

static size_t
held(const struct host *h)
{
	return fake_hv_held(h->env.hv) + fake_store_held(h->env.store) +
	    fake_disk_held(h->env.disk);
}

static void
put(struct host *h, const char *above, uint32_t domid, const char *below,
    const char *value)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%u/%s", above, domid, below);
	fake_store_put(h->env.store, path, value);
}

/* Another's domain, with its nodes and a device of dvm-prepare's. */
static void
add_other(struct host *h)
{
	static const uint8_t uuid[HV_UUID_BYTES] = "somebody else's";
	struct disk_dev dev;
	struct err e;
	uint32_t domid = fake_hv_add(h->env.hv, uuid, 1);

	put(h, "/local/domain", domid, "name", "disp0001");
	put(h, "/libxl", domid, "type", "pvh");
	if (h->env.disk->ops->make_delta(h->env.disk, IDENT_DM_PREP "1-xvda",
	    "/origin", "/delta", 4096, &dev, &e) != 0)
		abort();
	h->baseline = held(h);
}

/* What a launcher that was killed after so many of its steps leaves; false if
 * there are no more steps. */
static bool
leave(struct host *h, unsigned steps)
{
	static const uint8_t uuid[HV_UUID_BYTES] = IDENT_UUID_DISP "0123456789";
	struct disk_dev base, cow;
	struct err e;
	uint32_t domid = 77;	/* of one that is gone */

	if (steps-- == 0)
		return true;
	if (h->env.disk->ops->open_base(h->env.disk, IDENT_DM_BASE "1-xvda",
	    "/origin", "/delta", &base, &e) != 0)
		abort();
	if (steps-- == 0)
		return true;
	domid = fake_hv_add(h->env.hv, uuid, 1);
	if (steps-- == 0)
		return true;
	if (h->env.disk->ops->make_cow(h->env.disk, IDENT_DM_DISP "1-xvda",
	    &base, 4096, &cow, &e) != 0)
		abort();
	if (steps-- == 0)
		return true;
	put(h, "/local/domain", domid, "name", "disp1234");
	if (steps-- == 0)
		return true;
	/* One that was booted has these too. */
	put(h, "/local/domain", domid, "vm", "/vm/" UUID_TEXT);
	fake_store_put(h->env.store, "/vm/" UUID_TEXT "/name", "disp1234");
	put(h, "/local/domain/0/backend/console", domid, "0/state", "1");
	if (steps-- == 0)
		return true;
	put(h, "/libxl", domid, "type", "pvh");
	put(h, "/local/domain/0/backend/vbd", domid, "51712/state", "2");
	if (steps-- == 0)
		return true;
	/* Killed in the middle of a destroy. */
	(void)h->env.hv->ops->destroy(h->env.hv, domid, &e);
	if (steps-- == 0)
		return true;
	(void)h->env.disk->ops->remove(h->env.disk, &cow, &e);
	return steps == 0;
}

static void
test_each_step(void)
{
	unsigned nr, steps, lost = 0, control = 0;
	bool more = true;
	struct err e;

	for (steps = 0; more; steps++) {
		struct host h;

		open_host(&h);
		add_other(&h);
		more = leave(&h, steps);
		control += held(&h) != h.baseline;
		lost += rs_reconcile(&h.env, NULL, &nr, &e) != 0 ||
		    held(&h) != h.baseline ||
		    fake_store_get(h.env.store, "/local/domain/1/name") ==
		    NULL;
		close_host(&h);
	}
	ok(steps == 10 && lost == 0, "killed at each of %u steps, all is "
	    "removed and nothing of anybody else", steps);
	ok(control > 5, "control: without it %u of them leave something",
	    control);
	tap_shown("reconcile_native", steps, lost);
	tap_shown("control_reconcile_native", steps, control);
}

/* A failing call is reported, what can be done is done, and the next run does
 * the rest. */
static void
test_faults(void)
{
	unsigned n, nr, lost = 0;
	bool reached = true;
	struct err e;

	for (n = 1; reached && n < 200; n++) {
		struct host h;
		int rc;

		open_host(&h);
		add_other(&h);
		(void)leave(&h, 6);
		h.fault = (struct fake_fault){ .fail_at = n };
		rc = rs_reconcile(&h.env, NULL, &nr, &e);
		reached = h.fault.nr_calls >= n;
		h.fault = (struct fake_fault){ .fail_at = 0 };
		lost += (reached && rc == 0 && held(&h) != h.baseline) ||
		    rs_reconcile(&h.env, NULL, &nr, &e) != 0 ||
		    held(&h) != h.baseline;
		close_host(&h);
	}
	ok(!reached && n > 6 && lost == 0, "each of %u calls fails once: said, "
	    "and mended by the next run (%u lost)", n - 2, lost);
}

static void
test_lock(void)
{
	char path[64] = "/tmp/t_rs_reconcile.XXXXXX";
	int made = mkstemp(path), first, second, third;
	bool alone = false;
	struct err e;

	first = rs_reconcile_lock(path, &alone, &e);
	ok(made >= 0 && first >= 0 && alone, "the first launcher is alone");
	ok(rs_reconcile_share(first, &e) == 0, "it lets others in");
	second = rs_reconcile_lock(path, &alone, &e);
	ok(second >= 0 && !alone, "the second is not alone");
	(void)close(first);
	third = rs_reconcile_lock(path, &alone, &e);
	ok(third >= 0 && !alone, "nor is the third while the second lives");
	(void)close(second);
	(void)close(third);
	first = rs_reconcile_lock(path, &alone, &e);
	ok(first >= 0 && alone, "after them one is alone again");
	(void)close(first);
	(void)close(made);
	(void)unlink(path);
}

int
main(void)
{
	test_each_step();
	test_faults();
	test_lock();
	return tap_done();
}
