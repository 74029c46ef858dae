/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The header: it comes back as it was, and each rule refuses by the name of
 * its field.
 */
#include <inttypes.h>
#include <string.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_format.h"
#include "tests/unit/tap.h"

static const struct sf_limits limits = { UINT64_C(1) << 33 };

/* 3 groups with 1100 pages, 20 of them in 4 chunks. */
static const struct sf_header good = {
	.file_bytes = 12288 + 20 * 4096, .data_off = 12288, .nr_pages = 1100,
	.nr_data_pages = 20, .state_bytes = 800, .nr_groups = 3,
	.nr_extents = 3, .nr_bitmaps = 1, .nr_chunks = 4,
	.id = { 1, 2, 3 }, .digest = { 4 }, .keyed_digest = { 5 }
};

static void
test_roundtrip(void)
{
	uint8_t bytes[SF_HEADER_BYTES];
	struct sf_header h;
	struct err e = { .msg = "" };

	sf_format_encode_header(&good, bytes);
	ok(sf_format_decode_header(bytes, good.file_bytes, &limits, &h,
	    &e) == 0 && h.file_bytes == good.file_bytes &&
	    h.data_off == good.data_off && h.nr_pages == good.nr_pages &&
	    h.nr_data_pages == good.nr_data_pages &&
	    h.state_bytes == good.state_bytes &&
	    h.nr_groups == good.nr_groups && h.nr_extents == good.nr_extents &&
	    h.nr_bitmaps == good.nr_bitmaps && h.nr_chunks == good.nr_chunks &&
	    memcmp(h.id, good.id, sizeof(h.id)) == 0 &&
	    memcmp(h.digest, good.digest, sizeof(h.digest)) == 0 &&
	    memcmp(h.keyed_digest, good.keyed_digest,
	    sizeof(h.keyed_digest)) == 0, "the header comes back %s", e.msg);
	ok(sf_format_extents_off(&h) == 4896 &&
	    sf_format_bitmaps_off(&h) == 4944 &&
	    sf_format_index_off(&h) == 5008 &&
	    sf_format_index_end(&h) == 5136, "the tables follow the state");
}

/* One field changed, and what the message must say. */
struct refusal {
	size_t off, size;
	uint64_t value;
	const char *says;
};

static const struct refusal refusals[] = {
	{ SF_OFF_MAGIC, 1, 'X', "the magic (byte 0) differs" },
	{ SF_OFF_MAGIC, 8, 0, "not finished" },
	{ SF_OFF_VERSION, 4, 2, "version (byte 8) is 2" },
	{ SF_OFF_HEADER_BYTES, 4, 8192, "header_bytes (byte 12) is 8192" },
	{ SF_OFF_FLAGS, 8, 0x40, "flags (byte 16) has bits 0x40" },
	{ SF_OFF_FILE_BYTES, 8, 4096, "file_bytes (byte 24)" },
	{ SF_OFF_DATA_OFF, 8, 12289, "data_off (byte 32)" },
	{ SF_OFF_DATA_OFF, 8, 4096, "less than the end of the index" },
	{ SF_OFF_DATA_OFF, 8, 1 << 20, "more than file_bytes" },
	{ SF_OFF_DATA_OFF, 8, UINT64_MAX - 4095, "more than file_bytes" },
	{ SF_OFF_NR_PAGES, 8, 0, "nr_pages (byte 40) is 0" },
	{ SF_OFF_NR_PAGES, 8, 1537, "nr_pages (byte 40) is 1537" },
	{ SF_OFF_NR_PAGES, 8, UINT64_MAX, "nr_pages (byte 40)" },
	{ SF_OFF_NR_PAGES, 8, 10, "nr_data_pages (byte 48)" },
	{ SF_OFF_NR_DATA_PAGES, 8, 1101, "nr_data_pages (byte 48) is 1101" },
	{ SF_OFF_NR_DATA_PAGES, 8, 3, "nr_chunks (byte 72) is 4" },
	{ SF_OFF_NR_DATA_PAGES, 8, 65, "more than 16 times nr_chunks" },
	{ SF_OFF_NR_DATA_PAGES, 8, 19, "file_bytes (byte 24)" },
	{ SF_OFF_STATE_BYTES, 4, 804, "state_bytes (byte 56) is 804" },
	{ SF_OFF_STATE_BYTES, 4, UINT32_MAX, "state_bytes (byte 56)" },
	{ SF_OFF_NR_GROUPS, 4, 0, "nr_groups (byte 60) is 0" },
	{ SF_OFF_NR_GROUPS, 4, (1 << 23) + 1, "nr_groups (byte 60)" },
	{ SF_OFF_NR_EXTENTS, 4, 0, "nr_extents (byte 64) is 0" },
	{ SF_OFF_NR_EXTENTS, 4, 4, "nr_extents (byte 64) is 4" },
	{ SF_OFF_NR_BITMAPS, 4, 4, "nr_bitmaps (byte 68) is 4" },
	{ SF_OFF_NR_CHUNKS, 4, UINT32_MAX, "nr_chunks (byte 72)" },
	{ SF_OFF_NR_CHUNKS + 4, 1, 1, "reserved byte 76" },
	{ SF_OFF_KEYED_DIGEST + 32, 1, 1, "reserved byte 160" },
	{ SF_HEADER_BYTES - 1, 1, 1, "reserved byte 4095" },
};

static void
put(uint8_t *p, size_t size, uint64_t value)
{
	size_t i;

	for (i = 0; i < size; i++)
		p[i] = (uint8_t)(value >> 8 * i);
}

static void
test_refusals(void)
{
	uint8_t bytes[SF_HEADER_BYTES];
	const struct refusal *r;
	struct sf_header h;
	struct err e;
	size_t i;

	for (i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		r = &refusals[i];
		e.msg[0] = '\0';
		sf_format_encode_header(&good, bytes);
		put(bytes + r->off, r->size, r->value);
		ok(sf_format_decode_header(bytes, good.file_bytes, &limits, &h,
		    &e) == -1 && e.code == ERR_INPUT &&
		    strstr(e.msg, r->says) != NULL, "refused: \"%s\" is %s",
		    e.msg, r->says);
	}
}

static void
test_limits(void)
{
	uint8_t bytes[SF_HEADER_BYTES];
	struct sf_limits small = { 1100 * 4096 - 1 };
	struct sf_header h, few = good;
	struct err e;

	sf_format_encode_header(&good, bytes);
	ok(sf_format_decode_header(bytes, good.file_bytes, &small, &h, &e) ==
	    -1 && strstr(e.msg, "nr_pages") != NULL,
	    "a guest above the limit is refused");
	small.guest_bytes_max++;
	ok(sf_format_decode_header(bytes, good.file_bytes, &small, &h, &e) ==
	    0, "a guest at the limit is not");
	few.nr_pages = 3;
	few.nr_data_pages = 3;
	few.nr_chunks = 3;
	few.file_bytes = few.data_off + 3 * 64;
	few.nr_groups = 6;
	few.nr_extents = 6;
	sf_format_encode_header(&few, bytes);
	ok(sf_format_decode_header(bytes, few.file_bytes, &limits, &h, &e) ==
	    -1 && strstr(e.msg, "guest's size") != NULL,
	    "tables larger than the guest are refused");
}

int
main(void)
{
	test_roundtrip();
	test_refusals();
	test_limits();
	return tap_done();
}
