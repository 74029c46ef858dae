/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a launch does with memory, worked out once per template.  Pure: trusts
 * that the image was validated by sf_index_decode().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "restore/launch/plan.h"

static bool
populated(const struct sf_image *image, const struct sf_extent *x,
    unsigned page)
{
	if (x->kind == SF_EXTENT_ABSENT)
		return false;
	return x->kind != SF_EXTENT_PARTIAL ||
	    sf_bitmap_test(&image->bitmaps[x->bitmap], page);
}

/* Frames of one group: whole or single, and which of them no chunk fills.
 * *chunk is the first chunk at or after the group; moved past it. */
static void
plan_group(const struct sf_image *image, const struct sf_extent *x,
    uint32_t group, uint32_t *chunk, struct rs_plan *plan)
{
	uint64_t base = (uint64_t)group * SF_GROUP_PAGES;
	uint16_t masks[SF_GROUP_CHUNKS] = { 0 };

	while (*chunk < image->nr_chunks &&
	    image->chunks[*chunk].gfn_chunk / SF_GROUP_CHUNKS == group) {
		const struct sf_chunk *c = &image->chunks[(*chunk)++];

		masks[c->gfn_chunk % SF_GROUP_CHUNKS] = c->page_mask;
	}
	if (x->kind == SF_EXTENT_ABSENT)
		return;
	if (x->kind != SF_EXTENT_PARTIAL)
		plan->super_gfns[plan->nr_super++] = base;
	for (unsigned page = 0; page < SF_GROUP_PAGES; page++) {
		if (!populated(image, x, page))
			continue;
		if (x->kind == SF_EXTENT_PARTIAL)
			plan->single_gfns[plan->nr_single++] = base + page;
		if (masks[page / SF_CHUNK_PAGES] >> page % SF_CHUNK_PAGES & 1)
			plan->data_gfns[plan->nr_data++] = base + page;
		else
			plan->zero_gfns[plan->nr_zero++] = base + page;
	}
}

static void
plan_tasks(const struct sf_image *image, struct rs_plan *plan)
{
	struct rs_task *t = NULL;
	size_t page = 0;

	for (uint32_t i = 0; i < image->nr_chunks; i++) {
		unsigned nr = sf_chunk_nr_pages(&image->chunks[i]);

		if (t == NULL || t->nr_pages + nr > RS_PLAN_TASK_PAGES) {
			t = &plan->tasks[plan->nr_tasks++];
			*t = (struct rs_task){ .first_chunk = i,
			    .first_page = page };
		}
		t->nr_chunks++;
		t->nr_pages += nr;
		page += nr;
	}
}

int
rs_plan_make(const struct sf_image *image, struct rs_plan *plan,
    struct err *e)
{
	size_t nr_whole = 0, nr_partial = 0, nr_pages;
	uint32_t chunk = 0;

	memset(plan, 0, sizeof(*plan));
	for (uint32_t i = 0; i < image->nr_extents; i++) {
		const struct sf_extent *x = &image->extents[i];

		if (x->kind == SF_EXTENT_PARTIAL)
			nr_partial++;
		else if (x->kind != SF_EXTENT_ABSENT)
			nr_whole += x->nr_groups;
	}
	nr_pages = (nr_whole + nr_partial) * SF_GROUP_PAGES;
	/* One more than needed, so that none asks for zero bytes.  A task
	 * is closed only when the next chunk does not fit: each but the last
	 * has more than half of its pages. */
	plan->super_gfns = calloc(nr_whole + 1, sizeof(uint64_t));
	plan->single_gfns = calloc(nr_partial * SF_GROUP_PAGES + 1,
	    sizeof(uint64_t));
	plan->data_gfns = calloc(nr_pages + 1, sizeof(uint64_t));
	plan->zero_gfns = calloc(nr_pages + 1, sizeof(uint64_t));
	plan->tasks = calloc(nr_pages / (RS_PLAN_TASK_PAGES / 2) + 1,
	    sizeof(*plan->tasks));
	if (plan->super_gfns == NULL || plan->single_gfns == NULL ||
	    plan->data_gfns == NULL || plan->zero_gfns == NULL ||
	    plan->tasks == NULL) {
		rs_plan_free(plan);
		return err_set(e, ERR_NOMEM, errno, "launch plan");
	}
	for (uint32_t i = 0; i < image->nr_extents; i++) {
		const struct sf_extent *x = &image->extents[i];

		for (uint32_t g = 0; g < x->nr_groups; g++)
			plan_group(image, x, x->first_group + g, &chunk, plan);
	}
	plan_tasks(image, plan);
	return 0;
}

void
rs_plan_free(struct rs_plan *plan)
{
	free(plan->super_gfns);
	free(plan->single_gfns);
	free(plan->data_gfns);
	free(plan->zero_gfns);
	free(plan->tasks);
	memset(plan, 0, sizeof(*plan));
}
