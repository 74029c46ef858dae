/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disk seam on a real kernel: run as root on a Linux that has dm-snapshot
 * (in dom0, say), with a directory for 100 MiB of files as its argument.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "restore/host/disk_dm.h"
#include "tests/unit/tap.h"

#define MIB (1024 * 1024)
#define BLOCK 4096
#define NR_BLOCKS (64 * MIB / BLOCK)
#define DELTA_BYTES (32 * MIB)
#define COW_BYTES (16 * MIB)
#define NAME_DELTA "dvm-p-test"
#define NAME_BASE "dvm-g-test"
#define NAME_COW_A "dvm-d-test-a"
#define NAME_COW_B "dvm-d-test-b"

struct files {
	char origin[256], delta[256], other[256];
};

/* Says why not, if so. */
static bool
done(int rc, const struct err *e, const char *claim)
{
	return ok(rc == 0, "%s%s%s", claim, rc == 0 ? "" : ": ",
	    rc == 0 ? "" : e->msg);
}

static uint64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Every block differs from all others, and by who wrote it. */
static void
fill(uint64_t *block, uint64_t nr, uint64_t who)
{
	size_t i;

	for (i = 0; i < BLOCK / sizeof(*block); i++)
		block[i] = (nr << 32) ^ (who << 16) ^ i;
}

static bool
put_block(int fd, uint64_t nr, uint64_t who)
{
	uint64_t block[BLOCK / sizeof(uint64_t)];

	fill(block, nr, who);
	return pwrite(fd, block, BLOCK, (off_t)(nr * BLOCK)) == BLOCK;
}

static bool
holds(int fd, uint64_t nr, uint64_t who)
{
	uint64_t want[BLOCK / sizeof(uint64_t)], got[BLOCK / sizeof(uint64_t)];

	fill(want, nr, who);
	return pread(fd, got, BLOCK, (off_t)(nr * BLOCK)) == BLOCK &&
	    memcmp(want, got, BLOCK) == 0;
}

/* FNV-1a by words, enough to see that not a bit has changed. */
static uint64_t
hash_of(const char *path)
{
	uint64_t block[BLOCK / sizeof(uint64_t)], hash = 14695981039346656037U;
	AUTO_FD fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t i;

	while (fd >= 0 && read(fd, block, BLOCK) == BLOCK) {
		for (i = 0; i < BLOCK / sizeof(*block); i++)
			hash = (hash ^ block[i]) * 1099511628211U;
	}
	return hash;
}

static int
open_dev(const struct disk_dev *dev, int flags)
{
	char path[32];

	(void)snprintf(path, sizeof(path), "/dev/dm-%" PRIu32, dev->minor);
	return open(path, flags | O_CLOEXEC);
}

static unsigned
nr_descriptors(void)
{
	glob_t found = { 0 };
	unsigned nr = 0;

	if (glob("/proc/self/fd/*", 0, NULL, &found) == 0)
		nr = (unsigned)found.gl_pathc;
	globfree(&found);
	return nr;
}

/* Loop devices over our files or memory. */
static int
nr_loops(const struct files *f)
{
	glob_t found = { 0 };
	char text[512];
	size_t i;
	ssize_t len;
	int nr = 0;

	(void)glob("/sys/block/loop*/loop/backing_file", 0, NULL, &found);
	for (i = 0; i < found.gl_pathc; i++) {
		AUTO_FD fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);

		len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
		text[len > 0 ? len : 0] = '\0';
		if (strstr(text, "memfd:dvm-") != NULL ||
		    strstr(text, f->origin) != NULL ||
		    strstr(text, f->delta) != NULL ||
		    strstr(text, f->other) != NULL)
			nr++;
	}
	globfree(&found);
	return nr;
}

/* Nothing of ours is left; udev may hold a loop device for a moment. */
static bool
is_clean(struct disk *d, const struct files *f)
{
	const struct timespec ten_ms = { .tv_nsec = 10000000 };
	char names[1024];
	struct err e;
	int i, left = -1;

	for (i = 0; i < 200 && left != 0; i++) {
		left = nr_loops(f);
		if (left != 0)
			(void)nanosleep(&ten_ms, NULL);
	}
	return left == 0 &&
	    d->ops->list(d, DISK_PREFIX, names, sizeof(names), &e) == 0;
}

/* libdevmapper's own descriptor would otherwise go to every program that we
 * start. */
