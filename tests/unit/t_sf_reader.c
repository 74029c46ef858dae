/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opening and checking whole files: keys, sizes, damage, padding; that memory
 * stays within the guest's size whatever a well-signed header says; and that
 * every failed call on the way leaves nothing behind.
 *
 * Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=free,--wrap=mmap,
 * --wrap=munmap,--wrap=pread.
 */
#include <sys/mman.h>

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_page.h"
#include "savefile/sf_reader.h"
#include "tests/fake/sf_build.h"
#include "tests/unit/tap.h"

static const struct sf_limits limits = { UINT64_C(1) << 40 };

/* What the wrapped calls count.  fail_at 0 fails none. */
static struct {
	size_t live, peak;
	unsigned held, calls, fail_at;
} heap;

void *__real_malloc(size_t len);
void __real_free(void *p);
void *__real_mmap(void *addr, size_t len, int prot, int flags, int fd,
    off_t off);
int __real_munmap(void *addr, size_t len);
ssize_t __real_pread(int fd, void *buf, size_t len, off_t off);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t nr, size_t len);
void __wrap_free(void *p);
void *__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd,
    off_t off);
int __wrap_munmap(void *addr, size_t len);
ssize_t __wrap_pread(int fd, void *buf, size_t len, off_t off);

static bool
fails(void)
{
	return ++heap.calls == heap.fail_at;
}

/* The size is kept in front, 16 bytes so that alignment stays. */
void *
__wrap_malloc(size_t len)
{
	size_t *p;

	if (fails())
		return NULL;
	p = __real_malloc(len + 16);
	if (p == NULL)
		return NULL;
	*p = len;
	heap.held++;
	heap.live += len;
	if (heap.live > heap.peak)
		heap.peak = heap.live;
	return p + 2;
}

void *
__wrap_calloc(size_t nr, size_t len)
{
	void *p = __wrap_malloc(nr * len);

	return p == NULL ? NULL : memset(p, 0, nr * len);
}

void
__wrap_free(void *p)
{
	size_t *start = p;

	if (p == NULL)
		return;
	heap.held--;
	heap.live -= start[-2];
	__real_free(start - 2);
}

void *
__wrap_mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *p;

	if (fails()) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	p = __real_mmap(addr, len, prot, flags, fd, off);
	if (p != MAP_FAILED)
		heap.held++;
	return p;
}

int
__wrap_munmap(void *addr, size_t len)
{
	heap.held--;
	return __real_munmap(addr, len);
}

ssize_t
__wrap_pread(int fd, void *buf, size_t len, off_t off)
{
	if (fails()) {
		errno = EIO;
		return -1;
	}
	return __real_pread(fd, buf, len, off);
}

static unsigned
count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned nr = 0;

	while (d != NULL && readdir(d) != NULL)
		nr++;
	if (d != NULL)
		(void)closedir(d);
	return nr;
}

/* Opens and checks all of a file of these bytes: 0, or -1 and *e. */
static int
check(const uint8_t *file, size_t len, const uint8_t *key, struct err *e)
{
	int fd = sf_build_memfd(file, len), rc = -1;
	struct sf_reader *r;

	(void)err_set(e, ERR_NONE, 0, "%s", "");
	r = sf_reader_open(fd, key, &limits, e);
	if (r != NULL)
		rc = sf_reader_prefault(r, e);
	if (rc == 0)
		rc = sf_reader_verify_data(r, e);
	sf_reader_close(r);
	(void)close(fd);
	return rc;
}

static void
test_keys(uint8_t *file, size_t len)
{
	uint8_t other[SF_KEY_BYTES] = { 1 };
	struct err e;

	ok(check(file, len, sf_build_key, &e) == 0, "the right key opens");
	ok(check(file, len, NULL, &e) == 0, "so does no key");
	ok(check(file, len, other, &e) == -1 && e.code == ERR_AUTH &&
	    strstr(e.msg, "not signed with this key") != NULL,
	    "another does not: %s", e.msg);
	sf_build_resign(file, len, NULL);
	ok(check(file, len, NULL, &e) == 0, "an unsigned file opens");
	ok(check(file, len, sf_build_key, &e) == -1 && e.code == ERR_AUTH,
	    "but not with a key");
	sf_build_resign(file, len, sf_build_key);
}

static void
test_damage(uint8_t *file, size_t len)
{
	uint64_t data_off = sf_get_u64(file + SF_OFF_DATA_OFF);
	struct err e;

	ok(check(file, 0, NULL, &e) == -1 && e.code == ERR_INPUT &&
	    strstr(e.msg, "0 bytes") != NULL, "an empty file: %s", e.msg);
	ok(check(file, len - 64, NULL, &e) == -1 &&
	    strstr(e.msg, "file_bytes") != NULL, "a short file: %s", e.msg);
	file[SF_HEADER_BYTES + 100] ^= 4;
	ok(check(file, len, NULL, &e) == -1 &&
	    strstr(e.msg, "digest (byte 96) differs") != NULL,
	    "a flipped bit of the state: %s", e.msg);
	file[SF_HEADER_BYTES + 100] ^= 4;
	file[data_off + 5] ^= 4;
	ok(check(file, len, NULL, &e) == -1 &&
	    strstr(e.msg, "XXH3 differs") != NULL,
	    "a flipped bit of the data: %s", e.msg);
	file[data_off + 5] ^= 4;
	/* The first chunk's 104 bytes are followed by 24 of padding. */
	file[data_off + 127] = 1;
	ok(check(file, len, NULL, &e) == -1 &&
	    strstr(e.msg, "not padded with zeros") != NULL,
	    "padding that is not zero: %s", e.msg);
	file[data_off + 127] = 0;
}

