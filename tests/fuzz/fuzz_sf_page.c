/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: the chunk decoder, given a right hash.  The pages are an
 * allocation of just their size, so that a byte too many is seen.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "savefile/sf_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sf_chunk c = { .method = SF_METHOD_LZ4 };
	uint8_t *stored, *pages;
	size_t len;
	struct err e;

	if (size < 2 || size > SF_CHUNK_BYTES)
		return 0;
	c.page_mask = (uint16_t)((1u << (1 + data[0] % 4)) - 1);
	len = sf_chunk_nr_pages(&c) * SF_PAGE_BYTES;
	c.stored_bytes = (uint32_t)(size - 1);
	c.xxh3 = XXH3_64bits(data + 1, size - 1);
	if (c.stored_bytes >= len)
		return 0;
	stored = malloc(size - 1);
	pages = malloc(len);
	if (stored != NULL && pages != NULL) {
		memcpy(stored, data + 1, size - 1);
		if (sf_page_verify(&c, stored, pages, &e) == -1 &&
		    e.code != ERR_INPUT)
			abort();
	}
	free(pages);
	free(stored);
	return 0;
}
