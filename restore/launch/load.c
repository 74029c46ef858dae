/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The load engine.  Worker 0 populates, then all workers take tasks: map a
 * run of frames, decode straight into them, leave them mapped.  Every byte of
 * guest memory is written once.  Trusts the plan; chunks are checked as they
 * are decoded.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "restore/launch/load.h"
#include "savefile/sf_page.h"

struct mapping {
	void *addr;		/* NULL if not mapped */
	size_t nr_pages;
};

struct rs_load {
	struct hv *hv;
	uint32_t domid;
	struct rs_load_source source;
	size_t nr_zero_tasks;
	struct mapping *mappings;	/* one for each task */
	pthread_t threads[RS_LOAD_WORKERS_MAX];
	unsigned nr_threads;		/* started and not yet joined */
	atomic_size_t next_task;
	atomic_bool failed;		/* others stop at their next task */
	atomic_ullong nr_mapped, bytes_copied;

	pthread_mutex_t lock;		/* of all that follows */
	pthread_cond_t populated_cond;
	bool populated;
	struct rs_load_counts counts;
	struct err err;			/* the first one */
};

static void
load_fail(struct rs_load *l, const struct err *e)
{
	(void)pthread_mutex_lock(&l->lock);
	if (!atomic_exchange(&l->failed, true))
		l->err = *e;
	(void)pthread_mutex_unlock(&l->lock);
}

/* One superpage that Xen had no 2 MiB frame for, page by page. */
static int
populate_split(struct rs_load *l, uint64_t first_gfn, struct err *e)
{
	uint64_t gfns[SF_GROUP_PAGES];
	size_t done;

	for (unsigned i = 0; i < SF_GROUP_PAGES; i++)
		gfns[i] = first_gfn + i;
	return l->hv->ops->populate(l->hv, l->domid, 0, gfns, SF_GROUP_PAGES,
	    &done, e);
}

static int
populate(struct rs_load *l, struct err *e)
{
	const struct rs_plan *plan = l->source.plan;
	uint64_t start = clock_now_ns();
	size_t at = 0, done;

	while (l->hv->ops->populate(l->hv, l->domid, 9, plan->super_gfns + at,
	    plan->nr_super - at, &done, e) != 0) {
		/* A fragmented host: this one by 4 KiB, then on. */
		at += done;
		if (populate_split(l, plan->super_gfns[at], e) != 0)
			return -1;
		l->counts.nr_split++;
		at++;
	}
	if (l->hv->ops->populate(l->hv, l->domid, 0, plan->single_gfns,
	    plan->nr_single, &done, e) != 0)
		return -1;
	l->counts.nr_super = plan->nr_super - l->counts.nr_split;
	l->counts.nr_single = plan->nr_single +
	    l->counts.nr_split * SF_GROUP_PAGES;
	l->counts.populate_ns = clock_now_ns() - start;
	return 0;
}

static int
fill_data(const struct sf_reader *reader, const struct rs_task *t,
    uint8_t *dst, struct err *e)
{
	const struct sf_chunk *c =
	    sf_reader_image(reader)->chunks + t->first_chunk;

	for (uint32_t i = 0; i < t->nr_chunks; i++, c++) {
		if (sf_page_decode(c, sf_reader_stored(reader, c), dst, e) != 0)
			return -1;
		dst += (size_t)sf_chunk_nr_pages(c) * SF_PAGE_BYTES;
	}
	return 0;
}

/* Tasks [0, nr_tasks) are the plan's; those behind write zeros. */
static int
run_task(struct rs_load *l, size_t number, struct err *e)
{
	const struct rs_plan *plan = l->source.plan;
	struct mapping *m = &l->mappings[number];
	bool is_data = number < plan->nr_tasks;
	const uint64_t *gfns;
	size_t nr, first;

	if (is_data) {
		first = plan->tasks[number].first_page;
		nr = plan->tasks[number].nr_pages;
		gfns = plan->data_gfns + first;
	} else {
		first = (number - plan->nr_tasks) * RS_PLAN_TASK_PAGES;
		nr = plan->nr_zero - first;
		if (nr > RS_PLAN_TASK_PAGES)
			nr = RS_PLAN_TASK_PAGES;
		gfns = plan->zero_gfns + first;
	}
	if (l->hv->ops->map(l->hv, l->domid, gfns, nr, &m->addr, e) != 0)
		return -1;
	m->nr_pages = nr;
	atomic_fetch_add(&l->nr_mapped, nr);
	atomic_fetch_add(&l->bytes_copied, nr * SF_PAGE_BYTES);
	if (!is_data)
		memset(m->addr, 0, nr * SF_PAGE_BYTES);
	else if (l->source.resident != NULL)
		memcpy(m->addr, l->source.resident + first * SF_PAGE_BYTES,
		    nr * SF_PAGE_BYTES);
	else
		return fill_data(l->source.reader, &plan->tasks[number],
		    m->addr, e);
	return 0;
}