static void
test_special(void)
{
	struct err e;
	int fds[2];

	if (pipe(fds) == -1)
		return;
	ok(sf_reader_open(fds[0], NULL, &limits, &e) == NULL &&
	    e.code == ERR_INPUT, "a pipe: %s", e.msg);
	(void)close(fds[0]);
	(void)close(fds[1]);
	ok(sf_reader_open(-1, NULL, &limits, &e) == NULL && e.code == ERR_SYS,
	    "no descriptor: %s", e.msg);
}

/* Header fields set to large values, signed: never more memory than the guest
 * has, which the header itself says. */
static void
test_memory(const uint8_t *good, size_t len)
{
	static const uint32_t values[] = { 0x7fffffff, 0xffffffff, 1 << 22,
	    100000, 5000, 4096, 1000, 16 };
	static const size_t fields[] = { SF_OFF_NR_CHUNKS, SF_OFF_NR_BITMAPS,
	    SF_OFF_NR_EXTENTS, SF_OFF_NR_GROUPS, SF_OFF_STATE_BYTES,
	    SF_OFF_NR_DATA_PAGES, SF_OFF_NR_PAGES, SF_OFF_DATA_OFF };
	const size_t nr_fields = sizeof(fields) / sizeof(fields[0]);
	const size_t nr_values = sizeof(values) / sizeof(values[0]);
	uint64_t guest_bytes, most = 0;
	unsigned over = 0, accepted = 0;
	uint8_t *bad = malloc(len);
	size_t i, base;
	struct err e;

	for (i = 0; bad != NULL && i < nr_fields * nr_fields * nr_values;
	    i++) {
		memcpy(bad, good, len);
		sf_put_u32(bad + fields[i % nr_fields],
		    values[i / nr_fields % nr_values]);
		sf_put_u32(bad + fields[i / nr_fields / nr_values],
		    values[i / nr_fields % nr_values]);
		sf_build_resign(bad, len, NULL);
		guest_bytes = sf_get_u64(bad + SF_OFF_NR_PAGES) *
		    SF_PAGE_BYTES;
		base = heap.live;
		heap.peak = base;
		if (check(bad, len, NULL, &e) == 0)
			accepted++;
		if (heap.peak - base > most)
			most = heap.peak - base;
		/* The reader's own struct is there before the header is. */
		if (heap.peak - base > guest_bytes + 1024)
			over++;
	}
	ok(over == 0 && accepted == 0, "%zu hostile headers, %llu bytes used "
	    "at most", i, (unsigned long long)most);
	free(bad);
}

/* A sparse file that says it has a large index and a small guest. */
static void
test_sparse(const uint8_t *good)
{
	const uint64_t size = UINT64_C(1) << 32;
	int fd = sf_build_memfd(good, SF_HEADER_BYTES);
	uint8_t header[SF_HEADER_BYTES];
	size_t base = heap.live;
	struct err e;

	memcpy(header, good, sizeof(header));
	sf_put_u64(header + SF_OFF_FILE_BYTES, size);
	sf_put_u64(header + SF_OFF_DATA_OFF, size - 4096);
	heap.peak = base;
	ok(ftruncate(fd, (off_t)size) == 0 &&
	    pwrite(fd, header, sizeof(header), 0) == sizeof(header) &&
	    sf_reader_open(fd, NULL, &limits, &e) == NULL &&
	    e.code == ERR_INPUT && heap.peak - base < 1024,
	    "4 GiB of index for a small guest: %s", e.msg);
	(void)close(fd);
}

static bool
interrupt(void *ctx, uint64_t off)
{
	(void)off;
	return ++*(unsigned *)ctx < 3;
}

static void
test_interrupt(const uint8_t *file, size_t len)
{
	int fd = sf_build_memfd(file, len);
	struct sf_reader *r;
	unsigned calls = 0;
	struct err e;

	r = sf_reader_open(fd, NULL, &limits, &e);
	if (r != NULL)
		sf_reader_on_read(r, interrupt, &calls);
	ok(r != NULL && sf_reader_verify_data(r, &e) == -1 &&
	    e.code == ERR_INTERRUPTED && calls == 3,
	    "a check ends when it is told to");
	sf_reader_close(r);
	(void)close(fd);
}

static void
test_faults(const uint8_t *file, size_t len)
{
	unsigned n, held = heap.held, fds = count_fds(), leaks = 0, silent = 0;
	struct err e;
	int rc = -1;

	for (n = 1; rc == -1 && n < 1000; n++) {
		heap.calls = 0;
		heap.fail_at = n;
		rc = check(file, len, sf_build_key, &e);
		heap.fail_at = 0;
		if (heap.held != held || count_fds() != fds)
			leaks++;
		if (rc == -1 && (e.msg[0] == '\0' || (e.code != ERR_NOMEM &&
		    e.code != ERR_SYS)))
			silent++;
	}
	ok(rc == 0 && n > 6 && leaks == 0 && silent == 0,
	    "each of %u calls failed in turn: nothing held, an error set",
	    n - 2);
}

int
main(void)
{
	uint8_t *file;
	size_t len;

	file = sf_build_small(1, sf_build_key, &len);
	if (file == NULL)
		return 1;
	test_keys(file, len);
	test_damage(file, len);
	test_special();
	test_memory(file, len);
	test_sparse(file);
	test_interrupt(file, len);
	test_faults(file, len);
	free(file);
	return tap_done();
}