static bool
control_is_hidden(void)
{
	struct stat control, st;
	int fd, nr_hidden = 0, flags;

	if (stat("/dev/mapper/control", &control) != 0)
		return false;
	for (fd = 0; fd < 1024; fd++) {
		flags = fcntl(fd, F_GETFD);
		if (flags < 0 || fstat(fd, &st) != 0 ||
		    st.st_rdev != control.st_rdev || !S_ISCHR(st.st_mode))
			continue;
		if ((flags & FD_CLOEXEC) == 0)
			return false;
		nr_hidden++;
	}
	return nr_hidden == 1;
}

static void
make_origin(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t i;
	bool good = fd >= 0;

	for (i = 0; i < NR_BLOCKS && good; i++)
		good = put_block(fd, i, 1);
	ok(good && fsync(fd) == 0, "an origin of 64 MiB is made");
	cleanup_fd(&fd);
}

/* What the template writes: a block in every MiB, and 512 bytes alone. */
static void
test_delta(struct disk *d, const struct files *f)
{
	struct disk_dev dev, second;
	struct err e = { 0 };
	struct stat st;
	bool good = true;
	uint64_t i;
	int fd;

	if (!done(d->ops->make_delta(d, NAME_DELTA, f->origin, f->delta,
	    DELTA_BYTES, &dev, &e), &e, "a delta is made"))
		return;
	ok(dev.sectors == NR_BLOCKS * 8, "its device is as large as the "
	    "origin");
	ok(stat(f->delta, &st) == 0 && (st.st_mode & 0777) == 0600 &&
	    st.st_blocks * 512 < MIB, "its file is root's alone and sparse");
	fd = open_dev(&dev, O_RDWR);
	for (i = 0; i < NR_BLOCKS && good; i += MIB / BLOCK)
		good = put_block(fd, i, 2) && holds(fd, i, 2);
	ok(good && pwrite(fd, "one sector", 10, BLOCK + 512) == 10 &&
	    fsync(fd) == 0, "it is written");
	ok(holds(fd, 2, 1), "what is not written is the origin's");
	ok(d->ops->remove(d, &dev, &e) == -1 && e.code == ERR_BUSY &&
	    dev.name[0] != '\0', "it is not removed while open: %s", e.msg);
	cleanup_fd(&fd);
	ok(d->ops->make_delta(d, "dvm-p-test-2", f->origin, f->delta,
	    DELTA_BYTES, &second, &e) == -1 && second.name[0] == '\0',
	    "an existing delta is not taken again: %s", e.msg);
	ok(d->ops->remove(d, &dev, &e) == 0 && dev.name[0] == '\0',
	    "it is removed");
	ok(is_clean(d, f), "and nothing but the file is left");
}

static bool
test_bases(struct disk *d, const struct files *f, struct disk_dev *base)
{
	struct disk_dev again;
	struct err e = { 0 };
	uint64_t start = now_us();
	AUTO_FD fd = -1;
	int writable;

	if (!done(d->ops->open_base(d, NAME_BASE, f->origin, f->delta, base,
	    &e), &e, "a base is opened"))
		return false;
	printf("# open_base: %" PRIu64 " us\n", now_us() - start);
	ok(d->ops->open_base(d, NAME_BASE, f->origin, f->delta, &again,
	    &e) == -1 && again.name[0] == '\0', "not two of one name: %s",
	    e.msg);
	fd = open_dev(base, O_RDONLY);
	ok(fd >= 0 && holds(fd, 0, 2) && holds(fd, MIB / BLOCK, 2) &&
	    holds(fd, 2, 1), "it holds what the template wrote, and the "
	    "origin's rest");
	writable = open_dev(base, O_RDWR);
	ok(writable < 0 || !put_block(writable, 0, 9) ||
	    fsync(writable) != 0, "it cannot be written");
	cleanup_fd(&writable);
	return true;
}

static uint64_t
shmem_kb(void)
{
	char line[128];
	uint64_t kb = 0;
	FILE *file = fopen("/proc/meminfo", "re");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "Shmem: %" SCNu64, &kb) == 1)
			break;
	}
	if (file != NULL)
		(void)fclose(file);
	return kb;
}

