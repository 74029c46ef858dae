/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens a template's current generation.  Runs as root in dvm-restored;
 * trusts what the keyed digest covers once it was checked, nothing before.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/ident.h"
#include "restore/launch/load.h"
#include "restore/launch/template.h"
#include "savefile/gen/gen_key.h"

#define CLOSE_SECONDS 5

static int
open_disk(const struct rs_template *t, struct disk *disk, unsigned number,
    struct rs_template_disk *td, struct err *e)
{
	const struct sf_blob *config = &sf_reader_state(t->reader)->config;
	char name[32], mode[4], file[64], origin[PATH_MAX];
	char delta[PATH_MAX + 80], dm_name[DISK_NAME_MAX];
	uint64_t devid, sectors;

#define DISK_TEXT(what, value) \
	((void)snprintf(name, sizeof(name), "disk.%u." what, number), \
	sf_state_text_get(config, name, value, sizeof(value), e) != 0)
#define DISK_NUMBER(what, value) \
	((void)snprintf(name, sizeof(name), "disk.%u." what, number), \
	sf_state_text_get_u64(config, name, value, e) != 0)
	if (DISK_TEXT("vdev", td->vdev) || DISK_TEXT("mode", mode) ||
	    DISK_TEXT("delta", file) || DISK_TEXT("origin", origin) ||
	    DISK_NUMBER("devid", &devid) || DISK_NUMBER("sectors", &sectors))
		return -1;
#undef DISK_TEXT
#undef DISK_NUMBER
	if (devid > UINT32_MAX || strchr(file, '/') != NULL)
		return err_set(e, ERR_INPUT, 0, "disk %u of the savefile's "
		    "config makes no sense", number);
	td->devid = (uint32_t)devid;
	td->writable = mode[0] == 'w';
	(void)snprintf(delta, sizeof(delta), "%s/%s", t->gen.dir, file);
	(void)snprintf(dm_name, sizeof(dm_name), IDENT_DM_BASE "%016llx-%s",
	    (unsigned long long)t->base_id, td->vdev);
	if (disk->ops->open_base(disk, dm_name, origin, delta, &td->base,
	    e) != 0) {
		/* A file that is no longer there: as in gen_key_check(). */
		if (access(delta, F_OK) != 0 && errno == ENOENT)
			e->code = ERR_STALE;
		return -1;
	}
	if (td->base.sectors == sectors)
		return 0;
	err_set(e, ERR_STALE, 0, "disk %s has %llu sectors, recorded were "
	    "%llu", td->vdev, (unsigned long long)td->base.sectors,
	    (unsigned long long)sectors);
	(void)disk->ops->remove(disk, &td->base, &(struct err){ 0 });
	return -1;
}

static int
open_disks(struct rs_template *t, struct disk *disk, struct err *e)
{
	const struct sf_blob *config = &sf_reader_state(t->reader)->config;
	uint64_t count;

	if (sf_state_text_get_u64(config, "disk.count", &count, e) != 0)
		return -1;
	if (getrandom(&t->base_id, sizeof(t->base_id), 0) !=
	    sizeof(t->base_id))
		return err_set(e, ERR_SYS, errno, "cannot name the disks");
	if (count > RS_DISKS_MAX)
		return err_set(e, ERR_INPUT, 0, "%llu disks, at most %d are "
		    "supported", (unsigned long long)count, RS_DISKS_MAX);
	for (; t->nr_disks < count; t->nr_disks++)
		if (open_disk(t, disk, t->nr_disks, &t->disks[t->nr_disks],
		    e) != 0)
			return -1;
	return 0;
}

