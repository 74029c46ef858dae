/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Synthetic migration streams for the tests of prep/: written field by field
 * from the specification, not with the parser's own numbers.
 */
#ifndef T_PR_BUILD_H
#define T_PR_BUILD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "include/wire/launch_page.h"

#define T_PR_NR_LEAVES 3u
#define T_PR_NR_MSRS 2u
#define T_PR_NR_PARAMS 4u
#define T_PR_CONTEXT_BYTES 2504u

struct t_pr_stream {
	uint8_t *bytes;
	size_t len, cap;
};

static inline void
t_pr_put(struct t_pr_stream *s, const void *bytes, size_t len)
{
	while (s->len + len > s->cap) {
		s->cap = s->cap == 0 ? 65536 : 2 * s->cap;
		s->bytes = realloc(s->bytes, s->cap);
		if (s->bytes == NULL)
			abort();
	}
	if (len > 0)
		memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
}

static inline void
t_pr_put_le(struct t_pr_stream *s, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++, value >>= 8) {
		uint8_t byte = (uint8_t)value;

		t_pr_put(s, &byte, 1);
	}
}

static inline void
t_pr_fill(struct t_pr_stream *s, uint8_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		t_pr_put(s, &value, 1);
}

/* The 24 bytes of the image header and the 16 of the domain header. */
static inline void
t_pr_headers(struct t_pr_stream *s)
{
	static const uint8_t image[24] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		'X', 'E', 'N', 'F', 0, 0, 0, 3
	};

	t_pr_put(s, image, sizeof(image));
	t_pr_put_le(s, 2, 4);		/* x86 HVM */
	t_pr_put_le(s, 12, 2);
	t_pr_put_le(s, 0, 2);
	t_pr_put_le(s, 4, 4);
	t_pr_put_le(s, 17, 4);
}

static inline void
t_pr_record(struct t_pr_stream *s, uint32_t type, const void *body, size_t len)
{
	t_pr_put_le(s, type, 4);
	t_pr_put_le(s, len, 4);
	t_pr_put(s, body, len);
	t_pr_fill(s, 0, (8 - len % 8) % 8);
}

/* One page is a launch page, with the magic "MMM...". */
#define T_PR_LAUNCH_GFN 100u
#define T_PR_LAUNCH_MAGIC "4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d" \
	"4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d"

/* What page `gfn` holds: every third is zero, every third is noise. */
static inline void
t_pr_page(uint64_t gfn, uint8_t page[4096])
{
	uint64_t x = gfn * 0x9e3779b97f4a7c15u;

	memset(page, 0, 4096);
	if (gfn % 3 == 1)
		memset(page, (int)(gfn & 0x7f) + 1, 4096);
	for (size_t i = 0; gfn % 3 == 2 && i < 4096; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		page[i] = (uint8_t)x;
	}
	if (gfn == T_PR_LAUNCH_GFN) {
		uint8_t magic[LAUNCH_PAGE_MAGIC_BYTES];

		memset(magic, 'M', sizeof(magic));
		launch_page_make(page, magic);
	}
}

/* One PAGE_DATA record: pfns [first, first + nr), of which those with
 * absent[i] != 0 are XTAB. */
static inline void
t_pr_pages(struct t_pr_stream *s, uint64_t first, uint32_t nr,
    const uint8_t *absent)
{
	uint32_t nr_data = 0;
	uint8_t page[4096];

	for (uint32_t i = 0; i < nr; i++)
		nr_data += absent == NULL || absent[i] == 0;
	t_pr_put_le(s, 1, 4);
	t_pr_put_le(s, 8 + 8 * (uint64_t)nr + 4096 * (uint64_t)nr_data, 4);
	t_pr_put_le(s, nr, 4);
	t_pr_put_le(s, 0, 4);
	for (uint32_t i = 0; i < nr; i++)
		t_pr_put_le(s, (first + i) | (absent != NULL && absent[i] ?
		    UINT64_C(0xf) << 60 : 0), 8);
	for (uint32_t i = 0; i < nr; i++) {
		if (absent != NULL && absent[i] != 0)
			continue;
		t_pr_page(first + i, page);
		t_pr_put(s, page, sizeof(page));
	}
}

static inline void
t_pr_policies(struct t_pr_stream *s)
{
	uint8_t leaves[24 * T_PR_NR_LEAVES], msrs[16 * T_PR_NR_MSRS];

	memset(leaves, 0x11, sizeof(leaves));
	memset(msrs, 0x12, sizeof(msrs));
	t_pr_record(s, 0x11, leaves, sizeof(leaves));
	t_pr_record(s, 0x12, msrs, sizeof(msrs));
}

static inline void
t_pr_tsc(struct t_pr_stream *s)
{
	t_pr_put_le(s, 8, 4);
	t_pr_put_le(s, 24, 4);
	t_pr_put_le(s, 2, 4);			/* mode: native */
	t_pr_put_le(s, 2000000, 4);
	t_pr_put_le(s, 123456789, 8);
	t_pr_put_le(s, 7, 4);
	t_pr_put_le(s, 0, 4);
}

static inline void
t_pr_context(struct t_pr_stream *s)
{
	uint8_t context[T_PR_CONTEXT_BYTES];

	memset(context, 0x09, sizeof(context));
	t_pr_record(s, 9, context, sizeof(context));
}

static inline void
t_pr_params(struct t_pr_stream *s)
{
	t_pr_put_le(s, 10, 4);
	t_pr_put_le(s, 8 + 16 * T_PR_NR_PARAMS, 4);
	t_pr_put_le(s, T_PR_NR_PARAMS, 4);
	t_pr_put_le(s, 0, 4);
	for (uint32_t i = 0; i < T_PR_NR_PARAMS; i++) {
		t_pr_put_le(s, i + 1, 8);
		t_pr_put_le(s, 0xfeff8 + i, 8);
	}
}

static inline void
t_pr_tail(struct t_pr_stream *s)
{
	t_pr_tsc(s);
	t_pr_context(s);
	t_pr_params(s);
	t_pr_record(s, 0, NULL, 0);
}

/* The least that is whole: one page. */
static inline struct t_pr_stream
t_pr_small(void)
{
	struct t_pr_stream s = { .bytes = NULL };

	t_pr_headers(&s);
	t_pr_policies(&s);
	t_pr_record(&s, 0x10, NULL, 0);
	t_pr_pages(&s, 2, 1, NULL);
	t_pr_tail(&s);
	return s;
}

/* A whole stream as libxc writes it: nr_pages from 0 with one hole at 1, and
 * the special pages below 4 GiB. */
static inline struct t_pr_stream
t_pr_good(uint32_t nr_pages)
{
	struct t_pr_stream s = { .bytes = NULL };
	uint8_t absent[1024] = { 0, 1 };

	t_pr_headers(&s);
	t_pr_policies(&s);
	t_pr_record(&s, 0x10, NULL, 0);
	for (uint32_t i = 0; i < nr_pages; i += 1024) {
		t_pr_pages(&s, i, nr_pages - i < 1024 ? nr_pages - i : 1024,
		    absent);
		absent[1] = 0;
	}
	t_pr_pages(&s, 0xfeff8, 8, NULL);
	t_pr_tail(&s);
	return s;
}

#endif
