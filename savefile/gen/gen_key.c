/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What an image depends on, as text; used by dvm-prepare and by the launcher.
 * Trusts the host's description; the files are only hashed, never parsed.
 *
 * Small files (configuration, kernel, initrd) are compared by content.  A
 * kernel's and initrd's content is only read again when its change stamp
 * differs.  A disk image is compared by its stamp alone, since hashing
 * gigabytes before a launch is out of the question: size, inode, mtime and
 * ctime, of which the last cannot be set back by ordinary means.  A block
 * device has no time that follows its content: there it is the size and the
 * content of the first and last MiB, where file systems and partition tables
 * keep what changes at each mount; a write in the middle goes unseen.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "include/cleanup.h"
#include "savefile/gen/gen_key.h"
#include "savefile/gen/gen_text.h"

#define HASH_BYTES 32u
#define POLICY_HASH_BYTES 16u
#define HEX_BYTES (2 * HASH_BYTES + 1)
#define EDGE_BYTES (1u << 20)
#define STAMP_BYTES 160
#define NAME_BYTES 64
#define DISKS_MAX 64

struct key {
	const struct sf_blob *config;
	const struct sf_blob *recorded;	/* NULL when built from nothing */
	struct gen_text text;
};

static int
read_error(struct err *e, const char *name, const char *path)
{
	return err_set(e, errno == ENOENT ? ERR_INPUT : ERR_SYS, errno,
	    "cannot read the template's %s '%s'", name, path);
}

