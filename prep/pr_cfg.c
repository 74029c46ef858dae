/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From xl.cfg to struct pr_config, by libxlutil.  The file is the
 * administrator's and so is trusted not to be hostile, but not to describe a
 * guest that we can prepare.  The only file that includes libxl's headers.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libxlutil.h>

#include "include/cleanup.h"
#include "prep/pr_cfg.h"

/* Settings that make a guest which cannot be recorded or multiplied. */
static const struct refused {
	const char *key, *reason;
} refused[] = {
	{ "vif", "a network interface is added after the launch" },
	{ "pci", "a PCI device cannot be recorded" },
	{ "usbctrl", "a USB controller cannot be recorded" },
	{ "usbdev", "a USB device cannot be recorded" },
	{ "usbdevice", "a USB device cannot be recorded" },
	{ "dtdev", "a passed-through device cannot be recorded" },
	{ "vfb", "a frame buffer cannot be recorded" },
	{ "vkb", "a keyboard device cannot be recorded" },
	{ "vdispl", "a display cannot be recorded" },
	{ "vsnd", "a sound device cannot be recorded" },
	{ "vtpm", "a TPM cannot be shared by many guests" },
	{ "p9", "a shared folder cannot be recorded" },
	{ "pvcalls", "a socket device cannot be recorded" },
	{ "channel", "a channel cannot be recorded" },
	{ "ioports", "a passed-through I/O port cannot be recorded" },
	{ "irqs", "a passed-through interrupt cannot be recorded" },
	{ "iomem", "passed-through memory cannot be recorded" },
	{ "nestedhvm", "a hypervisor in a guest cannot be recorded" },
	{ "altp2m", "alternate page tables cannot be recorded" },
	{ "vnuma", "Xen does not save a guest with virtual NUMA nodes" },
	{ "device_model_override", "a guest with a device model cannot be "
	    "prepared" },
	{ "bootloader", "the kernel and ramdisk must be files of dom0 "
	    "(kernel=, ramdisk=)" },
};

static bool
is_set(const XLU_Config *cfg, const char *key)
{
	const char *text;
	int nr;

	if (xlu_cfg_get_list(cfg, key, NULL, &nr, 1) == 0)
		return nr > 0;
	return xlu_cfg_get_string(cfg, key, &text, 1) == 0 && text[0] != '\0';
}

static int
check_refused(const XLU_Config *cfg, struct err *e)
{
	const char *type = "pv";

	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (is_set(cfg, refused[i].key))
			return err_set(e, ERR_INPUT, 0, "%s: take '%s' out of "
			    "the configuration", refused[i].reason,
			    refused[i].key);
	(void)xlu_cfg_get_string(cfg, "type", &type, 1);
	if (strcasecmp(type, "pvh") != 0)
		return err_set(e, ERR_INPUT, 0, "the guest's type is '%.16s': "
		    "only type=\"pvh\" can be prepared", type);
	return 0;
}

/* An optional number; *value keeps its default. */
static int
get_number(const XLU_Config *cfg, const char *key, long max, long *value,
    struct err *e)
{
	int rc = xlu_cfg_get_long(cfg, key, value, 1);

	if (rc == ESRCH)
		return 0;
	if (rc != 0 || *value < 1 || *value > max)
		return err_set(e, ERR_INPUT, 0, "'%s' must be a number from 1 "
		    "to %ld", key, max);
	return 0;
}

static int
read_sizes(const XLU_Config *cfg, struct pr_config *c, struct err *e)
{
	long memory = 0, maxmem, vcpus = 1, maxvcpus, grants = 0;

	if (get_number(cfg, "memory", 1l << 30, &memory, e) != 0)
		return -1;
	maxmem = memory;
	if (get_number(cfg, "maxmem", 1l << 30, &maxmem, e) != 0 ||
	    get_number(cfg, "vcpus", SF_NR_VCPUS_MAX, &vcpus, e) != 0)
		return -1;
	maxvcpus = vcpus;
	if (get_number(cfg, "maxvcpus", SF_NR_VCPUS_MAX, &maxvcpus, e) != 0 ||
	    get_number(cfg, "max_grant_frames", INT32_MAX, &grants, e) != 0)
		return -1;
	if (memory == 0)
		return err_set(e, ERR_INPUT, 0, "'memory' is not set");
	if (maxmem != memory)
		return err_set(e, ERR_INPUT, 0, "a template's memory is fixed: "
		    "take 'maxmem' out of the configuration");
	c->memory_kb = (uint64_t)memory << 10;
	c->nr_vcpus = (uint32_t)(maxvcpus > vcpus ? maxvcpus : vcpus);
	c->max_grant_frames = (uint32_t)grants;
	return 0;
}

/* A file that the configuration names, made absolute.  Links stay in it: one
 * that leads elsewhere later is a change that the key shows. */
static int
full_path(const char *what, const char *given, char path[PATH_MAX],
    struct err *e)
{
	size_t len = 0;

