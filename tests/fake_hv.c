/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hypervisor seam in plain memory; for tests only.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake_hv.h"

#define PAGE 4096u
#define DOMAINS_MAX 32
#define GFNS_MAX (1u << 20)	/* 4 GiB of guest-physical space */

struct fake_domain {
	bool exists, running, suspended, state_loaded;
	uint8_t uuid[HV_UUID_BYTES];
	uint32_t nr_vcpus;
	uint64_t claimed, populated;
	uint32_t *frames;	/* by gfn: page of the memfd + 1, 0 for none */
	int memfd;
	unsigned nr_mappings;
};

struct fake_hv {
	struct hv hv;
	struct fake_hv_params p;
	pthread_mutex_t lock;
	uint64_t used_pages;
	unsigned nr_super_asked;
	struct fake_domain domains[DOMAINS_MAX];	/* domid - 1 */
};

static struct fake_hv *
self(struct hv *hv)
{
	return (struct fake_hv *)(void *)hv;
}

static const struct fake_hv *
const_self(const struct hv *hv)
{
	return (const struct fake_hv *)(const void *)hv;
}

static struct fake_domain *
domain(struct fake_hv *f, uint32_t domid)
{
	if (domid < 1 || domid > DOMAINS_MAX || !f->domains[domid - 1].exists)
		return NULL;
	return &f->domains[domid - 1];
}

static const struct fake_domain *
const_domain(const struct hv *hv, uint32_t domid)
{
	const struct fake_hv *f = const_self(hv);

	if (domid < 1 || domid > DOMAINS_MAX || !f->domains[domid - 1].exists)
		return NULL;
	return &f->domains[domid - 1];
}

static int
hit(struct fake_hv *f, const char *what, struct err *e)
{
	bool fail;

	(void)pthread_mutex_lock(&f->lock);
	fail = f->p.fault != NULL && fake_fault_hit(f->p.fault);
	(void)pthread_mutex_unlock(&f->lock);
	return fail ? err_set(e, ERR_XEN, EIO, "fake %s", what) : 0;
}

static void
free_domain(struct fake_hv *f, struct fake_domain *d)
{
	f->used_pages -= d->populated + d->claimed;
	free(d->frames);
	if (d->memfd >= 0)
		(void)close(d->memfd);
	memset(d, 0, sizeof(*d));
}

