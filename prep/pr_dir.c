/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Generations as directories: made under a temporary name, published by
 * renames, removed.  Used by dvm-prepare and its watchdog; trusts that only
 * root writes there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "prep/pr_dir.h"

#define FULL_BYTES (4u << 20)	/* with less than this left it is full */

/* mkdir -p, 0700 for what it makes. */
static int
make_dirs(const char *path, struct err *e)
{
	char at[PATH_MAX];
	size_t len = strlen(path);

	if (len >= sizeof(at))
		return err_set(e, ERR_USAGE, 0, "the state directory's name is "
		    "too long");
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(at, path, i);
		at[i] = '\0';
		if (mkdir(at, 0700) != 0 && errno != EEXIST)
			return err_set(e, ERR_SYS, errno, "cannot make the "
			    "directory '%s'", at);
	}
	return 0;
}

int
pr_dir_open(const char *state_dir, const char *template_name,
    struct pr_dir *d, struct err *e)
{
	struct stat st;
	int n;

	*d = (struct pr_dir){ .fd = -1, .lock_fd = -1 };
	n = snprintf(d->path, sizeof(d->path), "%s/%s", state_dir,
	    template_name);
	if (n < 0 || (size_t)n >= sizeof(d->path))
		return err_set(e, ERR_USAGE, 0, "the state directory's name is "
		    "too long");
	if (make_dirs(d->path, e) != 0)
		return -1;
	d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->fd < 0 || fstat(d->fd, &st) != 0) {
		(void)err_set(e, ERR_SYS, errno, "cannot open '%s'", d->path);
		pr_dir_close(d);
		return -1;
	}
	if (st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
		(void)err_set(e, ERR_AUTH, 0, "'%s' must belong to root, and "
		    "nobody else may write there", d->path);
		pr_dir_close(d);
		return -1;
	}
	return 0;
}

void
pr_dir_close(struct pr_dir *d)
{
	if (d->lock_fd >= 0)
		(void)close(d->lock_fd);
	if (d->fd >= 0)
		(void)close(d->fd);
	d->fd = d->lock_fd = -1;
}

int
pr_dir_lock(struct pr_dir *d, bool wait, struct err *e)
{
	AUTO_FD fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW, 0600);

	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "cannot open '%s/lock'",
		    d->path);
	if (flock(fd, wait ? LOCK_EX : LOCK_EX | LOCK_NB) != 0) {
		if (errno == EWOULDBLOCK)
			return err_set(e, ERR_BUSY, 0, "the template is being "
			    "prepared already ('fuser %s/lock' shows by whom)",
			    d->path);
		return err_set(e, ERR_SYS, errno, "cannot lock '%s/lock'",
		    d->path);
	}
	d->lock_fd = fd;
	fd = -1;
	return 0;
}

static void
name_of(const char *prefix, const char *id, char name[PR_DIR_NAME_BYTES])
{
	(void)snprintf(name, PR_DIR_NAME_BYTES, "%.4s%.*s", prefix,
	    PR_DIR_ID_BYTES - 1, id);
}

static int
sync_dir(const struct pr_dir *d, struct err *e)
{
	if (fsync(d->fd) != 0)
		return err_set(e, ERR_SYS, errno, "cannot sync '%s'", d->path);
	return 0;
}

int
pr_dir_make_tmp(const struct pr_dir *d, const char *id, struct err *e)
{
	char name[PR_DIR_NAME_BYTES];

	name_of(PR_DIR_TMP, id, name);
	if (mkdirat(d->fd, name, 0700) != 0)
		return err_set(e, ERR_SYS, errno, "cannot make '%s/%s'",
		    d->path, name);
	return 0;
}

/* Calls `each` for every file in the directory `name`; 1 if there is no such
 * directory. */
