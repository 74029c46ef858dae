/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a file keeps beside its content when it is replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "restore/client/dvm_replace.h"
#include "tests/unit/tap.h"

#define NAME "report.pdf"
#define ACL "system.posix_acl_access"
#define ACL_OF_NEW "system.posix_acl_default"

static struct {
	char dir[32], path[64];
	int dir_fd;
} box;

static struct {
	bool no_chown;
	unsigned exchanges_left;	/* until they fail */
	void (*before_exchange)(void);
} calls;

int __real_renameat2(int from_fd, const char *from, int to_fd,
    const char *to, unsigned flags);
int __real_fchown(int fd, uid_t uid, gid_t gid);
int __wrap_renameat2(int from_fd, const char *from, int to_fd,
    const char *to, unsigned flags);
int __wrap_fchown(int fd, uid_t uid, gid_t gid);

int
__wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to,
    unsigned flags)
{
	void (*act)(void) = calls.before_exchange;

	calls.before_exchange = NULL;
	if (act != NULL)
		act();
	errno = EIO;
	if (flags == RENAME_EXCHANGE && calls.exchanges_left-- == 0)
		return -1;
	return __real_renameat2(from_fd, from, to_fd, to, flags);
}

int
__wrap_fchown(int fd, uid_t uid, gid_t gid)
{
	errno = EPERM;
	return calls.no_chown ? -1 : __real_fchown(fd, uid, gid);
}

static void
write_file(const char *text, mode_t mode)
{
	int fd = open(box.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC,
	    mode);

	tap_must(fd >= 0 && fchmod(fd, mode) == 0 &&
	    write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write");
	(void)close(fd);
}

/* The old version is sent, `act` happens, the new one comes back. */
static int
replace(struct dvm_replace *r, void (*act)(void))
{
	AUTO_FD fd = open(box.path, O_RDONLY | O_CLOEXEC);
	struct err e;
	int rc;

	*r = (struct dvm_replace){ .dir_fd = box.dir_fd, .base = NAME,
	    .fd = -1 };
	tap_must(fd >= 0 && fstat(fd, &r->sent) == 0, "the old version");
	tap_must(dvm_replace_begin(r, &e) == 0 && write(r->fd, "new", 3) == 3,
	    "the new version");
	act();
	rc = dvm_replace_commit(r, fd, "disp0042", &e);
	dvm_replace_drop(r);
	return rc;
}

static void
nothing(void)
{
}

/* As setfacl u::7,u:1234:7,g::5,m::7,o::`other`. */
static bool
set_acl(const char *path, const char *name, uint8_t other)
{
	const uint8_t acl[] = { 2, 0, 0, 0,
		1, 0, 7, 0, 255, 255, 255, 255,
		2, 0, 7, 0, 1234 & 255, 1234 >> 8, 0, 0,
		4, 0, 5, 0, 255, 255, 255, 255,
		16, 0, 7, 0, 255, 255, 255, 255,
		32, 0, other, 0, 255, 255, 255, 255 };

	return setxattr(path, name, acl, sizeof(acl), 0) == 0;
}

static void
test_acl(void)
{
	uint8_t was[256], is[256];
	struct dvm_replace r;
	struct stat st;
	ssize_t len;

	write_file("old", 0640);
	if (!set_acl(box.dir, ACL_OF_NEW, 5)) {
		ok(errno == EOPNOTSUPP, "ACLs # SKIP %s has none", box.dir);
		return;
	}
	ok(replace(&r, nothing) == 0 && stat(box.path, &st) == 0 &&
	    (st.st_mode & 07777) == 0640 &&
	    getxattr(box.path, ACL, is, sizeof(is)) < 0 && errno == ENODATA,
	    "the directory's ACL for new files does not widen a file's mode");
	tap_must(set_acl(box.path, ACL, 1), ACL);
	len = getxattr(box.path, ACL, was, sizeof(was));
	ok(len > 0 && replace(&r, nothing) == 0 &&
	    getxattr(box.path, ACL, is, sizeof(is)) == len &&
	    memcmp(is, was, (size_t)len) == 0, "... and the file's own ACL is "
	    "kept");
	tap_must(removexattr(box.dir, ACL_OF_NEW) == 0, ACL_OF_NEW);
}

static void
chmod_it(void)
{
	tap_must(chmod(box.path, 0604) == 0, "chmod");
}

static void
chown_it(void)
{
	tap_must(chown(box.path, 1234, 4321) == 0, "chown");
}

/* Has the file this text, mode and owner? */
static bool
is(const char *name, const char *text, mode_t mode, uid_t uid)
{
	AUTO_FD fd = openat(box.dir_fd, name, O_RDONLY | O_CLOEXEC);
	char data[8] = "";
	struct stat st;

	return fd >= 0 && read(fd, data, sizeof(data) - 1) >= 0 &&
	    strcmp(data, text) == 0 && fstat(fd, &st) == 0 &&
	    (st.st_mode & 07777) == mode && st.st_uid == uid;
}

static void
test_mode_and_owner(void)
{
	struct dvm_replace r;

	write_file("old", 0640);
	ok(replace(&r, chmod_it) == 0 && is(NAME, "new", 0604, getuid()),
	    "a mode that it got meanwhile is kept");
	write_file("old", 0640);
	calls.before_exchange = chmod_it;
	ok(replace(&r, nothing) != 0 && is(NAME, "old", 0604, getuid()) &&
	    is(r.beside, "new", 0640, getuid()), "... at the last moment, "
	    "too: both are kept");
	(void)unlinkat(box.dir_fd, r.beside, 0);
	if (getuid() != 0) {
		ok(true, "an owner # SKIP only root can give it another");
		return;
	}
	ok(replace(&r, chown_it) == 0 && is(NAME, "new", 0604, 1234),
	    "an owner that it got meanwhile is kept");
	(void)unlink(box.path);
	write_file("old", 0640);
	calls.no_chown = true;
	ok(replace(&r, chown_it) != 0 && is(NAME, "old", 0640, 1234) &&
	    is(r.beside, "new", 0600, 0), "... and if it cannot be given, "
	    "both versions are kept");
	calls.no_chown = false;
	(void)unlinkat(box.dir_fd, r.beside, 0);
	(void)unlink(box.path);
}

static void
write_it(void)
{
	write_file("mine", 0640);
}

static void
test_not_undone(void)
{
	struct dvm_replace r;

	write_file("old", 0640);
	calls.before_exchange = write_it;
	calls.exchanges_left = 1;
	ok(replace(&r, nothing) != 0 && r.beside[0] == '\0' &&
	    is(NAME, "new", 0640, getuid()) &&
	    is(r.old, "mine", 0640, getuid()), "an exchange that cannot be "
	    "undone: the user's version is known as such");
	(void)unlinkat(box.dir_fd, r.old, 0);
	(void)unlinkat(box.dir_fd, r.beside, 0);
	calls.exchanges_left = ~0u;
}

int
main(void)
{
	calls.exchanges_left = ~0u;
	(void)snprintf(box.dir, sizeof(box.dir), "/tmp/t_dvm_replace.XXXXXX");
	tap_must(mkdtemp(box.dir) != NULL, box.dir);
	(void)snprintf(box.path, sizeof(box.path), "%s/" NAME, box.dir);
	box.dir_fd = open(box.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tap_must(box.dir_fd >= 0, box.dir);
	test_acl();
	test_mode_and_owner();
	test_not_undone();
	(void)unlink(box.path);
	(void)close(box.dir_fd);
	ok(rmdir(box.dir) == 0, "nothing else is left");
	return tap_done();
}