static void
op_close(struct hv *hv)
{
	struct fake_hv *f = self(hv);

	for (int i = 0; i < DOMAINS_MAX; i++)
		if (f->domains[i].exists)
			free_domain(f, &f->domains[i]);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

static int
op_host(struct hv *hv, struct hv_host *host, struct err *e)
{
	struct fake_hv *f = self(hv);

	if (hit(f, "host", e) != 0)
		return -1;
	memset(host, 0, sizeof(*host));
	host->xen_major = 4;
	host->xen_minor = 17;
	memcpy(host->xen_extra, ".7", 3);
	memcpy(host->build_id, "0123456789abcdef", 17);
	host->tsc_khz = 2000000;
	host->free_bytes = (f->p.host_pages - f->used_pages) * PAGE;
	host->scrub_domheap = f->p.scrubbed;
	memcpy(host->cpu_policy, "policy", 6);
	host->cpu_policy_len = 6;
	return 0;
}

uint32_t
fake_hv_add(struct hv *hv, const uint8_t *uuid, uint32_t nr_vcpus)
{
	struct fake_hv *f = self(hv);

	for (uint32_t i = 0; i < DOMAINS_MAX; i++) {
		struct fake_domain *d = &f->domains[i];

		if (d->exists)
			continue;
		memset(d, 0, sizeof(*d));
		d->memfd = memfd_create("fake_hv", MFD_CLOEXEC);
		d->frames = calloc(GFNS_MAX, sizeof(*d->frames));
		if (d->memfd < 0 || d->frames == NULL)
			abort();
		d->exists = true;
		d->nr_vcpus = nr_vcpus;
		memcpy(d->uuid, uuid, HV_UUID_BYTES);
		return i + 1;
	}
	abort();
}

static int
op_create(struct hv *hv, const struct hv_domain_params *p, uint32_t *domid,
    struct hv_channels *channels, struct err *e)
{
	struct fake_hv *f = self(hv);

	if (hit(f, "create", e) != 0)
		return -1;
	if (f->used_pages + p->nr_pages > f->p.host_pages)
		return err_set(e, ERR_NOMEM, 0, "too little memory");
	*domid = fake_hv_add(hv, p->uuid, p->nr_vcpus);
	f->domains[*domid - 1].claimed = p->nr_pages;
	f->used_pages += p->nr_pages;
	*channels = (struct hv_channels){ .store_gfn = 0xfeffc,
	    .console_gfn = 0xfefff, .store_port = 1, .console_port = 2 };
	return 0;
}

/* One extent; false if it cannot be. */
static bool
populate_one(struct fake_hv *f, struct fake_domain *d, unsigned order,
    uint64_t gfn)
{
	uint64_t nr = 1ull << order;
	uint8_t dirty[PAGE];

	if (gfn % nr != 0 || gfn + nr > GFNS_MAX ||
	    (order != 0 && f->p.fragmented && f->nr_super_asked++ % 3 == 2))
		return false;
	memset(dirty, 0xa5, sizeof(dirty));
	for (uint64_t i = 0; i < nr; i++) {
		if (d->frames[gfn + i] != 0)
			return false;
		if (d->claimed > 0)
			d->claimed--;
		else if (++f->used_pages > f->p.host_pages)
			return false;
		d->frames[gfn + i] = (uint32_t)++d->populated;
		if (ftruncate(d->memfd, (off_t)(d->populated * PAGE)) != 0)
			abort();
		if (!f->p.scrubbed && pwrite(d->memfd, dirty, PAGE,
		    (off_t)((d->populated - 1) * PAGE)) != PAGE)
			abort();
	}
	return true;
}

static int
op_populate(struct hv *hv, uint32_t domid, unsigned order,
    const uint64_t *gfns, size_t nr, size_t *done, struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d = domain(f, domid);

	*done = 0;
	if (hit(f, "populate", e) != 0)
		return -1;
	if (d == NULL)
		return err_set(e, ERR_XEN, ESRCH, "fake populate");
	while (*done < nr && populate_one(f, d, order, gfns[*done]))
		(*done)++;
	return *done == nr ? 0 : err_set(e, ERR_NOMEM, 0, "fake populate: %zu "
	    "of %zu", *done, nr);
}

static int
op_map(struct hv *hv, uint32_t domid, const uint64_t *gfns, size_t nr,
    void **addr, struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d = domain(f, domid);
	uint8_t *at;

	if (hit(f, "map", e) != 0)
		return -1;
	at = mmap(NULL, nr * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	    0);
	if (d == NULL || at == MAP_FAILED)
		return err_set(e, ERR_XEN, errno, "fake map");
	for (size_t i = 0; i < nr; i++) {
		uint32_t frame = gfns[i] < GFNS_MAX ? d->frames[gfns[i]] : 0;

		if (frame == 0 || mmap(at + i * PAGE, PAGE,
		    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, d->memfd,
		    (off_t)(frame - 1) * PAGE) == MAP_FAILED) {
			(void)munmap(at, nr * PAGE);
			return err_set(e, ERR_XEN, EINVAL, "fake map: gfn %llu",
			    (unsigned long long)gfns[i]);
		}
	}
	(void)pthread_mutex_lock(&f->lock);
	d->nr_mappings++;
	(void)pthread_mutex_unlock(&f->lock);
	*addr = at;
	return 0;
}

/* The seam's unmap names no domain: it is the one that has mappings. */
static void
op_unmap(struct hv *hv, void *addr, size_t nr)
{
	struct fake_hv *f = self(hv);

	(void)munmap(addr, nr * PAGE);
	(void)pthread_mutex_lock(&f->lock);
	for (int i = 0; i < DOMAINS_MAX; i++)
		if (f->domains[i].nr_mappings > 0) {
			f->domains[i].nr_mappings--;
			break;
		}
	(void)pthread_mutex_unlock(&f->lock);
}

static int
op_load_state(struct hv *hv, uint32_t domid, const struct hv_state *s,
    struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d = domain(f, domid);

	if (hit(f, "load_state", e) != 0)
		return -1;
	if (d == NULL || s->hvm_context.len == 0)
		return err_set(e, ERR_XEN, EINVAL, "fake load_state");
	f->used_pages -= d->claimed;
	d->claimed = 0;
	d->state_loaded = true;
	return 0;
}

static int
op_unpause(struct hv *hv, uint32_t domid, struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d = domain(f, domid);

	if (hit(f, "unpause", e) != 0)
		return -1;
	if (d == NULL || !d->state_loaded)
		return err_set(e, ERR_XEN, ESRCH, "fake unpause");
	d->running = true;
	return 0;
}

static int
op_destroy(struct hv *hv, uint32_t domid, struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d = domain(f, domid);

	if (hit(f, "destroy", e) != 0)
		return -1;
	if (d != NULL)
		free_domain(f, d);
	return 0;
}

static void
fill_info(const struct fake_domain *d, uint32_t domid,
    struct hv_domain_info *info)
{
	memset(info, 0, sizeof(*info));
	info->domid = domid;
	memcpy(info->uuid, d->uuid, HV_UUID_BYTES);
	info->shutdown = d->suspended;
	info->shutdown_reason = d->suspended ? 2 : 0;
	info->nr_vcpus = d->nr_vcpus;
	info->nr_pages = d->populated;
	info->max_mem_kb = d->populated * 4;
}

static int
op_info(struct hv *hv, uint32_t domid, struct hv_domain_info *info,
    struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d = domain(f, domid);

	if (hit(f, "info", e) != 0)
		return -1;
	if (d != NULL)
		fill_info(d, domid, info);
	return d != NULL;
}

static int
op_list(struct hv *hv, uint32_t first_domid, struct hv_domain_info *infos,
    size_t cap, struct err *e)
{
	struct fake_hv *f = self(hv);
	size_t nr = 0;

	if (hit(f, "list", e) != 0)
		return -1;
	for (uint32_t domid = 1; domid <= DOMAINS_MAX && nr < cap; domid++)
		if (domid >= first_domid && f->domains[domid - 1].exists)
			fill_info(&f->domains[domid - 1], domid, &infos[nr++]);
	return (int)nr;
}

static int
op_save(struct hv *hv, uint32_t domid, int fd, int (*suspend)(void *ctx),
    void *ctx, struct err *e)
{
	struct fake_hv *f = self(hv);
	size_t done = 0;

	if (hit(f, "save", e) != 0)
		return -1;
	if (domain(f, domid) == NULL || suspend(ctx) != 0)
		return err_set(e, ERR_XEN, EINVAL, "fake save");
	while (done < f->p.stream_len) {
		ssize_t n = write(fd, f->p.stream + done,
		    f->p.stream_len - done);

		if (n < 0)
			return err_set(e, ERR_XEN, errno, "fake save");
		done += (size_t)n;
	}
	return 0;
}

static const struct hv_ops fake_hv_ops = {
	.close = op_close, .host = op_host, .create = op_create,
	.populate = op_populate, .map = op_map, .unmap = op_unmap,
	.load_state = op_load_state, .unpause = op_unpause,
	 .destroy = op_destroy, .info = op_info,
	.list = op_list, .save = op_save,
};

struct hv *
fake_hv_open(const struct fake_hv_params *p)
{
	struct fake_hv *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->hv.ops = &fake_hv_ops;
	f->p = *p;
	(void)pthread_mutex_init(&f->lock, NULL);
	return &f->hv;
}

unsigned
fake_hv_held(const struct hv *hv)
{
	const struct fake_hv *f = const_self(hv);
	unsigned held = (unsigned)f->used_pages;

	for (int i = 0; i < DOMAINS_MAX; i++)
		held += f->domains[i].exists + f->domains[i].nr_mappings;
	return held;
}

void
fake_hv_suspend(struct hv *hv, uint32_t domid)
{
	struct fake_domain *d = domain(self(hv), domid);

	if (d != NULL)
		d->suspended = true;
}

bool
fake_hv_is_running(const struct hv *hv, uint32_t domid)
{
	const struct fake_domain *d = const_domain(hv, domid);

	return d != NULL && d->running;
}

bool
fake_hv_read(const struct hv *hv, uint32_t domid, uint64_t gfn, uint8_t *page)
{
	const struct fake_domain *d = const_domain(hv, domid);

	if (d == NULL || gfn >= GFNS_MAX || d->frames[gfn] == 0)
		return false;
	return pread(d->memfd, page, PAGE, (off_t)(d->frames[gfn] - 1) *
	    PAGE) == PAGE;
}

uint64_t
fake_hv_nr_populated(const struct hv *hv, uint32_t domid)
{
	const struct fake_domain *d = const_domain(hv, domid);

	return d != NULL ? d->populated : 0;
}
