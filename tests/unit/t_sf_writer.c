/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The writer: what it refuses, what it counts, that an unfinished file is
 * none, and that every failed call on the way leaves nothing behind.
 *
 * Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=free,--wrap=pwrite.
 */
#include <sys/mman.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "savefile/sf_reader.h"
#include "savefile/sf_writer.h"
#include "tests/fake/sf_build.h"
#include "tests/unit/tap.h"

static const struct sf_limits limits = { UINT64_C(1) << 40 };
static const uint8_t page[SF_PAGE_BYTES] = { 1 };

static struct {
	unsigned held, calls, fail_at;
} faults;

void *__real_malloc(size_t len);
void *__real_calloc(size_t nr, size_t len);
void __real_free(void *p);
ssize_t __real_pwrite(int fd, const void *buf, size_t len, off_t off);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t nr, size_t len);
void __wrap_free(void *p);
ssize_t __wrap_pwrite(int fd, const void *buf, size_t len, off_t off);

static void *
held(void *p)
{
	if (p != NULL)
		faults.held++;
	return p;
}

void *
__wrap_malloc(size_t len)
{
	return ++faults.calls == faults.fail_at ? NULL :
	    held(__real_malloc(len));
}

void *
__wrap_calloc(size_t nr, size_t len)
{
	return ++faults.calls == faults.fail_at ? NULL :
	    held(__real_calloc(nr, len));
}

void
__wrap_free(void *p)
{
	if (p != NULL)
		faults.held--;
	__real_free(p);
}

ssize_t
__wrap_pwrite(int fd, const void *buf, size_t len, off_t off)
{
	if (++faults.calls != faults.fail_at)
		return __real_pwrite(fd, buf, len, off);
	errno = ENOSPC;
	return -1;
}

static struct sf_writer *
new_writer(int *fd, uint32_t nr_groups_max, uint64_t nr_pages_max,
    struct err *e)
{
	struct sf_writer_params p = { nr_groups_max, nr_pages_max, 1,
	    SF_CODEC_RAW };

	*fd = memfd_create("savefile", MFD_CLOEXEC);
	return sf_writer_new(*fd, &p, e);
}

static void
test_params(void)
{
	static const struct sf_writer_params bad[] = {
		{ 0, 1, 1, SF_CODEC_RAW },
		{ SF_NR_GROUPS_MAX + 1, 1, 1, SF_CODEC_RAW },
		{ 1, 0, 1, SF_CODEC_RAW },
		{ 1, 513, 1, SF_CODEC_RAW },
		{ 1, 512, 0, SF_CODEC_RAW },
		{ 1, 512, SF_NR_VCPUS_MAX + 1, SF_CODEC_RAW },
	};
	struct sf_writer_params good = { 1, 512, 1, SF_CODEC_RAW };
	int fd = memfd_create("savefile", MFD_CLOEXEC);
	struct err e;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(sf_writer_new(fd, &bad[i], &e) == NULL &&
		    e.code == ERR_USAGE, "refused: %s", e.msg);
	ok(write(fd, "x", 1) == 1 && sf_writer_new(fd, &good, &e) == NULL &&
	    e.code == ERR_USAGE, "a file that is not empty: %s", e.msg);
	(void)close(fd);
}

static void
test_order(void)
{
	struct sf_state_room room;
	struct sf_state s;
	struct sf_writer *w;
	struct err e;
	int fd;

	sf_build_state(1, 1, 100, &room, &s);
	w = new_writer(&fd, 1, 512, &e);
	ok(w != NULL && sf_writer_page(w, 7, page, &e) == 0 &&
	    sf_writer_page(w, 7, page, &e) == -1 && e.code == ERR_INPUT,
	    "the same gfn again: %s", e.msg);
	ok(w != NULL && sf_writer_finish(w, &s, NULL, &e) == -1 &&
	    e.code == ERR_USAGE, "no end after a failure: %s", e.msg);
	sf_writer_free(w);
	(void)close(fd);
	w = new_writer(&fd, 1, 512, &e);
	ok(w != NULL && sf_writer_page(w, 512, page, &e) == -1,
	    "a gfn past the end: %s", e.msg);
	sf_writer_free(w);
	(void)close(fd);
	w = new_writer(&fd, 1, 1, &e);
	ok(w != NULL && sf_writer_page(w, 0, page, &e) == 0 &&
	    sf_writer_page(w, 1, page, &e) == -1, "a page too many: %s",
	    e.msg);
	sf_writer_free(w);
	(void)close(fd);
	w = new_writer(&fd, 1, 512, &e);
	ok(w != NULL && sf_writer_finish(w, &s, NULL, &e) == -1 &&
	    e.code == ERR_USAGE, "no page at all: %s", e.msg);
	sf_writer_free(w);
	(void)close(fd);
	w = new_writer(&fd, 1, 512, &e);
	ok(w != NULL && sf_writer_page(w, 0, page, &e) == 0 &&
	    sf_writer_finish(w, &s, NULL, &e) == -1 &&
	    strstr(e.msg, "guest's size") != NULL,
	    "a guest smaller than its tables: %s", e.msg);
	ok(sf_reader_open(fd, NULL, &limits, &e) == NULL,
	    "what was not finished does not open: %s", e.msg);
	sf_writer_free(w);
	(void)close(fd);
}

