/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The steps from a template to its generation, in dvm-prepare.  Each leaves
 * what it made to pr_undo(), which finds it by the id.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "prep/pr_clock.h"
#include "prep/pr_domain_end.h"
#include "prep/pr_make.h"
#include "prep/pr_record.h"
#include "prep/pr_settle.h"
#include "prep/pr_undo.h"
#include "prep/pr_verify.h"

static int
step(struct pr_make *m, const char *name, struct err *e)
{
	pr_report_step(m->report, name);
	return pr_clock_pause(m->seams->interrupt_fd, 0, e);
}

/* dm-snapshot's store needs its exception table besides the data: 16 bytes
 * for each chunk, of 4 KiB or more. */
static uint64_t
delta_bytes(const struct pr_make *m, const struct pr_config_disk *d)
{
	uint64_t bytes = d->sectors * 512;

	bytes = m->params->delta_max != 0 ? m->params->delta_max :
	    bytes + bytes / 64 + (4u << 20);
	return (bytes + 511) / 512 * 512;
}

static int
make_disks(struct pr_make *m, struct err *e)
{
	const struct pr_config *c = m->params->config;
	struct disk *disk = m->seams->disk;
	char name[DISK_NAME_MAX], path[PR_VERIFY_PATH_BYTES];

	for (uint32_t i = 0; i < c->nr_disks; i++) {
		const struct pr_config_disk *d = &c->disks[i];

		pr_undo_dm_name(m->id, d->vdev, name);
		pr_verify_delta_path(m->tmp, d->vdev, path);
		if (disk->ops->make_delta(disk, name, d->origin, path,
		    delta_bytes(m, d), &m->devs[i], e) != 0)
			return err_prefix(e, "cannot put an overlay over "
			    "'%s'", d->origin);
		if (m->devs[i].sectors != d->sectors)
			return err_set(e, ERR_DISK, 0, "the overlay over '%s' "
			    "has %llu sectors instead of %llu", d->origin,
			    (unsigned long long)m->devs[i].sectors,
			    (unsigned long long)d->sectors);
	}
	return 0;
}

static int
boot(struct pr_make *m, struct err *e)
{
	const struct pr_seams *s = m->seams;
	char name[GEN_NAME_MAX + 16];
	const struct pr_start start = {
		.config = m->params->config,
		.name = name,
		.uuid = m->uuid,
		.devs = m->devs,
		.lock_fd = m->dir->lock_fd,
		.interrupt_fd = s->interrupt_fd
	};
	struct hv_domain_info info;
	int found;

	(void)snprintf(name, sizeof(name), "%s-prepare",
	    m->params->config->name);
	if (s->domain->start(s->domain_ctx, &start, e) != 0)
		return -1;
	found = hv_find(s->hv, m->uuid, &info, e);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(e, ERR_INPUT, 0, "the guest ended as soon as it "
		    "was started: boot it by hand with 'xl create -c' to see "
		    "why");
	m->domid = info.domid;
	return 0;
}

static void
settling(void *ctx, const char *agent_step, unsigned seconds_left)
{
	struct pr_make *m = ctx;

	if (agent_step[0] != '\0')
		pr_report_note(m->report, "%s", agent_step);
	else
		pr_report_note(m->report, m->params->by_agent ? "waiting for "
		    "the agent for %u s more" : "%u s to go", seconds_left);
}

static int
settle(struct pr_make *m, struct err *e)
{
	const struct pr_settle_params settle = {
		.domid = m->domid,
		.by_agent = m->params->by_agent,
		.seconds = m->params->settle_seconds,
		.how = &m->params->config->settle,
		.progress = settling,
		.progress_ctx = m
	};

	return pr_settle(m->seams, &settle, &m->result->settled, e);
}

static int
suspend(void *ctx, struct err *e)
{
	const struct pr_make *m = ctx;

	return pr_domain_suspend(m->seams, m->domid, e);
}

static void
recording(void *ctx, uint64_t nr_pages)
{
	struct pr_make *m = ctx;

	pr_report_note(m->report, "%llu of %llu MB",
	    (unsigned long long)nr_pages >> 8,
	    (unsigned long long)m->params->config->memory_kb >> 10);
}

