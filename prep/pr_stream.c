/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Parses the migration stream that dvm-prepare reads from libxenguest.  The
 * stream is written by code of ours in the same process, yet half of what it
 * says is the guest's (its memory, its vCPUs' state), so nothing of it is
 * believed: every length is checked before memory is taken for it.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "prep/pr_stream.h"

#define PAGE_BYTES 4096u
#define RUN_PAGES 64u		/* pages read at a time */

#define MARKER UINT64_MAX
#define IDENT 0x58454e46u	/* "XENF", big-endian */
#define VERSION 3u		/* big-endian */
#define OPTION_BIG_ENDIAN 1u
#define TYPE_X86_HVM 2u
#define PAGE_SHIFT 12u
#define OPTIONAL 0x80000000u	/* a record that may be skipped */
#define OPTIONAL_BYTES_MAX (1u << 20)

#define PFN_MASK ((UINT64_C(1) << 52) - 1)
#define PFN_TYPE_SHIFT 60
#define PFN_RESERVED (UINT64_C(0xff) << 52)
#define PFN_NOTAB 0u
#define PFN_XTAB 15u		/* no such page */

enum record_type {
	END = 0x00,
	PAGE_DATA = 0x01,
	TSC_INFO = 0x08,
	HVM_CONTEXT = 0x09,
	HVM_PARAMS = 0x0a,
	STATIC_DATA_END = 0x10,
	CPUID_POLICY = 0x11,
	MSR_POLICY = 0x12
};

#define TSC_INFO_BYTES 24u
#define PARAMS_HEADER_BYTES 8u

struct parser {
	const struct pr_stream_source *source;
	const struct pr_stream_sink *sink;
	struct pr_stream_state *state;
	uint8_t *buf;		/* RUN_PAGES pages */
	uint64_t *gfns;		/* PR_STREAM_BATCH_MAX */
	uint64_t next_gfn;	/* the least that may come */
	bool have_tsc;
};

static uint16_t
le16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t
le32(const uint8_t *p)
{
	return le16(p) | (uint32_t)le16(p + 2) << 16;
}

static uint64_t
le64(const uint8_t *p)
{
	return le32(p) | (uint64_t)le32(p + 4) << 32;
}

static uint32_t
be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 |
	    (uint32_t)p[2] << 8 | p[3];
}

static int
take(struct parser *p, uint8_t *buf, size_t len, struct err *e)
{
	return p->source->read(p->source->ctx, buf, len, e);
}

/* Reads and drops len bytes and the padding that makes it a multiple of 8. */
static int
drop_padded(struct parser *p, uint32_t len, struct err *e)
{
	uint64_t left = ((uint64_t)len + 7) & ~UINT64_C(7);

	while (left > 0) {
		size_t n = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;

		if (take(p, p->buf, n, e) != 0)
			return -1;
		left -= n;
	}
	return 0;
}

static int
drop_padding(struct parser *p, uint32_t len, struct err *e)
{
	uint8_t pad[8];

	return len % 8 == 0 ? 0 : take(p, pad, 8 - len % 8, e);
}

static int
read_headers(struct parser *p, struct err *e)
{
	uint8_t h[24 + 16];

	if (take(p, h, sizeof(h), e) != 0)
		return -1;
	if (le64(h) != MARKER || be32(h + 8) != IDENT)
		return err_set(e, ERR_INPUT, 0, "not a migration stream");
	if (be32(h + 12) != VERSION)
		return err_set(e, ERR_INPUT, 0, "migration stream version %u, "
		    "only %u is understood", be32(h + 12), VERSION);
	/* Options are big-endian; all other bits are reserved. */
	if (h[16] != 0 || h[17] != 0)
		return err_set(e, ERR_INPUT, 0, "migration stream with options "
		    "0x%02x%02x (bit %u: big-endian), none is understood",
		    h[16], h[17], OPTION_BIG_ENDIAN - 1);
	if (le32(h + 24) != TYPE_X86_HVM)
		return err_set(e, ERR_INPUT, 0, "migration stream of domain "
		    "type %u; a PVH guest's is %u", le32(h + 24),
		    TYPE_X86_HVM);
	if (le16(h + 28) != PAGE_SHIFT)
		return err_set(e, ERR_INPUT, 0,
		    "migration stream with pages of 2^%u bytes", le16(h + 28));
	p->state->xen_major = le32(h + 32);
	p->state->xen_minor = le32(h + 36);
	return 0;
}

/* The sizes that a blob's record may have: header bytes that are not kept,
 * then at least one unit, and whole units only. */
static const struct blob_rule {
	const char *name;
	uint32_t header_bytes, unit_bytes, bytes_max;
} blob_rules[PR_STREAM_NR_BLOBS] = {
	[PR_STREAM_CPUID] = { "CPUID policy", 0, 24, 1u << 16 },
	[PR_STREAM_MSRS] = { "MSR policy", 0, 16, 1u << 16 },
	[PR_STREAM_HVM_CONTEXT] = { "HVM context", 0, 1, 4u << 20 },
	[PR_STREAM_HVM_PARAMS] = { "HVM params", PARAMS_HEADER_BYTES, 16,
	    1u << 16 },
};

