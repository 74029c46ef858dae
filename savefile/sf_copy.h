/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Copying pages to where this process does not look again.
 */
#ifndef SF_COPY_H
#define SF_COPY_H

#include <stddef.h>
#include <stdint.h>

/* Copies len bytes past the caches: they are the guest's, and a store that
 * does not first read the line it overwrites spares a third of the memory
 * traffic, and so pays for a raw chunk's check (both 0.95 of a bare memcpy into
 * populated memory, instead of 0.6: `make bench`).  dst is aligned to 16, len
 * is a multiple of 64.  The source of the next such run, if it lies behind
 * this one, is fetched meanwhile. */
void sf_copy_past_cache(uint8_t *dst, const uint8_t *src, size_t len);

#endif
