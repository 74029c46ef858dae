/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The disk seam: which dm-snapshot stands on what.  Runs as root in the
 * process that builds domains; paths and names are our own, what is on the
 * disks is never read.
 *
 * Origins are opened for reading only and delta files, once made, too: loop
 * devices over them then refuse writes themselves, so that no bug above can
 * change a generation.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "include/cleanup.h"
#include "restore/host/disk_dm.h"
#include "restore/host/disk_loop.h"
#include "restore/host/disk_map.h"

/* The unit of copying: a page, so that a guest's smallest usual write copies
 * nothing. */
#define CHUNK_SECTORS 8
#define SECTOR_BYTES 512u

/* udev may have a device open for a moment, another process may be half way
 * through making one: 2 + 4 + 8 + 16 ms. */
#define NR_PAUSES 4

static void
pause_briefly(unsigned nr_before)
{
	const struct timespec ts = { .tv_nsec = 2000000L << nr_before };

	(void)nanosleep(&ts, NULL);
}

static int
check_name(const char *name, struct err *e)
{
	static const char allowed[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

	if (strlen(name) >= DISK_NAME_MAX ||
	    strncmp(name, DISK_PREFIX, strlen(DISK_PREFIX)) != 0 ||
	    name[strspn(name, allowed)] != '\0') {
		return err_set(e, ERR_DISK, 0,
		    "%.128s is not a name for a disk of ours", name);
	}
	return 0;
}

static void
dm_close(struct disk *d)
{
	disk_map_close();
	free(d);
}

/* A snapshot as large as its origin; store_kind: P keeps its exceptions on
 * the store, N in memory. */
static int
make_snapshot(const char *name, const struct disk_below *origin,
    const struct disk_below *store, char store_kind, bool read_only,
    struct disk_dev *dev, struct err *e)
{
	char table[96];
	const struct disk_map_params params = {
		.name = name,
		.sectors = origin->sectors,
		.target = "snapshot",
		.table = table,
		.read_only = read_only,
	};

	(void)snprintf(table, sizeof(table), "%" PRIu32 ":%" PRIu32
	    " %" PRIu32 ":%" PRIu32 " %c %d", origin->major, origin->minor,
	    store->major, store->minor, store_kind, CHUNK_SECTORS);
	return disk_map_create(&params, dev, e);
}

static int
set_length(int fd, uint64_t bytes, const char *what, struct err *e)
{
	if (bytes > LLONG_MAX)
		return err_set(e, ERR_DISK, EFBIG, "%s", what);
	if (ftruncate(fd, (off_t)bytes) != 0)
		return err_set(e, ERR_DISK, errno, "%s", what);
	return 0;
}

static int
dm_make_delta(struct disk *d, const char *name, const char *origin_path,
    const char *delta_path, uint64_t delta_bytes, struct disk_dev *dev,
    struct err *e)
{
	struct disk_below origin = { .fd = -1 }, store = { .fd = -1 };
	int fd = -1, rc = -1;

	(void)d;
	dev->name[0] = '\0';
	if (check_name(name, e) != 0 ||
	    disk_loop_open_origin(origin_path, &origin, e) != 0)
		goto out;
	fd = open(delta_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		(void)err_set(e, ERR_DISK, errno, "%s", delta_path);
		goto out;
	}
	if (set_length(fd, delta_bytes, delta_path, e) != 0 ||
	    disk_loop_attach(fd, false, delta_path, &store, e) != 0)
		goto out;
	/* P, not PO: a store that overflows is lost either way, as half of
	 * what the template wrote is no disk. */
	rc = make_snapshot(name, &origin, &store, 'P', false, dev, e);
out:
	if (fd >= 0 && rc != 0)
		(void)unlink(delta_path);
	cleanup_fd(&fd);
	cleanup_fd(&store.fd);
	cleanup_fd(&origin.fd);
	return rc;
}

static int
dm_open_base(struct disk *d, const char *name, const char *origin_path,
    const char *delta_path, struct disk_dev *dev, struct err *e)
{
	struct disk_below origin = { .fd = -1 }, store = { .fd = -1 };
	struct disk_map_status st;
	struct err unused;
	int rc = -1;

	(void)d;
	dev->name[0] = '\0';
	if (check_name(name, e) != 0)
		return -1;
	/* The delta is a file like the origin, or a copy of one on a device.
	 * A read-only table makes dm open its store read-only. */
	if (disk_loop_open_origin(origin_path, &origin, e) != 0 ||
	    disk_loop_open_origin(delta_path, &store, e) != 0 ||
	    make_snapshot(name, &origin, &store, 'P', true, dev, e) != 0)
		goto out;
	/* The kernel takes a store that had overflowed, and then fails every
	 * read. */
	rc = disk_map_query(name, &st, e);
	if (rc == 0 && (!st.active || !st.read_only || st.failed)) {
		rc = err_set(e, ERR_DISK, 0, "%s is not a usable delta "
		    "(it may have been full); prepare the template again",
		    delta_path);
	}
	if (rc != 0) {
		(void)disk_map_remove(name, &unused);
		dev->name[0] = '\0';
	}
out:
	cleanup_fd(&store.fd);
	cleanup_fd(&origin.fd);
	return rc;
}

/* A number alone may have become somebody else's device meanwhile. */
static int
check_base(const struct disk_dev *base, const char *name, struct err *e)
{
	struct disk_map_status st;

	if (base->name[0] == '\0') {
		return err_set(e, ERR_DISK, 0, "%s has no base to stand on",
		    name);
	}
	if (disk_map_query(base->name, &st, e) != 0)
		return -1;
	if (!st.exists || !st.active || !st.read_only || st.failed ||
	    st.major != base->major || st.minor != base->minor ||
	    st.sectors != base->sectors) {
		return err_set(e, ERR_DISK, 0, "%s cannot stand on %s, which "
		    "is not as it was opened", name, base->name);
	}
	return 0;
}

/* A disposable's own: what is written goes to RAM. */
static int
make_own(const char *name, const struct disk_below *origin,
    uint64_t store_bytes, struct disk_dev *dev, struct err *e)
{
	struct disk_below store = { .fd = -1 };
	int fd = -1, rc = -1;

	/* No more than all of the disk can be written; and the kernel's tables
	 * for it are as large as the store could become, 2.25 MiB for 1 GiB. */
	if (store_bytes / SECTOR_BYTES > origin->sectors)
		store_bytes = origin->sectors * SECTOR_BYTES;
	/* Sparse; freed with the loop device, which alone will hold it. */
	fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0) {
		(void)err_set(e, ERR_DISK, errno, "memory for %s", name);
		goto out;
	}
	if (set_length(fd, store_bytes, name, e) != 0 ||
	    disk_loop_attach(fd, false, name, &store, e) != 0)
		goto out;
	rc = make_snapshot(name, origin, &store, 'N', false, dev, e);
out:
	cleanup_fd(&fd);
	cleanup_fd(&store.fd);
	return rc;
}

