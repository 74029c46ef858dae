/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A savefile written out as a Xen migration stream: what libxc's x86 HVM saver
 * (xg_sr_save.c, xg_sr_save_x86_hvm.c) would have sent, record by record and
 * in its order.  Runs in dvm-savefile; the reader has checked the tables,
 * sf_page checks the data.
 */
#include <stdlib.h>
#include <string.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_export.h"
#include "savefile/sf_io.h"
#include "savefile/sf_page.h"

/* docs/specs/libxc-migration-stream.pandoc and xg_sr_stream_format.h. */
enum xc_record {
	XC_END = 0x00,
	XC_PAGE_DATA = 0x01,
	XC_X86_TSC_INFO = 0x08,
	XC_HVM_CONTEXT = 0x09,
	XC_HVM_PARAMS = 0x0a,
	XC_STATIC_DATA_END = 0x10,
	XC_X86_CPUID_POLICY = 0x11,
	XC_X86_MSR_POLICY = 0x12
};
#define XC_RECORD_HEADER_BYTES 8u
#define XC_ALIGN 8u
#define XC_TYPE_X86_HVM 2u	/* libxc makes no difference for PVH */
#define XC_PAGE_SHIFT 12u

/* docs/specs/libxl-migration-stream.pandoc. */
#define XL_LIBXC_CONTEXT 1u
#define XL_END 0u

/* tools/xl/xl.h: struct save_file_header. */
#define XL_MAGIC "Xen saved domain, xl format\n \0 \r"	/* 32 bytes */
#define XL_BYTEORDER 0x01020304u
#define XL_MANDATORY_STREAMV2 2u

/* A PAGE_DATA record carries a group: its own header and that of the record,
 * the pfns, then the pages. */
#define PAGE_DATA_HEADER_BYTES 16u

struct exporter {
	const struct sf_reader *r;
	int out_fd;
	uint32_t next_chunk;
	uint8_t *record;	/* one PAGE_DATA record */
	uint8_t *stored, *pages;	/* SF_CHUNK_BYTES each */
};

/* A record whose body is `head` followed by `blob`; head may be empty. */
static int
put_record(const struct exporter *x, uint32_t type, const uint8_t *head,
    size_t head_len, const struct sf_blob *blob, struct err *e)
{
	static const uint8_t zeros[XC_ALIGN];
	size_t len = head_len + (blob != NULL ? blob->len : 0);
	uint8_t h[XC_RECORD_HEADER_BYTES];

	sf_put_u32(h, type);
	sf_put_u32(h + 4, (uint32_t)len);
	if (sf_io_write(x->out_fd, h, sizeof(h), e) == -1 ||
	    sf_io_write(x->out_fd, head, head_len, e) == -1)
		return -1;
	if (blob != NULL &&
	    sf_io_write(x->out_fd, blob->bytes, blob->len, e) == -1)
		return -1;
	return sf_io_write(x->out_fd, zeros,
	    (size_t)(sf_round_up(len, XC_ALIGN) - len), e);
}

/* What `xl save` writes first.  No configuration is inside (the length of the
 * optional data is 0), so xl takes the one on its command line. */
static int
put_xl_header(const struct exporter *x, struct err *e)
{
	/* The libxl header is big-endian: "LibxlFmt", version 2, options. */
	static const uint8_t libxl[16] = {
		'L', 'i', 'b', 'x', 'l', 'F', 'm', 't', 0, 0, 0, 2
	};
	uint8_t h[48] = XL_MAGIC;

	sf_put_u32(h + 32, XL_BYTEORDER);
	sf_put_u32(h + 36, XL_MANDATORY_STREAMV2);
	if (sf_io_write(x->out_fd, h, sizeof(h), e) == -1 ||
	    sf_io_write(x->out_fd, libxl, sizeof(libxl), e) == -1)
		return -1;
	return put_record(x, XL_LIBXC_CONTEXT, NULL, 0, NULL, e);
}

static int
put_headers(const struct exporter *x, struct err *e)
{
	const struct sf_state *s = sf_reader_state(x->r);
	/* Big-endian up to byte 24: the marker, "XENF", version 3, options 0
	 * (which says that the rest is little-endian). */
	uint8_t h[40] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		'X', 'E', 'N', 'F', 0, 0, 0, 3
	};

	sf_put_u32(h + 24, XC_TYPE_X86_HVM);
	sf_put_u16(h + 28, XC_PAGE_SHIFT);
	sf_put_u32(h + 32, s->xen_major);
	sf_put_u32(h + 36, s->xen_minor);
	return sf_io_write(x->out_fd, h, sizeof(h), e);
}

/* libxc's restorer refuses empty policy records; its saver leaves them out. */
static int
put_static_data(const struct exporter *x, struct err *e)
{
	const struct sf_state *s = sf_reader_state(x->r);

	if (s->cpuid.len > 0 &&
	    put_record(x, XC_X86_CPUID_POLICY, NULL, 0, &s->cpuid, e) == -1)
		return -1;
	if (s->msrs.len > 0 &&
	    put_record(x, XC_X86_MSR_POLICY, NULL, 0, &s->msrs, e) == -1)
		return -1;
	return put_record(x, XC_STATIC_DATA_END, NULL, 0, NULL, e);
}