/* Everything about the domain that its stream does not say. */
static int
domain_state(const struct pr_make *m, struct sf_state *state, struct err *e)
{
	const struct pr_seams *s = m->seams;
	struct hv_domain_info info;
	char path[64], target[32];
	char *end;
	int found = s->hv->ops->info(s->hv, m->domid, &info, e);

	if (found <= 0)
		return found < 0 ? -1 : err_set(e, ERR_INPUT, 0, "the guest is "
		    "gone");
	(void)snprintf(path, sizeof(path), "/local/domain/%u/memory/target",
	    m->domid);
	found = s->store->ops->read(s->store, path, target, sizeof(target), e);
	if (found < 0)
		return -1;
	*state = (struct sf_state){
		.guest_type = SF_GUEST_PVH,
		.nr_vcpus = m->params->config->nr_vcpus,
		.max_mem_kb = info.max_mem_kb,
		.target_mem_kb = found == 0 ? 0 : strtoull(target, &end, 10),
		.xen_major = m->host->xen_major,
		.xen_minor = m->host->xen_minor,
		.max_grant_frames = m->params->config->max_grant_frames,
		.key = m->key_text,
		.config = m->config_text
	};
	if (found == 0 || *end != '\0' || end == target)
		return err_set(e, ERR_STORE, 0, "'%s' is not a number", path);
	memcpy(state->xen_extra, m->host->xen_extra,
	    sizeof(state->xen_extra) - 1);
	return 0;
}

static int
record(struct pr_make *m, struct err *e)
{
	char path[PR_VERIFY_PATH_BYTES];
	AUTO_FD fd = -1;
	struct sf_state state;
	struct pr_record_params rp = {
		.hv = m->seams->hv,
		.domid = m->domid,
		.suspend = suspend,
		.suspend_ctx = m,
		.interrupt_fd = m->seams->interrupt_fd,
		.progress = recording,
		.progress_ctx = m,
		.launch_magic = m->params->by_agent ?
		    m->result->settled.magic : NULL,
		.memory_kb = m->params->config->memory_kb,
		.codec = m->params->codec,
		.host_key = m->host_key
	};

	if (domain_state(m, &state, e) != 0)
		return -1;
	pr_verify_savefile_path(m->tmp, path);
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "cannot make '%s'", path);
	rp.savefile_fd = fd;
	if (pr_record(&rp, &state, &m->result->stats, e) != 0)
		return err_prefix(e, "cannot record the guest in '%s'", path);
	return 0;
}

/* The guest is suspended and will never run again, so its disks are what its
 * memory thinks they are.  Once their devices are gone the deltas are whole
 * files. */
static int
finish_disks(struct pr_make *m, struct err *e)
{
	if (pr_domain_end(m->seams, m->uuid, e) != 0)
		return err_prefix(e, "cannot end the guest");
	for (uint32_t i = 0; i < m->params->config->nr_disks; i++)
		if (pr_undo_remove_dev(m->seams->disk, &m->devs[i], e) != 0)
			return -1;
	return pr_dir_sync_tmp(m->dir, m->id, e);
}

static void
measure(struct pr_make *m)
{
	const struct pr_config *c = m->params->config;
	char path[PR_VERIFY_PATH_BYTES];
	struct stat st;

	pr_verify_savefile_path(m->tmp, path);
	if (stat(path, &st) == 0)
		m->result->savefile_bytes = (uint64_t)st.st_size;
	for (uint32_t i = 0; i < c->nr_disks; i++) {
		pr_verify_delta_path(m->tmp, c->disks[i].vdev, path);
		if (stat(path, &st) == 0)
			m->result->delta_bytes += (uint64_t)st.st_blocks * 512;
	}
}

int
pr_make(struct pr_make *m, struct err *e)
{
	if (step(m, "disks", e) != 0 || make_disks(m, e) != 0)
		return -1;
	if (step(m, "boot", e) != 0 || boot(m, e) != 0)
		return -1;
	if (step(m, "settle", e) != 0 || settle(m, e) != 0)
		return -1;
	if (step(m, "record", e) != 0 || record(m, e) != 0)
		return -1;
	if (step(m, "sync", e) != 0 || finish_disks(m, e) != 0)
		return -1;
	if (step(m, "verify", e) != 0 || pr_verify(m, e) != 0)
		return -1;
	measure(m);
	/* From here on a signal comes too late. */
	if (step(m, "publish", e) != 0 ||
	    pr_dir_publish(m->dir, m->id, e) != 0)
		return -1;
	(void)snprintf(m->result->id, sizeof(m->result->id), "%s", m->id);
	return 0;
}
