/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A launch, step by step.  The memory is loaded by workers while this thread
 * makes the disks and writes xenstore.  No fork, no exec.  Trusts the
 * template, whose signature and key were checked.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/dvm_proto.h"
#include "include/wire/launch_page.h"
#include "restore/launch/launch.h"
#include "restore/launch/names.h"
#include "restore/launch/nodes.h"

#define UNDO_TIMEOUT_MS 30000
#define NODES_AGAIN_MS 500

_Static_assert(RS_STAGES == DVM_PROTO_STAGES, "stages have names");

static void
stage_end(struct rs_timings *t, enum rs_stage stage)
{
	t->end_ns[stage] = clock_now_ns() - t->start_ns;
}

void
rs_launch_uuid_text(const uint8_t u[HV_UUID_BYTES],
    char text[RS_UUID_TEXT_BYTES])
{
	(void)snprintf(text, RS_UUID_TEXT_BYTES, "%02x%02x%02x%02x-%02x%02x-"
	    "%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
	    u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
	    u[13], u[14], u[15]);
}

int
rs_launch_make_uuid(struct rs_domain *d, struct err *e)
{
	uint8_t *u = d->uuid;

	if (getrandom(u, HV_UUID_BYTES, 0) != HV_UUID_BYTES)
		return err_set(e, ERR_SYS, errno, "cannot make a UUID");
	memcpy(u, IDENT_UUID_DISP, 4);
	u[6] = (uint8_t)((u[6] & 0x0f) | 0x40);
	u[8] = (uint8_t)((u[8] & 0x3f) | 0x80);
	rs_launch_uuid_text(u, d->uuid_text);
	return 0;
}

static struct hv_blob
blob(const struct sf_blob *b)
{
	return (struct hv_blob){ .bytes = b->bytes, .len = b->len };
}

static int
create(const struct env *env, const struct rs_template *t,
    struct rs_domain *d, struct hv_channels *channels, struct err *e)
{
	const struct sf_state *s = sf_reader_state(t->reader);
	struct hv_domain_params p = {
		.nr_vcpus = s->nr_vcpus,
		.max_mem_kb = s->max_mem_kb,
		.nr_pages = rs_plan_nr_pages(&t->plan),
		.max_grant_frames = s->max_grant_frames,
		.cpuid = blob(&s->cpuid),
		.msrs = blob(&s->msrs),
		.hvm_params = blob(&s->hvm_params),
		.tsc_mode = s->tsc_mode,
		.tsc_khz = s->tsc_khz,
		.tsc_nsec = s->tsc_nsec,
		.tsc_incarnation = s->tsc_incarnation,
	};

	memcpy(p.uuid, d->uuid, sizeof(p.uuid));
	if (env->hv->ops->create(env->hv, &p, &d->domid, channels, e) != 0)
		return -1;
	d->created = true;
	d->nr_vcpus = s->nr_vcpus;
	d->target_mem_kb = s->target_mem_kb;
	d->max_mem_kb = s->max_mem_kb;
	return 0;
}

static int
make_disks(const struct env *env, const struct rs_template *t,
    uint64_t store_bytes, struct rs_domain *d, struct err *e)
{
	char name[DISK_NAME_MAX];

	for (uint32_t i = 0; i < t->nr_disks; i++) {
		const struct rs_template_disk *td = &t->disks[i];
		struct rs_vbd *v = &d->vbds[i];

		memcpy(v->vdev, td->vdev, sizeof(v->vdev));
		v->devid = td->devid;
		v->writable = td->writable;
		v->major = td->base.major;
		v->minor = td->base.minor;
		d->nr_vbds = i + 1;
		if (!td->writable)
			continue;
		(void)snprintf(name, sizeof(name), IDENT_DM_DISP "%s-%s",
		    d->uuid_text, td->vdev);
		if (env->disk->ops->make_cow(env->disk, name, &td->base,
		    store_bytes, &v->cow, e) != 0)
			return -1;
		v->major = v->cow.major;
		v->minor = v->cow.minor;
	}
	return 0;
}

static int
write_nodes(const struct env *env, struct rs_domain *d,
    const struct hv_channels *channels, struct err *e)
{
	struct rs_nodes nodes;
	int rc;

	if (rs_nodes_make(d, channels, &nodes, e) != 0)
		return -1;
	d->in_store = true;
	rc = env->store->ops->write(env->store, nodes.nodes, nodes.nr, e);
	rs_nodes_free(&nodes);
	return rc;
}

