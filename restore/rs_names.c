/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of disposables.  The file is root's; a wrong size or a time in the
 * future only makes a name count as used.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rs_names.h"

#define FILE_BYTES ((size_t)(RS_NAMES_MAX + 1) * 8)

int
rs_names_open(const char *state_dir, struct err *e)
{
	char path[PATH_MAX];
	int fd;

	/* Before the first dvm-prepare it may not be there. */
	if (mkdir(state_dir, 0700) != 0 && errno != EEXIST)
		return err_set(e, ERR_SYS, errno, "%s", state_dir);
	(void)snprintf(path, sizeof(path), "%s/names", state_dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "%s", path);
	if (ftruncate(fd, (off_t)FILE_BYTES) == 0)
		return fd;
	err_set(e, ERR_SYS, errno, "%s", path);
	(void)close(fd);
	return -1;
}

static int
draw_locked(int fd, int64_t now, char name[RS_NAME_BYTES], struct err *e)
{
	uint64_t used[RS_NAMES_MAX + 1];
	uint64_t stamp = htole64((uint64_t)now);
	uint32_t start;

	if (pread(fd, used, FILE_BYTES, 0) != (ssize_t)FILE_BYTES ||
	    getrandom(&start, sizeof(start), 0) != sizeof(start))
		return err_set(e, ERR_SYS, errno, "cannot draw a name");
	/* 2^32 is no multiple of 9999: a bias of one in 400,000, and names
	 * are no secret. */
	for (uint32_t i = 0; i < RS_NAMES_MAX; i++) {
		uint32_t n = (start + i) % RS_NAMES_MAX + 1;
		int64_t since = (int64_t)le64toh(used[n]);

		if (since != 0 && now - since < RS_NAMES_HOLD_S)
			continue;
		if (pwrite(fd, &stamp, sizeof(stamp), (off_t)n * 8) !=
		    sizeof(stamp))
			return err_set(e, ERR_SYS, errno,
			    "cannot note a name as used");
		(void)snprintf(name, RS_NAME_BYTES, "disp%04u", n);
		return 0;
	}
	return err_set(e, ERR_BUSY, 0, "all %d names disp#### were used in the "
	    "last seven days: wait, or stop the service, remove the file names "
	    "in the state directory, and start it", RS_NAMES_MAX);
}

int
rs_names_draw(int fd, int64_t now, char name[RS_NAME_BYTES], struct err *e)
{
	int rc;

	if (flock(fd, LOCK_EX) != 0)
		return err_set(e, ERR_SYS, errno, "cannot lock the names");
	rc = draw_locked(fd, now, name, e);
	(void)flock(fd, LOCK_UN);
	return rc;
}
