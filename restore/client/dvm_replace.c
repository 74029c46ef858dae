/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Putting a new version in a file's place.  Runs in dvm, as the file's user.
 * Other programs may change the directory at any time; what it loses then is
 * nothing: the file is exchanged, and what comes out is looked at.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <sodium.h>

#include "include/cleanup.h"
#include "restore/client/dvm_replace.h"

#define TRIES 100u
/* What the kernel allows at most. */
#define XATTR_BYTES 65536

/* ".report.pdf.dvm-0123456789abcdef" */
static void
draw_temp(struct dvm_replace *r)
{
	uint64_t id;

	randombytes_buf(&id, sizeof(id));
	(void)snprintf(r->temp, sizeof(r->temp), ".%.200s.dvm-%016" PRIx64,
	    r->base, id);
}

static int
open_temp(struct dvm_replace *r)
{
	r->temp[0] = '\0';
	r->fd = openat(r->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (r->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR &&
	    errno != ENOENT && errno != EINVAL))
		return r->fd;
	for (unsigned i = 0; i < TRIES; i++) {
		draw_temp(r);
		r->fd = openat(r->dir_fd, r->temp, O_RDWR | O_CREAT | O_EXCL |
		    O_CLOEXEC, 0600);
		if (r->fd >= 0 || errno != EEXIST)
			break;
	}
	if (r->fd < 0)
		r->temp[0] = '\0';
	return r->fd;
}

static int
give_owner(const struct dvm_replace *r, struct err *e)
{
	struct stat st;

	if (fstat(r->fd, &st) == 0 && (st.st_uid == r->sent.st_uid ||
	    fchown(r->fd, r->sent.st_uid, (gid_t)-1) == 0) &&
	    (st.st_gid == r->sent.st_gid ||
	    fchown(r->fd, (uid_t)-1, r->sent.st_gid) == 0))
		return 0;
	return err_set(e, ERR_SYS, errno, "cannot give a new version to its "
	    "owner and group");
}

int
dvm_replace_begin(struct dvm_replace *r, struct err *e)
{
	if (open_temp(r) < 0)
		return err_set(e, ERR_SYS, errno, "cannot write in its "
		    "directory");
	if (give_owner(r, e) == 0)
		return 0;
	dvm_replace_drop(r);
	return -1;
}

