/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Whole reads and writes on a descriptor.  Trusts its arguments, not the file.
 */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "savefile/sf_io.h"

int
sf_io_read_at(int fd, void *buf, size_t len, uint64_t off, struct err *e)
{
	uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		n = pread(fd, p, len, (off_t)off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_set(e, ERR_SYS, errno,
			    "cannot read %zu bytes at byte %" PRIu64, len, off);
		if (n == 0)
			return err_set(e, ERR_INPUT, 0,
			    "the file ends at byte %" PRIu64 ", %zu bytes "
			    "early", off, len);
		p += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

int
sf_io_write_at(int fd, const void *buf, size_t len, uint64_t off,
    struct err *e)
{
	const uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		n = pwrite(fd, p, len, (off_t)off);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_set(e, ERR_SYS, errno,
			    "cannot write %zu bytes at byte %" PRIu64, len,
			    off);
		p += n;
		len -= (size_t)n;
		off += (uint64_t)n;
	}
	return 0;
}

int
sf_io_write(int fd, const void *buf, size_t len, struct err *e)
{
	const uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		n = write(fd, p, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return err_set(e, ERR_SYS, errno,
			    "cannot write the output");
		p += n;
		len -= (size_t)n;
	}
	return 0;
}
