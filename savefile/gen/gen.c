/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Finding generations and the host key; used by dvm-prepare and by the
 * launcher.  Trusts the state directory as far as its owner is us and nobody
 * else may write there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "include/cleanup.h"
#include "savefile/gen/gen.h"

/* A prune may take the generation away between the readlink and the open; the
 * link then points to a newer one.  Twice in a row is not prune's doing. */
#define OPEN_TRIES 3
/* A template of that name would be in the way, and is the default. */
#define DEFAULT_LINK "default"
#define CFG_LINK "cfg"

int
gen_template_name(const char *untrusted_arg, char *name, size_t cap,
    struct err *e)
{
	const char *slash = strrchr(untrusted_arg, '/');
	const char *base = slash != NULL ? slash + 1 : untrusted_arg;
	size_t len = strlen(base);

	if (len > 4 && strcmp(base + len - 4, ".cfg") == 0)
		len -= 4;
	if (len == 0 || len > GEN_NAME_MAX || len >= cap)
		return err_set(e, ERR_USAGE, 0, "a template's name has 1 to %d "
		    "characters, this has %zu: '%.64s'", GEN_NAME_MAX, len,
		    base);
	if (base[0] == '.' || base[0] == '-' ||
	    strspn(base, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	    "0123456789_.-") < len)
		return err_set(e, ERR_USAGE, 0, "a template's name has "
		    "letters, digits, '_', '.' and '-' only, and begins with "
		    "neither of the last two: '%.64s'", base);
	memcpy(name, base, len);
	name[len] = '\0';
	return 0;
}

int
gen_is_template(const char *state_dir, const char *entry)
{
	static const char *const signs[] = { "current", "lock" };
	char path[PATH_MAX], name[GEN_NAME_MAX + 1];
	struct err ignored;
	struct stat st;
	int n;

	if (gen_template_name(entry, name, sizeof(name), &ignored) != 0 ||
	    strcmp(name, entry) != 0)
		return 0;
	/* Not the link that is the default. */
	n = snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	if (n < 0 || (size_t)n >= sizeof(path) || lstat(path, &st) != 0 ||
	    !S_ISDIR(st.st_mode))
		return 0;
	for (size_t i = 0; i < 2; i++) {
		n = snprintf(path, sizeof(path), "%s/%s/%s", state_dir, name,
		    signs[i]);
		if (n > 0 && (size_t)n < sizeof(path) && lstat(path, &st) == 0)
			return 1;
	}
	return 0;
}

/* How many templates there are; `name` is one of them. */
static unsigned
find_only(const char *state_dir, char name[GEN_NAME_MAX + 1])
{
	DIR *dir = opendir(state_dir);
	const struct dirent *entry;
	unsigned nr = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (!gen_is_template(state_dir, entry->d_name))
			continue;
		(void)snprintf(name, GEN_NAME_MAX + 1, "%.*s",
		    GEN_NAME_MAX, entry->d_name);
		nr++;
	}
	if (dir != NULL)
		(void)closedir(dir);
	return nr;
}

int
gen_default(const char *state_dir, char name[GEN_NAME_MAX + 1],
    struct err *e)
{
	char path[PATH_MAX];
	unsigned nr;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/" DEFAULT_LINK, state_dir);
	n = readlink(path, name, GEN_NAME_MAX);
	if (n >= 0) {
		name[n] = '\0';
		if (gen_is_template(state_dir, name))
			return 0;
		return err_set(e, ERR_STALE, 0, "the default template, %s, is "
		    "not there: dvm-prepare --default makes another one it",
		    name);
	}
	nr = find_only(state_dir, name);
	if (nr == 1)
		return 0;
	return err_set(e, ERR_STALE, 0, nr == 0 ? "there is no template: run "
	    "dvm-prepare on a configuration" : "no template is named, and "
	    "none is the default: name one, or choose with dvm-prepare "
	    "--default");
}

/* Makes the link, or makes it anew, in one step. */
static int
set_link(const char *path, const char *to, struct err *e)
{
	char new[PATH_MAX + 8];

	(void)snprintf(new, sizeof(new), "%s.new", path);
	(void)unlink(new);
	if (symlink(to, new) != 0 || rename(new, path) != 0)
		return err_set(e, ERR_SYS, errno, "cannot make the link %s to "
		    "%s", path, to);
	return 0;
}

int
gen_set_default(const char *state_dir, const char *name, struct err *e)
{
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/" DEFAULT_LINK, state_dir);
	return set_link(path, name, e);
}

int
gen_cfg(const char *state_dir, const char *name, char path[PATH_MAX],
    struct err *e)
{
	char link[PATH_MAX];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "%s/%s/" CFG_LINK, state_dir, name);
	n = readlink(link, path, PATH_MAX);
	if (n > 0 && n < PATH_MAX && path[0] == '/') {
		path[n] = '\0';
		return 0;
	}
	return err_set(e, ERR_STALE, n < 0 ? errno : 0, "nothing says which "
	    "configuration template %s is of: run dvm-prepare on it (%s)",
	    name, link);
}

int
gen_set_cfg(const char *state_dir, const char *name, const char *path,
    struct err *e)
{
	char link[PATH_MAX];