static bool
is_sent(const struct dvm_replace *r, const char *name)
{
	const struct stat *was = &r->sent;
	struct stat now;

	return fstatat(r->dir_fd, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
	    now.st_dev == was->st_dev && now.st_ino == was->st_ino &&
	    now.st_size == was->st_size && now.st_mode == was->st_mode &&
	    now.st_uid == was->st_uid && now.st_gid == was->st_gid &&
	    now.st_mtim.tv_sec == was->st_mtim.tv_sec &&
	    now.st_mtim.tv_nsec == was->st_mtim.tv_nsec;
}

bool
dvm_replace_is_same(const struct dvm_replace *r)
{
	return is_sent(r, r->base);
}

/* As far as the user may: ACLs, labels, what he has put there.  -1, with errno:
 * others could read it. */
static int
copy_attributes(int from_fd, int to_fd)
{
	AUTO_FREE char *names = malloc(XATTR_BYTES);
	AUTO_FREE char *value = malloc(XATTR_BYTES);
	ssize_t len = names == NULL || value == NULL ? -1 :
	    flistxattr(from_fd, names, XATTR_BYTES);
	ssize_t size;

	/* It is the directory's, for new files. */
	if (fremovexattr(to_fd, "system.posix_acl_access") != 0 &&
	    errno != ENODATA && errno != EOPNOTSUPP)
		return -1;
	for (ssize_t i = 0; i < len; i += (ssize_t)strlen(names + i) + 1) {
		/* The content's rights and signatures are not the new one's. */
		if (strcmp(names + i, "security.capability") == 0 ||
		    strcmp(names + i, "security.ima") == 0 ||
		    strcmp(names + i, "security.evm") == 0)
			continue;
		size = fgetxattr(from_fd, names + i, value, XATTR_BYTES);
		if (size >= 0)
			(void)fsetxattr(to_fd, names + i, value,
			    (size_t)size, 0);
	}
	return 0;
}

static int
link_temp(struct dvm_replace *r)
{
	char self[32];

	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", r->fd);
	for (unsigned i = 0; i < TRIES; i++) {
		draw_temp(r);
		if (linkat(AT_FDCWD, self, r->dir_fd, r->temp,
		    AT_SYMLINK_FOLLOW) == 0)
			return 0;
		if (errno != EEXIST)
			break;
	}
	r->temp[0] = '\0';
	return -1;
}

/* The temp name becomes FILE.disp1234; no other file is lost by that. */
static bool
keep_beside(struct dvm_replace *r, const char *disposable)
{
	char number[8] = "";
	struct stat st;
	int rc = -1;

	if (r->temp[0] == '\0' && link_temp(r) != 0)
		return false;
	errno = EEXIST;
	for (unsigned i = 0; i < TRIES && rc != 0 && errno == EEXIST; i++) {
		if (i > 0)
			(void)snprintf(number, sizeof(number), ".%u", i);
		(void)snprintf(r->beside, sizeof(r->beside), "%.230s.%.15s%s",
		    r->base, disposable, number);
		rc = renameat2(r->dir_fd, r->temp, r->dir_fd, r->beside,
		    RENAME_NOREPLACE);
		if (rc == 0 || (errno != EINVAL && errno != ENOSYS))
			continue;
		errno = EEXIST;
		if (fstatat(r->dir_fd, r->beside, &st,
		    AT_SYMLINK_NOFOLLOW) != 0)
			rc = renameat(r->dir_fd, r->temp, r->dir_fd,
			    r->beside);
	}
	if (rc != 0) {
		r->beside[0] = '\0';
		return false;
	}
	r->temp[0] = '\0';
	(void)fsync(r->dir_fd);
	return true;
}

/* 0: the name is the new version's; 1: the file has changed; -1: errno. */
static int
put_in_place(struct dvm_replace *r)
{
	if (!dvm_replace_is_same(r))
		return 1;
	if (renameat2(r->dir_fd, r->temp, r->dir_fd, r->base,
	    RENAME_EXCHANGE) != 0) {
		if (errno == ENOENT)
			return 1;
		if (errno != EINVAL && errno != ENOSYS)
			return -1;
		/* It cannot exchange; the moment since the look remains. */
		if (renameat(r->dir_fd, r->temp, r->dir_fd, r->base) != 0)
			return -1;
		r->temp[0] = '\0';
		return 0;
	}
	if (is_sent(r, r->temp)) {
		/* The old version, that is. */
		(void)unlinkat(r->dir_fd, r->temp, 0);
		r->temp[0] = '\0';
		return 0;
	}
	if (renameat2(r->dir_fd, r->temp, r->dir_fd, r->base,
	    RENAME_EXCHANGE) != 0)
		return -1;
	return 1;
}

/* 1: the temp name is the new version's; 0: it is another file's, left there by
 * an exchange that could not be undone; -1: nobody's, or not known. */
static int
is_temp_new(const struct dvm_replace *r)
{
	struct stat ours, named;

	if (r->temp[0] == '\0' || fstat(r->fd, &ours) != 0 ||
	    fstatat(r->dir_fd, r->temp, &named, AT_SYMLINK_NOFOLLOW) != 0)
		return -1;
	return ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* A chmod or chown since it was sent holds. */
static int
look_again(struct dvm_replace *r, int from_fd, struct err *e)
{
	struct stat now;

	if (fstat(from_fd, &now) != 0)
		return err_set(e, ERR_SYS, errno, "its mode and owner");
	r->sent.st_mode = now.st_mode;
	r->sent.st_uid = now.st_uid;
	r->sent.st_gid = now.st_gid;
	return give_owner(r, e);
}

int
dvm_replace_commit(struct dvm_replace *r, int from_fd, const char *disposable,
    struct err *e)
{
	int rc;

	if (look_again(r, from_fd, e) != 0) {
		if (!keep_beside(r, disposable))
			dvm_replace_drop(r);
		return -1;
	}
	if (copy_attributes(from_fd, r->fd) != 0 ||
	    fchmod(r->fd, r->sent.st_mode & 0777) != 0 || fsync(r->fd) != 0 ||
	    (r->temp[0] == '\0' && link_temp(r) != 0))
		return err_set(e, ERR_SYS, errno, "its new version cannot be "
		    "written");
	rc = put_in_place(r);
	if (rc == 0) {
		(void)fsync(r->dir_fd);
		return 0;
	}
	if (rc < 0)
		(void)err_set(e, ERR_SYS, errno, "it cannot be replaced");
	else
		(void)err_set(e, ERR_BUSY, 0, "it changed meanwhile");
	if (is_temp_new(r) == 0)
		memcpy(r->old, r->temp, sizeof(r->old));
	else if (!keep_beside(r, disposable))
		dvm_replace_drop(r);
	return -1;
}

void
dvm_replace_drop(struct dvm_replace *r)
{
	if (is_temp_new(r) == 1)
		(void)unlinkat(r->dir_fd, r->temp, 0);
	r->temp[0] = '\0';
	if (r->fd >= 0)
		(void)close(r->fd);
	r->fd = -1;
}
