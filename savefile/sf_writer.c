/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Makes a savefile in one pass over ascending pages.  Runs in dvm-prepare;
 * trusts its caller's types but not the order or number of pages, which come
 * from a stream.
 */
#include <sys/stat.h>

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_digest.h"
#include "savefile/sf_io.h"
#include "savefile/sf_writer.h"

/* Room for the state: texts, CPU policy and params, and per vCPU its part of
 * the HVM context (about 10 KiB with AVX-512's registers). */
#define STATE_ROOM 65536u
#define STATE_ROOM_PER_VCPU 32768u

#define CHUNKS_ROOM 2048u

#define OUT_BYTES (1u << 20)

#define NO_GROUP UINT32_MAX

struct sf_writer {
	int fd;
	bool failed, finished;
	struct sf_writer_params params;
	struct sf_writer_stats stats;

	struct sf_image image;		/* nr_* so far; room for the maxima */
	uint32_t nr_chunks_max;
	uint64_t next_gfn;		/* pages below it are history */

	uint32_t group;			/* being filled, or NO_GROUP */
	unsigned group_pages;		/* populated in it so far */
	bool group_has_data;
	struct sf_bitmap populated;

	struct sf_chunk chunk;		/* being filled; page_mask 0: none */
	uint8_t pages[SF_CHUNK_BYTES];	/* its pages, packed */
	uint8_t packed[SF_CHUNK_BYTES];

	uint64_t data_off, out_off;	/* out_off: where `out` goes */
	size_t out_len;
	uint8_t *out;
};

static uint64_t
min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Every launch hashes the room that is left for the tables, so it is not for
 * the worst case.  One page makes at most one bitmap and two extents (its own
 * and an absent one before it); for chunks it assumes that these are half
 * populated on average, or that the guest is small. */
static int
alloc_image(struct sf_writer *w, struct err *e)
{
	uint64_t groups = w->params.nr_groups_max;
	uint64_t pages = w->params.nr_pages_max;
	uint64_t nr_extents = min_u64(groups, 2 * pages);
	uint64_t nr_bitmaps = min_u64(groups, pages);
	uint64_t nr_chunks = min_u64(min_u64(groups * SF_GROUP_CHUNKS, pages),
	    pages / (SF_CHUNK_PAGES / 2) + CHUNKS_ROOM);

	w->data_off = sf_round_up(SF_HEADER_BYTES + STATE_ROOM +
	    (uint64_t)STATE_ROOM_PER_VCPU * w->params.nr_vcpus +
	    nr_extents * SF_EXTENT_BYTES + nr_bitmaps * SF_BITMAP_BYTES +
	    nr_chunks * SF_ENTRY_BYTES, SF_PAGE_BYTES);
	w->out_off = w->data_off;
	w->nr_chunks_max = (uint32_t)nr_chunks;
	/* Untouched parts of these cost address space only. */
	w->image.extents = calloc(nr_extents, sizeof(*w->image.extents));
	w->image.bitmaps = calloc(nr_bitmaps, sizeof(*w->image.bitmaps));
	w->image.chunks = calloc(nr_chunks, sizeof(*w->image.chunks));
	w->out = malloc(OUT_BYTES);
	if (w->image.extents == NULL || w->image.bitmaps == NULL ||
	    w->image.chunks == NULL || w->out == NULL)
		return err_set(e, ERR_NOMEM, 0, "no memory for the tables of "
		    "%" PRIu64 " pages", pages);
	return 0;
}

static int
check_params(int fd, const struct sf_writer_params *p, struct err *e)
{
	struct stat st;

	if (p->nr_groups_max == 0 || p->nr_groups_max > SF_NR_GROUPS_MAX)
		return err_set(e, ERR_USAGE, 0, "%" PRIu32 " groups of guest "
		    "memory, not from 1 to %u", p->nr_groups_max,
		    SF_NR_GROUPS_MAX);
	if (p->nr_pages_max == 0 || p->nr_pages_max >
	    (uint64_t)p->nr_groups_max * SF_GROUP_PAGES)
		return err_set(e, ERR_USAGE, 0, "%" PRIu64 " guest pages do "
		    "not fit in %" PRIu32 " groups", p->nr_pages_max,
		    p->nr_groups_max);
	if (p->nr_vcpus == 0 || p->nr_vcpus > SF_NR_VCPUS_MAX)
		return err_set(e, ERR_USAGE, 0, "%" PRIu32 " vCPUs, not from "
		    "1 to %u", p->nr_vcpus, SF_NR_VCPUS_MAX);
	if (fstat(fd, &st) == -1)
		return err_set(e, ERR_SYS, errno, "cannot stat the new file");
	if (!S_ISREG(st.st_mode) || st.st_size != 0)
		return err_set(e, ERR_USAGE, 0,
		    "a savefile is made in a regular, empty file");
	return 0;
}

