/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Domains of the hypervisor's fake: see fake_domain.h.  Test code only.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fake/fake_domain.h"

#define PAGE 4096u
#define DOMAINS_MAX 512u
#define DOMID_END 0x7ff0u	/* DOMID_FIRST_RESERVED */
#define GFNS_MAX (1u << 20)	/* 4 GiB of guest-physical space */
#define WORDS_MAX (GFNS_MAX / 64)
#define GROUPS_MAX (GFNS_MAX / 512)

/* Which of a domain's frames are populated.  Frame gfn of domain slot i is
 * page i * GFNS_MAX + gfn of the memory file. */
struct frames {
	bool groups[GROUPS_MAX];	/* false: the group's words are 0 */
	uint64_t words[WORDS_MAX];
};

struct fake_domain_state {
	uint32_t last_domid;	/* 0: none yet */
	struct fake_domain domains[DOMAINS_MAX];
	struct frames frames[DOMAINS_MAX];
};

_Static_assert(sizeof(struct fake_domain_state) <= FAKE_HEAP_HV_BYTES,
    "it fits");

void
fake_domain_init(struct fake_domains *all, struct fake_heap *heap,
    int memory_fd)
{
	struct stat st;

	if (fstat(memory_fd, &st) != 0 || (st.st_size == 0 && ftruncate(
	    memory_fd, (off_t)DOMAINS_MAX * GFNS_MAX * PAGE) != 0))
		abort();
	all->heap = heap;
	all->state = fake_heap_part(heap, FAKE_HEAP_HV);
	all->memory_fd = memory_fd;
}

struct fake_domain *
fake_domain_find(const struct fake_domains *all, uint32_t domid)
{
	for (uint32_t i = 0; domid != 0 && i < DOMAINS_MAX; i++)
		if (all->state->domains[i].domid == domid)
			return &all->state->domains[i];
	return NULL;
}

static uint32_t
slot(const struct fake_domains *all, const struct fake_domain *d)
{
	return (uint32_t)(d - all->state->domains);
}

uint64_t
fake_domain_first_page(const struct fake_domains *all,
    const struct fake_domain *d)
{
	return (uint64_t)slot(all, d) * GFNS_MAX;
}

bool
fake_domain_has(const struct fake_domains *all, const struct fake_domain *d,
    uint64_t gfn)
{
	const struct frames *frames = &all->state->frames[slot(all, d)];

	return gfn < GFNS_MAX && (frames->words[gfn / 64] >> gfn % 64 & 1) != 0;
}

uint64_t
fake_domain_used_pages(const struct fake_domains *all)
{
	uint64_t nr = 0;

	for (uint32_t i = 0; i < DOMAINS_MAX; i++)
		if (all->state->domains[i].domid != 0)
			nr += all->state->domains[i].claimed +
			    all->state->domains[i].populated;
	return nr;
}

/* So that the next one in its place finds no old contents.  Not fallocate(),
 * which the service may not call. */
static void
drop_memory(const struct fake_domains *all, const struct fake_domain *d)
{
	size_t len = (size_t)GFNS_MAX * PAGE;
	void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED,
	    all->memory_fd, (off_t)fake_domain_first_page(all, d) * PAGE);

	if (at == MAP_FAILED || madvise(at, len, MADV_REMOVE) != 0)
		abort();
	(void)munmap(at, len);
}

void
fake_domain_free(const struct fake_domains *all, struct fake_domain *d)
{
	struct frames *frames = &all->state->frames[slot(all, d)];

	/* First: if we are killed after it, it is still to be destroyed. */
	drop_memory(all, d);
	for (uint32_t i = 0; i < GROUPS_MAX; i++) {
		uint64_t *words = &frames->words[i * 8];

		if (!frames->groups[i])
			continue;
		fake_heap_note(all->heap, words, 8 * sizeof(*words));
		memset(words, 0, 8 * sizeof(*words));
		FAKE_SET(all->heap, frames->groups[i], false);
	}
	FAKE_SET(all->heap, d->domid, 0);
}

static uint32_t
next_domid(const struct fake_domains *all)
{
	uint32_t domid = all->state->last_domid;

	do {
		domid = domid + 1 < DOMID_END ? domid + 1 : 1;
	} while (fake_domain_find(all, domid) != NULL);
	return domid;
}

struct fake_domain *
fake_domain_new(const struct fake_domains *all, const uint8_t *uuid,
    uint32_t nr_vcpus)
{
	bool goes_up = fake_heap_is_shared(all->heap);
	uint32_t domid = goes_up ? next_domid(all) : 0;

	for (uint32_t i = 0; i < DOMAINS_MAX; i++) {
		/* One that was destroyed may still be mapped somewhere: its
		 * memory is the last to be used again. */
		uint32_t at = (domid + i) % DOMAINS_MAX;
		struct fake_domain *d = &all->state->domains[at];

		if (d->domid != 0)
			continue;
		drop_memory(all, d);
		fake_heap_note(all->heap, d, sizeof(*d));
		*d = (struct fake_domain){ .nr_vcpus = nr_vcpus,
		    .domid = goes_up ? domid : at + 1 };
		memcpy(d->uuid, uuid, HV_UUID_BYTES);
		FAKE_SET(all->heap, all->state->last_domid, d->domid);
		return d;
	}
	return NULL;
}

const struct fake_domain *
fake_domain_next(const struct fake_domains *all, uint32_t first)
{
	const struct fake_domain *next = NULL;

	for (uint32_t i = 0; i < DOMAINS_MAX; i++) {
		const struct fake_domain *d = &all->state->domains[i];

		if (d->domid != 0 && d->domid >= first &&
		    (next == NULL || d->domid < next->domid))
			next = d;
	}
	return next;
}

bool
fake_domain_populate(const struct fake_domains *all, struct fake_domain *d,
    const struct fake_domain_extent *x)
{
	struct frames *frames = &all->state->frames[slot(all, d)];
	uint64_t nr = 1ull << x->order, claimed, i;
	uint64_t end = x->gfn + nr;
	uint8_t dirty[PAGE];

	if (x->gfn >= GFNS_MAX || x->gfn % nr != 0 || end > GFNS_MAX)
		return false;
	claimed = nr < d->claimed ? nr : d->claimed;
	if (nr > claimed && fake_domain_used_pages(all) + nr - claimed >
	    x->host_pages)
		return false;
	memset(dirty, 0xa5, sizeof(dirty));
	for (i = x->gfn; i < end; i++) {
		if (fake_domain_has(all, d, i))
			return false;
		if (x->dirty && pwrite(all->memory_fd, dirty, PAGE,
		    (off_t)(fake_domain_first_page(all, d) + i) * PAGE) !=
		    PAGE)
			abort();
	}
	/* An extent is of whole words, or lies in one of them. */
	fake_heap_note(all->heap, &frames->words[x->gfn / 64],
	    (nr + 63) / 64 * sizeof(frames->words[0]));
	fake_heap_note(all->heap, &frames->groups[x->gfn / 512],
	    (nr + 511) / 512 * sizeof(frames->groups[0]));
	for (i = x->gfn; i < end; i++) {
		frames->words[i / 64] |= 1ull << i % 64;
		frames->groups[i / 512] = true;
	}
	FAKE_SET(all->heap, d->claimed, d->claimed - claimed);
	FAKE_SET(all->heap, d->populated, d->populated + nr);
	return true;
}
