/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-savefile info: what a savefile holds, for people and as JSON.  Prints
 * only what the reader has validated; texts are printable ASCII by then.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "savefile/dvm_savefile.h"

/* What is counted over the tables. */
struct counts {
	uint32_t raw_chunks;
	uint32_t groups[SF_EXTENT_PARTIAL + 1];	/* by kind */
	uint64_t stored_bytes;
};

static void
count(const struct sf_image *image, struct counts *n)
{
	uint32_t i;

	memset(n, 0, sizeof(*n));
	for (i = 0; i < image->nr_chunks; i++) {
		n->stored_bytes += image->chunks[i].stored_bytes;
		if (image->chunks[i].method == SF_METHOD_RAW)
			n->raw_chunks++;
	}
	for (i = 0; i < image->nr_extents; i++)
		n->groups[image->extents[i].kind] +=
		    image->extents[i].nr_groups;
}

/* A file that was made without a key has zeros there. */
static bool
is_signed(const struct sf_header *h)
{
	static const uint8_t zeros[SF_DIGEST_BYTES];

	return memcmp(h->keyed_digest, zeros, sizeof(zeros)) != 0;
}

static void
print_hex(const uint8_t *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		(void)printf("%02x", p[i]);
}

/* The one place where text gets into JSON. */
static void
json_string(const char *p, size_t len)
{
	size_t i;

	(void)putchar('"');
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)p[i];

		if (c == '"' || c == '\\')
			(void)printf("\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			(void)printf("\\u%04x", c);
		else
			(void)putchar(c);
	}
	(void)putchar('"');
}

/* The next line of a validated text: its start, its '=' and its end. */
static const char *
next_line(const struct sf_blob *text, size_t *at, size_t *name_len,
    size_t *len)
{
	const char *line = (const char *)text->bytes + *at, *eol, *equals;

	if (*at >= text->len)
		return NULL;
	eol = memchr(line, '\n', text->len - *at);
	equals = memchr(line, '=', text->len - *at);
	if (eol == NULL || equals == NULL)
		return NULL;
	*name_len = (size_t)(equals - line);
	*len = (size_t)(eol - line);
	*at += *len + 1;
	return line;
}

static void
json_text(const char *name, const struct sf_blob *text)
{
	size_t at = 0, name_len, len;
	const char *line, *comma = "";

	(void)printf(",\n  \"%s\": {", name);
	while ((line = next_line(text, &at, &name_len, &len)) != NULL) {
		(void)printf("%s\n    ", comma);
		json_string(line, name_len);
		(void)printf(": ");
		json_string(line + name_len + 1, len - name_len - 1);
		comma = ",";
	}
	(void)printf("%s}", *comma != '\0' ? "\n  " : "");
}

static void
json_u64(const char *name, uint64_t value)
{
	(void)printf(",\n  \"%s\": %" PRIu64, name, value);
}

static void
print_json(const struct sf_header *h, const struct sf_state *s,
    const struct counts *n)
{
	(void)printf("{\n  \"version\": %u,\n  \"id\": \"", SF_VERSION);
	print_hex(h->id, sizeof(h->id));
	(void)printf("\",\n  \"digest\": \"");
	print_hex(h->digest, sizeof(h->digest));
	(void)printf("\",\n  \"signed\": %s", is_signed(h) ? "true" : "false");
	json_u64("file_bytes", h->file_bytes);
	json_u64("data_off", h->data_off);
	json_u64("nr_pages", h->nr_pages);
	json_u64("nr_data_pages", h->nr_data_pages);
	json_u64("state_bytes", h->state_bytes);
	json_u64("nr_groups", h->nr_groups);
	json_u64("nr_absent_groups", n->groups[SF_EXTENT_ABSENT]);
	json_u64("nr_zero_groups", n->groups[SF_EXTENT_ZERO]);
	json_u64("nr_data_groups", n->groups[SF_EXTENT_DATA]);
	json_u64("nr_partial_groups", n->groups[SF_EXTENT_PARTIAL]);
	json_u64("nr_extents", h->nr_extents);
	json_u64("nr_chunks", h->nr_chunks);
	json_u64("nr_raw_chunks", n->raw_chunks);
	json_u64("stored_bytes", n->stored_bytes);
	(void)printf(",\n  \"guest_type\": \"pvh\"");
	json_u64("nr_vcpus", s->nr_vcpus);
	json_u64("max_mem_kb", s->max_mem_kb);
	json_u64("target_mem_kb", s->target_mem_kb);
	json_u64("xen_major", s->xen_major);
	json_u64("xen_minor", s->xen_minor);
	(void)printf(",\n  \"xen_extra\": ");
	json_string(s->xen_extra, strlen(s->xen_extra));
	json_u64("tsc_mode", s->tsc_mode);
	json_u64("tsc_khz", s->tsc_khz);
	json_u64("tsc_nsec", s->tsc_nsec);
	json_u64("tsc_incarnation", s->tsc_incarnation);
	json_u64("max_grant_frames", s->max_grant_frames);
	json_u64("launch_gfn", s->launch_gfn);
	json_u64("cpuid_bytes", s->cpuid.len);
	json_u64("msrs_bytes", s->msrs.len);
	json_u64("hvm_context_bytes", s->hvm_context.len);
	json_u64("hvm_params_bytes", s->hvm_params.len);
	json_text("key", &s->key);
	json_text("config", &s->config);
	(void)printf("\n}\n");
}

