/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-savefile diff: in what two recordings differ: fields, lines of text, and
 * how many pages of each 2 MiB group.  How a file stores a page does not
 * count, only what the guest would see.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "savefile/dvm_savefile.h"
#include "savefile/sf_page.h"

#define GROUP_BYTES ((size_t)SF_GROUP_PAGES * SF_PAGE_BYTES)

/* One of the two files, while its groups are walked in order. */
struct side {
	const char *path;
	struct sf_reader *r;
	uint32_t extent, chunk;		/* the next to look at */
	uint32_t kind;			/* of the current group */
	bool has_chunk;
	struct sf_bitmap populated;
	uint8_t *pages;			/* GROUP_BYTES */
	uint8_t *stored, *decoded;	/* SF_CHUNK_BYTES each */
};

static bool
diff_u64(const char *name, uint64_t a, uint64_t b)
{
	if (a == b)
		return false;
	(void)printf("%s: %" PRIu64 " | %" PRIu64 "\n", name, a, b);
	return true;
}

static bool
diff_blob(const char *name, const struct sf_blob *a, const struct sf_blob *b)
{
	if (a->len == b->len &&
	    (a->len == 0 || memcmp(a->bytes, b->bytes, a->len) == 0))
		return false;
	(void)printf("%s: differs (%zu | %zu bytes)\n", name, a->len, b->len);
	return true;
}

/* Prints the lines of `text` that `other` does not have. */
static bool
diff_lines(const char *name, char sign, const struct sf_blob *text,
    const struct sf_blob *other)
{
	const char *line = (const char *)text->bytes, *eol;
	char key[SF_TEXT_BYTES_MAX + 1], value[SF_TEXT_BYTES_MAX + 1];
	size_t at, len, name_len;
	bool differs = false;
	struct err e;

	for (at = 0; at < text->len; at += len + 1, line += len + 1) {
		eol = memchr(line, '\n', text->len - at);
		len = eol == NULL ? text->len - at : (size_t)(eol - line);
		name_len = strcspn(line, "=\n");
		(void)snprintf(key, sizeof(key), "%.*s", (int)name_len, line);
		if (sf_state_text_get(other, key, value, sizeof(value), &e) ==
		    0 && strlen(value) == len - name_len - 1 &&
		    memcmp(value, line + name_len + 1, strlen(value)) == 0)
			continue;
		(void)printf("%s: %c%.*s\n", name, sign, (int)len, line);
		differs = true;
	}
	return differs;
}

static bool
diff_state(const struct sf_state *a, const struct sf_state *b)
{
	bool d = false;

	d |= diff_u64("nr_vcpus", a->nr_vcpus, b->nr_vcpus);
	d |= diff_u64("max_mem_kb", a->max_mem_kb, b->max_mem_kb);
	d |= diff_u64("target_mem_kb", a->target_mem_kb, b->target_mem_kb);
	d |= diff_u64("xen_major", a->xen_major, b->xen_major);
	d |= diff_u64("xen_minor", a->xen_minor, b->xen_minor);
	if (strcmp(a->xen_extra, b->xen_extra) != 0) {
		(void)printf("xen_extra: %s | %s\n", a->xen_extra,
		    b->xen_extra);
		d = true;
	}
	d |= diff_u64("tsc_mode", a->tsc_mode, b->tsc_mode);
	d |= diff_u64("tsc_khz", a->tsc_khz, b->tsc_khz);
	d |= diff_u64("tsc_nsec", a->tsc_nsec, b->tsc_nsec);
	d |= diff_u64("tsc_incarnation", a->tsc_incarnation,
	    b->tsc_incarnation);
	d |= diff_u64("max_grant_frames", a->max_grant_frames,
	    b->max_grant_frames);
	d |= diff_u64("launch_gfn", a->launch_gfn, b->launch_gfn);
	d |= diff_blob("cpuid", &a->cpuid, &b->cpuid);
	d |= diff_blob("msrs", &a->msrs, &b->msrs);
	d |= diff_blob("hvm_context", &a->hvm_context, &b->hvm_context);
	d |= diff_blob("hvm_params", &a->hvm_params, &b->hvm_params);
	d |= diff_lines("key", '-', &a->key, &b->key);
	d |= diff_lines("key", '+', &b->key, &a->key);
	d |= diff_lines("config", '-', &a->config, &b->config);
	d |= diff_lines("config", '+', &b->config, &a->config);
	return d;
}

/* Makes `group` the side's current one. */
static void
enter_group(struct side *s, uint32_t group)
{
	const struct sf_image *image = sf_reader_image(s->r);
	const struct sf_extent *x = NULL;

	while (s->extent < image->nr_extents) {
		x = &image->extents[s->extent];
		if (group - x->first_group < x->nr_groups)
			break;
		s->extent++;
	}
	s->kind = SF_EXTENT_ABSENT;
	if (s->extent < image->nr_extents && x != NULL)
		s->kind = x->kind;
	memset(&s->populated, s->kind == SF_EXTENT_ABSENT ? 0 : 0xff,
	    sizeof(s->populated));
	if (s->kind == SF_EXTENT_PARTIAL && x != NULL)
		s->populated = image->bitmaps[x->bitmap];
	s->has_chunk = s->chunk < image->nr_chunks &&
	    image->chunks[s->chunk].gfn_chunk / SF_GROUP_CHUNKS == group;
}