/* The frontend reads the backend's features as soon as it resumes, and takes
 * what is not there yet for absent: so not before InitWait (2). */
static int
wait_backends(const struct env *env, const struct rs_domain *d,
    unsigned timeout_ms, struct err *e)
{
	char text[RS_DISKS_MAX][96];
	const char *paths[RS_DISKS_MAX], *want[RS_DISKS_MAX];

	for (uint32_t i = 0; i < d->nr_vbds; i++) {
		rs_nodes_vbd_state_path(d, &d->vbds[i], text[i]);
		paths[i] = text[i];
		want[i] = "2";
	}
	if (env->store->ops->wait(env->store, paths, want, d->nr_vbds,
	    clock_now_ns() + timeout_ms * CLOCK_MS, -1, e) != 0)
		return err_prefix(e, "the block backend did not answer (is "
		    "xen-blkback loaded?)");
	return 0;
}

/* Who it is goes straight into the guest's memory; the seed is nowhere else
 * once this is back. */
static int
fill_launch_page(const struct rs_template *t, const struct rs_domain *d,
    struct err *e)
{
	uint8_t *page;
	struct launch_page p = { .launch_id = launch_page_id(d->uuid) };
	struct timespec now;

	if (!t->has_agent)
		return 0;
	page = rs_load_data_page(d->load, t->launch_page);
	if (!launch_page_is_waiting(page))
		return err_set(e, ERR_STALE, 0, "the template's agent is of "
		    "another version: install it again and run dvm-prepare "
		    "--force");
	memcpy(p.uuid, d->uuid, sizeof(p.uuid));
	(void)snprintf(p.name, sizeof(p.name), "%s", d->name);
	(void)snprintf(p.host_name, sizeof(p.host_name), "%s", d->name);
	if (getrandom(p.seed, sizeof(p.seed), 0) != sizeof(p.seed))
		return err_set(e, ERR_SYS, errno, "cannot make a seed");
	(void)clock_gettime(CLOCK_REALTIME, &now);
	p.wall_clock_ns = (uint64_t)now.tv_sec * CLOCK_SECOND +
	    (uint64_t)now.tv_nsec;
	launch_page_fill(page, &p);
	explicit_bzero(&p, sizeof(p));
	return 0;
}

/* All between the created domain and the running one. */
static int
build(const struct env *env, const struct rs_template *t,
    const struct rs_launch_params *p, const struct hv_channels *channels,
    struct rs_domain *d, struct rs_timings *timings, struct err *e)
{
	const struct rs_load_source source = {
		.reader = t->reader, .plan = &t->plan,
		.resident = t->resident,
		.frames_are_zero = t->frames_are_zero,
		.nr_workers = p->nr_workers,
	};
	const struct hv_state state = {
		.hvm_context = blob(&sf_reader_state(t->reader)->hvm_context),
		.channels = *channels,
	};

	d->load = rs_load_start(env->hv, d->domid, &source, e);
	if (d->load == NULL)
		return -1;
	if (make_disks(env, t, p->store_bytes, d, e) != 0)
		return -1;
	stage_end(timings, RS_STAGE_DISKS);
	if (write_nodes(env, d, channels, e) != 0)
		return -1;
	stage_end(timings, RS_STAGE_NODES);
	if (wait_backends(env, d, p->backend_timeout_ms, e) != 0)
		return -1;
	stage_end(timings, RS_STAGE_BACKEND);
	if (rs_load_wait(d->load, &timings->load, e) != 0)
		return -1;
	stage_end(timings, RS_STAGE_LOAD);
	if (env->hv->ops->load_state(env->hv, d->domid, &state, e) != 0)
		return -1;
	stage_end(timings, RS_STAGE_STATE);
	if (env->store->ops->introduce(env->store, d->domid,
	    channels->store_gfn, channels->store_port, e) != 0)
		return -1;
	stage_end(timings, RS_STAGE_INTRODUCE);
	if (fill_launch_page(t, d, e) != 0)
		return -1;
	if (env->hv->ops->unpause(env->hv, d->domid, e) != 0)
		return -1;
	stage_end(timings, RS_STAGE_UNPAUSE);
	return 0;
}