static int
read_blob(struct parser *p, enum pr_stream_blob_kind kind,
    uint32_t untrusted_len, struct err *e)
{
	const struct blob_rule *rule = &blob_rules[kind];
	struct pr_stream_blob *blob = &p->state->blobs[kind];
	uint8_t header[PARAMS_HEADER_BYTES];
	uint32_t len;

	if (blob->bytes != NULL)
		return err_set(e, ERR_INPUT, 0, "second %s in the stream",
		    rule->name);
	if (untrusted_len < rule->header_bytes + rule->unit_bytes ||
	    untrusted_len > rule->bytes_max ||
	    (untrusted_len - rule->header_bytes) % rule->unit_bytes != 0)
		return err_set(e, ERR_INPUT, 0, "%s of %u bytes in the stream",
		    rule->name, untrusted_len);
	len = untrusted_len - rule->header_bytes;
	if (rule->header_bytes > 0) {
		if (take(p, header, sizeof(header), e) != 0)
			return -1;
		if (le32(header) != len / rule->unit_bytes)
			return err_set(e, ERR_INPUT, 0, "%u %s announced, "
			    "%u in the record", le32(header), rule->name,
			    len / rule->unit_bytes);
	}
	blob->bytes = malloc(len);
	if (blob->bytes == NULL)
		return err_set(e, ERR_NOMEM, 0, "no memory for the %s",
		    rule->name);
	blob->len = len;
	if (take(p, blob->bytes, len, e) != 0)
		return -1;
	return drop_padding(p, untrusted_len, e);
}

static int
read_tsc(struct parser *p, uint32_t untrusted_len, struct err *e)
{
	uint8_t t[TSC_INFO_BYTES];

	if (untrusted_len != sizeof(t) || p->have_tsc)
		return err_set(e, ERR_INPUT, 0, "%s TSC info, of %u bytes, in "
		    "the stream", p->have_tsc ? "second" : "wrong",
		    untrusted_len);
	if (take(p, t, sizeof(t), e) != 0)
		return -1;
	p->state->tsc_mode = le32(t);
	p->state->tsc_khz = le32(t + 4);
	p->state->tsc_nsec = le64(t + 8);
	p->state->tsc_incarnation = le32(t + 16);
	p->have_tsc = true;
	return 0;
}

/* The pfns of one record, in p->buf, to p->gfns; those without data are left
 * out.  *nr_data says how many remain. */
static int
decode_pfns(struct parser *p, uint32_t nr_pfns, uint32_t *nr_data,
    struct err *e)
{
	uint32_t nr = 0;

	for (uint32_t i = 0; i < nr_pfns; i++) {
		uint64_t untrusted_pfn = le64(p->buf + 8 * (size_t)i);
		uint64_t gfn = untrusted_pfn & PFN_MASK;
		unsigned type = (unsigned)(untrusted_pfn >> PFN_TYPE_SHIFT);

		if ((untrusted_pfn & PFN_RESERVED) != 0)
			return err_set(e, ERR_INPUT, 0, "reserved bits set in "
			    "pfn 0x%" PRIx64, untrusted_pfn);
		/* Ascending is what the savefile's one pass needs, and what a
		 * save of a suspended guest gives. */
		if (gfn < p->next_gfn)
			return err_set(e, ERR_INPUT, 0, "pfn 0x%" PRIx64
			    " comes after 0x%" PRIx64, gfn, p->next_gfn - 1);
		p->next_gfn = gfn + 1;
		if (type == PFN_XTAB)
			continue;
		if (type != PFN_NOTAB)
			return err_set(e, ERR_INPUT, 0, "pfn 0x%" PRIx64
			    " is of type %u, which a PVH guest cannot have",
			    gfn, type);
		p->gfns[nr++] = gfn;
	}
	*nr_data = nr;
	return 0;
}