/* Reads the current group's pages; absent ones read as zero. */
static int
load_group(struct side *s, uint32_t group, struct err *e)
{
	const struct sf_image *image = sf_reader_image(s->r);
	const struct sf_chunk *c;
	const uint8_t *from;
	uint8_t *to;
	unsigned i;

	memset(s->pages, 0, GROUP_BYTES);
	for (; s->chunk < image->nr_chunks; s->chunk++) {
		c = &image->chunks[s->chunk];
		if (c->gfn_chunk / SF_GROUP_CHUNKS != group)
			break;
		if (sf_reader_read_stored(s->r, c, s->stored, e) == -1 ||
		    sf_page_decode(c, s->stored, s->decoded, e) == -1)
			return err_prefix(e, "%s", s->path);
		from = s->decoded;
		to = s->pages +
		    (size_t)(c->gfn_chunk % SF_GROUP_CHUNKS) * SF_CHUNK_BYTES;
		for (i = 0; i < SF_CHUNK_PAGES; i++) {
			if ((c->page_mask >> i & 1) == 0)
				continue;
			memcpy(to + i * SF_PAGE_BYTES, from, SF_PAGE_BYTES);
			from += SF_PAGE_BYTES;
		}
	}
	return 0;
}

static unsigned
count_differing(const struct side *a, const struct side *b)
{
	unsigned i, nr = 0;

	for (i = 0; i < SF_GROUP_PAGES; i++)
		if (sf_bitmap_test(&a->populated, i) !=
		    sf_bitmap_test(&b->populated, i) ||
		    memcmp(a->pages + (size_t)i * SF_PAGE_BYTES,
		    b->pages + (size_t)i * SF_PAGE_BYTES, SF_PAGE_BYTES) != 0)
			nr++;
	return nr;
}

/* 0 same, 1 different, -1. */
static int
diff_memory(struct side *a, struct side *b, struct err *e)
{
	uint32_t nr_groups = sf_reader_header(a->r)->nr_groups, group;
	uint64_t total = 0;
	unsigned nr;

	if (sf_reader_header(b->r)->nr_groups > nr_groups)
		nr_groups = sf_reader_header(b->r)->nr_groups;
	for (group = 0; group < nr_groups; group++) {
		enter_group(a, group);
		enter_group(b, group);
		if (!a->has_chunk && !b->has_chunk && a->kind == b->kind &&
		    a->kind != SF_EXTENT_PARTIAL)
			continue;
		if (load_group(a, group, e) == -1 ||
		    load_group(b, group, e) == -1)
			return -1;
		nr = count_differing(a, b);
		if (nr > 0)
			(void)printf("group %" PRIu32 " (gfn 0x%" PRIx64 "): "
			    "%u page%s\n", group,
			    (uint64_t)group * SF_GROUP_PAGES, nr,
			    nr == 1 ? "" : "s");
		total += nr;
	}
	if (total > 0)
		(void)printf("%" PRIu64 " page%s of memory differ%s\n", total,
		    total == 1 ? "" : "s", total == 1 ? "s" : "");
	return total > 0;
}

static int
side_open(struct side *s, const char *path, struct err *e)
{
	s->path = path;
	s->r = savefile_open(path, NULL, e);
	if (s->r == NULL)
		return -1;
	s->pages = malloc(GROUP_BYTES);
	s->stored = malloc(SF_CHUNK_BYTES);
	s->decoded = malloc(SF_CHUNK_BYTES);
	if (s->pages == NULL || s->stored == NULL || s->decoded == NULL)
		return err_set(e, ERR_NOMEM, 0, "no memory");
	return 0;
}

static void
side_close(struct side *s)
{
	free(s->decoded);
	free(s->stored);
	free(s->pages);
	sf_reader_close(s->r);
}

/* The status of an error here: 1 is taken. */
static int
trouble(const struct err *e)
{
	int status = savefile_fail(e);

	return status == 1 ? 2 : status;
}

int
cmd_diff(int argc, char **argv)
{
	static const struct option options[] = { { 0 } };
	struct side a = { 0 }, b = { 0 };
	int status, rc = -1;
	bool differs;
	struct err e;

	if (getopt_long(argc, argv, "", options, NULL) != -1 ||
	    argc - optind != 2)
		return -1;
	if (side_open(&a, argv[optind], &e) == -1 ||
	    side_open(&b, argv[optind + 1], &e) == -1)
		goto out;
	differs = diff_state(sf_reader_state(a.r), sf_reader_state(b.r));
	rc = diff_memory(&a, &b, &e);
	if (rc == 0 && differs)
		rc = 1;
	if (rc != -1 && savefile_flush(&e) == -1)
		rc = -1;
out:
	status = rc == -1 ? trouble(&e) : rc;
	side_close(&b);
	side_close(&a);
	return status;
}