static int
make_resident(struct rs_template *t, struct err *e)
{
	void *pages;

	t->resident_bytes = t->plan.nr_data * SF_PAGE_BYTES;
	if (t->resident_bytes == 0)
		return 0;
	pages = mmap(NULL, t->resident_bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (pages == MAP_FAILED)
		return err_set(e, ERR_NOMEM, errno, "no room for the decoded "
		    "image, %zu MiB", t->resident_bytes >> 20);
	t->resident = pages;
	if (rs_load_decode_all(t->reader, &t->plan, t->resident, e) != 0)
		return -1;
	(void)mprotect(t->resident, t->resident_bytes, PROT_READ);
	return 0;
}

static int
check_state(const struct rs_template *t, const struct hv_host *host,
    struct err *e)
{
	const struct sf_state *s = sf_reader_state(t->reader);

	if (s->guest_type != SF_GUEST_PVH)
		return err_set(e, ERR_INPUT, 0, "guest type %u cannot be "
		    "launched, only PVH", s->guest_type);
	return gen_key_check(&s->key, &s->config, host, e);
}

/* The launch page must be one that the load maps and fills. */
static int
find_launch_page(struct rs_template *t, struct err *e)
{
	const struct sf_state *s = sf_reader_state(t->reader);
	uint64_t agent;

	if (sf_state_text_get_u64(&s->config, "agent", &agent, e) != 0)
		return -1;
	t->has_agent = agent != 0;
	if (!t->has_agent)
		return 0;
	while (t->launch_page < t->plan.nr_data &&
	    t->plan.data_gfns[t->launch_page] != s->launch_gfn)
		t->launch_page++;
	if (t->launch_page < t->plan.nr_data)
		return 0;
	return err_set(e, ERR_STALE, 0, "the savefile has no launch page: "
	    "run dvm-prepare --force");
}

/* A path names one file, not any of its name. */
static int
check_cfg_path(const struct rs_template *t, const char *untrusted_path,
    struct err *e)
{
	char given[PATH_MAX], recorded[PATH_MAX], now[PATH_MAX];

	if (untrusted_path == NULL)
		return 0;
	if (realpath(untrusted_path, given) == NULL)
		return err_set(e, ERR_USAGE, errno, "%s", untrusted_path);
	if (sf_state_text_get(&sf_reader_state(t->reader)->config, "cfg",
	    recorded, sizeof(recorded), e) != 0)
		return -1;
	if (realpath(recorded, now) == NULL || strcmp(given, now) != 0)
		return err_set(e, ERR_STALE, 0, "it was prepared from %.180s: "
		    "run dvm-prepare %.180s", recorded, given);
	return 0;
}

static int
open_generation(const struct rs_template_params *p, struct hv *hv,
    struct disk *disk, struct rs_template *t, struct err *e)
{
	const struct sf_limits limits = {
	    .guest_bytes_max = RS_TEMPLATE_GUEST_MAX };
	uint8_t key[SF_KEY_BYTES];
	struct err ignored;

	memset(t, 0, sizeof(*t));
	t->gen.savefile_fd = -1;
	t->host = malloc(sizeof(*t->host));
	if (t->host == NULL)
		return err_set(e, ERR_NOMEM, errno, "template");
	if (gen_host_key(p->state_dir, 0, key, e) != 0 ||
	    gen_open_current(p->state_dir, p->template_name, &t->gen,
	    e) != 0)
		goto fail;
	t->reader = sf_reader_open(t->gen.savefile_fd, key, &limits, e);
	if (t->reader == NULL || hv->ops->host(hv, t->host, e) != 0 ||
	    check_cfg_path(t, p->cfg_path, e) != 0 ||
	    check_state(t, t->host, e) != 0)
		goto fail;
	t->frames_are_zero = t->host->scrub_domheap;
	if (rs_plan_make(sf_reader_image(t->reader), &t->plan, e) != 0 ||
	    find_launch_page(t, e) != 0)
		goto fail;
	if (t->plan.nr_data * SF_PAGE_BYTES <= p->resident_max ?
	    make_resident(t, e) != 0 :
	    sf_reader_prefault(t->reader, e) != 0)
		goto fail;
	if (open_disks(t, disk, e) != 0)
		goto fail;
	return 0;
fail:
	(void)rs_template_close(t, disk, &ignored);
	return err_prefix(e, "template %s", p->template_name);
}

/* A generation may be replaced and pruned between the look at `current` and
 * the opening of its disks: then there is another one. */
int
rs_template_open(const struct rs_template_params *p, struct hv *hv,
    struct disk *disk, struct rs_template *t, struct err *e)
{
	char tried[PATH_MAX];
	struct gen now;
	struct err ignored;
	bool changed;

	do {
		if (open_generation(p, hv, disk, t, e) == 0)
			return 0;
		(void)snprintf(tried, sizeof(tried), "%s", t->gen.dir);
		changed = tried[0] != '\0' && gen_open_current(
		    p->state_dir, p->template_name, &now, &ignored) == 0;
		if (changed) {
			changed = strcmp(now.dir, tried) != 0;
			gen_close(&now);
		}
	} while (changed);
	return -1;
}

int
rs_template_close(struct rs_template *t, struct disk *disk, struct err *e)
{
	uint64_t deadline = clock_now_ns() + CLOSE_SECONDS * CLOCK_SECOND;
	struct err later;
	int rc = 0;

	for (uint32_t i = 0; i < t->nr_disks; i++)
		if (disk_end(disk, &t->disks[i].base, deadline, rc == 0 ? e :
		    &later) != 0)
			rc = -1;
	if (t->resident != NULL)
		(void)munmap(t->resident, t->resident_bytes);
	t->resident = NULL;
	rs_plan_free(&t->plan);
	sf_reader_close(t->reader);
	t->reader = NULL;
	gen_close(&t->gen);
	free(t->host);
	t->host = NULL;
	return rc;
}

int
rs_template_check(const struct rs_template *t, const char *state_dir,
    struct err *e)
{
	const struct sf_state *s = sf_reader_state(t->reader);
	struct gen now;
	bool same;

	if (gen_open_current(state_dir, t->gen.template_name, &now, e) != 0)
		return -1;
	same = strcmp(now.dir, t->gen.dir) == 0;
	gen_close(&now);
	if (!same)
		return err_set(e, ERR_STALE, 0, "template %s has a newer "
		    "generation", t->gen.template_name);
	return gen_key_check(&s->key, &s->config, t->host, e);
}
