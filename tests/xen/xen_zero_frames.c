/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * xen_zero_frames TEMPLATE [SHOWN]: in dom0.  A living domain fills its memory
 * with a pattern and gives it back to Xen, as a balloon does; then a
 * template's memory is loaded into a new domain, and every frame that should
 * be zero is read.  On a host without scrub-domheap the control, a load that
 * takes zeros on trust, must find the pattern.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>

#include "include/ident.h"
#include "restore/host/disk_dm.h"
#include "restore/host/hv_xen.h"
#include "restore/launch/load.h"
#include "restore/launch/template.h"
#include "tests/unit/tap.h"

#define PATTERN 0x5a
#define DIRTY_PAGES (1u << 18)	/* 1 GiB */
#define BATCH 1024u

static int
new_domain(struct hv *hv, const struct rs_template *t, uint64_t nr_pages,
    uint32_t *domid, struct err *e)
{
	const struct sf_state *s = sf_reader_state(t->reader);
	struct hv_domain_params p = {
		.uuid = "zero_frames test",
		.nr_vcpus = s->nr_vcpus,
		.max_mem_kb = nr_pages * 4 + 1024,
		.nr_pages = nr_pages,
		.cpuid = { s->cpuid.bytes, s->cpuid.len },
		.msrs = { s->msrs.bytes, s->msrs.len },
		.hvm_params = { s->hvm_params.bytes, s->hvm_params.len },
		.tsc_mode = s->tsc_mode,
		.tsc_khz = s->tsc_khz,
	};
	struct hv_channels channels;

	return hv->ops->create(hv, &p, domid, &channels, e);
}

/* Leaves DIRTY_PAGES frames full of the pattern in Xen's heap.  The domain
 * that had them still lives: Xen scrubs what the dead leave. */
static int
dirty_heap(struct hv *hv, const struct rs_template *t, uint32_t *domid,
    struct err *e)
{
	static uint64_t gfns[DIRTY_PAGES];
	xc_interface *xch = xc_interface_open(NULL, NULL, 0);
	size_t done;
	void *at;
	int rc = -1;

	if (new_domain(hv, t, DIRTY_PAGES, domid, e) != 0)
		goto out;
	for (uint64_t i = 0; i < DIRTY_PAGES; i++)
		gfns[i] = i;
	if (hv->ops->populate(hv, *domid, 0, gfns, DIRTY_PAGES, &done, e) != 0)
		goto out;
	for (size_t i = 0; i < DIRTY_PAGES; i += BATCH) {
		if (hv->ops->map(hv, *domid, gfns + i, BATCH, &at, e) != 0)
			goto out;
		memset(at, PATTERN, BATCH * SF_PAGE_BYTES);
		hv->ops->unmap(hv, at, BATCH);
	}
	if (xch == NULL || xc_domain_decrease_reservation_exact(xch, *domid,
	    DIRTY_PAGES, 0, gfns) != 0)
		err_set(e, ERR_XEN, 0, "cannot give the frames back");
	else
		rc = 0;
out:
	if (xch != NULL)
		(void)xc_interface_close(xch);
	return rc;
}

/* Zero frames of the loaded domain that are not; -1 on failure. */
static long
count_dirty(struct hv *hv, uint32_t domid, const struct rs_plan *plan,
    struct err *e)
{
	static const uint8_t zero[SF_PAGE_BYTES];
	long dirty = 0;
	void *at;

	for (size_t i = 0; i < plan->nr_zero; i += BATCH) {
		size_t nr = plan->nr_zero - i < BATCH ? plan->nr_zero - i :
		    BATCH;

		if (hv->ops->map(hv, domid, plan->zero_gfns + i, nr, &at,
		    e) != 0)
			return -1;
		for (size_t p = 0; p < nr; p++)
			dirty += memcmp((uint8_t *)at + p * SF_PAGE_BYTES,
			    zero, SF_PAGE_BYTES) != 0;
		hv->ops->unmap(hv, at, nr);
	}
	return dirty;
}

/* Dirties the heap, loads, counts. */
static long
try_load(struct hv *hv, const struct rs_template *t, bool trust, struct err *e)
{
	struct rs_load_source source = { .reader = t->reader,
	    .plan = &t->plan, .frames_are_zero = trust, .nr_workers = 2 };
	uint32_t victim = 0, domid = 0;
	struct rs_load_counts counts;
	struct rs_load *load = NULL;
	struct err ignored;
	long dirty = -1;

	if (dirty_heap(hv, t, &victim, e) != 0 || new_domain(hv, t,
	    rs_plan_nr_pages(&t->plan), &domid, e) != 0)
		goto out;
	load = rs_load_start(hv, domid, &source, e);
	if (load == NULL || rs_load_wait(load, &counts, e) != 0)
		goto out;
	dirty = count_dirty(hv, domid, &t->plan, e);
out:
	rs_load_free(load);
	if (domid != 0)
		(void)hv->ops->destroy(hv, domid, &ignored);
	if (victim != 0)
		(void)hv->ops->destroy(hv, victim, &ignored);
	return dirty;
}

static void
shown(const char *path, const char *name, size_t tried, long lost)
{
	FILE *f = path != NULL ? fopen(path, "a") : NULL;

	if (f == NULL)
		return;
	(void)fprintf(f, "%s\t%zu\t%ld\t0\n", name, tried, lost);
	(void)fclose(f);
}

int
main(int argc, char **argv)
{
	struct rs_template_params p = { .state_dir = IDENT_STATE_DIR };
	struct rs_template t;
	struct err e = { .msg = "" };
	struct disk *disk;
	struct hv *hv;
	long lost;

	if (argc < 2)
		return 2;
	p.template_name = argv[1];
	hv = hv_xen_open(&e);
	disk = disk_dm_open(&e);
	if (hv == NULL || disk == NULL ||
	    rs_template_open(&p, hv, disk, &t, &e) != 0) {
		ok(false, "the template opens: %s", e.msg);
		return tap_done();
	}
	lost = try_load(hv, &t, t.frames_are_zero, &e);
	ok(lost == 0, "no byte of an earlier domain in %zu zero frames (%s): "
	    "%ld %s", t.plan.nr_zero, t.frames_are_zero ?
	    "Xen scrubs" : "written by us", lost, e.msg);
	shown(argc > 2 ? argv[2] : NULL, "zero_frames", t.plan.nr_zero, lost);
	if (!t.frames_are_zero) {
		lost = try_load(hv, &t, true, &e);
		ok(lost > 0, "control: taken on trust, %ld of %zu frames show "
		    "it %s", lost, t.plan.nr_zero, e.msg);
		shown(argc > 2 ? argv[2] : NULL, "control_zero_frames",
		    t.plan.nr_zero, lost);
	}
	(void)rs_template_close(&t, disk, &e);
	disk->ops->close(disk);
	hv->ops->close(hv);
	return tap_done();
}
