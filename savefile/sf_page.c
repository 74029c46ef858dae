/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * One chunk's bytes.  Decoding is the hot path of a launch and runs in many
 * threads at once; what it reads is only as good as the XXH3 says, and LZ4 is
 * trusted to stay within the bounds it is given.
 */
#include <inttypes.h>
#include <lz4.h>
#include <lz4hc.h>
#include <string.h>
/* XXH3 with the widest vectors that the CPU has, chosen at run time. */
#include <xxh_x86dispatch.h>

#include "savefile/sf_copy.h"
#include "savefile/sf_page.h"

/* On 113 MB of a Debian guest: level 6 is 68 MB/s and 3.27 to 1, level 9 is 26
 * MB/s and 3.29 to 1; decoding is as fast from either. */
#define HC_LEVEL 6

bool
sf_page_is_zero(const uint8_t *page)
{
	uint64_t words[8];
	size_t at;

	/* 64 bytes a turn: one vector compare, and most pages that are not
	 * zero end it in the first. */
	for (at = 0; at < SF_PAGE_BYTES; at += sizeof(words)) {
		memcpy(words, page + at, sizeof(words));
		if ((words[0] | words[1] | words[2] | words[3] | words[4] |
		    words[5] | words[6] | words[7]) != 0)
			return false;
	}
	return true;
}

int
sf_page_encode(enum sf_codec codec, const uint8_t *pages, unsigned nr_pages,
    uint8_t *buf, const uint8_t **stored, struct sf_chunk *c, struct err *e)
{
	int len = (int)(nr_pages * SF_PAGE_BYTES), packed = 0;

	if (nr_pages == 0 || nr_pages > SF_CHUNK_PAGES)
		return err_set(e, ERR_USAGE, 0, "a chunk of %u pages",
		    nr_pages);
	/* 0 means that it does not fit or that there was no memory for LZ4's
	 * tables: raw is right for both. */
	if (codec == SF_CODEC_LZ4)
		packed = LZ4_compress_HC((const char *)pages, (char *)buf, len,
		    len - len / 8, HC_LEVEL);
	c->method = packed > 0 ? SF_METHOD_LZ4 : SF_METHOD_RAW;
	c->stored_bytes = (uint32_t)(packed > 0 ? packed : len);
	*stored = packed > 0 ? buf : pages;
	c->xxh3 = XXH3_64bits(*stored, c->stored_bytes);
	return 0;
}

static int
refuse(const struct sf_chunk *c, const char *what, struct err *e)
{
	return err_set(e, ERR_INPUT, 0, "chunk of gfn 0x%" PRIx64
	    " (byte %" PRIu64 ", %" PRIu32 " bytes): %s",
	    (uint64_t)c->gfn_chunk * SF_CHUNK_PAGES, c->off, c->stored_bytes,
	    what);
}

int
sf_page_decode(const struct sf_chunk *c, const uint8_t *untrusted_stored,
    uint8_t *dst, struct err *e)
{
	int len = (int)(sf_chunk_nr_pages(c) * SF_PAGE_BYTES);

	if (XXH3_64bits(untrusted_stored, c->stored_bytes) != c->xxh3)
		return refuse(c, "damaged: its XXH3 differs", e);
	switch (c->method) {
	case SF_METHOD_RAW:
		/* The index decoder saw to stored_bytes == len. */
		sf_copy_past_cache(dst, untrusted_stored, (size_t)len);
		return 0;
	case SF_METHOD_LZ4:
		if (LZ4_decompress_safe((const char *)untrusted_stored,
		    (char *)dst, (int)c->stored_bytes, len) != len)
			return refuse(c, "its LZ4 block does not decode to "
			    "the pages it claims", e);
		return 0;
	default:
		return refuse(c, "unknown method", e);
	}
}

/* Passes over an LZ4 length that began with a token's four bits. */
static size_t
lz4_length(const uint8_t *p, size_t len, size_t *at, unsigned nibble)
{
	size_t length = nibble;
	uint8_t more = nibble == 15 ? 255 : 0;

	while (more == 255 && *at < len) {
		more = p[(*at)++];
		length += more;
	}
	return length;
}

/* Of a block that decodes. */
static bool
lz4_has_zero_offset(const uint8_t *p, size_t len)
{
	size_t at = 0, literals;
	uint8_t token;

	while (at < len) {
		token = p[at++];
		literals = lz4_length(p, len, &at, token >> 4);
		if (len - at < 2 || literals > len - at - 2)
			return false;
		at += literals;
		if (p[at] == 0 && p[at + 1] == 0)
			return true;
		at += 2;
		(void)lz4_length(p, len, &at, token & 15);
	}
	return false;
}

int
sf_page_verify(const struct sf_chunk *c, const uint8_t *untrusted_stored,
    uint8_t *dst, struct err *e)
{
	unsigned i;

	if (sf_page_decode(c, untrusted_stored, dst, e) == -1)
		return -1;
	if (c->method == SF_METHOD_LZ4 &&
	    lz4_has_zero_offset(untrusted_stored, c->stored_bytes))
		return refuse(c, "its LZ4 block has an offset of 0", e);
	for (i = 0; i < sf_chunk_nr_pages(c); i++)
		if (sf_page_is_zero(dst + i * SF_PAGE_BYTES))
			return refuse(c, "it carries a page that is zero", e);
	return 0;
}
