/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Chunks: what is encoded decodes to itself; what is damaged, lies about its
 * size or is a bomb does not, and nothing is written past the pages.
 */
#include <lz4.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "tests/fake/sf_build.h"
#include "tests/unit/tap.h"

struct bench {
	uint8_t pages[SF_CHUNK_BYTES], buf[SF_CHUNK_BYTES];
	uint8_t out[SF_CHUNK_BYTES + 64];
	struct sf_chunk c;
};

static uint16_t
first_pages(unsigned nr)
{
	return (uint16_t)((1u << nr) - 1);
}

/* Encodes nr pages of the kind, and decodes: as it was, and no byte more? */
static bool
comes_back(struct bench *b, enum sf_codec codec, unsigned nr, bool noise)
{
	size_t len = nr * SF_PAGE_BYTES, i;
	struct sf_rng rng = { nr };
	const uint8_t *stored;
	struct err e;

	for (i = 0; i < len; i++)
		b->pages[i] = (uint8_t)(i / 50 % 7 + 1);
	if (noise)
		sf_rng_fill(&rng, b->pages, len);
	memset(&b->c, 0, sizeof(b->c));
	b->c.page_mask = first_pages(nr);
	memset(b->out, 0x5a, sizeof(b->out));
	if (sf_page_encode(codec, b->pages, nr, b->buf, &stored, &b->c,
	    &e) == -1 || sf_page_verify(&b->c, stored, b->out, &e) == -1)
		return false;
	if ((b->c.method == SF_METHOD_RAW) !=
	    (noise || codec == SF_CODEC_RAW))
		return false;
	return memcmp(b->out, b->pages, len) == 0 && b->out[len] == 0x5a &&
	    b->out[len + 63] == 0x5a;
}

static void
test_roundtrip(struct bench *b)
{
	bool good = true;
	unsigned nr;

	for (nr = 1; nr <= SF_CHUNK_PAGES; nr++)
		good = good && comes_back(b, SF_CODEC_LZ4, nr, false) &&
		    comes_back(b, SF_CODEC_LZ4, nr, true) &&
		    comes_back(b, SF_CODEC_RAW, nr, false) &&
		    comes_back(b, SF_CODEC_RAW, nr, true);
	ok(good, "1 to 16 pages come back, raw and LZ4; noise stays raw");
}

static void
test_zero(void)
{
	uint8_t page[SF_PAGE_BYTES] = { 0 };
	bool good = sf_page_is_zero(page);
	size_t i;

	for (i = 0; i < SF_PAGE_BYTES; i++) {
		page[i] = 0x80;
		good = good && !sf_page_is_zero(page);
		page[i] = 0;
	}
	ok(good, "a page with one byte set is not zero, at any byte");
}

static void
test_damage(struct bench *b)
{
	unsigned bit, accepted = 0;
	struct err e;

	(void)comes_back(b, SF_CODEC_LZ4, 16, false);
	for (bit = 0; bit < b->c.stored_bytes * 8; bit++) {
		b->buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (sf_page_decode(&b->c, b->buf, b->out, &e) == 0)
			accepted++;
		b->buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	ok(accepted == 0 && strstr(e.msg, "its XXH3 differs") != NULL,
	    "%u single bits flipped in a chunk", bit);
	b->c.gfn_chunk = 0x123;
	b->c.off = 777;
	b->c.xxh3 ^= 1;
	ok(sf_page_decode(&b->c, b->buf, b->out, &e) == -1 &&
	    e.code == ERR_INPUT && strstr(e.msg, "gfn 0x1230") != NULL &&
	    strstr(e.msg, "byte 777") != NULL,
	    "the message names gfn and offset: %s", e.msg);
}

/* The LZ4 block of len bytes in b->buf, with a right hash, as nr pages. */
static int
decode_block(struct bench *b, size_t len, unsigned nr, struct err *e)
{
	memset(&b->c, 0, sizeof(b->c));
	b->c.method = SF_METHOD_LZ4;
	b->c.stored_bytes = (uint32_t)len;
	b->c.page_mask = first_pages(nr);
	b->c.xxh3 = XXH3_64bits(b->buf, len);
	memset(b->out, 0x5a, sizeof(b->out));
	return sf_page_verify(&b->c, b->buf, b->out, e);
}

static void
test_bombs(struct bench *b)
{
	uint8_t *big = malloc(1 << 20);
	struct err e;
	size_t i;
	int len;

	if (big == NULL)
		return;
	memset(big, 7, 1 << 20);
	len = LZ4_compress_default((const char *)big, (char *)b->buf, 1 << 20,
	    SF_CHUNK_BYTES);
	ok(len > 0 && decode_block(b, (size_t)len, 16, &e) == -1 &&
	    b->out[SF_CHUNK_BYTES] == 0x5a,
	    "1 MiB packed as 64 KiB is refused: %s", e.msg);
	len = LZ4_compress_default((const char *)big, (char *)b->buf, 8191,
	    SF_CHUNK_BYTES);
	ok(decode_block(b, (size_t)len, 2, &e) == -1,
	    "a byte too few is refused");
	len = LZ4_compress_default((const char *)big, (char *)b->buf, 8193,
	    SF_CHUNK_BYTES);
	ok(decode_block(b, (size_t)len, 2, &e) == -1 &&
	    b->out[2 * SF_PAGE_BYTES] == 0x5a, "a byte too many is refused");
	memset(b->buf, 0xff, 300);
	ok(decode_block(b, 300, 16, &e) == -1, "an endless length is refused");
	/* A literal, a match of offset 0 over all but the last 5 bytes. */
	memset(b->buf, 0, 64);
	b->buf[0] = 0x1f;
	b->buf[1] = 'x';
	for (i = 4; i < 19; i++)
		b->buf[i] = 255;
	b->buf[19] = (uint8_t)(4096 - 1 - 5 - 19 - 15 * 255);
	b->buf[20] = 0x50;
	memcpy(b->buf + 21, "hello", 5);
	ok(decode_block(b, 26, 1, &e) == -1,
	    "a match of offset 0 is refused: %s", e.msg);
	memset(big, 0, SF_PAGE_BYTES);
	len = LZ4_compress_default((const char *)big, (char *)b->buf,
	    2 * SF_PAGE_BYTES, SF_CHUNK_BYTES);
	ok(decode_block(b, (size_t)len, 2, &e) == -1 &&
	    strstr(e.msg, "a page that is zero") != NULL,
	    "verifying refuses a zero page");
	free(big);
}

static void
test_random_blocks(struct bench *b)
{
	struct sf_rng rng = { 5 };
	unsigned i, overruns = 0;
	struct err e;
	size_t len;

	for (i = 0; i < 20000; i++) {
		len = 1 + sf_rng_below(&rng, 200);
		sf_rng_fill(&rng, b->buf, len);
		(void)decode_block(b, len, 1 + i % 2, &e);
		if (b->out[(1 + i % 2) * SF_PAGE_BYTES] != 0x5a)
			overruns++;
	}
	ok(overruns == 0, "%u random blocks write no byte past the pages", i);
}

int
main(void)
{
	struct bench *b = malloc(sizeof(*b));

	if (b == NULL)
		return 1;
	test_roundtrip(b);
	test_zero();
	test_damage(b);
	test_bombs(b);
	test_random_blocks(b);
	free(b);
	return tap_done();
}