/* All 512 pages of a group, every third of them zero. */
static int
write_group(int fd, const struct sf_state *s, struct sf_writer_stats *stats,
    struct err *e)
{
	static const uint8_t zero[SF_PAGE_BYTES];
	struct sf_writer_params p = { 1, 512, 1, SF_CODEC_RAW };
	struct sf_writer *w;
	uint64_t gfn;
	int rc = -1;

	w = sf_writer_new(fd, &p, e);
	if (w == NULL)
		return -1;
	for (gfn = 0; gfn < 512; gfn++)
		if (sf_writer_page(w, gfn, gfn % 3 == 0 ? zero : page, e) ==
		    -1)
			goto out;
	rc = sf_writer_finish(w, s, NULL, e);
	sf_writer_stats(w, stats);
	if (rc == 0 && (sf_writer_page(w, 600, page, e) == 0 ||
	    sf_writer_finish(w, s, NULL, e) == 0))
		rc = -1;
out:
	sf_writer_free(w);
	return rc;
}

static void
test_state_room(void)
{
	static uint8_t big[200000];
	struct sf_writer_stats stats;
	struct sf_state_room room;
	struct sf_state s;
	struct err e;
	int fd = memfd_create("savefile", MFD_CLOEXEC);

	sf_build_state(1, 1, 100, &room, &s);
	s.hvm_context = (struct sf_blob){ big, sizeof(big) };
	ok(write_group(fd, &s, &stats, &e) == -1 && e.code == ERR_USAGE,
	    "a state larger than its room: %s", e.msg);
	(void)close(fd);
	fd = memfd_create("savefile", MFD_CLOEXEC);
	sf_build_state(1, 1, 100, &room, &s);
	s.key = (struct sf_blob){ (const uint8_t *)"bad", 3 };
	ok(write_group(fd, &s, &stats, &e) == -1 && e.code == ERR_USAGE,
	    "a state that no reader would take: %s", e.msg);
	(void)close(fd);
}

static void
test_faults(void)
{
	unsigned n, before = faults.held, leaks = 0, silent = 0, opened = 0;
	struct sf_writer_stats stats;
	struct sf_state_room room;
	struct sf_reader *r;
	struct sf_state s;
	struct err e, ignored;
	int fd, rc = -1;

	sf_build_state(1, 1, 100, &room, &s);
	for (n = 1; rc == -1 && n < 1000; n++) {
		fd = memfd_create("savefile", MFD_CLOEXEC);
		faults.calls = 0;
		faults.fail_at = n;
		rc = write_group(fd, &s, &stats, &e);
		faults.fail_at = 0;
		if (faults.held != before)
			leaks++;
		if (rc == -1 && e.code != ERR_NOMEM && e.code != ERR_SYS)
			silent++;
		r = sf_reader_open(fd, NULL, &limits, &ignored);
		if (rc == -1 && r != NULL)
			opened++;
		if (rc == 0 && r == NULL)
			rc = 1;
		sf_reader_close(r);
		(void)close(fd);
	}
	ok(rc == 0 && n > 8 && leaks == 0 && silent == 0 && opened == 0,
	    "each of %u calls failed in turn: nothing held, nothing opens",
	    n - 2);
	ok(stats.nr_pages == 512 && stats.nr_zero_pages == 171 &&
	    stats.nr_data_pages == 341 && stats.nr_chunks == 32 &&
	    stats.nr_raw_chunks == 32 && stats.stored_bytes == 341 * 4096,
	    "and the counts are right");
}

static void
test_scattered(void)
{
	struct sf_writer *w;
	uint64_t gfn = 0;
	struct err e;
	int fd, rc = 0;

	w = new_writer(&fd, 128, 4096, &e);
	for (; w != NULL && rc == 0 && gfn < UINT64_C(128) * 512; gfn += 16)
		rc = sf_writer_page(w, gfn, page, &e);
	ok(rc == -1 && strstr(e.msg, "scattered over more than 2560") != NULL,
	    "an index without room: %s", e.msg);
	sf_writer_free(w);
	(void)close(fd);
}

int
main(void)
{
	test_params();
	test_order();
	test_scattered();
	test_state_room();
	test_faults();
	return tap_done();
}
