/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Little-endian fields in byte buffers; the only way in which savefile/ reads
 * or writes a number of the file.
 */
#ifndef SF_BYTES_H
#define SF_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t
sf_get_u16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t
sf_get_u32(const uint8_t *p)
{
	return sf_get_u16(p) | (uint32_t)sf_get_u16(p + 2) << 16;
}

static inline uint64_t
sf_get_u64(const uint8_t *p)
{
	return sf_get_u32(p) | (uint64_t)sf_get_u32(p + 4) << 32;
}

static inline void
sf_put_u16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void
sf_put_u32(uint8_t *p, uint32_t v)
{
	sf_put_u16(p, (uint16_t)v);
	sf_put_u16(p + 2, (uint16_t)(v >> 16));
}

static inline void
sf_put_u64(uint8_t *p, uint64_t v)
{
	sf_put_u32(p, (uint32_t)v);
	sf_put_u32(p + 4, (uint32_t)(v >> 32));
}

/* align is a power of two; the caller knows that v + align cannot wrap. */
static inline uint64_t
sf_round_up(uint64_t v, uint64_t align)
{
	return (v + align - 1) & ~(align - 1);
}

/* The first byte in [from, to) that is not zero, or `to`. */
static inline size_t
sf_first_nonzero(const uint8_t *p, size_t from, size_t to)
{
	uint64_t word = 0;

	/* The room after the index may be megabytes of zeros. */
	while (to - from >= sizeof(word)) {
		memcpy(&word, p + from, sizeof(word));
		if (word != 0)
			break;
		from += sizeof(word);
	}
	while (from < to && p[from] == 0)
		from++;
	return from;
}

#endif