static void
use_cows(struct disk *d, struct disk_dev *base, const struct disk_dev *a,
    const struct disk_dev *b)
{
	uint64_t i, nr_ok = 0;
	AUTO_FD fd_a = open_dev(a, O_RDWR);
	AUTO_FD fd_b = open_dev(b, O_RDWR);
	AUTO_FD fd_base = open_dev(base, O_RDONLY | O_DIRECT);
	AUTO_FREE void *direct = NULL;
	uint64_t want[BLOCK / sizeof(uint64_t)];
	struct err e = { 0 };

	for (i = 0; i < 2048; i++)
		nr_ok += put_block(fd_a, i, 3) && put_block(fd_b, i, 4);
	ok(nr_ok == 2048 && fsync(fd_a) == 0 && fsync(fd_b) == 0,
	    "two disposables write 8 MiB each");
	for (i = 0, nr_ok = 0; i < 2048; i++)
		nr_ok += holds(fd_a, i, 3) && holds(fd_b, i, 4);
	ok(nr_ok == 2048, "each reads its own");
	ok(holds(fd_a, 2048, 2) && holds(fd_b, 2049, 1),
	    "and the base's elsewhere");
	/* Past the page cache, which has seen the base before. */
	fill(want, 0, 2);
	ok(posix_memalign(&direct, BLOCK, BLOCK) == 0 &&
	    pread(fd_base, direct, BLOCK, 0) == BLOCK &&
	    memcmp(direct, want, BLOCK) == 0, "the base has not changed");
	ok(d->ops->remove(d, base, &e) == -1 && e.code == ERR_BUSY &&
	    base->name[0] != '\0', "a base in use is not removed: %s", e.msg);
}

static void
test_cows(struct disk *d, struct disk_dev *base)
{
	struct disk_dev a = { 0 }, b = { 0 };
	uint64_t start, before, with, after = 0;
	char names[1024];
	unsigned i;
	struct err e = { 0 };

	before = shmem_kb();
	start = now_us();
	if (!done(d->ops->make_cow(d, NAME_COW_A, base, COW_BYTES, &a, &e),
	    &e, "a disposable's disk is made"))
		return;
	printf("# make_cow: %" PRIu64 " us\n", now_us() - start);
	ok(d->ops->make_cow(d, NAME_COW_A, base, COW_BYTES, &b, &e) == -1 &&
	    b.name[0] == '\0', "not twice: %s", e.msg);
	(void)done(d->ops->make_cow(d, NAME_COW_B, base, COW_BYTES, &b, &e),
	    &e, "a second one is");
	ok(d->ops->list(d, "dvm-d-test", names, sizeof(names), &e) == 2,
	    "both are listed");
	ok(d->ops->list(d, "dvm-d-test", names, 15, &e) == -1,
	    "if they fit: %s", e.msg);
	use_cows(d, base, &a, &b);
	with = shmem_kb();
	start = now_us();
	(void)done(d->ops->remove(d, &a, &e), &e, "the first is removed");
	printf("# remove: %" PRIu64 " us\n", now_us() - start);
	(void)done(d->ops->remove(d, &b, &e), &e, "and the second");
	for (i = 0; i < 100 && (after = shmem_kb()) + 15000 > with; i++)
		(void)usleep(10000);
	ok(with > before + 15000 && after + 15000 < with,
	    "their memory is free again (%" PRIu64 " kB, %" PRIu64 ", %"
	    PRIu64 ")", before, with, after);
}

/* Without a generation: over the origin itself. */
static void
test_cow_of(struct disk *d, const struct files *f)
{
	struct disk_dev dev = { 0 };
	struct err e = { 0 };
	int fd;

	if (!done(d->ops->make_cow_of(d, NAME_COW_A, f->origin, COW_BYTES,
	    &dev, &e), &e, "a disk over the origin itself is made"))
		return;
	fd = open_dev(&dev, O_RDWR);
	ok(dev.sectors == NR_BLOCKS * 8 && holds(fd, 3, 1) &&
	    put_block(fd, 3, 5) && fsync(fd) == 0 && holds(fd, 3, 5) &&
	    holds(fd, 4, 1), "it has the origin's content, and its own");
	cleanup_fd(&fd);
	(void)done(d->ops->remove(d, &dev, &e), &e, "it is removed");
	ok(d->ops->make_cow_of(d, NAME_COW_A, f->other, COW_BYTES, &dev,
	    &e) == -1 && dev.name[0] == '\0' && is_clean(d, f),
	    "without an origin there is none: %s", e.msg);
}