static int
for_files(const struct pr_dir *d, const char *name,
    int (*each)(int dir_fd, const char *file), struct err *e)
{
	int fd = openat(d->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
	    O_NOFOLLOW);
	struct dirent *entry;
	int rc = 0;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT ? 1 : err_set(e, ERR_SYS, errno,
		    "cannot open '%s/%s'", d->path, name);
	dir = fdopendir(fd);
	if (dir == NULL) {
		(void)err_set(e, ERR_SYS, errno, "cannot open '%s/%s'",
		    d->path, name);
		(void)close(fd);
		return -1;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (each(fd, entry->d_name) != 0)
			rc = err_set(e, ERR_SYS, errno, "'%s/%s/%.80s'",
			    d->path, name, entry->d_name);
	}
	(void)closedir(dir);
	return rc;
}

static int
sync_file(int dir_fd, const char *file)
{
	AUTO_FD fd = openat(dir_fd, file, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 || fsync(fd) != 0 ? -1 : 0;
}

static int
unlink_file(int dir_fd, const char *file)
{
	return unlinkat(dir_fd, file, 0) != 0 && errno != ENOENT ? -1 : 0;
}

int
pr_dir_sync_tmp(const struct pr_dir *d, const char *id, struct err *e)
{
	char name[PR_DIR_NAME_BYTES];
	AUTO_FD fd = -1;

	name_of(PR_DIR_TMP, id, name);
	if (for_files(d, name, sync_file, e) != 0)
		return err_prefix(e, "cannot write");
	fd = openat(d->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		return err_set(e, ERR_SYS, errno, "cannot sync '%s/%s'",
		    d->path, name);
	return sync_dir(d, e);
}

int
pr_dir_remove(const struct pr_dir *d, const char *name, struct err *e)
{
	int rc = for_files(d, name, unlink_file, e);

	if (rc == 1)
		return 0;
	if (rc < 0)
		return err_prefix(e, "cannot remove");
	if (unlinkat(d->fd, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		return err_set(e, ERR_SYS, errno, "cannot remove '%s/%s'",
		    d->path, name);
	return 0;
}

/* `current.new` is there exactly while a publication is under way: it says
 * which generation to take back if we are cut short before `current` was
 * replaced. */
int
pr_dir_publish(const struct pr_dir *d, const char *id, struct err *e)
{
	char tmp[PR_DIR_NAME_BYTES], gen[PR_DIR_NAME_BYTES];

	name_of(PR_DIR_TMP, id, tmp);
	name_of(PR_DIR_GEN, id, gen);
	if (symlinkat(gen, d->fd, "current.new") != 0)
		return err_set(e, ERR_SYS, errno, "cannot make "
		    "'%s/current.new'", d->path);
	if (renameat(d->fd, tmp, d->fd, gen) != 0)
		return err_set(e, ERR_SYS, errno, "cannot rename '%s/%s'",
		    d->path, tmp);
	if (sync_dir(d, e) != 0)
		return -1;
	if (renameat(d->fd, "current.new", d->fd, "current") != 0)
		return err_set(e, ERR_SYS, errno, "cannot replace "
		    "'%s/current'", d->path);
	return sync_dir(d, e);
}

/* 1 and the target, 0 if there is no such link, -1. */
static int
read_link(const struct pr_dir *d, const char *name,
    char target[PR_DIR_NAME_BYTES], struct err *e)
{
	ssize_t len = readlinkat(d->fd, name, target, PR_DIR_NAME_BYTES - 1);

	if (len < 0)
		return errno == ENOENT ? 0 : err_set(e, ERR_SYS, errno,
		    "cannot read '%s/%s'", d->path, name);
	target[len] = '\0';
	return 1;
}

int
pr_dir_undo_publish(const struct pr_dir *d, struct err *e)
{
	char wanted[PR_DIR_NAME_BYTES], current[PR_DIR_NAME_BYTES];
	int has_new = read_link(d, "current.new", wanted, e);
	int has_current = read_link(d, "current", current, e);

	if (has_new < 0 || has_current < 0)
		return -1;
	if (has_new == 0)
		return 0;
	if ((has_current == 0 || strcmp(wanted, current) != 0) &&
	    strncmp(wanted, PR_DIR_GEN, strlen(PR_DIR_GEN)) == 0 &&
	    pr_dir_remove(d, wanted, e) != 0)
		return -1;
	if (unlinkat(d->fd, "current.new", 0) != 0)
		return err_set(e, ERR_SYS, errno, "cannot remove "
		    "'%s/current.new'", d->path);
	return sync_dir(d, e);
}

static int
older(const void *a, const void *b)
{
	const struct pr_dir_id *x = a, *y = b;

	return (x->mtime_ns > y->mtime_ns) - (x->mtime_ns < y->mtime_ns);
}

/* Adds the entry if it is one; -1 without memory. */
static int
add_id(const struct pr_dir *d, const char *prefix, const char *name,
    struct pr_dir_id **ids, size_t *nr)
{
	struct pr_dir_id *more;
	struct stat st;

	if (strncmp(name, prefix, strlen(prefix)) != 0 ||
	    strlen(name) >= PR_DIR_NAME_BYTES ||
	    fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    !S_ISDIR(st.st_mode))
		return 0;
	more = reallocarray(*ids, *nr + 1, sizeof(**ids));
	if (more == NULL)
		return -1;
	*ids = more;
	(void)snprintf(more[*nr].text, sizeof(more[*nr].text), "%.*s",
	    PR_DIR_ID_BYTES - 1, name + strlen(prefix));
	more[(*nr)++].mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u +
	    (uint64_t)st.st_mtim.tv_nsec;
	return 0;
}

int
pr_dir_list(const struct pr_dir *d, const char *prefix,
    struct pr_dir_id **ids, struct err *e)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	size_t nr = 0;
	int rc = 0;

	*ids = NULL;
	if (dir == NULL) {
		(void)err_set(e, ERR_SYS, errno, "cannot list '%s'", d->path);
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		rc = add_id(d, prefix, entry->d_name, ids, &nr);
	(void)closedir(dir);
	if (rc != 0) {
		free(*ids);
		*ids = NULL;
		return err_set(e, ERR_NOMEM, 0, "no memory to list '%s'",
		    d->path);
	}
	if (nr > 0)
		qsort(*ids, nr, sizeof(**ids), older);
	return (int)nr;
}

static bool
is_name(const char *name, const char *id)
{
	return strncmp(name, PR_DIR_GEN, strlen(PR_DIR_GEN)) == 0 &&
	    strcmp(name + strlen(PR_DIR_GEN), id) == 0;
}

/* By way of a temporary name: a half removed generation is then seen as a
 * leftover, and not as one to keep. */
static int
remove_gen(const struct pr_dir *d, const char *id, struct err *e)
{
	char gen[PR_DIR_NAME_BYTES], tmp[PR_DIR_NAME_BYTES];

	name_of(PR_DIR_GEN, id, gen);
	name_of(PR_DIR_TMP, id, tmp);
	if (renameat(d->fd, gen, d->fd, tmp) != 0)
		return err_set(e, ERR_SYS, errno, "cannot rename '%s/%s'",
		    d->path, gen);
	return pr_dir_remove(d, tmp, e);
}

int
pr_dir_prune(const struct pr_dir *d, unsigned keep, struct err *e)
{
	char current[PR_DIR_NAME_BYTES];
	struct pr_dir_id *ids;
	int rc = 0, nr, left;

	if (read_link(d, "current", current, e) < 0)
		return -1;
	nr = pr_dir_list(d, PR_DIR_GEN, &ids, e);
	if (nr < 0)
		return -1;
	left = nr - 1;		/* all but the current one */
	for (int i = 0; i < nr && rc == 0; i++) {
		if (left <= (int)keep)
			break;
		if (is_name(current, ids[i].text))
			continue;
		rc = remove_gen(d, ids[i].text, e);
		left--;
	}
	free(ids);
	return rc;
}

void
pr_dir_explain_full(const struct pr_dir *d, uint64_t needed_bytes,
    struct err *e)
{
	struct statvfs fs;
	uint64_t left;

	if (e->code == ERR_INTERRUPTED || fstatvfs(d->fd, &fs) != 0)
		return;
	left = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (e->sys_errno != ENOSPC && left >= FULL_BYTES)
		return;
	(void)err_prefix(e, "the file system of '%s' is full (%llu MB are "
	    "free, up to %llu MB may be needed): make room there or use "
	    "--state-dir", d->path, (unsigned long long)left >> 20,
	    (unsigned long long)needed_bytes >> 20);
}