struct sf_writer *
sf_writer_new(int fd, const struct sf_writer_params *p, struct err *e)
{
	struct sf_writer *w;

	if (check_params(fd, p, e) == -1)
		return NULL;
	w = calloc(1, sizeof(*w));
	if (w == NULL) {
		(void)err_set(e, ERR_NOMEM, 0, "no memory");
		return NULL;
	}
	w->fd = fd;
	w->params = *p;
	w->group = NO_GROUP;
	if (alloc_image(w, e) == -1) {
		sf_writer_free(w);
		return NULL;
	}
	return w;
}

static int
flush_out(struct sf_writer *w, struct err *e)
{
	if (sf_io_write_at(w->fd, w->out, w->out_len, w->out_off, e) == -1)
		return -1;
	w->out_off += w->out_len;
	w->out_len = 0;
	return 0;
}

/* Ends the chunk being filled: its bytes to `out`, its entry to the index. */
static int
flush_chunk(struct sf_writer *w, struct err *e)
{
	struct sf_chunk *c = &w->chunk;
	const uint8_t *stored;
	size_t padded;

	if (c->page_mask == 0)
		return 0;
	if (w->image.nr_chunks == w->nr_chunks_max)
		return err_set(e, ERR_INPUT, 0, "the guest's memory is "
		    "scattered over more than %" PRIu32 " chunks",
		    w->nr_chunks_max);
	if (sf_page_encode(w->params.codec, w->pages, sf_chunk_nr_pages(c),
	    w->packed, &stored, c, e) == -1)
		return -1;
	padded = (size_t)sf_round_up(c->stored_bytes, SF_STORED_ALIGN);
	if (padded > OUT_BYTES - w->out_len && flush_out(w, e) == -1)
		return -1;
	c->off = w->out_off + w->out_len;
	memcpy(w->out + w->out_len, stored, c->stored_bytes);
	memset(w->out + w->out_len + c->stored_bytes, 0,
	    padded - c->stored_bytes);
	w->out_len += padded;
	w->image.chunks[w->image.nr_chunks++] = *c;
	w->stats.stored_bytes += c->stored_bytes;
	w->stats.nr_chunks++;
	if (c->method == SF_METHOD_RAW)
		w->stats.nr_raw_chunks++;
	memset(c, 0, sizeof(*c));
	return 0;
}

/* Appends a group to the extents, merged with the last if it can be. */
static void
add_groups(struct sf_image *image, uint32_t first_group, uint32_t nr_groups,
    uint32_t kind)
{
	struct sf_extent *x = NULL;

	if (image->nr_extents > 0)
		x = &image->extents[image->nr_extents - 1];
	if (x != NULL && x->kind == kind && kind != SF_EXTENT_PARTIAL) {
		x->nr_groups += nr_groups;
	} else {
		x = &image->extents[image->nr_extents++];
		x->first_group = first_group;
		x->nr_groups = nr_groups;
		x->kind = kind;
		x->bitmap = 0;
	}
	image->nr_groups = first_group + nr_groups;
}

static void
flush_group(struct sf_writer *w)
{
	struct sf_image *image = &w->image;
	uint32_t kind = SF_EXTENT_PARTIAL;

	if (w->group == NO_GROUP)
		return;
	if (w->group > image->nr_groups)
		add_groups(image, image->nr_groups,
		    w->group - image->nr_groups, SF_EXTENT_ABSENT);
	if (w->group_pages == SF_GROUP_PAGES)
		kind = w->group_has_data ? SF_EXTENT_DATA : SF_EXTENT_ZERO;
	add_groups(image, w->group, 1, kind);
	if (kind == SF_EXTENT_PARTIAL) {
		image->extents[image->nr_extents - 1].bitmap =
		    image->nr_bitmaps;
		image->bitmaps[image->nr_bitmaps++] = w->populated;
	}
	memset(&w->populated, 0, sizeof(w->populated));
	w->group_pages = 0;
	w->group_has_data = false;
}

static int
check_page(const struct sf_writer *w, uint64_t gfn, struct err *e)
{
	if (w->failed || w->finished)
		return err_set(e, ERR_USAGE, 0, "this recording has %s",
		    w->failed ? "failed" : "ended");
	if (gfn < w->next_gfn)
		return err_set(e, ERR_INPUT, 0, "gfn 0x%" PRIx64 " comes "
		    "after gfn 0x%" PRIx64, gfn, w->next_gfn - 1);
	if (gfn >= (uint64_t)w->params.nr_groups_max * SF_GROUP_PAGES)
		return err_set(e, ERR_INPUT, 0, "gfn 0x%" PRIx64 " is past "
		    "the %" PRIu32 " groups that were announced", gfn,
		    w->params.nr_groups_max);
	if (w->stats.nr_pages >= w->params.nr_pages_max)
		return err_set(e, ERR_INPUT, 0, "gfn 0x%" PRIx64 " is a page "
		    "more than the %" PRIu64 " that were announced", gfn,
		    w->params.nr_pages_max);
	return 0;
}

