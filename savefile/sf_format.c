/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The savefile's header.  Decodes bytes whose digest nobody could check yet,
 * because the header says how far it reaches: trusts nothing.  Every size in
 * it is bounded here, before anything is allocated by it.
 */
#include <inttypes.h>
#include <string.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_format.h"

#define DIGESTS_END (SF_OFF_KEYED_DIGEST + SF_DIGEST_BYTES)

void
sf_format_encode_header(const struct sf_header *h, uint8_t *out)
{
	memset(out, 0, SF_HEADER_BYTES);
	memcpy(out + SF_OFF_MAGIC, SF_MAGIC, 8);
	sf_put_u32(out + SF_OFF_VERSION, SF_VERSION);
	sf_put_u32(out + SF_OFF_HEADER_BYTES, SF_HEADER_BYTES);
	sf_put_u64(out + SF_OFF_FILE_BYTES, h->file_bytes);
	sf_put_u64(out + SF_OFF_DATA_OFF, h->data_off);
	sf_put_u64(out + SF_OFF_NR_PAGES, h->nr_pages);
	sf_put_u64(out + SF_OFF_NR_DATA_PAGES, h->nr_data_pages);
	sf_put_u32(out + SF_OFF_STATE_BYTES, h->state_bytes);
	sf_put_u32(out + SF_OFF_NR_GROUPS, h->nr_groups);
	sf_put_u32(out + SF_OFF_NR_EXTENTS, h->nr_extents);
	sf_put_u32(out + SF_OFF_NR_BITMAPS, h->nr_bitmaps);
	sf_put_u32(out + SF_OFF_NR_CHUNKS, h->nr_chunks);
	memcpy(out + SF_OFF_ID, h->id, sizeof(h->id));
	memcpy(out + SF_OFF_DIGEST, h->digest, sizeof(h->digest));
	memcpy(out + SF_OFF_KEYED_DIGEST, h->keyed_digest,
	    sizeof(h->keyed_digest));
}

/* "header field nr_chunks (byte 72) is 7, more than nr_data_pages, 5" */
static int
refuse(struct err *e, const char *field, int off, uint64_t value,
    const char *rule, uint64_t bound)
{
	return err_set(e, ERR_INPUT, 0, "header field %s (byte %d) is %" PRIu64
	    ", %s %" PRIu64, field, off, value, rule, bound);
}

static int
check_unknown(const uint8_t *p, struct err *e)
{
	static const uint8_t unfinished[8];
	uint32_t version = sf_get_u32(p + SF_OFF_VERSION);
	uint64_t flags = sf_get_u64(p + SF_OFF_FLAGS);
	size_t at;

	if (memcmp(p + SF_OFF_MAGIC, unfinished, 8) == 0)
		return err_set(e, ERR_INPUT, 0,
		    "not a savefile, or one whose recording was not finished: "
		    "the magic (byte 0) is zero");
	if (memcmp(p + SF_OFF_MAGIC, SF_MAGIC, 8) != 0)
		return err_set(e, ERR_INPUT, 0,
		    "not a savefile: the magic (byte 0) differs");
	if (version != SF_VERSION)
		return refuse(e, "version", SF_OFF_VERSION, version,
		    "but this program knows only", SF_VERSION);
	if (sf_get_u32(p + SF_OFF_HEADER_BYTES) != SF_HEADER_BYTES)
		return refuse(e, "header_bytes", SF_OFF_HEADER_BYTES,
		    sf_get_u32(p + SF_OFF_HEADER_BYTES), "but must be",
		    SF_HEADER_BYTES);
	if (flags != 0)
		return err_set(e, ERR_INPUT, 0, "header field flags (byte %d) "
		    "has bits 0x%" PRIx64 ", which this program does not know",
		    SF_OFF_FLAGS, flags);
	at = sf_first_nonzero(p, SF_OFF_NR_CHUNKS + 4, SF_OFF_ID);
	if (at < SF_OFF_ID)
		return err_set(e, ERR_INPUT, 0,
		    "reserved byte %zu of the header is not zero", at);
	at = sf_first_nonzero(p, DIGESTS_END, SF_HEADER_BYTES);
	if (at < SF_HEADER_BYTES)
		return err_set(e, ERR_INPUT, 0,
		    "reserved byte %zu of the header is not zero", at);
	return 0;
}

/* The counts against each other: after it every table is known to be no
 * larger than a small part of the guest. */
static int
check_counts(const struct sf_header *h, const struct sf_limits *limits,
    struct err *e)
{
	if (h->nr_groups == 0 || h->nr_groups > SF_NR_GROUPS_MAX)
		return refuse(e, "nr_groups", SF_OFF_NR_GROUPS, h->nr_groups,
		    "not from 1 to", SF_NR_GROUPS_MAX);
	if (h->nr_pages == 0 ||
	    h->nr_pages > (uint64_t)h->nr_groups * SF_GROUP_PAGES)
		return refuse(e, "nr_pages", SF_OFF_NR_PAGES, h->nr_pages,
		    "not from 1 to", (uint64_t)h->nr_groups * SF_GROUP_PAGES);
	if (h->nr_pages > limits->guest_bytes_max / SF_PAGE_BYTES)
		return refuse(e, "nr_pages", SF_OFF_NR_PAGES, h->nr_pages,
		    "more than the limit of",
		    limits->guest_bytes_max / SF_PAGE_BYTES);
	if (h->nr_data_pages > h->nr_pages)
		return refuse(e, "nr_data_pages", SF_OFF_NR_DATA_PAGES,
		    h->nr_data_pages, "more than nr_pages,", h->nr_pages);
	if (h->nr_extents == 0 || h->nr_extents > h->nr_groups)
		return refuse(e, "nr_extents", SF_OFF_NR_EXTENTS,
		    h->nr_extents, "not from 1 to nr_groups,", h->nr_groups);
	if (h->nr_extents > 2 * h->nr_pages)
		return refuse(e, "nr_extents", SF_OFF_NR_EXTENTS,
		    h->nr_extents, "more than twice nr_pages,", h->nr_pages);
	if (h->nr_bitmaps > h->nr_extents)
		return refuse(e, "nr_bitmaps", SF_OFF_NR_BITMAPS,
		    h->nr_bitmaps, "more than nr_extents,", h->nr_extents);
	if (h->nr_chunks > h->nr_data_pages)
		return refuse(e, "nr_chunks", SF_OFF_NR_CHUNKS, h->nr_chunks,
		    "more than nr_data_pages,", h->nr_data_pages);
	if (h->nr_data_pages > (uint64_t)h->nr_chunks * SF_CHUNK_PAGES)
		return refuse(e, "nr_data_pages", SF_OFF_NR_DATA_PAGES,
		    h->nr_data_pages, "more than 16 times nr_chunks,",
		    h->nr_chunks);
	return 0;
}

