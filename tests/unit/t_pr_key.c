/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A generation's key: the same template on the same host matches, and every
 * single change is named.
 */
#include "savefile/gen/gen_key.h"
#include "savefile/gen/gen_text.h"
#include "tests/unit/t_pr_files.h"
#include "tests/unit/tap.h"

struct fixture {
	struct t_pr_files files;
	char config_text[8192], key_text[GEN_KEY_BYTES_MAX];
	struct sf_blob config, key;
	struct hv_host host;
};

static void
make(struct fixture *f)
{
	struct gen_text t = { .buf = f->config_text,
	    .cap = sizeof(f->config_text) };
	struct err e;

	t_pr_files_make(&f->files);
	f->host = (struct hv_host){ .xen_major = 4, .xen_minor = 17,
	    .xen_extra = ".7", .build_id = "abcdef", .tsc_khz = 2000000,
	    .cpu_policy = { 1, 2, 3 }, .cpu_policy_len = 3 };
	if (pr_config_text(&f->files.config, true, &t, &e) != 0)
		abort();
	f->config = gen_text_blob(&t);
	if (!ok(gen_key_build(&f->config, &f->host, f->key_text,
	    sizeof(f->key_text), &e) == 0, "a key is built"))
		exit(tap_done());
	f->key = (struct sf_blob){ (const uint8_t *)f->key_text,
	    strlen(f->key_text) };
}

static bool
stale(const struct fixture *f, const char *mention)
{
	struct err e = { .code = ERR_NONE };

	return gen_key_check(&f->key, &f->config, &f->host, &e) == -1 &&
	    e.code == ERR_STALE && strstr(e.msg, mention) != NULL;
}

static bool
fresh(const struct fixture *f)
{
	struct err e;

	return gen_key_check(&f->key, &f->config, &f->host, &e) == 0;
}

static void
test_host(struct fixture *f)
{
	struct hv_host was = f->host;

	ok(fresh(f), "the same host and template match");
	f->host.xen_extra[1] = '8';
	ok(stale(f, "4.17.8"), "another Xen version is stale");
	f->host = was;
	f->host.build_id[0] = 'f';
	ok(stale(f, "build"), "another build of Xen is stale");
	f->host = was;
	f->host.cpu_policy[2] ^= 1;
	ok(stale(f, "CPU policy"), "another CPU policy is stale");
	f->host = was;
	f->host.tsc_khz++;
	ok(stale(f, "TSC"), "another TSC frequency is stale");
	f->host = was;
	f->host.free_bytes = 1;
	ok(fresh(f), "free memory is no part of the key");
	f->host = was;
}

static void
set_mtime(const char *path)
{
	const struct timespec times[2] = { { 1, 0 }, { 1, 0 } };

	if (utimensat(AT_FDCWD, path, times, 0) != 0)
		abort();
}

static void
test_boot_files(struct fixture *f)
{
	const struct pr_config *c = &f->files.config;

	set_mtime(c->kernel);
	ok(fresh(f), "a kernel with another time but the same content matches");
	t_pr_write(c->kernel, "kernel two");
	ok(stale(f, "kernel"), "another kernel is stale");
	t_pr_write(c->kernel, "kernel one");
	ok(fresh(f), "the old kernel, back again, matches");
	t_pr_write(c->ramdisk, "ramdisk two");
	ok(stale(f, "initrd"), "another initrd is stale");
	t_pr_write(c->ramdisk, "ramdisk one");
	t_pr_write(c->cfg, "type=\"pvh\" \n");
	ok(stale(f, "configuration"), "another configuration is stale");
	t_pr_write(c->cfg, "type=\"pvh\"\n");
	ok(fresh(f), "the old configuration, back again, matches");
	(void)unlink(c->ramdisk);
	ok(stale(f, "ramdisk"), "a missing initrd is stale");
	t_pr_write(c->ramdisk, "ramdisk one");
}

/* The disk cannot be brought back: the change stamp sees to that. */
static void
test_disk(struct fixture *f)
{
	const char *path = f->files.config.disks[0].origin;
	struct timespec times[2];
	struct stat st;
	int fd;

	if (stat(path, &st) != 0)
		abort();
	ok(fresh(f), "an untouched disk matches");
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, "x", 1, 30000) != 1 ||
	    futimens(fd, times) != 0 || close(fd) != 0)
		abort();
	ok(stale(f, "disk"), "a byte written to the disk is stale, even with "
	    "the time set back");
}

static void
test_text(const struct fixture *f)
{
	char small[64];
	struct err e = { .code = ERR_NONE };
	struct gen_text t = { .buf = small, .cap = sizeof(small) };

	ok(gen_key_build(&f->config, &f->host, small, sizeof(small), &e) == -1
	    && e.code == ERR_INPUT, "a key that does not fit is an error");
	ok(gen_text_line(&t, &e, "a=%s", "b\nc=d") == -1 && t.len == 0,
	    "a newline in a value is refused");
	ok(gen_text_line(&t, &e, "a=%s", "\xc3\xa4") == -1 && t.len == 0,
	    "a byte that is not ASCII is refused");
	ok(gen_text_line(&t, &e, "a=%s", "b") == 0 && t.len == 4 &&
	    strcmp(small, "a=b\n") == 0, "a line is a line");
}

int
main(void)
{
	static struct fixture f;

	make(&f);
	test_host(&f);
	test_boot_files(&f);
	test_text(&f);
	test_disk(&f);
	t_pr_remove_tree(f.files.dir);
	return tap_done();
}