	if (access(given, F_OK) != 0)
		return err_set(e, ERR_INPUT, errno, "the %s '%s'", what,
		    given);
	if (given[0] != '/') {
		if (getcwd(path, PATH_MAX - 1) == NULL)
			return err_set(e, ERR_SYS, errno, "getcwd");
		len = strlen(path);
		path[len++] = '/';
		while (strncmp(given, "./", 2) == 0)
			given += 2;
	}
	if (strlen(given) >= PATH_MAX - len)
		return err_set(e, ERR_INPUT, ENAMETOOLONG, "the %s '%s'", what,
		    given);
	memcpy(path + len, given, strlen(given) + 1);
	return 0;
}

static int
read_boot_files(const XLU_Config *cfg, struct pr_config *c, struct err *e)
{
	const char *given;

	if (xlu_cfg_get_string(cfg, "kernel", &given, 1) != 0)
		return err_set(e, ERR_INPUT, 0, "'kernel' is not set");
	if (full_path("kernel", given, c->kernel, e) != 0)
		return -1;
	if (xlu_cfg_get_string(cfg, "ramdisk", &given, 1) == 0 &&
	    full_path("ramdisk", given, c->ramdisk, e) != 0)
		return -1;
	return 0;
}

static int
read_sectors(struct pr_config_disk *d, struct err *e)
{
	AUTO_FD fd = open(d->origin, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint64_t bytes;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_set(e, ERR_INPUT, errno, "cannot open '%s'",
		    d->origin);
	if (S_ISREG(st.st_mode))
		bytes = (uint64_t)st.st_size;
	else if (!S_ISBLK(st.st_mode) || ioctl(fd, BLKGETSIZE64, &bytes) != 0)
		return err_set(e, ERR_INPUT, 0, "'%s' is neither a file nor a "
		    "block device", d->origin);
	d->sectors = bytes / 512;
	if (d->sectors == 0)
		return err_set(e, ERR_INPUT, 0, "'%s' is empty", d->origin);
	return 0;
}

static int
check_disk(const libxl_device_disk *x, struct err *e)
{
	if (x->is_cdrom)
		return err_set(e, ERR_INPUT, 0, "a CD-ROM cannot be recorded: "
		    "take it out of the configuration");
	if (x->backend_domid != 0 || (x->backend_domname != NULL &&
	    strcmp(x->backend_domname, "0") != 0 &&
	    strcmp(x->backend_domname, "Domain-0") != 0))
		return err_set(e, ERR_INPUT, 0, "the disk is served by another "
		    "domain: only dom0's disks can be recorded");
	if ((x->format != LIBXL_DISK_FORMAT_RAW &&
	    x->format != LIBXL_DISK_FORMAT_UNKNOWN) ||
	    (x->backend != LIBXL_DISK_BACKEND_PHY &&
	    x->backend != LIBXL_DISK_BACKEND_UNKNOWN) || x->script != NULL)
		return err_set(e, ERR_INPUT, 0, "the disk is not a raw file or "
		    "a block device: convert it to raw");
	if (x->vdev == NULL || x->pdev_path == NULL ||
	    strlen(x->vdev) >= sizeof(((struct pr_config_disk *)0)->vdev))
		return err_set(e, ERR_INPUT, 0, "the disk has no vdev or no "
		    "target");
	return 0;
}

static int
read_disk(XLU_Config *cfg, const char *spec, struct pr_config_disk *d,
    struct err *e)
{
	libxl_device_disk x;
	int rc = -1;

	libxl_device_disk_init(&x);
	if (xlu_disk_parse(cfg, 1, &spec, &x) != 0) {
		(void)err_set(e, ERR_INPUT, 0, "the disk cannot be "
		    "understood");
		goto out;
	}
	if (check_disk(&x, e) != 0 ||
	    pr_config_devid(x.vdev, &d->devid, e) != 0 ||
	    full_path("target", x.pdev_path, d->origin, e) != 0)
		goto out;
	(void)snprintf(d->vdev, sizeof(d->vdev), "%s", x.vdev);
	d->writable = x.readwrite != 0;
	rc = read_sectors(d, e);
out:
	libxl_device_disk_dispose(&x);
	if (rc != 0)
		return err_prefix(e, "disk '%.80s'", spec);
	return 0;
}

static int
read_disks(XLU_Config *cfg, struct pr_config *c, struct err *e)
{
	XLU_ConfigList *list;
	int nr = 0;

	if (xlu_cfg_get_list(cfg, "disk", &list, &nr, 1) != 0)
		return err_set(e, ERR_INPUT, 0, "'disk' is not set or not a "
		    "list");
	if (nr < 1 || nr > PR_CONFIG_DISKS_MAX)
		return err_set(e, ERR_INPUT, 0, "%d disks: a template has 1 to "
		    "%d", nr, PR_CONFIG_DISKS_MAX);
	for (int i = 0; i < nr; i++) {
		const char *spec = xlu_cfg_get_listitem(list, i);

		if (spec == NULL)
			return err_set(e, ERR_INPUT, 0, "disk %d is not text",
			    i);
		if (read_disk(cfg, spec, &c->disks[i], e) != 0)
			return -1;
		for (int j = 0; j < i; j++)
			if (c->disks[j].devid == c->disks[i].devid)
				return err_set(e, ERR_INPUT, 0, "two disks are "
				    "called '%s'", c->disks[i].vdev);
	}
	c->nr_disks = (uint32_t)nr;
	return 0;
}

/* A word of printable ASCII without spaces; *text keeps its default. */
static int
get_word(const XLU_Config *cfg, const char *key, char *text, size_t cap,
    struct err *e)
{
	const char *given;

	if (xlu_cfg_get_string(cfg, key, &given, 1) != 0)
		return 0;
	for (const char *at = given; *at != '\0'; at++)
		if (*at <= ' ' || *at > '~')
			return err_set(e, ERR_INPUT, 0, "'%s' must be one "
			    "word of printable ASCII", key);
	if (given[0] == '\0' || strlen(given) >= cap)
		return err_set(e, ERR_INPUT, 0, "'%s' must have 1 to %zu "
		    "characters", key, cap - 1);
	(void)snprintf(text, cap, "%s", given);
	return 0;
}

/* Settings of our own, which xl does not look at; they say how the guest's
 * agent lets it settle. */
static int
read_settle(const XLU_Config *cfg, struct pr_config_settle *s, struct err *e)
{
	const struct {
		const char *key;
		long value, max;
		unsigned *to;
	} numbers[] = {
		{ "dvm_boot_limit", 300, 86400, &s->boot_limit },
		{ "dvm_prerun_limit", 300, 86400, &s->prerun_limit },
		{ "dvm_quiet_limit", 120, 86400, &s->quiet_limit },
		{ "dvm_quiet_cpu", 10, 100, &s->quiet_cpu },
		{ "dvm_quiet_disk", 256, 1 << 20, &s->quiet_disk },
		{ "dvm_quiet_seconds", 3, 3600, &s->quiet_seconds },
	};
	char caches[8] = "keep";

	*s = (struct pr_config_settle){ .user[0] = '\0' };
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		long value = numbers[i].value;

		if (get_number(cfg, numbers[i].key, numbers[i].max, &value,
		    e) != 0)
			return -1;
		*numbers[i].to = (unsigned)value;
	}
	if (get_word(cfg, "dvm_prerun", s->prerun, sizeof(s->prerun),
	    e) != 0 ||
	    get_word(cfg, "dvm_user", s->user, sizeof(s->user), e) != 0 ||
	    get_word(cfg, "dvm_caches", caches, sizeof(caches), e) != 0)
		return -1;
	if (s->prerun[0] != '\0' && s->prerun[0] != '/')
		return err_set(e, ERR_INPUT, 0, "'dvm_prerun' must be an "
		    "absolute path in the guest");
	s->drop_caches = strcmp(caches, "drop") == 0;
	if (!s->drop_caches && strcmp(caches, "keep") != 0)
		return err_set(e, ERR_INPUT, 0, "'dvm_caches' must be keep or "
		    "drop");
	return 0;
}