int
rs_launch(const struct env *env, const struct rs_template *t,
    const struct rs_launch_params *p, struct rs_domain *d,
    struct rs_timings *timings, struct err *e)
{
	struct hv_channels channels;
	struct err undo;

	memset(d, 0, sizeof(*d));
	memset(timings, 0, sizeof(*timings));
	timings->start_ns = clock_now_ns();
	if (rs_launch_make_uuid(d, e) != 0)
		return -1;
	/* A name is used up by a week: not before there is memory for it. */
	if (create(env, t, d, &channels, e) == 0 && rs_names_draw(env->names_fd,
	    p->uid, (int64_t)time(NULL), d->name, e) == 0) {
		stage_end(timings, RS_STAGE_CREATE);
		timings->store_requests = env->store->nr_requests;
		if (build(env, t, p, &channels, d, timings, e) == 0) {
			timings->store_requests = env->store->nr_requests -
			    timings->store_requests;
			return 0;
		}
	}
	if (rs_launch_destroy(env, d, UNDO_TIMEOUT_MS, &undo) != 0) {
		/* To be ended, and not to be begun anew. */
		e->code = ERR_BUSY;
		return err_prefix(e, "%s is left behind (%s) after", d->name,
		    undo.msg);
	}
	return -1;
}

void
rs_launch_finish(struct rs_domain *d)
{
	rs_load_free(d->load);
	d->load = NULL;
}

/* ERR_BUSY while Xen still has it.  If `xl destroy` was faster the domid may be
 * somebody else's by now, and then so are the nodes. */
static int
destroy_domain(const struct env *env, struct rs_domain *d, struct err *e)
{
	const struct hv_ops *ops = env->hv->ops;
	struct hv_domain_info info;
	int found;

	if (!d->created)
		return 0;
	found = ops->info(env->hv, d->domid, &info, e);
	if (found == 1 && memcmp(info.uuid, d->uuid, sizeof(d->uuid)) != 0) {
		d->in_store = false;
		found = 0;
	}
	if (found == 1 && !info.dying) {
		if (ops->destroy(env->hv, d->domid, e) != 0)
			return -1;
		found = ops->info(env->hv, d->domid, &info, e);
	}
	d->created = found != 0;
	if (found == 1)
		(void)err_set(e, ERR_BUSY, 0, "Xen does not let go of domain "
		    "%u yet", d->domid);
	return found == 0 ? 0 : -1;
}

static int
remove_nodes(const struct env *env, const struct rs_domain *d,
    struct err *e)
{
	struct rs_nodes_trees trees;

	rs_nodes_trees(d, &trees);
	return env->store->ops->remove(env->store, trees.paths, trees.nr, e);
}

/* Each step is tried whatever became of the one before it; the first error is
 * told. */
static int
destroy_once(const struct env *env, struct rs_domain *d, bool with_nodes,
    struct err *e)
{
	struct err later;
	int rc = destroy_domain(env, d, e);

	if (with_nodes && d->in_store &&
	    remove_nodes(env, d, rc == 0 ? e : &later) != 0)
		rc = -1;
	for (uint32_t i = 0; i < d->nr_vbds; i++)
		if (env->disk->ops->remove(env->disk, &d->vbds[i].cow,
		    rc == 0 ? e : &later) != 0)
			rc = -1;
	return rc;
}

int
rs_launch_destroy(const struct env *env, struct rs_domain *d,
    unsigned timeout_ms, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 5 * CLOCK_MS };
	uint64_t now = clock_now_ns(), nodes_ns = 0;
	uint64_t deadline = now + timeout_ms * CLOCK_MS;
	int rc;

	rs_launch_finish(d);
	/* A backend that was about to connect writes its nodes anew, and then
	 * keeps the disk and the domain's frames: they are removed again. */
	while ((rc = destroy_once(env, d, now >= nodes_ns, e)) != 0 &&
	    e->code == ERR_BUSY && now < deadline) {
		if (now >= nodes_ns)
			nodes_ns = now + NODES_AGAIN_MS * CLOCK_MS;
		(void)nanosleep(&pause, NULL);
		now = clock_now_ns();
	}
	/* What the backend has said at last. */
	if (rc == 0 && d->in_store && d->nr_vbds > 0)
		rc = remove_nodes(env, d, e);
	if (rc == 0)
		d->in_store = false;
	return rc;
}
