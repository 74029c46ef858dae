/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Guests and savefiles made up for the tests.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_digest.h"
#include "savefile/sf_io.h"
#include "savefile/sf_writer.h"
#include "tests/fake/sf_build.h"

const uint8_t sf_build_key[SF_KEY_BYTES] =
    "dvm savefile tests: no real key";

uint64_t
sf_rng_next(struct sf_rng *rng)
{
	uint64_t z = (rng->x += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t
sf_rng_below(struct sf_rng *rng, uint64_t bound)
{
	return sf_rng_next(rng) % bound;
}

void
sf_rng_fill(struct sf_rng *rng, uint8_t *p, size_t len)
{
	uint64_t word = 0;
	size_t i;

	for (i = 0; i < len; i++) {
		if (i % 8 == 0)
			word = sf_rng_next(rng);
		p[i] = (uint8_t)(word >> i % 8 * 8);
	}
}

const char *const sf_guest_shapes[] = {
	"one-group", "all-zero", "partial", "holes", "noise", "special-pages",
	"scattered", "small", NULL
};

static uint8_t
mixed_kind(struct sf_rng *rng)
{
	static const uint8_t kinds[] = {
		SF_PAGE_ZERO, SF_PAGE_ZERO, SF_PAGE_TEXT, SF_PAGE_NOISE
	};

	return kinds[sf_rng_below(rng, sizeof(kinds))];
}

/* One group of each kind, and few chunks: for campaigns. */
static uint8_t
kind_of_small(uint64_t gfn, struct sf_rng *rng)
{
	uint64_t group = gfn / SF_GROUP_PAGES, page = gfn % SF_GROUP_PAGES;

	switch (group) {
	case 0:
		return page % 100 == 7 ? SF_PAGE_TEXT : SF_PAGE_ZERO;
	case 2:
		return SF_PAGE_ZERO;
	case 3:
		return page < 40 ? mixed_kind(rng) : SF_PAGE_ABSENT;
	case 4:
		return page % 64 == 9 ? SF_PAGE_ZERO : SF_PAGE_ABSENT;
	case 6:
		return page == 16 || page == 19 ? SF_PAGE_NOISE : SF_PAGE_ZERO;
	default:
		return SF_PAGE_ABSENT;
	}
}

static uint8_t
kind_of(const char *shape, uint64_t gfn, struct sf_rng *rng)
{
	uint64_t group = gfn / SF_GROUP_PAGES;

	if (strcmp(shape, "all-zero") == 0)
		return SF_PAGE_ZERO;
	if (strcmp(shape, "noise") == 0)
		return SF_PAGE_NOISE;
	if (strcmp(shape, "small") == 0)
		return kind_of_small(gfn, rng);
	if (strcmp(shape, "partial") == 0)
		return gfn % SF_GROUP_PAGES < 300 ? mixed_kind(rng) :
		    SF_PAGE_ABSENT;
	if (strcmp(shape, "holes") == 0) {
		if (group == 1 || group == 2)
			return SF_PAGE_ABSENT;
		if (group == 3 || group == 4)
			return SF_PAGE_ZERO;
		return gfn % 97 == 5 ? SF_PAGE_ABSENT : mixed_kind(rng);
	}
	if (strcmp(shape, "special-pages") == 0) {
		if (group == 0)
			return mixed_kind(rng);
		return gfn >= 2039 * SF_GROUP_PAGES + 0xf8 ?
		    mixed_kind(rng) : SF_PAGE_ABSENT;
	}
	if (strcmp(shape, "scattered") == 0)
		return gfn % 16 != group % 16 ? SF_PAGE_ABSENT :
		    mixed_kind(rng);
	return mixed_kind(rng);
}

static uint64_t
nr_gfns_of(const char *shape)
{
	if (strcmp(shape, "special-pages") == 0)
		return 2039 * SF_GROUP_PAGES + 0x100;
	if (strcmp(shape, "small") == 0)
		return 7 * SF_GROUP_PAGES;
	if (strcmp(shape, "holes") == 0)
		return 7 * SF_GROUP_PAGES + 130;
	if (strcmp(shape, "scattered") == 0)
		return 8 * SF_GROUP_PAGES;
	if (strcmp(shape, "partial") == 0)
		return 2 * SF_GROUP_PAGES;
	if (strcmp(shape, "noise") == 0)
		return 64;
	return SF_GROUP_PAGES;
}

bool
sf_guest_make(const char *shape, uint64_t seed, struct sf_guest *g)
{
	struct sf_rng rng = { seed };
	uint64_t gfn;

	memset(g, 0, sizeof(*g));
	g->seed = seed;
	g->nr_gfns = nr_gfns_of(shape);
	g->kinds = calloc(g->nr_gfns, 1);
	if (g->kinds == NULL)
		return false;
	for (gfn = 0; gfn < g->nr_gfns; gfn++) {
		g->kinds[gfn] = kind_of(shape, gfn, &rng);
		if (g->kinds[gfn] != SF_PAGE_ABSENT)
			g->nr_pages++;
	}
	return true;
}

void
sf_guest_free(struct sf_guest *g)
{
	free(g->kinds);
	memset(g, 0, sizeof(*g));
}

void
sf_guest_page(const struct sf_guest *g, uint64_t gfn, uint8_t *page)
{
	struct sf_rng rng = { g->seed ^ gfn << 20 };
	size_t i;

	memset(page, 0, SF_PAGE_BYTES);
	if (g->kinds[gfn] == SF_PAGE_NOISE)
		sf_rng_fill(&rng, page, SF_PAGE_BYTES);
	if (g->kinds[gfn] == SF_PAGE_TEXT)
		for (i = 0; i < SF_PAGE_BYTES; i++)
			page[i] = (uint8_t)("abcdefgh"[i / 7 % 8] +
			    (char)(rng.x % 3 + (i % 512 == 0 ? gfn % 16 : 0)));
}

void
sf_build_state(uint64_t seed, uint32_t nr_vcpus, size_t context_bytes,
    struct sf_state_room *room, struct sf_state *s)
{
	static const char key[] = "template=work\nxen=4.17\ncpus=abc\n";
	static const char config[] = "kernel_gfn=4096\nvif=bridge=xenbr0\n"
	    "name=disp\n";
	struct sf_rng rng = { seed };

	sf_rng_fill(&rng, (uint8_t *)room, sizeof(*room));
	memset(s, 0, sizeof(*s));
	s->guest_type = SF_GUEST_PVH;
	s->nr_vcpus = nr_vcpus;
	s->max_mem_kb = 2048;
	s->target_mem_kb = 2048;
	s->xen_major = 4;
	s->xen_minor = 17;
	memcpy(s->xen_extra, ".6-pre", 6);
	s->tsc_mode = 2;
	s->tsc_khz = 2400000;
	s->tsc_nsec = UINT64_C(0x123456789abc);
	s->tsc_incarnation = 1;
	s->max_grant_frames = 64;
	s->launch_gfn = UINT64_C(0x1234567890);
	s->cpuid = (struct sf_blob){ room->cpuid, sizeof(room->cpuid) };
	s->msrs = (struct sf_blob){ room->msrs, sizeof(room->msrs) };
	s->hvm_context = (struct sf_blob){ room->context, context_bytes };
	s->hvm_params = (struct sf_blob){ room->params, sizeof(room->params) };
	s->key = (struct sf_blob){ (const uint8_t *)key, sizeof(key) - 1 };
	s->config = (struct sf_blob){ (const uint8_t *)config,
	    sizeof(config) - 1 };
}

int
sf_build_file(const struct sf_guest *g, const struct sf_state *s,
    enum sf_codec codec, const uint8_t *host_key, struct err *e)
{
	struct sf_writer_params p = {
		.nr_groups_max = (uint32_t)((g->nr_gfns + SF_GROUP_PAGES - 1) /
		    SF_GROUP_PAGES),
		.nr_pages_max = g->nr_pages,
		.nr_vcpus = s->nr_vcpus,
		.codec = codec
	};
	uint8_t page[SF_PAGE_BYTES];
	struct sf_writer *w = NULL;
	uint64_t gfn;
	int fd, rc = -1;

	fd = memfd_create("savefile", MFD_CLOEXEC);
	if (fd == -1)
		return err_set(e, ERR_SYS, 0, "memfd");
	w = sf_writer_new(fd, &p, e);
	if (w == NULL)
		goto out;
	for (gfn = 0; gfn < g->nr_gfns; gfn++) {
		if (g->kinds[gfn] == SF_PAGE_ABSENT)
			continue;
		sf_guest_page(g, gfn, page);
		if (sf_writer_page(w, gfn, page, e) == -1)
			goto out;
	}
	rc = sf_writer_finish(w, s, host_key, e);
out:
	sf_writer_free(w);
	if (rc == -1) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

uint8_t *
sf_build_slurp(int fd, size_t *len)
{
	struct stat st;
	struct err e;
	uint8_t *p;

	if (fstat(fd, &st) == -1)
		return NULL;
	*len = (size_t)st.st_size;
	p = malloc(*len + 1);
	if (p != NULL && sf_io_read_at(fd, p, *len, 0, &e) == -1) {
		free(p);
		p = NULL;
	}
	return p;
}

int
sf_build_memfd(const uint8_t *bytes, size_t len)
{
	struct err e;
	int fd;

	fd = memfd_create("savefile", MFD_CLOEXEC);
	if (fd != -1 && sf_io_write_at(fd, bytes, len, 0, &e) == -1) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

uint8_t *
sf_build_small(uint64_t seed, const uint8_t *host_key, size_t *len)
{
	struct sf_state_room room;
	struct sf_state s;
	struct sf_guest g;
	struct err e;
	uint8_t *file = NULL;
	int fd = -1;

	sf_build_state(seed, 1, 700, &room, &s);
	if (sf_guest_make("small", seed, &g))
		fd = sf_build_file(&g, &s, SF_CODEC_LZ4, host_key, &e);
	sf_guest_free(&g);
	if (fd == -1)
		return NULL;
	file = sf_build_slurp(fd, len);
	(void)close(fd);
	if (file != NULL)
		*len = sf_build_tighten(file, *len, host_key);
	if (file != NULL && *len == 0) {
		free(file);
		return NULL;
	}
	return file;
}

size_t
sf_build_tighten(uint8_t *file, size_t len, const uint8_t *host_key)
{
	const struct sf_limits no_limits = { UINT64_MAX };
	struct sf_header h;
	struct sf_image image;
	uint64_t data_off, cut;
	struct err e;
	uint32_t i;

	if (sf_format_decode_header(file, len, &no_limits, &h, &e) == -1 ||
	    sf_index_decode(&h, file, &image, &e) == -1)
		return 0;
	data_off = sf_round_up(sf_format_index_end(&h), SF_PAGE_BYTES);
	cut = h.data_off - data_off;
	for (i = 0; i < image.nr_chunks; i++)
		image.chunks[i].off -= cut;
	memmove(file + data_off, file + h.data_off, len - h.data_off);
	h.data_off = data_off;
	h.file_bytes -= cut;
	sf_format_encode_header(&h, file);
	sf_index_encode(&h, &image, file);
	sf_index_free(&image);
	if (sf_digest_sign(file, data_off, host_key, &e) == -1)
		return 0;
	return len - cut;
}

void
sf_build_resign(uint8_t *file, size_t len, const uint8_t *host_key)
{
	uint64_t data_off = sf_get_u64(file + SF_OFF_DATA_OFF);
	struct err e;

	if (data_off >= SF_HEADER_BYTES && data_off <= len)
		(void)sf_digest_sign(file, data_off, host_key, &e);
}