static int
put_platform(const struct exporter *x, struct err *e)
{
	const struct sf_state *s = sf_reader_state(x->r);
	uint8_t tsc[24] = { 0 }, params[8] = { 0 };

	sf_put_u32(tsc, s->tsc_mode);
	sf_put_u32(tsc + 4, s->tsc_khz);
	sf_put_u64(tsc + 8, s->tsc_nsec);
	sf_put_u32(tsc + 16, s->tsc_incarnation);
	sf_put_u32(params, (uint32_t)(s->hvm_params.len / 16));
	if (put_record(x, XC_X86_TSC_INFO, tsc, sizeof(tsc), NULL, e) == -1 ||
	    put_record(x, XC_HVM_CONTEXT, NULL, 0, &s->hvm_context, e) == -1)
		return -1;
	if (s->hvm_params.len == 0)
		return 0;
	return put_record(x, XC_HVM_PARAMS, params, sizeof(params),
	    &s->hvm_params, e);
}

/* Puts the pages of the next chunk where they belong among `pages` of the
 * record: slot_of[n] is the slot of the group's page n. */
static int
scatter_chunk(struct exporter *x, const uint16_t *slot_of, uint8_t *pages,
    struct err *e)
{
	const struct sf_chunk *c =
	    &sf_reader_image(x->r)->chunks[x->next_chunk++];
	unsigned first = c->gfn_chunk % SF_GROUP_CHUNKS * SF_CHUNK_PAGES;
	const uint8_t *from = x->pages;
	unsigned i;

	if (sf_reader_read_stored(x->r, c, x->stored, e) == -1 ||
	    sf_page_decode(c, x->stored, x->pages, e) == -1)
		return -1;
	for (i = 0; i < SF_CHUNK_PAGES; i++) {
		if ((c->page_mask >> i & 1) == 0)
			continue;
		memcpy(pages + (size_t)slot_of[first + i] * SF_PAGE_BYTES,
		    from, SF_PAGE_BYTES);
		from += SF_PAGE_BYTES;
	}
	return 0;
}

/* One group, all of it or as its bitmap says.  The restorer does not clear
 * what it populates, so zero pages are sent too. */
static int
put_group(struct exporter *x, uint32_t group, const struct sf_bitmap *bitmap,
    struct err *e)
{
	const struct sf_image *image = sf_reader_image(x->r);
	uint64_t first = (uint64_t)group * SF_GROUP_PAGES;
	uint8_t *pfns = x->record + PAGE_DATA_HEADER_BYTES, *pages;
	uint16_t slot_of[SF_GROUP_PAGES] = { 0 }, nr = 0;
	size_t len;
	unsigned i;

	for (i = 0; i < SF_GROUP_PAGES; i++) {
		if (bitmap != NULL && !sf_bitmap_test(bitmap, i))
			continue;
		/* The type in the upper four bits, NOTAB, is 0. */
		sf_put_u64(pfns + (size_t)nr * 8, first + i);
		slot_of[i] = nr++;
	}
	pages = pfns + (size_t)nr * 8;
	memset(pages, 0, (size_t)nr * SF_PAGE_BYTES);
	while (x->next_chunk < image->nr_chunks &&
	    image->chunks[x->next_chunk].gfn_chunk / SF_GROUP_CHUNKS == group)
		if (scatter_chunk(x, slot_of, pages, e) == -1)
			return -1;
	len = PAGE_DATA_HEADER_BYTES + (size_t)nr * (8 + SF_PAGE_BYTES);
	sf_put_u32(x->record, XC_PAGE_DATA);
	sf_put_u32(x->record + 4, (uint32_t)(len - XC_RECORD_HEADER_BYTES));
	sf_put_u32(x->record + 8, nr);
	sf_put_u32(x->record + 12, 0);
	return sf_io_write(x->out_fd, x->record, len, e);
}

static int
put_memory(struct exporter *x, struct err *e)
{
	const struct sf_image *image = sf_reader_image(x->r);
	const struct sf_bitmap *bitmap;
	const struct sf_extent *extent;
	uint32_t i, n;

	for (i = 0; i < image->nr_extents; i++) {
		extent = &image->extents[i];
		if (extent->kind == SF_EXTENT_ABSENT)
			continue;
		bitmap = NULL;
		if (extent->kind == SF_EXTENT_PARTIAL)
			bitmap = &image->bitmaps[extent->bitmap];
		for (n = 0; n < extent->nr_groups; n++)
			if (put_group(x, extent->first_group + n, bitmap,
			    e) == -1)
				return -1;
	}
	return 0;
}

int
sf_export(const struct sf_reader *r, int out_fd, bool xl_envelope,
    struct err *e)
{
	struct exporter x = { .r = r, .out_fd = out_fd };
	uint64_t nr_pages = sf_reader_header(r)->nr_pages;
	int rc = -1;

	if (nr_pages > SF_GROUP_PAGES)
		nr_pages = SF_GROUP_PAGES;
	x.record = malloc(PAGE_DATA_HEADER_BYTES +
	    (size_t)nr_pages * (8 + SF_PAGE_BYTES));
	x.stored = malloc(SF_CHUNK_BYTES);
	x.pages = malloc(SF_CHUNK_BYTES);
	if (x.record == NULL || x.stored == NULL || x.pages == NULL) {
		(void)err_set(e, ERR_NOMEM, 0, "no memory");
		goto out;
	}
	if ((xl_envelope && put_xl_header(&x, e) == -1) ||
	    put_headers(&x, e) == -1 || put_static_data(&x, e) == -1 ||
	    put_memory(&x, e) == -1 || put_platform(&x, e) == -1 ||
	    put_record(&x, XC_END, NULL, 0, NULL, e) == -1 ||
	    (xl_envelope && put_record(&x, XL_END, NULL, 0, NULL, e) == -1))
		goto out;
	rc = 0;
out:
	free(x.pages);
	free(x.stored);
	free(x.record);
	return rc;
}
