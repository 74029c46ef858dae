/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template's description as text; used by dvm-prepare.  Trusts the struct,
 * which pr_cfg_read() checked.
 */
#include <inttypes.h>
#include <string.h>

#include "prep/pr_config.h"

#define XVD_MAJOR 202u
#define EXTENDED (1u << 28)	/* xen-vbd-interface: beyond xvdp or 15 parts */

int
pr_config_devid(const char *untrusted_vdev, uint32_t *devid, struct err *e)
{
	const char *at = untrusted_vdev + 3;
	uint32_t nr_disk = 0, part = 0;

	if (strncmp(untrusted_vdev, "xvd", 3) != 0 ||
	    *at < 'a' || *at > 'z')
		goto bad;
	/* xvda .. xvdz, xvdaa ..: base 26 without a zero. */
	for (; *at >= 'a' && *at <= 'z' && nr_disk < 1024; at++)
		nr_disk = nr_disk * 26 + (uint32_t)(*at - 'a') + 1;
	nr_disk--;
	if (*at == '0')
		goto bad;
	for (; *at >= '0' && *at <= '9' && part < 256; at++)
		part = part * 10 + (uint32_t)(*at - '0');
	if (*at != '\0' || nr_disk >= 1024 || part >= 256)
		goto bad;
	*devid = nr_disk < 16 && part < 16 ?
	    XVD_MAJOR << 8 | nr_disk << 4 | part :
	    EXTENDED | nr_disk << 8 | part;
	return 0;
bad:
	return err_set(e, ERR_INPUT, 0, "a disk is called '%.32s' in the "
	    "guest: use xvda, xvdb and so on", untrusted_vdev);
}

static int
disk_text(const struct pr_config_disk *d, uint32_t i, struct gen_text *t,
    struct err *e)
{
	if (gen_text_line(t, e, "disk.%u.vdev=%s", i, d->vdev) != 0 ||
	    gen_text_line(t, e, "disk.%u.devid=%u", i, d->devid) != 0 ||
	    gen_text_line(t, e, "disk.%u.mode=%c", i,
	    d->writable ? 'w' : 'r') != 0)
		return -1;
	if (gen_text_line(t, e, "disk.%u.origin=%s", i, d->origin) != 0 ||
	    gen_text_line(t, e, "disk.%u.sectors=%" PRIu64, i,
	    d->sectors) != 0)
		return -1;
	return gen_text_line(t, e, "disk.%u.delta=%s.delta", i, d->vdev);
}

int
pr_config_text(const struct pr_config *c, bool agent, struct gen_text *t,
    struct err *e)
{
	if (gen_text_line(t, e, "name=%s", c->name) != 0 ||
	    gen_text_line(t, e, "cfg=%s", c->cfg) != 0 ||
	    gen_text_line(t, e, "kernel=%s", c->kernel) != 0 ||
	    (c->ramdisk[0] != '\0' &&
	    gen_text_line(t, e, "ramdisk=%s", c->ramdisk) != 0))
		return -1;
	if (gen_text_line(t, e, "memory_kb=%" PRIu64, c->memory_kb) != 0 ||
	    gen_text_line(t, e, "vcpus=%u", c->nr_vcpus) != 0 ||
	    gen_text_line(t, e, "agent=%d", agent) != 0 ||
	    gen_text_line(t, e, "disk.count=%u", c->nr_disks) != 0)
		return -1;
	for (uint32_t i = 0; i < c->nr_disks; i++)
		if (disk_text(&c->disks[i], i, t, e) != 0)
			return -1;
	return 0;
}

int
pr_config_settle_text(const struct pr_config_settle *s, struct gen_text *t,
    struct err *e)
{
	if (gen_text_line(t, e, "prerun=%s", s->prerun) != 0 ||
	    gen_text_line(t, e, "user=%s", s->user) != 0 ||
	    gen_text_line(t, e, "caches=%s", s->drop_caches ? "drop" :
	    "keep") != 0)
		return -1;
	if (gen_text_line(t, e, "boot_limit=%u", s->boot_limit) != 0 ||
	    gen_text_line(t, e, "prerun_limit=%u", s->prerun_limit) != 0 ||
	    gen_text_line(t, e, "quiet_limit=%u", s->quiet_limit) != 0)
		return -1;
	if (gen_text_line(t, e, "quiet_cpu=%u", s->quiet_cpu) != 0 ||
	    gen_text_line(t, e, "quiet_disk=%u", s->quiet_disk) != 0)
		return -1;
	return gen_text_line(t, e, "quiet_seconds=%u", s->quiet_seconds);
}