static int
check_layout(const struct sf_header *h, struct err *e)
{
	uint64_t tables_end, guest_bytes = h->nr_pages * SF_PAGE_BYTES;

	if (h->state_bytes > SF_STATE_BYTES_MAX)
		return refuse(e, "state_bytes", SF_OFF_STATE_BYTES,
		    h->state_bytes, "more than", SF_STATE_BYTES_MAX);
	if (h->state_bytes % 8 != 0)
		return refuse(e, "state_bytes", SF_OFF_STATE_BYTES,
		    h->state_bytes, "not a multiple of", 8);
	if (h->data_off % SF_PAGE_BYTES != 0)
		return refuse(e, "data_off", SF_OFF_DATA_OFF, h->data_off,
		    "not a multiple of", SF_PAGE_BYTES);
	if (h->data_off > h->file_bytes)
		return refuse(e, "data_off", SF_OFF_DATA_OFF, h->data_off,
		    "more than file_bytes,", h->file_bytes);
	tables_end = sf_format_index_end(h);
	if (tables_end > h->data_off)
		return refuse(e, "data_off", SF_OFF_DATA_OFF, h->data_off,
		    "less than the end of the index,", tables_end);
	/* A reader holds these bytes once raw and the tables once decoded. */
	if (h->data_off + (tables_end - sf_format_extents_off(h)) >
	    guest_bytes)
		return refuse(e, "data_off", SF_OFF_DATA_OFF, h->data_off,
		    "which with the tables is more than the guest's size,",
		    guest_bytes);
	/* Stored pages never take more room than decoded ones. */
	if (h->file_bytes - h->data_off > h->nr_data_pages * SF_PAGE_BYTES)
		return refuse(e, "file_bytes", SF_OFF_FILE_BYTES,
		    h->file_bytes, "more data than nr_data_pages pages hold,",
		    h->nr_data_pages);
	return 0;
}

int
sf_format_decode_header(const uint8_t *untrusted_bytes,
    uint64_t real_file_bytes, const struct sf_limits *limits,
    struct sf_header *h, struct err *e)
{
	const uint8_t *p = untrusted_bytes;

	memset(h, 0, sizeof(*h));
	if (check_unknown(p, e) == -1)
		return -1;
	h->file_bytes = sf_get_u64(p + SF_OFF_FILE_BYTES);
	h->data_off = sf_get_u64(p + SF_OFF_DATA_OFF);
	h->nr_pages = sf_get_u64(p + SF_OFF_NR_PAGES);
	h->nr_data_pages = sf_get_u64(p + SF_OFF_NR_DATA_PAGES);
	h->state_bytes = sf_get_u32(p + SF_OFF_STATE_BYTES);
	h->nr_groups = sf_get_u32(p + SF_OFF_NR_GROUPS);
	h->nr_extents = sf_get_u32(p + SF_OFF_NR_EXTENTS);
	h->nr_bitmaps = sf_get_u32(p + SF_OFF_NR_BITMAPS);
	h->nr_chunks = sf_get_u32(p + SF_OFF_NR_CHUNKS);
	memcpy(h->id, p + SF_OFF_ID, sizeof(h->id));
	memcpy(h->digest, p + SF_OFF_DIGEST, sizeof(h->digest));
	memcpy(h->keyed_digest, p + SF_OFF_KEYED_DIGEST,
	    sizeof(h->keyed_digest));
	/* First, since a file that was cut short deserves to be told so. */
	if (h->file_bytes != real_file_bytes)
		return refuse(e, "file_bytes", SF_OFF_FILE_BYTES,
		    h->file_bytes, "but the file's size is", real_file_bytes);
	if (check_counts(h, limits, e) == -1)
		return -1;
	return check_layout(h, e);
}

/* None of these sums can wrap: a u32 count times at most 64 each. */

uint64_t
sf_format_extents_off(const struct sf_header *h)
{
	return SF_HEADER_BYTES + sf_round_up(h->state_bytes, 8);
}

uint64_t
sf_format_bitmaps_off(const struct sf_header *h)
{
	return sf_format_extents_off(h) +
	    (uint64_t)h->nr_extents * SF_EXTENT_BYTES;
}

uint64_t
sf_format_index_off(const struct sf_header *h)
{
	return sf_format_bitmaps_off(h) +
	    (uint64_t)h->nr_bitmaps * SF_BITMAP_BYTES;
}

uint64_t
sf_format_index_end(const struct sf_header *h)
{
	return sf_format_index_off(h) +
	    (uint64_t)h->nr_chunks * SF_ENTRY_BYTES;
}