/* Hashes [off, off + len) of the file, or to its end if that comes first. */
static int
hash_range(crypto_generichash_state *hash, int fd, uint64_t off, uint64_t len)
{
	uint8_t buf[65536];

	while (len > 0) {
		size_t want = len < sizeof(buf) ? (size_t)len : sizeof(buf);
		ssize_t n = pread(fd, buf, want, (off_t)off);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		(void)crypto_generichash_update(hash, buf,
		    (unsigned long long)n);
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

static void
hash_hex(crypto_generichash_state *hash, size_t bytes, char hex[HEX_BYTES])
{
	uint8_t digest[HASH_BYTES];

	(void)crypto_generichash_final(hash, digest, bytes);
	(void)sodium_bin2hex(hex, HEX_BYTES, digest, bytes);
}

static int
hash_file(int fd, char hex[HEX_BYTES])
{
	crypto_generichash_state hash;

	(void)crypto_generichash_init(&hash, NULL, 0, HASH_BYTES);
	if (hash_range(&hash, fd, 0, INT64_MAX) != 0)
		return -1;
	hash_hex(&hash, HASH_BYTES, hex);
	return 0;
}

static uint64_t
time_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

static void
file_stamp(const struct stat *st, char stamp[STAMP_BYTES])
{
	(void)snprintf(stamp, STAMP_BYTES,
	    "%lld:%" PRIu64 ":%" PRIu64 ":%" PRIu64, (long long)st->st_size,
	    (uint64_t)st->st_ino, time_ns(&st->st_mtim),
	    time_ns(&st->st_ctim));
}

static int
device_stamp(int fd, char stamp[STAMP_BYTES])
{
	crypto_generichash_state hash;
	char hex[HEX_BYTES];
	uint64_t size;

	if (ioctl(fd, BLKGETSIZE64, &size) != 0)
		return -1;
	(void)crypto_generichash_init(&hash, NULL, 0, HASH_BYTES);
	if (hash_range(&hash, fd, 0, EDGE_BYTES) != 0 ||
	    hash_range(&hash, fd, size > EDGE_BYTES ? size - EDGE_BYTES : 0,
	    EDGE_BYTES) != 0)
		return -1;
	hash_hex(&hash, HASH_BYTES, hex);
	(void)snprintf(stamp, STAMP_BYTES, "%" PRIu64 ":%s", size, hex);
	return 0;
}

/* 1 and *fd, 0 if the config does not have `name`. */
static int
open_named(const struct key *k, const char *name, char path[PATH_MAX],
    int *fd, struct err *e)
{
	struct err absent;

	if (sf_state_text_get(k->config, name, path, PATH_MAX, &absent) != 0)
		return 0;
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? read_error(e, name, path) : 1;
}

/* kernel.stamp and kernel.hash, or the same for the ramdisk. */
static int
add_boot_file(struct key *k, const char *name, struct err *e)
{
	char path[PATH_MAX], stamp[STAMP_BYTES], old[STAMP_BYTES];
	char hex[HEX_BYTES], field[NAME_BYTES];
	struct err absent;
	struct stat st;
	AUTO_FD fd = -1;
	int found = open_named(k, name, path, &fd, e);

	if (found <= 0)
		return found;
	if (fstat(fd, &st) != 0)
		return read_error(e, name, path);
	file_stamp(&st, stamp);
	if (gen_text_line(&k->text, e, "%s.stamp=%s", name, stamp) != 0)
		return -1;
	(void)snprintf(field, sizeof(field), "%s.stamp", name);
	if (k->recorded != NULL && sf_state_text_get(k->recorded, field, old,
	    sizeof(old), &absent) == 0 && strcmp(old, stamp) == 0) {
		(void)snprintf(field, sizeof(field), "%s.hash", name);
		if (sf_state_text_get(k->recorded, field, hex, sizeof(hex),
		    &absent) == 0)
			return gen_text_line(&k->text, e, "%s=%s", field, hex);
	}
	if (hash_file(fd, hex) != 0)
		return read_error(e, name, path);
	return gen_text_line(&k->text, e, "%s.hash=%s", name, hex);
}

static int
add_config_file(struct key *k, struct err *e)
{
	char path[PATH_MAX], hex[HEX_BYTES];
	AUTO_FD fd = -1;
	int found = open_named(k, "cfg", path, &fd, e);

	if (found <= 0)
		return found < 0 ? -1 : err_set(e, ERR_INPUT, 0,
		    "the generation does not say what configuration it is of");
	if (hash_file(fd, hex) != 0)
		return read_error(e, "cfg", path);
	return gen_text_line(&k->text, e, "config.hash=%s", hex);
}

static int
add_disk(struct key *k, uint64_t i, struct err *e)
{
	char path[PATH_MAX], stamp[STAMP_BYTES], name[NAME_BYTES];
	struct stat st;
	AUTO_FD fd = -1;
	int found;

	(void)snprintf(name, sizeof(name), "disk.%" PRIu64 ".origin", i);
	found = open_named(k, name, path, &fd, e);
	if (found <= 0)
		return found < 0 ? -1 : err_set(e, ERR_INPUT, 0,
		    "the generation's description has no '%s'", name);
	if (fstat(fd, &st) != 0)
		return read_error(e, name, path);
	if (!S_ISBLK(st.st_mode))
		file_stamp(&st, stamp);
	else if (device_stamp(fd, stamp) != 0)
		return read_error(e, name, path);
	return gen_text_line(&k->text, e, "disk.%" PRIu64 ".stamp=%s", i,
	    stamp);
}

static int
add_host(struct key *k, const struct hv_host *host, struct err *e)
{
	crypto_generichash_state hash;
	char hex[HEX_BYTES];

	(void)crypto_generichash_init(&hash, NULL, 0, POLICY_HASH_BYTES);
	(void)crypto_generichash_update(&hash, host->cpu_policy,
	    host->cpu_policy_len);
	hash_hex(&hash, POLICY_HASH_BYTES, hex);
	if (gen_text_line(&k->text, e, "xen.version=%u.%u%.*s", host->xen_major,
	    host->xen_minor, (int)sizeof(host->xen_extra),
	    host->xen_extra) != 0 ||
	    gen_text_line(&k->text, e, "xen.build_id=%.64s",
	    host->build_id) != 0 ||
	    gen_text_line(&k->text, e, "host.cpu_policy=%s", hex) != 0)
		return -1;
	return gen_text_line(&k->text, e, "host.tsc_khz=%u", host->tsc_khz);
}

static int
build(struct key *k, const struct hv_host *host, struct err *e)
{
	uint64_t nr_disks;

	if (add_host(k, host, e) != 0 || add_config_file(k, e) != 0 ||
	    add_boot_file(k, "kernel", e) != 0 ||
	    add_boot_file(k, "ramdisk", e) != 0)
		return -1;
	if (sf_state_text_get_u64(k->config, "disk.count", &nr_disks, e) != 0)
		return -1;
	if (nr_disks > DISKS_MAX)
		return err_set(e, ERR_INPUT, 0, "the generation names %" PRIu64
		    " disks, %d at most are possible", nr_disks, DISKS_MAX);
	for (uint64_t i = 0; i < nr_disks; i++)
		if (add_disk(k, i, e) != 0)
			return -1;
	return 0;
}

int
gen_key_build(const struct sf_blob *config, const struct hv_host *host,
    char *text, size_t cap, struct err *e)
{
	struct key k = {
		.config = config,
		.text = { .buf = text, .cap = cap }
	};

	return build(&k, host, e);
}

/* What a person calls the thing that a line of the key is about. */
static const char *
subject(const char *name)
{
	static const struct {
		const char *name, *subject;
	} subjects[] = {
		{ "xen.version", "Xen's version" },
		{ "xen.build_id", "the build of Xen" },
		{ "host.cpu_policy", "the CPU policy (processor, microcode or "
		    "Xen's command line)" },
		{ "host.tsc_khz", "the TSC frequency that Xen measured" },
		{ "config.hash", "the template's configuration" },
		{ "kernel.hash", "the template's kernel" },
		{ "ramdisk.hash", "the template's initrd" },
	};

	for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
		if (strcmp(name, subjects[i].name) == 0)
			return subjects[i].subject;
	return strncmp(name, "disk.", 5) == 0 ? "a disk of the template" :
	    name;
}

static int
changed(const struct sf_blob *config, const char *name, const char *was,
    const char *is, struct err *e)
{
	char cfg[256] = "TEMPLATE";
	struct err absent;

	(void)sf_state_text_get(config, "cfg", cfg, sizeof(cfg), &absent);
	return err_set(e, ERR_STALE, 0, "%s changed since the generation was "
	    "made (%s was %.40s, is %.40s): run dvm-prepare %.160s",
	    subject(name), name, was, is, cfg);
}

/* Stamps that only save a hashing may differ while the hash agrees. */
static int
is_hint(const char *name)
{
	return strcmp(name, "kernel.stamp") == 0 ||
	    strcmp(name, "ramdisk.stamp") == 0;
}

static int
compare(const struct key *k, struct err *e)
{
	char name[NAME_BYTES], was[STAMP_BYTES], is[STAMP_BYTES];
	const char *line = k->text.buf;
	struct err absent;

	while (*line != '\0') {
		const char *equals = strchr(line, '=');
		const char *end = strchr(line, '\n');

		/* Both are there: the lines are gen_text_line()'s. */
		(void)snprintf(name, sizeof(name), "%.*s",
		    (int)(equals - line), line);
		(void)snprintf(is, sizeof(is), "%.*s",
		    (int)(end - equals - 1), equals + 1);
		line = end + 1;
		if (is_hint(name))
			continue;
		if (sf_state_text_get(k->recorded, name, was, sizeof(was),
		    &absent) != 0)
			(void)snprintf(was, sizeof(was), "not recorded");
		if (strcmp(was, is) != 0)
			return changed(k->config, name, was, is, e);
	}
	return 0;
}

int
gen_key_check(const struct sf_blob *recorded, const struct sf_blob *config,
    const struct hv_host *host, struct err *e)
{
	char text[GEN_KEY_BYTES_MAX];
	struct key k = {
		.config = config,
		.recorded = recorded,
		.text = { .buf = text, .cap = sizeof(text) }
	};

	if (build(&k, host, e) != 0) {
		/* A file that is no longer there has changed, too. */
		if (e->sys_errno == ENOENT)
			e->code = ERR_STALE;
		return -1;
	}
	return compare(&k, e);
}
