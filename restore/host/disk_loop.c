/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Loop devices by ioctl, in the process that builds domains, as root.  Files
 * named here are the administrator's; what they hold is not looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "include/cleanup.h"
#include "restore/host/disk_loop.h"

#define SECTOR_BYTES 512

/* Somebody else may take the free device first; each try asks for another. */
#define CONFIGURE_TRIES 64

static int
check_size(uint64_t bytes, const char *what, struct err *e)
{
	if (bytes == 0 || bytes % SECTOR_BYTES != 0) {
		return err_set(e, ERR_DISK, 0, "%s has %llu bytes, which is "
		    "not a whole number of sectors", what,
		    (unsigned long long)bytes);
	}
	return 0;
}

/* Fills in *b from its descriptor. */
static int
measure(struct disk_below *b, const char *what, struct err *e)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(b->fd, &st) != 0 || ioctl(b->fd, BLKGETSIZE64, &bytes) != 0)
		return err_set(e, ERR_DISK, errno, "size of %s", what);
	if (check_size(bytes, what, e) != 0)
		return -1;
	b->major = major(st.st_rdev);
	b->minor = minor(st.st_rdev);
	b->sectors = bytes / SECTOR_BYTES;
	return 0;
}

/* The descriptor of loop device `nr`, set up over the file; -1 and errno,
 * EBUSY if somebody else was faster. */
static int
configure(int nr, int file_fd, bool read_only)
{
	struct loop_config config = {
		.fd = (uint32_t)file_fd,
		.info.lo_flags = LO_FLAGS_AUTOCLEAR,
	};
	char path[32];
	int fd, saved;

	if (read_only)
		config.info.lo_flags |= LO_FLAGS_READ_ONLY;
	(void)snprintf(path, sizeof(path), "/dev/loop%d", nr);
	fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (ioctl(fd, LOOP_CONFIGURE, &config) != 0) {
		saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
disk_loop_attach(int file_fd, bool read_only, const char *what,
    struct disk_below *b, struct err *e)
{
	AUTO_FD control = -1;
	struct stat st;
	int nr, tries;

	b->fd = -1;
	if (fstat(file_fd, &st) != 0)
		return err_set(e, ERR_DISK, errno, "%s", what);
	if (check_size((uint64_t)st.st_size, what, e) != 0)
		return -1;
	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0) {
		return err_set(e, ERR_DISK, errno,
		    "/dev/loop-control (is the loop module loaded?)");
	}
	for (tries = 0; b->fd < 0 && tries < CONFIGURE_TRIES; tries++) {
		nr = ioctl(control, LOOP_CTL_GET_FREE);
		if (nr < 0)
			return err_set(e, ERR_DISK, errno, "no loop device");
		b->fd = configure(nr, file_fd, read_only);
		if (b->fd < 0 && errno != EBUSY)
			break;
	}
	if (b->fd < 0)
		return err_set(e, ERR_DISK, errno, "loop device for %s", what);
	if (measure(b, what, e) != 0) {
		(void)close(b->fd);
		b->fd = -1;
		return -1;
	}
	return 0;
}

int
disk_loop_open_origin(const char *path, struct disk_below *b, struct err *e)
{
	AUTO_FD fd = -1;
	struct stat st;

	b->fd = -1;
	/* O_NONBLOCK: a FIFO by mistake is an error, not a wait. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) != 0)
		return err_set(e, ERR_DISK, errno, "%s", path);
	if (S_ISREG(st.st_mode))
		return disk_loop_attach(fd, true, path, b, e);
	if (!S_ISBLK(st.st_mode)) {
		return err_set(e, ERR_DISK, 0,
		    "%s is neither a file nor a block device", path);
	}
	b->fd = fd;
	if (measure(b, path, e) != 0) {
		b->fd = -1;
		return -1;
	}
	fd = -1;
	return 0;
}
