/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Files for ag_serve, in its process.  The directory is the user's, who may do
 * with it what it likes: all is done with the user's rights and none of
 * root's, and a name is never followed to elsewhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prep/agent/ag_files.h"

#define LOOK_BYTES 65536u

static void
as_user(const struct ag_files *f)
{
	if (geteuid() == 0) {
		(void)setfsgid(f->user->gid);
		(void)setfsuid(f->user->uid);
	}
}

static void
as_before(void)
{
	int error = errno;

	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
	errno = error;
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void
ag_files_init(struct ag_files *f, const struct ag_run_user *user)
{
	f->user = user;
	f->dir[0] = '\0';
	f->dir_fd = -1;
	f->nr = 0;
	for (unsigned i = 0; i < CHAN_FILES_MAX; i++)
		f->file[i].dir_fd = f->file[i].fd = -1;
}

void
ag_files_close(struct ag_files *f)
{
	close_fd(&f->dir_fd);
	for (unsigned i = 0; i < CHAN_FILES_MAX; i++) {
		close_fd(&f->file[i].fd);
		close_fd(&f->file[i].dir_fd);
	}
}

static struct ag_file *
file_of(struct ag_files *f, uint8_t stream)
{
	return &f->file[stream - CHAN_FILE_0];
}

static void
begin_hash(struct ag_file *file)
{
	file->at = 0;
	file->spoilt = false;
	(void)crypto_generichash_init(&file->state, NULL, 0, CHAN_HASH_BYTES);
}

static void
add_to_hash(struct ag_file *file, const uint8_t *data, size_t len)
{
	file->at += len;
	(void)crypto_generichash_update(&file->state, data, len);
}

static void
end_hash(struct ag_file *file, uint8_t hash[CHAN_HASH_BYTES])
{
	(void)crypto_generichash_final(&file->state, hash, CHAN_HASH_BYTES);
}

/* In the user's home, where programs that are shut in find it too. */
static int
make_dir(struct ag_files *f)
{
	(void)snprintf(f->dir, sizeof(f->dir), "%s/dvm-XXXXXX",
	    f->user->home);
	if (mkdtemp(f->dir) == NULL) {
		(void)snprintf(f->dir, sizeof(f->dir), "/tmp/dvm-XXXXXX");
		if (mkdtemp(f->dir) == NULL)
			return -1;
	}
	f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
	    O_CLOEXEC);
	return f->dir_fd < 0 ? -1 : 0;
}

static int
create(struct ag_files *f, struct ag_file *file, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	char sub[8];
	int len;

	if (f->dir_fd < 0 && make_dir(f) != 0)
		return -1;
	len = snprintf(file->path, sizeof(file->path), "%s/%s", f->dir, name);
	file->name = file->path + len - (int)strlen(name);
	file->dir_fd = fcntl(f->dir_fd, F_DUPFD_CLOEXEC, 0);
	if (file->dir_fd < 0)
		return -1;
	file->fd = openat(file->dir_fd, name, flags, 0600);
	if (file->fd >= 0 || errno != EEXIST)
		return file->fd < 0 ? -1 : 0;
	/* A second one of that name gets a directory for itself. */
	(void)snprintf(sub, sizeof(sub), "%u", f->nr + 1);
	len = snprintf(file->path, sizeof(file->path), "%s/%s/%s", f->dir, sub,
	    name);
	file->name = file->path + len - (int)strlen(name);
	close_fd(&file->dir_fd);
	if (mkdirat(f->dir_fd, sub, 0700) != 0)
		return -1;
	file->dir_fd = openat(f->dir_fd, sub, O_RDONLY | O_DIRECTORY |
	    O_NOFOLLOW | O_CLOEXEC);
	if (file->dir_fd >= 0)
		file->fd = openat(file->dir_fd, name, flags, 0600);
	return file->fd < 0 ? -1 : 0;
}

int
ag_files_put(struct ag_files *f, uint8_t stream, const char *name,
    struct err *e)
{
	struct ag_file *file = file_of(f, stream);
	int rc;

	as_user(f);
	rc = create(f, file, name);
	as_before();
	if (rc != 0)
		return err_set(e, ERR_SYS, errno, "the guest cannot make the "
		    "file \"%.200s\"", name);
	f->nr++;
	begin_hash(file);
	return 0;
}

