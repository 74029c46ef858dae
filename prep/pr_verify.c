/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reading generations back, in dvm-prepare: the one just made, before anybody
 * can launch from it, and the current one, to see if it still will do.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "prep/pr_undo.h"
#include "prep/pr_verify.h"
#include "savefile/gen/gen_key.h"
#include "savefile/sf_reader.h"

/* Beyond this no guest is: a bound for what a reader may allocate. */
#define GUEST_BYTES_MAX (UINT64_C(1) << 40)

void
pr_verify_savefile_path(const char *dir, char path[PR_VERIFY_PATH_BYTES])
{
	(void)snprintf(path, PR_VERIFY_PATH_BYTES, "%.*s/savefile", PATH_MAX,
	    dir);
}

void
pr_verify_delta_path(const char *dir, const char *vdev,
    char path[PR_VERIFY_PATH_BYTES])
{
	(void)snprintf(path, PR_VERIFY_PATH_BYTES, "%.*s/%.16s.delta",
	    PATH_MAX, dir, vdev);
}

static bool
same(const struct sf_blob *a, const struct sf_blob *b)
{
	return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

static int
verify_savefile(const struct pr_make *m, struct err *e)
{
	const struct sf_limits limits = { .guest_bytes_max = GUEST_BYTES_MAX };
	const struct sf_state *state;
	struct sf_reader *r;
	char path[PR_VERIFY_PATH_BYTES];
	AUTO_FD fd = -1;
	int rc = -1;

	pr_verify_savefile_path(m->tmp, path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "cannot open '%s'", path);
	r = sf_reader_open(fd, m->host_key, &limits, e);
	if (r == NULL)
		return -1;
	state = sf_reader_state(r);
	if (!same(&state->config, &m->config_text) ||
	    !same(&state->key, &m->key_text))
		(void)err_set(e, ERR_INPUT, 0, "its key or configuration is "
		    "not what was written");
	else
		rc = sf_reader_verify_data(r, e);
	sf_reader_close(r);
	return rc;
}

static int
verify_disk(const struct pr_make *m, const struct pr_config_disk *d,
    struct err *e)
{
	struct disk *disk = m->seams->disk;
	char name[DISK_NAME_MAX], vdev[sizeof(d->vdev) + 8];
	char path[PR_VERIFY_PATH_BYTES];
	struct disk_dev dev = { .name = "" };
	uint64_t sectors;

	/* Under a name of ours: if we are killed now, it is found. */
	(void)snprintf(vdev, sizeof(vdev), "%s-base", d->vdev);
	pr_undo_dm_name(m->id, vdev, name);
	pr_verify_delta_path(m->tmp, d->vdev, path);
	if (disk->ops->open_base(disk, name, d->origin, path, &dev, e) != 0)
		return err_prefix(e, "what the boot wrote to %s is lost (is "
		    "--delta-max or the file system too small?)", d->vdev);
	sectors = dev.sectors;
	if (pr_undo_remove_dev(disk, &dev, e) != 0)
		return -1;
	if (sectors != d->sectors)
		return err_set(e, ERR_DISK, 0, "disk %s has %llu sectors when "
		    "read back, not %llu", d->vdev,
		    (unsigned long long)sectors,
		    (unsigned long long)d->sectors);
	return 0;
}

int
pr_verify(const struct pr_make *m, struct err *e)
{
	const struct pr_config *c = m->params->config;

	if (verify_savefile(m, e) != 0)
		return err_prefix(e, "the savefile does not read back");
	for (uint32_t i = 0; i < c->nr_disks; i++)
		if (verify_disk(m, &c->disks[i], e) != 0)
			return -1;
	if (gen_key_check(&m->key_text, &m->config_text, m->host, e) != 0)
		return err_prefix(e, "the template must not change while it "
		    "is prepared");
	return 0;
}

static bool
has_deltas(const struct pr_config *c, const char *dir)
{
	char path[PR_VERIFY_PATH_BYTES];
	struct stat st;

	for (uint32_t i = 0; i < c->nr_disks; i++) {
		pr_verify_delta_path(dir, c->disks[i].vdev, path);
		if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
			return false;
	}
	return true;
}

/* Is the recorded configuration today's?  How the guest was found to be
 * settled is no reason to record it again. */
static bool
same_config(const struct sf_blob *recorded, const struct pr_config *c)
{
	AUTO_FREE char *buf = malloc(PR_CONFIG_TEXT_MAX);
	struct gen_text t = { .buf = buf, .cap = PR_CONFIG_TEXT_MAX };
	struct sf_blob now;
	uint64_t agent;
	struct err ignored;

	if (buf == NULL || sf_state_text_get_u64(recorded, "agent", &agent,
	    &ignored) != 0 || pr_config_text(c, agent != 0, &t, &ignored) != 0)
		return false;
	now = gen_text_blob(&t);
	return same(recorded, &now);
}

int
pr_verify_current(const struct pr_params *p, const struct hv_host *host,
    const uint8_t *host_key, char id[64])
{
	const struct sf_limits limits = { .guest_bytes_max = GUEST_BYTES_MAX };
	struct sf_reader *r = NULL;
	const struct sf_state *state;
	struct gen gen;
	struct err why;
	int current = 0;

	if (gen_open_current(p->state_dir, p->config->name, &gen,
	    &why) == 0)
		r = sf_reader_open(gen.savefile_fd, host_key, &limits, &why);
	if (r != NULL) {
		state = sf_reader_state(r);
		current = same_config(&state->config, p->config) &&
		    gen_key_check(&state->key, &state->config, host,
		    &why) == 0 && has_deltas(p->config, gen.dir);
	}
	if (current)
		(void)snprintf(id, 64, "%.63s", strrchr(gen.dir, '/') + 1 +
		    strlen(PR_DIR_GEN));
	sf_reader_close(r);
	gen_close(&gen);
	return current;
}