static void
run_tasks(struct rs_load *l)
{
	size_t nr_tasks = l->source.plan->nr_tasks + l->nr_zero_tasks;
	struct err e;

	while (!atomic_load(&l->failed)) {
		size_t number = atomic_fetch_add(&l->next_task, 1);

		if (number >= nr_tasks)
			return;
		if (run_task(l, number, &e) != 0)
			load_fail(l, &e);
	}
}

static void *
first_worker(void *arg)
{
	struct rs_load *l = arg;
	struct err e;

	if (populate(l, &e) != 0)
		load_fail(l, &e);
	(void)pthread_mutex_lock(&l->lock);
	l->populated = true;
	(void)pthread_cond_broadcast(&l->populated_cond);
	(void)pthread_mutex_unlock(&l->lock);
	run_tasks(l);
	return NULL;
}

static void *
other_worker(void *arg)
{
	struct rs_load *l = arg;

	(void)pthread_mutex_lock(&l->lock);
	while (!l->populated)
		(void)pthread_cond_wait(&l->populated_cond, &l->lock);
	(void)pthread_mutex_unlock(&l->lock);
	run_tasks(l);
	return NULL;
}

struct rs_load *
rs_load_start(struct hv *hv, uint32_t domid,
    const struct rs_load_source *source, struct err *e)
{
	unsigned nr_workers = source->nr_workers;
	struct rs_load *l;
	int rc;

	l = calloc(1, sizeof(*l));
	if (l == NULL) {
		err_set(e, ERR_NOMEM, errno, "load");
		return NULL;
	}
	l->hv = hv;
	l->domid = domid;
	l->source = *source;
	if (!source->frames_are_zero)
		l->nr_zero_tasks = (source->plan->nr_zero +
		    RS_PLAN_TASK_PAGES - 1) / RS_PLAN_TASK_PAGES;
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->populated_cond, NULL);
	l->mappings = calloc(source->plan->nr_tasks + l->nr_zero_tasks + 1,
	    sizeof(*l->mappings));
	if (l->mappings == NULL) {
		err_set(e, ERR_NOMEM, errno, "load");
		rs_load_free(l);
		return NULL;
	}
	if (nr_workers < 1)
		nr_workers = 1;
	if (nr_workers > RS_LOAD_WORKERS_MAX)
		nr_workers = RS_LOAD_WORKERS_MAX;
	for (unsigned i = 0; i < nr_workers; i++) {
		rc = pthread_create(&l->threads[i], NULL,
		    i == 0 ? first_worker : other_worker, l);
		if (rc != 0 && i == 0) {
			err_set(e, ERR_SYS, rc, "cannot start a thread");
			rs_load_free(l);
			return NULL;
		}
		if (rc != 0)
			break;		/* fewer do it too */
		l->nr_threads++;
	}
	return l;
}

int
rs_load_wait(struct rs_load *l, struct rs_load_counts *counts, struct err *e)
{
	for (; l->nr_threads > 0; l->nr_threads--)
		(void)pthread_join(l->threads[l->nr_threads - 1], NULL);
	if (atomic_load(&l->failed)) {
		*e = l->err;
		return -1;
	}
	l->counts.nr_mapped = atomic_load(&l->nr_mapped);
	l->counts.bytes_copied = atomic_load(&l->bytes_copied);
	*counts = l->counts;
	return 0;
}

uint8_t *
rs_load_data_page(const struct rs_load *l, size_t number)
{
	const struct rs_plan *plan = l->source.plan;
	size_t t = 0;

	while (number >= plan->tasks[t].first_page + plan->tasks[t].nr_pages)
		t++;
	return (uint8_t *)l->mappings[t].addr +
	    (number - plan->tasks[t].first_page) * SF_PAGE_BYTES;
}

void
rs_load_free(struct rs_load *l)
{
	if (l == NULL)
		return;
	atomic_store(&l->failed, true);		/* ends a load given up */
	for (; l->nr_threads > 0; l->nr_threads--)
		(void)pthread_join(l->threads[l->nr_threads - 1], NULL);
	for (size_t i = 0; l->mappings != NULL &&
	    i < l->source.plan->nr_tasks + l->nr_zero_tasks; i++)
		if (l->mappings[i].addr != NULL)
			l->hv->ops->unmap(l->hv, l->mappings[i].addr,
			    l->mappings[i].nr_pages);
	(void)pthread_cond_destroy(&l->populated_cond);
	(void)pthread_mutex_destroy(&l->lock);
	free(l->mappings);
	free(l);
}

int
rs_load_decode_all(const struct sf_reader *reader,
    const struct rs_plan *plan, uint8_t *pages, struct err *e)
{
	for (size_t i = 0; i < plan->nr_tasks; i++)
		if (fill_data(reader, &plan->tasks[i],
		    pages + plan->tasks[i].first_page * SF_PAGE_BYTES, e) != 0)
			return -1;
	return 0;
}