static int
dm_make_cow(struct disk *d, const char *name, const struct disk_dev *base,
    uint64_t store_bytes, struct disk_dev *dev, struct err *e)
{
	const struct disk_below origin = {
		.fd = -1,
		.major = base->major,
		.minor = base->minor,
		.sectors = base->sectors,
	};

	(void)d;
	dev->name[0] = '\0';
	if (check_name(name, e) != 0 || check_base(base, name, e) != 0)
		return -1;
	return make_own(name, &origin, store_bytes, dev, e);
}

static int
dm_make_cow_of(struct disk *d, const char *name, const char *origin_path,
    uint64_t store_bytes, struct disk_dev *dev, struct err *e)
{
	struct disk_below origin = { .fd = -1 };
	int rc = -1;

	(void)d;
	dev->name[0] = '\0';
	if (check_name(name, e) == 0 &&
	    disk_loop_open_origin(origin_path, &origin, e) == 0)
		rc = make_own(name, &origin, store_bytes, dev, e);
	cleanup_fd(&origin.fd);
	return rc;
}

static int
dm_remove(struct disk *d, struct disk_dev *dev, struct err *e)
{
	unsigned i;

	(void)d;
	if (dev->name[0] == '\0')
		return 0;
	if (check_name(dev->name, e) != 0)
		return -1;
	for (i = 0; disk_map_remove(dev->name, e) != 0; i++) {
		if (e->code != ERR_BUSY || i == NR_PAUSES)
			return -1;
		pause_briefly(i);
	}
	*dev = (struct disk_dev){ 0 };
	return 0;
}

static int
dm_list(struct disk *d, const char *prefix, char *names, size_t cap,
    struct err *e)
{
	(void)d;
	return disk_map_list(prefix, names, cap, e);
}

static const struct disk_ops dm_ops = {
	.close = dm_close,
	.make_delta = dm_make_delta,
	.open_base = dm_open_base,
	.make_cow = dm_make_cow,
	.make_cow_of = dm_make_cow_of,
	.remove = dm_remove,
	.list = dm_list,
};

struct disk *
disk_dm_open(struct err *e)
{
	struct disk *d;

	d = calloc(1, sizeof(*d));
	if (d == NULL) {
		(void)err_set(e, ERR_NOMEM, ENOMEM, "disk handle");
		return NULL;
	}
	d->ops = &dm_ops;
	if (disk_map_open(e) != 0) {
		free(d);
		return NULL;
	}
	return d;
}