	(void)snprintf(link, sizeof(link), "%s/%s/" CFG_LINK, state_dir, name);
	return set_link(link, path, e);
}

static int
read_host_key(int fd, const char *path, uint8_t key[SF_KEY_BYTES],
    struct err *e)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return err_set(e, ERR_SYS, errno, "cannot stat '%s'", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 077) != 0)
		return err_set(e, ERR_AUTH, 0, "'%s' must be a file that only "
		    "its owner, root, may read: remove it and prepare the "
		    "templates anew", path);
	n = pread(fd, key, SF_KEY_BYTES, 0);
	if (n < 0)
		return err_set(e, ERR_SYS, errno, "cannot read '%s'", path);
	if (n != SF_KEY_BYTES || st.st_size != SF_KEY_BYTES)
		return err_set(e, ERR_AUTH, 0, "'%s' has %lld bytes instead of "
		    "%u: remove it and prepare the templates anew", path,
		    (long long)st.st_size, SF_KEY_BYTES);
	return 0;
}

/* Without a name until it is whole, so neither a crash nor a second maker can
 * leave half a key; who links second uses the first one's. */
static int
make_host_key(const char *state_dir, const char *path, struct err *e)
{
	uint8_t key[SF_KEY_BYTES];
	char self[32];
	AUTO_FD fd = -1, dir = -1;

	fd = open(state_dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "cannot make '%s'", path);
	randombytes_buf(key, sizeof(key));
	if (write(fd, key, sizeof(key)) != (ssize_t)sizeof(key) ||
	    fsync(fd) != 0) {
		sodium_memzero(key, sizeof(key));
		return err_set(e, ERR_SYS, errno, "cannot write '%s'", path);
	}
	sodium_memzero(key, sizeof(key));
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) != 0 &&
	    errno != EEXIST)
		return err_set(e, ERR_SYS, errno, "cannot make '%s'", path);
	dir = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) != 0)
		return err_set(e, ERR_SYS, errno, "cannot sync '%s'",
		    state_dir);
	return 0;
}

int
gen_host_key(const char *state_dir, int create, uint8_t key[SF_KEY_BYTES],
    struct err *e)
{
	char path[PATH_MAX];
	AUTO_FD fd = -1;
	int n;

	n = snprintf(path, sizeof(path), "%s/host.key", state_dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE, 0, "the state directory's name is "
		    "too long");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT && create) {
		if (make_host_key(state_dir, path, e) != 0)
			return -1;
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	}
	if (fd < 0 && errno == ENOENT)
		return err_set(e, ERR_STALE, 0, "there is no host key '%s': "
		    "run dvm-prepare, which makes it", path);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "cannot open '%s'", path);
	return read_host_key(fd, path, key, e);
}

/* One look: 1 and *gen is filled, 0 if what `current` named is gone. */
static int
open_once(const char *state_dir, const char *template_name,
    struct gen *gen, struct err *e)
{
	char path[PATH_MAX], link[NAME_MAX + 1];
	ssize_t len;
	int n;

	n = snprintf(path, sizeof(path), "%s/%s/current", state_dir,
	    template_name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE, 0, "the state directory's name is "
		    "too long");
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0 && errno == ENOENT)
		return err_set(e, ERR_STALE, 0, "template '%s' has no "
		    "generation in '%s': run dvm-prepare on its configuration",
		    template_name, state_dir);
	if (len < 0)
		return err_set(e, ERR_SYS, errno, "cannot read '%s'", path);
	link[len] = '\0';
	if (strncmp(link, "gen-", 4) != 0 || strchr(link, '/') != NULL)
		return err_set(e, ERR_INPUT, 0, "'%s' points to '%.64s', which "
		    "is no generation", path, link);
	n = snprintf(path, sizeof(path), "%s/%s/%s", state_dir, template_name,
	    link);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE, 0, "the state directory's name is "
		    "too long");
	if (realpath(path, gen->dir) == NULL)
		return errno == ENOENT ? 0 :
		    err_set(e, ERR_SYS, errno, "cannot find '%s'", path);
	n = snprintf(path, sizeof(path), "%s/savefile", gen->dir);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_set(e, ERR_USAGE, 0, "the state directory's name is "
		    "too long");
	gen->savefile_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (gen->savefile_fd < 0)
		return errno == ENOENT ? 0 :
		    err_set(e, ERR_SYS, errno, "cannot open '%s'", path);
	return 1;
}

int
gen_open_current(const char *state_dir, const char *template_name,
    struct gen *gen, struct err *e)
{
	*gen = (struct gen){ .savefile_fd = -1 };
	if (gen_template_name(template_name, gen->template_name,
	    sizeof(gen->template_name), e) != 0)
		return -1;
	for (int i = 0; i < OPEN_TRIES; i++) {
		int found = open_once(state_dir, gen->template_name, gen, e);

		if (found != 0)
			return found < 0 ? -1 : 0;
	}
	return err_set(e, ERR_STALE, 0, "the current generation of template "
	    "'%s' has no savefile: run dvm-prepare --force",
	    gen->template_name);
}

void
gen_close(struct gen *gen)
{
	if (gen->savefile_fd >= 0)
		(void)close(gen->savefile_fd);
	gen->savefile_fd = -1;
}