static int
read_pages(struct parser *p, uint32_t untrusted_len, struct err *e)
{
	uint8_t header[8];
	uint32_t untrusted_nr, nr = 0;

	if (untrusted_len < sizeof(header))
		return err_set(e, ERR_INPUT, 0, "page data of %u bytes",
		    untrusted_len);
	if (take(p, header, sizeof(header), e) != 0)
		return -1;
	untrusted_nr = le32(header);
	if (untrusted_nr == 0 || untrusted_nr > PR_STREAM_BATCH_MAX)
		return err_set(e, ERR_INPUT, 0, "page data with %u pfns",
		    untrusted_nr);
	if (untrusted_len - sizeof(header) < 8 * (uint64_t)untrusted_nr)
		return err_set(e, ERR_INPUT, 0, "page data of %u bytes for %u "
		    "pfns", untrusted_len, untrusted_nr);
	if (take(p, p->buf, 8 * (size_t)untrusted_nr, e) != 0 ||
	    decode_pfns(p, untrusted_nr, &nr, e) != 0)
		return -1;
	if (untrusted_len != sizeof(header) + 8 * (uint64_t)untrusted_nr +
	    (uint64_t)nr * PAGE_BYTES)
		return err_set(e, ERR_INPUT, 0, "page data of %u bytes for %u "
		    "pages", untrusted_len, nr);
	for (uint32_t i = 0; i < nr; i += RUN_PAGES) {
		uint32_t run = nr - i < RUN_PAGES ? nr - i : RUN_PAGES;

		if (take(p, p->buf, (size_t)run * PAGE_BYTES, e) != 0)
			return -1;
		for (uint32_t j = 0; j < run; j++)
			if (p->sink->page(p->sink->ctx, p->gfns[i + j],
			    p->buf + (size_t)j * PAGE_BYTES, e) != 0)
				return -1;
	}
	p->state->nr_pages += nr;
	return 0;
}

/* 1 if the stream goes on, 0 at its end. */
static int
read_record(struct parser *p, struct err *e)
{
	uint8_t h[8];
	uint32_t type, untrusted_len;

	if (take(p, h, sizeof(h), e) != 0)
		return -1;
	type = le32(h);
	untrusted_len = le32(h + 4);
	switch (type) {
	case END:
	case STATIC_DATA_END:
		if (untrusted_len != 0)
			return err_set(e, ERR_INPUT, 0, "record 0x%02x with "
			    "%u bytes, it has none", type, untrusted_len);
		return type != END;
	case PAGE_DATA:
		return read_pages(p, untrusted_len, e) != 0 ? -1 : 1;
	case TSC_INFO:
		return read_tsc(p, untrusted_len, e) != 0 ? -1 : 1;
	case HVM_CONTEXT:
		return read_blob(p, PR_STREAM_HVM_CONTEXT, untrusted_len, e)
		    != 0 ? -1 : 1;
	case HVM_PARAMS:
		return read_blob(p, PR_STREAM_HVM_PARAMS, untrusted_len, e)
		    != 0 ? -1 : 1;
	case CPUID_POLICY:
		return read_blob(p, PR_STREAM_CPUID, untrusted_len, e)
		    != 0 ? -1 : 1;
	case MSR_POLICY:
		return read_blob(p, PR_STREAM_MSRS, untrusted_len, e)
		    != 0 ? -1 : 1;
	default:
		break;
	}
	if ((type & OPTIONAL) == 0)
		return err_set(e, ERR_INPUT, 0, "record 0x%08x in the stream, "
		    "which is not understood and may not be skipped", type);
	if (untrusted_len > OPTIONAL_BYTES_MAX)
		return err_set(e, ERR_INPUT, 0, "record 0x%08x of %u bytes",
		    type, untrusted_len);
	return drop_padded(p, untrusted_len, e) != 0 ? -1 : 1;
}

static int
check_complete(const struct parser *p, struct err *e)
{
	for (int i = 0; i < PR_STREAM_NR_BLOBS; i++)
		if (p->state->blobs[i].bytes == NULL)
			return err_set(e, ERR_INPUT, 0, "no %s in the stream",
			    blob_rules[i].name);
	if (!p->have_tsc)
		return err_set(e, ERR_INPUT, 0, "no TSC info in the stream");
	if (p->state->nr_pages == 0)
		return err_set(e, ERR_INPUT, 0, "no memory in the stream");
	return 0;
}

int
pr_stream_read(const struct pr_stream_source *source,
    const struct pr_stream_sink *sink, struct pr_stream_state *state,
    struct err *e)
{
	struct parser p = {
		.source = source,
		.sink = sink,
		.state = state
	};
	int rc = -1;

	*state = (struct pr_stream_state){ .nr_pages = 0 };
	p.buf = malloc((size_t)RUN_PAGES * PAGE_BYTES);
	p.gfns = calloc(PR_STREAM_BATCH_MAX, sizeof(*p.gfns));
	if (p.buf == NULL || p.gfns == NULL) {
		(void)err_set(e, ERR_NOMEM, 0, "no memory for the stream");
		goto out;
	}
	if (read_headers(&p, e) != 0)
		goto out;
	do
		rc = read_record(&p, e);
	while (rc > 0);
	if (rc == 0)
		rc = check_complete(&p, e);
out:
	free(p.buf);
	free(p.gfns);
	return rc;
}

void
pr_stream_state_free(struct pr_stream_state *state)
{
	for (int i = 0; i < PR_STREAM_NR_BLOBS; i++)
		free(state->blobs[i].bytes);
	*state = (struct pr_stream_state){ .nr_pages = 0 };
}
