/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the savefile tests share: a reproducible random generator, guests made
 * up from it, and files of them in memory.
 */
#ifndef SF_BUILD_H
#define SF_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "savefile/sf_page.h"
#include "savefile/sf_state.h"

/* splitmix64: the whole state is one number, so a seed tells all. */
struct sf_rng {
	uint64_t x;
};

uint64_t sf_rng_next(struct sf_rng *rng);
uint64_t sf_rng_below(struct sf_rng *rng, uint64_t bound);
void sf_rng_fill(struct sf_rng *rng, uint8_t *p, size_t len);

/* What a page of a made-up guest holds. */
enum sf_page_kind {
	SF_PAGE_ABSENT,
	SF_PAGE_ZERO,
	SF_PAGE_TEXT,		/* compresses well */
	SF_PAGE_NOISE		/* does not */
};

/* A guest: kind of each page by gfn. */
struct sf_guest {
	uint8_t *kinds;		/* nr_gfns of enum sf_page_kind */
	uint64_t nr_gfns;
	uint64_t nr_pages;	/* not absent */
	uint64_t seed;		/* of the contents */
};

/* Named shapes; NULL past the last.  Each is one claim about coverage. */
extern const char *const sf_guest_shapes[];
bool sf_guest_make(const char *shape, uint64_t seed, struct sf_guest *g);
void sf_guest_free(struct sf_guest *g);
/* The 4096 bytes of a page that is not absent. */
void sf_guest_page(const struct sf_guest *g, uint64_t gfn, uint8_t *page);

/* A made-up state; its blobs point into *room. */
struct sf_state_room {
	uint8_t context[12000];
	uint8_t cpuid[24 * 20];
	uint8_t msrs[16 * 2];
	uint8_t params[16 * 6];
};
void sf_build_state(uint64_t seed, uint32_t nr_vcpus, size_t context_bytes,
    struct sf_state_room *room, struct sf_state *s);

extern const uint8_t sf_build_key[SF_KEY_BYTES];

/* Writes the guest with the real writer into a new memory file; -1 and *e. */
int sf_build_file(const struct sf_guest *g, const struct sf_state *s,
    enum sf_codec codec, const uint8_t *host_key, struct err *e);

/* The file in memory; the caller frees.  NULL if it cannot be read. */
uint8_t *sf_build_slurp(int fd, size_t *len);
int sf_build_memfd(const uint8_t *bytes, size_t len);

/* Moves the data down to where the tables end, so that the part that the
 * digests cover is as small as it can be; re-signed.  In place; the new
 * length, 0 on failure. */
size_t sf_build_tighten(uint8_t *file, size_t len, const uint8_t *host_key);

/* The campaigns' file: the shape "small", tight, by the real writer. */
uint8_t *sf_build_small(uint64_t seed, const uint8_t *host_key, size_t *len);

/* Signs again after a change, as long as data_off makes sense. */
void sf_build_resign(uint8_t *file, size_t len, const uint8_t *host_key);

#endif