/* What the parser had to say, in front of our own message: it has the line. */
static int
with_report(const char *said, const char *path, struct err *e)
{
	if (said != NULL && said[0] != '\0')
		return err_prefix(e, "%.*s", (int)strcspn(said, "\n"), said);
	return err_prefix(e, "'%s'", path);
}

int
pr_cfg_read(const char *path, struct pr_config *c, struct err *e)
{
	XLU_Config *cfg = NULL;
	FILE *report = NULL;
	char *said = NULL;
	size_t said_len;
	int rc = -1;

	*c = (struct pr_config){ .nr_disks = 0 };
	if (gen_template_name(path, c->name, sizeof(c->name), e) != 0)
		return -1;
	if (full_path("configuration", path, c->cfg, e) != 0)
		return -1;
	report = open_memstream(&said, &said_len);
	if (report != NULL)
		cfg = xlu_cfg_init(report, path);
	if (cfg == NULL) {
		(void)err_set(e, ERR_NOMEM, errno, "cannot read '%s'", path);
		goto out;
	}
	if (xlu_cfg_readfile(cfg, c->cfg) != 0)
		(void)err_set(e, ERR_INPUT, 0, "not a valid xl.cfg");
	else if (check_refused(cfg, e) == 0 && read_sizes(cfg, c, e) == 0 &&
	    read_boot_files(cfg, c, e) == 0 && read_disks(cfg, c, e) == 0 &&
	    read_settle(cfg, &c->settle, e) == 0)
		rc = 0;
	/* Only now is `said` what was written to it. */
	if (fflush(report) == 0 && rc != 0)
		(void)with_report(said, path, e);
out:
	if (cfg != NULL)
		xlu_cfg_destroy(cfg);
	if (report != NULL)
		(void)fclose(report);
	free(said);
	return rc;
}
