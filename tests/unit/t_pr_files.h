/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A scratch directory with a template's files in it, for the tests of prep/.
 */
#ifndef T_PR_FILES_H
#define T_PR_FILES_H

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prep/pr_config.h"

struct t_pr_files {
	char dir[64];
	struct pr_config config;	/* of the template "tiny" in it */
};

static inline void
t_pr_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t len = (ssize_t)strlen(text);

	if (fd < 0 || write(fd, text, (size_t)len) != len || close(fd) != 0)
		abort();
}

/* tiny.cfg, kernel, ramdisk and disk (64 KiB). */
static inline void
t_pr_files_make(struct t_pr_files *f)
{
	struct pr_config *c = &f->config;

	memset(f, 0, sizeof(*f));
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/t_pr.XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		abort();
	(void)snprintf(c->name, sizeof(c->name), "tiny");
	(void)snprintf(c->cfg, sizeof(c->cfg), "%s/tiny.cfg", f->dir);
	(void)snprintf(c->kernel, sizeof(c->kernel), "%s/kernel", f->dir);
	(void)snprintf(c->ramdisk, sizeof(c->ramdisk), "%s/ramdisk", f->dir);
	(void)snprintf(c->disks[0].origin, sizeof(c->disks[0].origin),
	    "%s/disk", f->dir);
	(void)snprintf(c->disks[0].vdev, sizeof(c->disks[0].vdev), "xvda");
	c->disks[0].devid = 51712;
	c->disks[0].writable = true;
	c->disks[0].sectors = 128;
	c->nr_disks = 1;
	c->memory_kb = 16384;
	c->nr_vcpus = 1;
	t_pr_write(c->cfg, "type=\"pvh\"\n");
	t_pr_write(c->kernel, "kernel one");
	t_pr_write(c->ramdisk, "ramdisk one");
	t_pr_write(c->disks[0].origin, "disk one");
	if (truncate(c->disks[0].origin, 65536) != 0)
		abort();
}

/* Names in `dir` that begin with `prefix`. */
static inline unsigned
t_pr_count(const char *dir, const char *prefix)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	unsigned nr = 0;

	if (d == NULL)
		return 0;
	while ((entry = readdir(d)) != NULL)
		nr += entry->d_name[0] != '.' && strncmp(entry->d_name,
		    prefix, strlen(prefix)) == 0;
	(void)closedir(d);
	return nr;
}

static inline void
t_pr_remove_tree(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	char below[512];

	if (d == NULL) {
		(void)unlink(path);
		return;
	}
	while ((entry = readdir(d)) != NULL) {
		struct stat st;

		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		(void)snprintf(below, sizeof(below), "%.250s/%.250s", path,
		    entry->d_name);
		if (lstat(below, &st) == 0 && S_ISDIR(st.st_mode))
			t_pr_remove_tree(below);
		else
			(void)unlink(below);
	}
	(void)closedir(d);
	(void)rmdir(path);
}

#endif
