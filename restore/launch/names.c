/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of disposables.  The file is root's; a wrong size or a time in the
 * future only makes a name count as used.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore/launch/names.h"

#define RESET "stop the service, remove the file names in the state " \
	"directory, and start it"
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

static bool
is_held(uint64_t entry, int64_t now)
{
	int64_t since = (int64_t)(entry & UINT32_MAX);

	return since != 0 && now - since < RS_NAMES_HOLD_S;
}

static unsigned
count_held(const uint64_t used[RS_NAMES_MAX + 1], uint32_t uid, int64_t now)
{
	unsigned nr = 0;

	for (uint32_t n = 1; n <= RS_NAMES_MAX; n++) {
		uint64_t entry = le64toh(used[n]);

		nr += entry >> 32 == uid && is_held(entry, now);
	}
	return nr;
}

static int
draw_locked(int fd, uint32_t uid, int64_t now, char name[RS_NAME_BYTES],
    struct err *e)
{
	uint64_t used[RS_NAMES_MAX + 1];
	uint64_t entry = htole64((uint64_t)uid << 32 | (uint32_t)now);
	uint32_t start;

	if (pread(fd, used, FILE_BYTES, 0) != (ssize_t)FILE_BYTES ||
	    getrandom(&start, sizeof(start), 0) != sizeof(start))
		return err_set(e, ERR_SYS, errno, "cannot draw a name");
	if (uid != 0 && count_held(used, uid, now) >= RS_NAMES_PER_UID)
		return err_set(e, ERR_BUSY, 0, "user %u has used %u names "
		    "disp#### in the last seven days, which is the most: wait, "
		    "or " RESET, uid, RS_NAMES_PER_UID);
	/* 2^32 is no multiple of 9999: a bias of one in 400,000, and names
	 * are no secret. */
	for (uint32_t i = 0; i < RS_NAMES_MAX; i++) {
		uint32_t n = (start + i) % RS_NAMES_MAX + 1;

		if (is_held(le64toh(used[n]), now))
			continue;
		if (pwrite(fd, &entry, sizeof(entry), (off_t)n * 8) !=
		    sizeof(entry))
			return err_set(e, ERR_SYS, errno,
			    "cannot note a name as used");
		(void)snprintf(name, RS_NAME_BYTES, "disp%04u", n);
		return 0;
	}
	return err_set(e, ERR_BUSY, 0, "all %d names disp#### were used in the "
	    "last seven days: wait, or " RESET, RS_NAMES_MAX);
}

int
rs_names_draw(int fd, uint32_t uid, int64_t now, char name[RS_NAME_BYTES],
    struct err *e)
{
	int rc;

	if (flock(fd, LOCK_EX) != 0)
		return err_set(e, ERR_SYS, errno, "cannot lock the names");
	rc = draw_locked(fd, uid, now, name, e);
	(void)flock(fd, LOCK_UN);
	return rc;
}
