/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: the header decoder.  What it accepts keeps its promises about
 * sizes, and encodes to the same bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "savefile/sf_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sf_limits limits = { UINT64_C(1) << 44 };
	uint8_t bytes[SF_HEADER_BYTES] = { 0 }, again[SF_HEADER_BYTES];
	struct sf_header h;
	uint64_t file_bytes;
	struct err e;

	memcpy(bytes, data, size < sizeof(bytes) ? size : sizeof(bytes));
	memcpy(&file_bytes, bytes + SF_OFF_FILE_BYTES, sizeof(file_bytes));
	if (sf_format_decode_header(bytes, file_bytes, &limits, &h, &e) == -1)
		return 0;
	if (h.data_off > file_bytes || h.data_off > h.nr_pages * 4096 ||
	    h.nr_pages * 4096 > limits.guest_bytes_max ||
	    sf_format_index_end(&h) > h.data_off)
		abort();
	sf_format_encode_header(&h, again);
	if (memcmp(bytes, again, sizeof(bytes)) != 0)
		abort();
	return 0;
}