static void
test_errors(struct disk *d, const struct files *f)
{
	const struct disk_dev nowhere = { "dvm-g-nowhere", 7, 0, 8 };
	struct disk_dev dev = { 0 };
	struct err e = { 0 };
	struct stat st;

	ok(d->ops->make_delta(d, NAME_DELTA, "/nowhere", f->other, MIB, &dev,
	    &e) == -1 && stat(f->other, &st) != 0,
	    "an origin that is not there: %s", e.msg);
	ok(d->ops->make_delta(d, NAME_DELTA, f->origin, f->other, 1000, &dev,
	    &e) == -1 && stat(f->other, &st) != 0,
	    "a delta of no whole sectors: %s", e.msg);
	ok(d->ops->make_delta(d, "other", f->origin, f->other, MIB, &dev,
	    &e) == -1, "a name that is not ours: %s", e.msg);
	ok(d->ops->open_base(d, NAME_BASE, f->origin, f->origin, &dev,
	    &e) == -1 && dev.name[0] == '\0',
	    "a delta that is none: %s", e.msg);
	ok(d->ops->make_cow(d, NAME_COW_A, &nowhere, MIB, &dev, &e) == -1,
	    "a base that is not there: %s", e.msg);
	ok(d->ops->make_cow(d, NAME_COW_A, &(struct disk_dev){ 0 }, MIB, &dev,
	    &e) == -1, "a base that is not held: %s", e.msg);
	(void)snprintf(dev.name, sizeof(dev.name), "dvm-d-never");
	(void)done(d->ops->remove(d, &dev, &e), &e,
	    "removing what is gone already is done");
	ok(is_clean(d, f), "nothing is left of any of these");
}

/* A device as the origin, and a delta that is too small. */
static void
test_overflow(struct disk *d, const struct files *f,
    const struct disk_dev *base)
{
	struct disk_dev dev, again;
	char path[32];
	struct err e = { 0 };
	bool good = true;
	uint64_t i;
	int fd;

	(void)snprintf(path, sizeof(path), "/dev/dm-%" PRIu32, base->minor);
	if (!done(d->ops->make_delta(d, NAME_DELTA, path, f->other, MIB,
	    &dev, &e), &e, "a block device can be the origin"))
		return;
	fd = open_dev(&dev, O_RDWR);
	for (i = 0; i < 512 && good; i++)
		good = put_block(fd, i, 5);
	ok(!good || fsync(fd) != 0, "a delta overflows");
	cleanup_fd(&fd);
	(void)done(d->ops->remove(d, &dev, &e), &e, "and is removed");
	ok(d->ops->open_base(d, "dvm-g-test-2", path, f->other, &again,
	    &e) == -1 && again.name[0] == '\0', "it makes no base: %s",
	    e.msg);
	(void)unlink(f->other);
}

int
main(int argc, char **argv)
{
	struct disk_dev base = { 0 };
	struct files f;
	struct disk *d;
	struct err e = { 0 };
	uint64_t origin_hash, delta_hash;
	unsigned nr_fds;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: xen_disk_dm directory\n");
		return 2;
	}
	(void)snprintf(f.origin, sizeof(f.origin), "%.200s/origin", argv[1]);
	(void)snprintf(f.delta, sizeof(f.delta), "%.200s/delta", argv[1]);
	(void)snprintf(f.other, sizeof(f.other), "%.200s/other", argv[1]);
	(void)unlink(f.delta);
	(void)unlink(f.other);
	make_origin(f.origin);
	origin_hash = hash_of(f.origin);
	d = disk_dm_open(&e);
	if (!ok(d != NULL, "the device mapper is there %s", e.msg))
		return tap_done();
	ok(control_is_hidden(), "its descriptor ends at exec()");
	nr_fds = nr_descriptors();
	test_delta(d, &f);
	delta_hash = hash_of(f.delta);
	if (test_bases(d, &f, &base)) {
		test_cows(d, &base);
		test_overflow(d, &f, &base);
		(void)done(d->ops->remove(d, &base, &e), &e,
		    "the base is removed");
	}
	ok(is_clean(d, &f), "no dm and no loop device is left");
	test_cow_of(d, &f);
	test_errors(d, &f);
	ok(hash_of(f.delta) == delta_hash, "the delta's bytes never changed");
	ok(hash_of(f.origin) == origin_hash, "nor did the origin's");
	ok(nr_descriptors() == nr_fds, "no descriptor is left");
	d->ops->close(d);
	(void)unlink(f.origin);
	(void)unlink(f.delta);
	return tap_done();
}
