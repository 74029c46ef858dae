/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer target for the migration stream's parser.  What it takes must be
 * whole: every blob there, gfns ascending.
 */
#include <stdlib.h>
#include <string.h>

#include "prep/pr_stream.h"

struct input {
	const uint8_t *bytes;
	size_t len;
	uint64_t next_gfn, nr_pages;
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int
read_input(void *ctx, uint8_t *buf, size_t len, struct err *e)
{
	struct input *in = ctx;

	if (len > in->len)
		return err_set(e, ERR_INPUT, 0, "ends early");
	memcpy(buf, in->bytes, len);
	in->bytes += len;
	in->len -= len;
	return 0;
}

static int
see_page(void *ctx, uint64_t gfn, const uint8_t *page, struct err *e)
{
	struct input *in = ctx;

	(void)e;
	if (gfn < in->next_gfn || page == NULL)
		abort();
	in->next_gfn = gfn + 1;
	in->nr_pages++;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct input in = { .bytes = bytes, .len = len };
	const struct pr_stream_source source = { read_input, &in };
	const struct pr_stream_sink sink = { see_page, &in };
	struct pr_stream_state state;
	struct err e;

	if (pr_stream_read(&source, &sink, &state, &e) == 0) {
		for (int i = 0; i < PR_STREAM_NR_BLOBS; i++)
			if (state.blobs[i].bytes == NULL)
				abort();
		if (state.nr_pages != in.nr_pages)
			abort();
	}
	pr_stream_state_free(&state);
	return 0;
}