int
sf_writer_page(struct sf_writer *w, uint64_t gfn, const uint8_t *page,
    struct err *e)
{
	uint32_t gfn_chunk = (uint32_t)(gfn / SF_CHUNK_PAGES);
	uint32_t group = (uint32_t)(gfn / SF_GROUP_PAGES);
	unsigned in_group = (unsigned)(gfn % SF_GROUP_PAGES);
	unsigned in_chunk = (unsigned)(gfn % SF_CHUNK_PAGES);

	if (check_page(w, gfn, e) == -1)
		goto fail;
	if (w->chunk.page_mask != 0 && w->chunk.gfn_chunk != gfn_chunk &&
	    flush_chunk(w, e) == -1)
		goto fail;
	if (w->group != group) {
		flush_group(w);
		w->group = group;
	}
	w->next_gfn = gfn + 1;
	w->populated.words[in_group / 64] |= UINT64_C(1) << in_group % 64;
	w->group_pages++;
	w->stats.nr_pages++;
	if (sf_page_is_zero(page)) {
		w->stats.nr_zero_pages++;
		return 0;
	}
	w->group_has_data = true;
	w->stats.nr_data_pages++;
	memcpy(w->pages + sf_chunk_nr_pages(&w->chunk) * SF_PAGE_BYTES, page,
	    SF_PAGE_BYTES);
	w->chunk.gfn_chunk = gfn_chunk;
	w->chunk.page_mask |= (uint16_t)(1u << in_chunk);
	return 0;
fail:
	w->failed = true;
	return -1;
}

static void
make_header(const struct sf_writer *w, size_t state_bytes,
    struct sf_header *h)
{
	memset(h, 0, sizeof(*h));
	h->file_bytes = w->out_off;
	h->data_off = w->data_off;
	h->nr_pages = w->stats.nr_pages;
	h->nr_data_pages = w->stats.nr_data_pages;
	h->state_bytes = (uint32_t)state_bytes;
	h->nr_groups = w->image.nr_groups;
	h->nr_extents = w->image.nr_extents;
	h->nr_bitmaps = w->image.nr_bitmaps;
	h->nr_chunks = w->image.nr_chunks;
	randombytes_buf(h->id, sizeof(h->id));
}

/* Fills meta, [0, data_off), and makes sure that our own reader takes it. */
static int
make_meta(const struct sf_writer *w, const struct sf_state *state,
    size_t state_bytes, const uint8_t *host_key, uint8_t *meta, struct err *e)
{
	const struct sf_limits no_limits = { UINT64_MAX };
	struct sf_state state_again;
	struct sf_header h;

	make_header(w, state_bytes, &h);
	if (sf_format_index_end(&h) > w->data_off)
		return err_set(e, ERR_USAGE, 0, "a state of %zu bytes is more "
		    "than the room left for it", state_bytes);
	sf_format_encode_header(&h, meta);
	sf_state_encode(state, meta + SF_HEADER_BYTES);
	sf_index_encode(&h, &w->image, meta);
	if (sf_format_decode_header(meta, h.file_bytes, &no_limits, &h,
	    e) == -1 ||
	    sf_state_decode(meta + SF_HEADER_BYTES, state_bytes, &state_again,
	    e) == -1) {
		e->code = ERR_USAGE;
		return err_prefix(e, "this recording cannot be a savefile");
	}
	return sf_digest_sign(meta, w->data_off, host_key, e);
}

int
sf_writer_finish(struct sf_writer *w, const struct sf_state *state,
    const uint8_t *host_key, struct err *e)
{
	size_t state_bytes = sf_state_encoded_bytes(state);
	uint8_t *meta = NULL;
	int rc = -1;

	if (w->failed || w->finished)
		return err_set(e, ERR_USAGE, 0, "this recording has %s",
		    w->failed ? "failed" : "ended");
	w->failed = true;
	/* Before the sums that assume it. */
	if (state_bytes > SF_STATE_BYTES_MAX)
		return err_set(e, ERR_USAGE, 0, "a state of %zu bytes",
		    state_bytes);
	if (flush_chunk(w, e) == -1)
		return -1;
	flush_group(w);
	if (flush_out(w, e) == -1)
		return -1;
	meta = calloc(1, w->data_off);
	if (meta == NULL)
		return err_set(e, ERR_NOMEM, 0, "no memory for %" PRIu64
		    " bytes of index", w->data_off);
	/* The header last, so that an unfinished file has no magic. */
	if (make_meta(w, state, state_bytes, host_key, meta, e) == -1 ||
	    sf_io_write_at(w->fd, meta + SF_HEADER_BYTES,
	    w->data_off - SF_HEADER_BYTES, SF_HEADER_BYTES, e) == -1 ||
	    sf_io_write_at(w->fd, meta, SF_HEADER_BYTES, 0, e) == -1)
		goto out;
	w->failed = false;
	w->finished = true;
	rc = 0;
out:
	free(meta);
	return rc;
}

void
sf_writer_stats(const struct sf_writer *w, struct sf_writer_stats *out)
{
	*out = w->stats;
}

void
sf_writer_free(struct sf_writer *w)
{
	if (w == NULL)
		return;
	sf_index_free(&w->image);
	free(w->out);
	free(w);
}
