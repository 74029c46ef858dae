/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Copying pages to where this process does not look again.  SSE2, which every
 * x86-64 has; Xen hosts are no other.
 */
#include <emmintrin.h>

#include "savefile/sf_copy.h"

void
sf_copy_past_cache(uint8_t *dst, const uint8_t *src, size_t len)
{
	for (size_t at = 0; at < len; at += 64) {
		const __m128i *from = (const void *)(src + at);
		__m128i *to = (void *)(dst + at);
		__m128i a = _mm_loadu_si128(from);
		__m128i b = _mm_loadu_si128(from + 1);
		__m128i c = _mm_loadu_si128(from + 2);
		__m128i d = _mm_loadu_si128(from + 3);

		/* A prefetch of what is not there does nothing. */
		_mm_prefetch((const char *)(src + at + len), _MM_HINT_T1);
		_mm_stream_si128(to, a);
		_mm_stream_si128(to + 1, b);
		_mm_stream_si128(to + 2, c);
		_mm_stream_si128(to + 3, d);
	}
	/* Streamed stores are weakly ordered: before anybody is told. */
	_mm_sfence();
}
