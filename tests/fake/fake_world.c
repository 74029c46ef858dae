/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A state directory from real files: see fake_world.h.  Test code only.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/wire/launch_page.h"
#include "savefile/gen/gen.h"
#include "savefile/gen/gen_key.h"
#include "savefile/sf_writer.h"
#include "tests/fake/fake_world.h"
#include "tests/fake/sf_build.h"

#define PATH_BYTES (PATH_MAX + 256)
#define DISK_BYTES (1u << 20)	/* as fake_disk says of all disks */

struct texts {
	char config[4 * PATH_MAX], key[GEN_KEY_BYTES_MAX];
};

__attribute__((noreturn))
static void
fail(const char *what, const struct err *e)
{
	(void)fprintf(stderr, "fake_world: %s: %s\n", what, e->msg);
	abort();
}

static int
open_new(const char *dir, const char *file)
{
	char path[PATH_BYTES];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, file);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0) {
		perror(path);
		abort();
	}
	return fd;
}

void
fake_world_write(const char *dir, const char *file, const char *text)
{
	int fd = open_new(dir, file);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	(void)close(fd);
}

static void
make_dir(const char *dir, const char *below)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, below);
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		perror(path);
		abort();
	}
}

/* Any page that has data already, so that no count changes. */
static uint64_t
launch_gfn_of(const struct sf_guest *g)
{
	uint64_t gfn = 0;

	while (g->kinds[gfn] == SF_PAGE_ABSENT ||
	    g->kinds[gfn] == SF_PAGE_ZERO)
		gfn++;
	return gfn;
}

static uint64_t
write_savefile(int fd, const struct texts *texts,
    const uint8_t key[SF_KEY_BYTES], struct err *e)
{
	struct sf_writer_params p = { .nr_vcpus = 2, .codec = SF_CODEC_LZ4 };
	struct sf_state_room room;
	struct sf_state state;
	struct sf_writer *writer;
	struct sf_guest g;
	uint8_t page[SF_PAGE_BYTES], magic[LAUNCH_PAGE_MAGIC_BYTES];
	int rc = 0;

	if (!sf_guest_make("special-pages", 3, &g))
		abort();
	p.nr_groups_max = (uint32_t)((g.nr_gfns + SF_GROUP_PAGES - 1) /
	    SF_GROUP_PAGES);
	p.nr_pages_max = g.nr_pages;
	memset(magic, 'M', sizeof(magic));
	sf_build_state(3, 2, 3000, &room, &state);
	state.launch_gfn = launch_gfn_of(&g);
	state.config = (struct sf_blob){ (const uint8_t *)texts->config,
	    strlen(texts->config) };
	state.key = (struct sf_blob){ (const uint8_t *)texts->key,
	    strlen(texts->key) };
	writer = sf_writer_new(fd, &p, e);
	for (uint64_t gfn = 0; writer != NULL && gfn < g.nr_gfns; gfn++) {
		if (g.kinds[gfn] == SF_PAGE_ABSENT)
			continue;
		sf_guest_page(&g, gfn, page);
		if (gfn == state.launch_gfn)
			launch_page_make(page, magic);
		rc |= sf_writer_page(writer, gfn, page, e);
	}
	if (writer == NULL || rc != 0 ||
	    sf_writer_finish(writer, &state, key, e) != 0)
		fail("savefile", e);
	sf_writer_free(writer);
	sf_guest_free(&g);
	return state.launch_gfn;
}

static void
make_origins(const char *dir)
{
	char *image = malloc(DISK_BYTES);
	int fd = open_new(dir, "disk");

	if (image == NULL)
		abort();
	memset(image, 'd', DISK_BYTES);
	if (write(fd, image, DISK_BYTES) != DISK_BYTES)
		abort();
	free(image);
	(void)close(fd);
	fake_world_write(dir, "kernel", "kernel");
}

static void
make_texts(const char *dir, const char *name, struct hv *hv,
    struct texts *texts)
{
	struct sf_blob config;
	struct hv_host host;
	struct err e;

	(void)snprintf(texts->config, sizeof(texts->config), "name=%s\n"
	    "cfg=%s/%s.cfg\n"
	    "kernel=%s/kernel\nmemory_kb=8192\nvcpus=2\nagent=1\n"
	    "disk.count=1\ndisk.0.vdev=xvda\ndisk.0.devid=51712\n"
	    "disk.0.mode=w\ndisk.0.origin=%s/disk\ndisk.0.sectors=%u\n"
	    "disk.0.delta=xvda.delta\n", name, dir, name, dir, dir,
	    DISK_BYTES / 512);
	config = (struct sf_blob){ (const uint8_t *)texts->config,
	    strlen(texts->config) };
	if (hv->ops->host(hv, &host, &e) != 0 || gen_key_build(&config, &host,
	    texts->key, sizeof(texts->key), &e) != 0)
		fail("key", &e);
}

uint64_t
fake_world_add(const char *dir, const char *name, struct hv *hv)
{
	char file[256], path[PATH_BYTES];
	uint8_t key[SF_KEY_BYTES];
	struct texts texts;
	struct err e;
	uint64_t launch_gfn;
	int fd;

	if (gen_host_key(dir, 1, key, &e) != 0)
		fail("host key", &e);
	/* Templates there are would be stale if these were made anew. */
	(void)snprintf(path, sizeof(path), "%s/kernel", dir);
	if (access(path, F_OK) != 0)
		make_origins(dir);
	(void)snprintf(file, sizeof(file), "%s.cfg", name);
	(void)snprintf(texts.config, sizeof(texts.config), "type=\"pvh\"\n"
	    "memory=8\nvcpus=2\nkernel=\"%s/kernel\"\ndisk=[ \"format=raw,"
	    "vdev=xvda,access=rw,target=%s/disk\" ]\n", dir, dir);
	fake_world_write(dir, file, texts.config);
	make_dir(dir, name);
	(void)snprintf(file, sizeof(file), "%s/gen-1", name);
	make_dir(dir, file);
	(void)snprintf(file, sizeof(file), "%s/gen-1/xvda.delta", name);
	fake_world_write(dir, file, "delta");
	make_texts(dir, name, hv, &texts);
	(void)snprintf(file, sizeof(file), "%s/gen-1/savefile", name);
	fd = open_new(dir, file);
	launch_gfn = write_savefile(fd, &texts, key, &e);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/%s/current", dir, name);
	if (symlink("gen-1", path) != 0 && errno != EEXIST)
		abort();
	(void)snprintf(path, sizeof(path), "%s/%s.cfg", dir, name);
	if (gen_set_cfg(dir, name, path, &e) != 0)
		fail("cfg", &e);
	return launch_gfn;
}

void
fake_world_remove(const char *dir, const char *name)
{
	static const char *const of_template[] = { "/gen-1/savefile",
	    "/gen-1/xvda.delta", "/gen-1", "/current", "/cfg", "",
	    ".cfg" };
	static const char *const of_all[] = { "kernel", "disk", "names",
	    "host.key", "" };
	char path[PATH_BYTES];

	for (size_t i = 0; i < sizeof(of_template) / sizeof(of_template[0]);
	    i++) {
		(void)snprintf(path, sizeof(path), "%s/%s%s", dir, name,
		    of_template[i]);
		(void)remove(path);
	}
	for (size_t i = 0; i < sizeof(of_all) / sizeof(of_all[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, of_all[i]);
		(void)remove(path);
	}
}
