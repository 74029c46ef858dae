/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file there and back.  Runs in dvm, as the file's user.  What comes is the
 * guest's; its length and hash tell whether it is all that the guest meant to
 * say, not whether it is any good.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "restore/client/dvm_back.h"

static void
begin_hash(struct dvm_back *b)
{
	(void)crypto_generichash_init(&b->hashing, NULL, 0, CHAN_HASH_BYTES);
}

static int
open_resolved(struct dvm_back *b, const char *path, struct err *e)
{
	AUTO_FREE char *resolved = realpath(path, NULL);
	struct dvm_replace *r = &b->replace;
	char *slash;

	if (resolved == NULL)
		return err_set(e, ERR_SYS, errno, "cannot be found");
	/* It begins with one, and without a name it is a directory. */
	slash = strrchr(resolved, '/');
	(void)snprintf(r->base, sizeof(r->base), "%s", slash + 1);
	slash[slash == resolved] = '\0';
	r->dir_fd = open(resolved, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dir_fd < 0)
		return err_set(e, ERR_SYS, errno, "cannot open its "
		    "directory");
	/* O_NONBLOCK: a pipe's end is not waited for. */
	b->fd = openat(r->dir_fd, r->base[0] != '\0' ? r->base : ".",
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (b->fd < 0 || fstat(b->fd, &r->sent) != 0)
		return err_set(e, ERR_SYS, errno, "cannot be read");
	if (!S_ISREG(r->sent.st_mode))
		return err_set(e, ERR_USAGE, 0, "is no regular file");
	return 0;
}

/* Before anything is launched: could a new version be put in its place? */
static int
try_return(struct dvm_back *b, struct err *e)
{
	if (faccessat(b->replace.dir_fd, b->replace.base, W_OK,
	    AT_EACCESS) != 0)
		(void)err_set(e, ERR_SYS, errno, "cannot be written");
	else if (dvm_replace_begin(&b->replace, e) == 0) {
		dvm_replace_drop(&b->replace);
		return 0;
	}
	(void)err_prefix(e, "its changes could not come back");
	(void)snprintf(e->msg + strlen(e->msg), sizeof(e->msg) -
	    strlen(e->msg), "; open it with --view-only, or a copy of it");
	return -1;
}

int
dvm_back_open(struct dvm_back *b, const char *path, uint64_t size_max,
    uint64_t back_max, struct err *e)
{
	memset(b, 0, sizeof(*b));
	b->fd = b->replace.fd = b->replace.dir_fd = -1;
	b->back_max = back_max;
	if (open_resolved(b, path, e) != 0)
		return -1;
	if ((uint64_t)b->replace.sent.st_size > size_max)
		return err_set(e, ERR_USAGE, 0, "has %" PRIu64 " bytes, over "
		    "%" PRIu64 ": raise --max-size",
		    (uint64_t)b->replace.sent.st_size, size_max);
	begin_hash(b);
	return back_max == 0 ? 0 : try_return(b, e);
}

static int
changed(struct err *e)
{
	return err_set(e, ERR_BUSY, 0, "changed while it was read: try "
	    "again");
}

int
dvm_back_read(struct dvm_back *b, uint64_t at, void *buf, size_t len,
    struct err *e)
{
	char *to = buf;
	ssize_t n;

	for (size_t have = 0; have < len; have += (size_t)n) {
		n = pread(b->fd, to + have, len - have, (off_t)(at + have));
		if (n < 0 && errno != EINTR)
			return err_set(e, ERR_SYS, errno, "cannot be read");
		if (n == 0)
			return changed(e);
		if (n < 0)
			n = 0;
	}
	(void)crypto_generichash_update(&b->hashing, buf, len);
	return 0;
}

int
dvm_back_sent(struct dvm_back *b, struct err *e)
{
	const struct stat *was = &b->replace.sent;
	struct stat now;

	if (fstat(b->fd, &now) != 0 || now.st_size != was->st_size ||
	    now.st_mtim.tv_sec != was->st_mtim.tv_sec ||
	    now.st_mtim.tv_nsec != was->st_mtim.tv_nsec)
		return changed(e);
	(void)crypto_generichash_final(&b->hashing, b->hash, CHAN_HASH_BYTES);
	return 0;
}

static int
spoil(struct dvm_back *b)
{
	dvm_replace_drop(&b->replace);
	b->state = DVM_BACK_SPOILT;
	return -1;
}

int
dvm_back_begin(struct dvm_back *b, uint64_t untrusted_size, struct err *e)
{
	b->state = DVM_BACK_COMES;
	if (untrusted_size > b->back_max) {
		(void)err_set(e, ERR_INPUT, 0, "it comes back with %" PRIu64
		    " bytes, over %" PRIu64, untrusted_size, b->back_max);
		return spoil(b);
	}
	b->size = untrusted_size;
	b->got = 0;
	begin_hash(b);
	if (dvm_replace_begin(&b->replace, e) != 0)
		return spoil(b);
	return 0;
}

int
dvm_back_data(struct dvm_back *b, const void *untrusted_data, size_t len,
    struct err *e)
{
	const uint8_t *at = untrusted_data;
	ssize_t n;

	if (b->state != DVM_BACK_COMES)
		return 0;
	if (len > b->size - b->got) {
		(void)err_set(e, ERR_INPUT, 0, "it comes back with more bytes "
		    "than promised");
		return spoil(b);
	}
	(void)crypto_generichash_update(&b->hashing, at, len);
	b->got += len;
	for (; len > 0; at += n, len -= (size_t)n) {
		n = write(b->replace.fd, at, len);
		if (n < 0 && errno != EINTR) {
			(void)err_set(e, ERR_SYS, errno, "its new version "
			    "cannot be written");
			return spoil(b);
		}
		if (n < 0)
			n = 0;
	}
	return 0;
}

int
dvm_back_end(struct dvm_back *b, uint64_t untrusted_size,
    const uint8_t untrusted_hash[CHAN_HASH_BYTES], const char *disposable,
    struct err *e)
{
	uint8_t hash[CHAN_HASH_BYTES];

	if (b->state != DVM_BACK_COMES)
		return 0;
	(void)crypto_generichash_final(&b->hashing, hash, sizeof(hash));
	if (b->got != b->size || untrusted_size != b->size ||
	    memcmp(hash, untrusted_hash, sizeof(hash)) != 0) {
		(void)err_set(e, ERR_INPUT, 0, "it did not come back as it was "
		    "sent: %" PRIu64 " bytes of %" PRIu64 "%s", b->got,
		    b->size, b->got == b->size ? ", and not these" : "");
		return spoil(b);
	}
	if (memcmp(hash, b->hash, sizeof(hash)) != 0 &&
	    dvm_replace_commit(&b->replace, b->fd, disposable, e) != 0)
		return spoil(b);
	dvm_replace_drop(&b->replace);
	b->state = DVM_BACK_DONE;
	return 0;
}

void
dvm_back_close(struct dvm_back *b)
{
	dvm_replace_drop(&b->replace);
	if (b->fd >= 0)
		(void)close(b->fd);
	if (b->replace.dir_fd >= 0)
		(void)close(b->replace.dir_fd);
	b->fd = b->replace.dir_fd = -1;
}
