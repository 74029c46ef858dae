/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A cold boot, in a process of its own that was forked for it.  Root; trusts
 * core, whose request was checked, and the template's configuration, not the
 * guest.  All that is made carries the disposable's names, so that core finds
 * and ends it as any other, also if it or we are killed on the way.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "include/ident.h"
#include "prep/pr_cfg.h"
#include "prep/pr_cold.h"
#include "prep/pr_domain.h"
#include "prep/pr_domain_end.h"
#include "prep/pr_undo.h"

#define TEXT_BYTES 2049		/* xenstore's limit, and a NUL */

/* "dvm-d-UUID-VDEV", as core names them. */
static void
dm_name(const struct cold_proto_request *r, const char *vdev,
    char name[DISK_NAME_MAX])
{
	char uuid_text[PR_DOMAIN_UUID_TEXT];

	pr_domain_uuid_text(r->uuid, uuid_text);
	(void)snprintf(name, DISK_NAME_MAX, IDENT_DM_DISP "%s-%s", uuid_text,
	    vdev);
}

static int
read_config(const struct pr_cold_params *p, struct pr_config *c,
    struct err *e)
{
	const char *name = p->request->template;
	char path[PATH_MAX];

	if (gen_cfg(p->state_dir, name, path, e) != 0 ||
	    pr_cfg_read(path, c, e) != 0)
		return -1;
	if (strcmp(c->name, name) == 0)
		return 0;
	return err_set(e, ERR_STALE, 0, "template %s was last prepared from "
	    "%.180s, which is %s's: run dvm-prepare on its own", name, path,
	    c->name);
}

/* What is being written is half of something: most likely the template runs,
 * to be updated.  A file that somebody has open for writing gets no lease; of a
 * block device nobody can say. */
static int
check_idle(const struct pr_config_disk *d, struct err *e)
{
	AUTO_FD fd = open(d->origin, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		return err_set(e, ERR_DISK, errno, "'%s'", d->origin);
	if (!S_ISREG(st.st_mode) || fcntl(fd, F_SETLEASE, F_RDLCK) == 0 ||
	    (errno != EAGAIN && errno != EBUSY))
		return 0;
	return err_set(e, ERR_BUSY, 0, "'%.200s' is open for writing: if the "
	    "template itself runs, shut it down first", d->origin);
}

static int
make_disks(const struct cold_proto_request *r, const struct pr_config *c,
    struct disk *disk, struct disk_dev devs[PR_CONFIG_DISKS_MAX],
    struct err *e)
{
	char name[DISK_NAME_MAX];

	for (uint32_t i = 0; i < c->nr_disks; i++) {
		const struct pr_config_disk *d = &c->disks[i];

		dm_name(r, d->vdev, name);
		if (check_idle(d, e) != 0)
			return -1;
		if (disk->ops->make_cow_of(disk, name, d->origin,
		    r->store_bytes, &devs[i], e) != 0)
			return err_prefix(e, "cannot put an overlay over "
			    "'%.200s'", d->origin);
	}
	return 0;
}

int
pr_cold_text(const struct cold_proto_request *r,
    const struct pr_config_settle *settle, struct gen_text *t, struct err *e)
{
	char uuid_text[PR_DOMAIN_UUID_TEXT];

	pr_domain_uuid_text(r->uuid, uuid_text);
	if (gen_text_line(t, e, "uuid=%s", uuid_text) != 0 ||
	    gen_text_line(t, e, "name=%s", r->name) != 0)
		return -1;
	return pr_config_settle_text(settle, t, e);
}

/* The guest's agent is told who the guest is.  The node is dom0's: the guest
 * may read what lies below its own path, and write only what it was given. */
static int
tell_agent(const struct cold_proto_request *r, const struct pr_config *c,
    const struct pr_seams *s, uint32_t domid, struct err *e)
{
	char path[64], text[TEXT_BYTES];
	struct gen_text t = { .buf = text, .cap = sizeof(text) };
	const struct store_node node = { .path = path, .value = text,
	    .owner = STORE_NO_PERMS, .reader = STORE_NOBODY };

	(void)snprintf(path, sizeof(path), "/local/domain/%u/" IDENT_COLD,
	    domid);
	if (pr_cold_text(r, &c->settle, &t, e) != 0)
		return -1;
	return s->store->ops->write(s->store, &node, 1, e);
}

static int
boot(const struct pr_cold_params *p, const struct pr_config *c,
    const struct pr_seams *s, uint32_t *domid, struct err *e)
{
	const struct cold_proto_request *r = p->request;
	struct disk_dev devs[PR_CONFIG_DISKS_MAX] = { { .major = 0 } };
	const struct pr_start start = {
		.config = c,
		.name = r->name,
		.uuid = r->uuid,
		.devs = devs,
		.lock_fd = p->lock_fd,
		.interrupt_fd = s->interrupt_fd
	};
	char uuid_text[PR_DOMAIN_UUID_TEXT];
	struct hv_domain_info info;
	int found;

	if (make_disks(r, c, s->disk, devs, e) != 0 ||
	    s->domain->start(s->domain_ctx, &start, e) != 0)
		return -1;
	found = hv_find(s->hv, r->uuid, &info, e);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(e, ERR_INPUT, 0, "the guest ended as soon as it "
		    "was started: boot the template by hand with 'xl create "
		    "-c' to see why");
	/* Disposables have none of these files, and core could not remove
	 * them. */
	pr_domain_uuid_text(r->uuid, uuid_text);
	s->domain->tidy(s->domain_ctx, info.domid, uuid_text);
	*domid = info.domid;
	return tell_agent(r, c, s, info.domid, e);
}

int
pr_cold_undo(const struct cold_proto_request *r, const struct pr_seams *s,
    struct err *e)
{
	char prefix[DISK_NAME_MAX];
	struct err later;
	int rc = pr_domain_end(s, r->uuid, e);

	dm_name(r, "", prefix);
	if (pr_undo_remove_devs(s->disk, prefix, rc == 0 ? e : &later) != 0)
		rc = -1;
	return rc;
}

int
pr_cold_boot(const struct pr_cold_params *p, const struct pr_seams *s,
    uint32_t *domid, struct err *e)
{
	struct pr_config c;
	struct err undo;

	/* Who wants to write while check_idle() asks would end us with it. */
	(void)signal(SIGIO, SIG_IGN);
	if (read_config(p, &c, e) != 0)
		return -1;
	if (boot(p, &c, s, domid, e) == 0)
		return 0;
	if (pr_cold_undo(p->request, s, &undo) == 0)
		return -1;
	return err_prefix(e, "%s is left behind (%.160s) after",
	    p->request->name, undo.msg);
}