static void
print_text(const char *name, const struct sf_blob *text)
{
	size_t at = 0, name_len, len;
	const char *line;

	(void)printf("%s\n", name);
	while ((line = next_line(text, &at, &name_len, &len)) != NULL)
		(void)printf("    %.*s\n", (int)len, line);
}

static void
print_plain(const struct sf_header *h, const struct sf_state *s,
    const struct counts *n)
{
	(void)printf("savefile  version %u, id ", SF_VERSION);
	print_hex(h->id, sizeof(h->id));
	(void)printf(", %s\n", is_signed(h) ? "signed" : "not signed");
	(void)printf("guest     PVH, %" PRIu32 " vCPU%s, Xen %" PRIu32 ".%"
	    PRIu32 "%s, TSC mode %" PRIu32 " at %" PRIu32 " kHz\n",
	    s->nr_vcpus, s->nr_vcpus == 1 ? "" : "s", s->xen_major,
	    s->xen_minor, s->xen_extra, s->tsc_mode, s->tsc_khz);
	(void)printf("memory    %" PRIu64 " pages (%" PRIu64 " MiB), %" PRIu64
	    " of them zero\n", h->nr_pages, h->nr_pages >> 8,
	    h->nr_pages - h->nr_data_pages);
	(void)printf("groups    %" PRIu32 ": %" PRIu32 " data, %" PRIu32
	    " zero, %" PRIu32 " partial, %" PRIu32 " absent, in %" PRIu32
	    " extents\n", h->nr_groups, n->groups[SF_EXTENT_DATA],
	    n->groups[SF_EXTENT_ZERO], n->groups[SF_EXTENT_PARTIAL],
	    n->groups[SF_EXTENT_ABSENT], h->nr_extents);
	(void)printf("chunks    %" PRIu32 " (%" PRIu32 " raw), %" PRIu64
	    " bytes for %" PRIu64 "\n", h->nr_chunks, n->raw_chunks,
	    n->stored_bytes, h->nr_data_pages * SF_PAGE_BYTES);
	(void)printf("file      %" PRIu64 " bytes, data from %" PRIu64 "\n",
	    h->file_bytes, h->data_off);
	(void)printf("state     %zu CPUID leaves, %zu MSRs, %zu bytes of HVM "
	    "context, %zu HVM params\n", s->cpuid.len / 24, s->msrs.len / 16,
	    s->hvm_context.len, s->hvm_params.len / 16);
	print_text("key", &s->key);
	print_text("config", &s->config);
}

int
cmd_info(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' }, { 0 }
	};
	struct sf_reader *r;
	struct counts n;
	bool json = false;
	struct err e;
	int opt;

	while ((opt = getopt_long(argc, argv, "j", options, NULL)) != -1) {
		if (opt != 'j')
			return -1;
		json = true;
	}
	if (argc - optind != 1)
		return -1;
	r = savefile_open(argv[optind], NULL, &e);
	if (r == NULL)
		return savefile_fail(&e);
	count(sf_reader_image(r), &n);
	(json ? print_json : print_plain)(sf_reader_header(r),
	    sf_reader_state(r), &n);
	sf_reader_close(r);
	if (savefile_flush(&e) == -1)
		return savefile_fail(&e);
	return 0;
}