int
ag_files_data(struct ag_files *f, uint8_t stream, const uint8_t *data,
    size_t len, struct err *e)
{
	struct ag_file *file = file_of(f, stream);
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write(file->fd, data + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(e, ERR_SYS, n < 0 ? errno : EIO,
			    "the guest cannot keep the file \"%.200s\"",
			    file->name);
		done += (size_t)n;
	}
	add_to_hash(file, data, len);
	return 0;
}

int
ag_files_end(struct ag_files *f, uint8_t stream,
    const uint8_t hash[CHAN_HASH_BYTES], struct err *e)
{
	struct ag_file *file = file_of(f, stream);

	/* How many bytes there are the channel's rules have checked. */
	file->size = file->at;
	end_hash(file, file->hash);
	if (memcmp(file->hash, hash, CHAN_HASH_BYTES) != 0)
		return err_set(e, ERR_INPUT, 0, "the file \"%.200s\" was "
		    "damaged on its way into the guest: try again",
		    file->name);
	close_fd(&file->fd);
	return 0;
}

int
ag_files_protect(struct ag_files *f, struct err *e)
{
	int rc = 0;

	as_user(f);
	for (unsigned i = 0; i < f->nr && rc == 0; i++)
		rc = fchmodat(f->file[i].dir_fd, f->file[i].name, 0400, 0);
	as_before();
	return rc == 0 ? 0 : err_set(e, ERR_SYS, errno, "the guest cannot "
	    "make the files read-only");
}

/* The regular file that has the name now; NULL, and *how, if there is none
 * that can be read. */
static struct ag_file *
reopen(struct ag_files *f, uint8_t stream, struct stat *st,
    enum chan_back *how)
{
	struct ag_file *file = file_of(f, stream);

	if (file->fd < 0) {
		as_user(f);
		file->fd = openat(file->dir_fd, file->name, O_RDONLY |
		    O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		as_before();
		begin_hash(file);
	}
	/* ELOOP: a link; ENXIO: a socket. */
	if (file->fd < 0)
		*how = errno == ENOENT || errno == ELOOP || errno == ENXIO ?
		    CHAN_GONE : CHAN_BROKEN;
	else if (fstat(file->fd, st) != 0)
		*how = CHAN_BROKEN;
	else if (!S_ISREG(st->st_mode))
		*how = CHAN_GONE;
	else
		return file;
	close_fd(&file->fd);
	return NULL;
}

int
ag_files_look(struct ag_files *f, uint8_t stream, uint64_t max,
    enum chan_back *how, uint64_t *size)
{
	static uint8_t buf[LOOK_BYTES];
	uint8_t hash[CHAN_HASH_BYTES];
	struct ag_file *file;
	struct stat st;
	ssize_t n;

	*size = 0;
	file = reopen(f, stream, &st, how);
	if (file == NULL)
		return 0;
	*size = (uint64_t)st.st_size;
	*how = *size > max ? CHAN_TOO_LARGE : CHAN_CHANGED;
	if (*size == file->size) {
		n = read(file->fd, buf, sizeof(buf));
		if (n > 0) {
			add_to_hash(file, buf, (size_t)n);
			return 1;
		}
		end_hash(file, hash);
		if (n < 0 || file->at != *size)
			*how = CHAN_BROKEN;
		else if (memcmp(hash, file->hash, sizeof(hash)) == 0)
			*how = CHAN_UNCHANGED;
	}
	file->size = *size;
	begin_hash(file);
	if (*how == CHAN_CHANGED && lseek(file->fd, 0, SEEK_SET) != 0)
		*how = CHAN_BROKEN;
	if (*how != CHAN_CHANGED)
		close_fd(&file->fd);
	return 0;
}

size_t
ag_files_read(struct ag_files *f, uint8_t stream, uint8_t *buf, size_t cap)
{
	struct ag_file *file = file_of(f, stream);
	uint64_t left = file->size - file->at;
	size_t len = left < cap ? (size_t)left : cap;
	struct stat st;
	ssize_t n = 0;

	if (left == 0) {
		end_hash(file, file->hash);
		if (file->spoilt || fstat(file->fd, &st) != 0 ||
		    (uint64_t)st.st_size != file->size)
			file->hash[0] ^= 0xff;
		close_fd(&file->fd);
		return 0;
	}
	if (!file->spoilt)
		n = read(file->fd, buf, len);
	if (n <= 0) {
		file->spoilt = true;
		memset(buf, 0, len);
		n = (ssize_t)len;
	}
	add_to_hash(file, buf, (size_t)n);
	return (size_t)n;
}
