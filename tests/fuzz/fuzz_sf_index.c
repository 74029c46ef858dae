/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: the decoder of extents, bitmaps and index.  The input is three
 * counts and nr_groups, then the tables; the header's sums are made to fit
 * what a lenient reading of the tables gives, so that it gets deep.  What is
 * accepted encodes to the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_index.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
guess_sums(struct sf_header *h, const uint8_t *meta)
{
	const uint8_t *p = meta + sf_format_extents_off(h);
	uint32_t i;

	for (i = 0; i < h->nr_extents; i++, p += SF_EXTENT_BYTES)
		if (sf_get_u32(p + 8) == SF_EXTENT_ZERO ||
		    sf_get_u32(p + 8) == SF_EXTENT_DATA)
			h->nr_pages += (uint64_t)sf_get_u32(p + 4) * 512;
	for (i = 0; i < h->nr_bitmaps * 8; i++, p += 8)
		h->nr_pages += (uint64_t)__builtin_popcountll(sf_get_u64(p));
	for (i = 0; i < h->nr_chunks; i++, p += SF_ENTRY_BYTES) {
		h->nr_data_pages += (uint64_t)
		    __builtin_popcount(sf_get_u16(p + 24));
		h->file_bytes = sf_round_up(sf_get_u64(p) +
		    sf_get_u32(p + 20), SF_STORED_ALIGN);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sf_header h = { 0 };
	struct sf_image image;
	uint8_t *meta, *again;
	uint64_t tables;
	struct err e;

	if (size < 8)
		return 0;
	h.nr_extents = 1 + data[0] % 16;
	h.nr_bitmaps = data[1] % 8;
	h.nr_chunks = data[2] % 32;
	h.nr_groups = sf_get_u32(data + 4) % (1u << 12) + 1;
	h.data_off = h.file_bytes = 8192;
	tables = sf_format_index_end(&h) - SF_HEADER_BYTES;
	meta = calloc(2, 8192);
	if (meta == NULL)
		return 0;
	again = meta + 8192;
	memcpy(meta + SF_HEADER_BYTES, data + 8,
	    size - 8 < tables ? size - 8 : tables);
	guess_sums(&h, meta);
	if (h.file_bytes >= h.data_off &&
	    sf_index_decode(&h, meta, &image, &e) == 0) {
		sf_index_encode(&h, &image, again);
		if (memcmp(meta, again, 8192) != 0)
			abort();
		sf_index_free(&image);
	}
	free(meta);
	return 0;
}
