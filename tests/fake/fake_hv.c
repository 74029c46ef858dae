/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hypervisor seam in plain memory; for tests only.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "include/ident.h"
#include "include/wire/launch_page.h"
#include "tests/fake/fake_domain.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"

#define PAGE 4096u

struct fake_hv {
	struct hv hv;
	struct fake_hv_params p;
	struct fake_heap *heap;
	struct fake_domains domains;	/* in the heap */
	unsigned nr_mappings, nr_super_asked;
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

/* What the guest's agent does once it has taken its identity. */
static void
agent_answers(const struct fake_hv *f, const struct fake_domain *d)
{
	const struct fake_heap_config *config = fake_heap_config(f->heap);
	char path[96], id[LAUNCH_PAGE_ID_TEXT];

	if (f->p.agents == NULL || config->silent)
		return;
	(void)snprintf(path, sizeof(path), "/local/domain/%u/"
	    IDENT_AGENT_ANSWER, d->domid);
	launch_page_id_text(launch_page_id(d->uuid), id);
	fake_store_put_later(f->p.agents, path, id, config->answer_ms);
}

static int
hit(struct fake_hv *f, const char *what, struct err *e)
{
	return fake_fault_hit(f->p.fault) ?
	    err_set(e, ERR_XEN, EIO, "fake %s", what) : 0;
}

static void
op_close(struct hv *hv)
{
	struct fake_hv *f = self(hv);

	(void)close(f->domains.memory_fd);
	fake_heap_close(f->heap);
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
	host->scrub_domheap = f->p.scrubbed;
	memcpy(host->cpu_policy, "policy", 6);
	host->cpu_policy_len = 6;
	fake_heap_lock(f->heap);
	host->free_bytes = (f->p.host_pages -
	    fake_domain_used_pages(&f->domains)) * PAGE;
	fake_heap_unlock(f->heap);
	return 0;
}

static int
op_create(struct hv *hv, const struct hv_domain_params *p, uint32_t *domid,
    struct hv_channels *channels, struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d = NULL;

	if (hit(f, "create", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	if (fake_domain_used_pages(&f->domains) + p->nr_pages <=
	    f->p.host_pages)
		d = fake_domain_new(&f->domains, p->uuid, p->nr_vcpus);
	if (d != NULL) {
		FAKE_SET(f->heap, d->claimed, p->nr_pages);
		*domid = d->domid;
	}
	fake_heap_unlock(f->heap);
	if (d == NULL)
		return err_set(e, ERR_NOMEM, 0, "too little memory");
	*channels = (struct hv_channels){ .store_gfn = 0xfeffc,
	    .console_gfn = 0xfefff, .store_port = 1, .console_port = 2 };
	return 0;
}

static int
op_populate(struct hv *hv, uint32_t domid, unsigned order,
    const uint64_t *gfns, size_t nr, size_t *done, struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain_extent x = { .host_pages = f->p.host_pages,
	    .dirty = !f->p.scrubbed };
	struct fake_domain *d;
	bool good = true;

	*done = 0;
	if (hit(f, "populate", e) != 0)
		return -1;
	x.order = order;
	while (*done < nr && good) {
		fake_heap_lock(f->heap);
		d = fake_domain_find(&f->domains, domid);
		x.gfn = gfns[*done];
		good = d != NULL && !(order != 0 && f->p.fragmented &&
		    f->nr_super_asked++ % 3 == 2) &&
		    fake_domain_populate(&f->domains, d, &x);
		fake_heap_unlock(f->heap);
		*done += good;
	}
	return good ? 0 : err_set(e, ERR_NOMEM, 0, "fake populate: %zu of %zu",
	    *done, nr);
}

/* Frames in a row are mapped by one call. */
static bool
map_frames(const struct fake_hv *f, uint64_t first_page, const uint64_t *gfns,
    size_t nr, uint8_t *at)
{
	for (size_t i = 0, run; i < nr; i += run) {
		for (run = 1; i + run < nr && gfns[i + run] == gfns[i] + run;)
			run++;
		if (mmap(at + i * PAGE, run * PAGE, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED, f->domains.memory_fd,
		    (off_t)(first_page + gfns[i]) * PAGE) == MAP_FAILED)
			return false;
	}
	return true;
}

static int
op_map(struct hv *hv, uint32_t domid, const uint64_t *gfns, size_t nr,
    void **addr, struct err *e)
{
	struct fake_hv *f = self(hv);
	const struct fake_domain *d;
	uint64_t first_page = 0;
	uint8_t *at;
	bool good;

	if (hit(f, "map", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	good = d != NULL;
	if (good)
		first_page = fake_domain_first_page(&f->domains, d);
	for (size_t i = 0; good && i < nr; i++)
		good = fake_domain_has(&f->domains, d, gfns[i]);
	fake_heap_unlock(f->heap);
	if (!good)
		return err_set(e, ERR_XEN, EINVAL, "fake map");
	at = mmap(NULL, nr * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
	    0);
	if (at == MAP_FAILED)
		return err_set(e, ERR_XEN, errno, "fake map");
	if (!map_frames(f, first_page, gfns, nr, at)) {
		(void)err_set(e, ERR_XEN, errno, "fake map");
		(void)munmap(at, nr * PAGE);
		return -1;
	}
	(void)__atomic_add_fetch(&f->nr_mappings, 1, __ATOMIC_RELAXED);
	*addr = at;
	return 0;
}

static void
op_unmap(struct hv *hv, void *addr, size_t nr)
{
	struct fake_hv *f = self(hv);

	(void)munmap(addr, nr * PAGE);
	(void)__atomic_sub_fetch(&f->nr_mappings, 1, __ATOMIC_RELAXED);
}

static int
op_load_state(struct hv *hv, uint32_t domid, const struct hv_state *s,
    struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d;

	if (hit(f, "load_state", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	if (d != NULL && s->hvm_context.len != 0) {
		FAKE_SET(f->heap, d->claimed, 0);
		FAKE_SET(f->heap, d->state_loaded, true);
	}
	fake_heap_unlock(f->heap);
	return d != NULL && s->hvm_context.len != 0 ? 0 :
	    err_set(e, ERR_XEN, EINVAL, "fake load_state");
}

static int
op_unpause(struct hv *hv, uint32_t domid, struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d;
	bool good;

	if (hit(f, "unpause", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	good = d != NULL && d->state_loaded;
	if (good) {
		FAKE_SET(f->heap, d->running, true);
		agent_answers(f, d);
	}
	fake_heap_unlock(f->heap);
	return good ? 0 : err_set(e, ERR_XEN, ESRCH, "fake unpause");
}

static int
op_destroy(struct hv *hv, uint32_t domid, struct err *e)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d;

	if (hit(f, "destroy", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	if (d != NULL)
		fake_domain_free(&f->domains, d);
	fake_heap_unlock(f->heap);
	return 0;
}

static void
fill_info(const struct fake_domain *d, struct hv_domain_info *info)
{
	memset(info, 0, sizeof(*info));
	info->domid = d->domid;
	memcpy(info->uuid, d->uuid, HV_UUID_BYTES);
	info->shutdown = d->shutdown;
	info->shutdown_reason = d->shutdown_reason;
	info->nr_vcpus = d->nr_vcpus;
	info->nr_pages = d->populated;
	info->max_mem_kb = d->populated * 4;
}

static int
op_info(struct hv *hv, uint32_t domid, struct hv_domain_info *info,
    struct err *e)
{
	struct fake_hv *f = self(hv);
	const struct fake_domain *d;

	if (hit(f, "info", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	if (d != NULL)
		fill_info(d, info);
	fake_heap_unlock(f->heap);
	return d != NULL;
}

static int
op_list(struct hv *hv, uint32_t first_domid, struct hv_domain_info *infos,
    size_t cap, struct err *e)
{
	struct fake_hv *f = self(hv);
	const struct fake_domain *d;
	size_t nr;

	if (hit(f, "list", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	for (nr = 0; nr < cap; nr++) {
		d = fake_domain_next(&f->domains, first_domid);
		if (d == NULL)
			break;
		fill_info(d, &infos[nr]);
		first_domid = d->domid + 1;
	}
	fake_heap_unlock(f->heap);
	return (int)nr;
}

static int
op_save(struct hv *hv, uint32_t domid, int fd, int (*suspend)(void *ctx),
    void *ctx, struct err *e)
{
	struct fake_hv *f = self(hv);
	size_t done = 0;
	bool exists;

	if (hit(f, "save", e) != 0)
		return -1;
	fake_heap_lock(f->heap);
	exists = fake_domain_find(&f->domains, domid) != NULL;
	fake_heap_unlock(f->heap);
	if (!exists || suspend(ctx) != 0)
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
fake_hv_attach(const struct fake_hv_params *p, struct fake_heap *heap,
    int memory_fd)
{
	struct fake_hv *f = calloc(1, sizeof(*f));

	if (f == NULL)
		abort();
	f->hv.ops = &fake_hv_ops;
	f->p = *p;
	f->heap = fake_heap_again(heap);
	fake_domain_init(&f->domains, heap, memory_fd);
	return &f->hv;
}

struct hv *
fake_hv_open(const struct fake_hv_params *p)
{
	struct fake_heap *heap = fake_heap_private();
	struct hv *hv = fake_hv_attach(p, heap, memfd_create("fake_hv",
	    MFD_CLOEXEC));

	fake_heap_close(heap);
	return hv;
}

uint32_t
fake_hv_add(struct hv *hv, const uint8_t *uuid, uint32_t nr_vcpus)
{
	struct fake_hv *f = self(hv);
	const struct fake_domain *d;
	uint32_t domid;

	fake_heap_lock(f->heap);
	d = fake_domain_new(&f->domains, uuid, nr_vcpus);
	if (d == NULL)
		abort();
	domid = d->domid;
	fake_heap_unlock(f->heap);
	return domid;
}

unsigned
fake_hv_held(const struct hv *hv)
{
	const struct fake_hv *f = const_self(hv);
	const struct fake_domain *d = NULL;
	unsigned held;

	fake_heap_lock(f->heap);
	held = f->nr_mappings + (unsigned)fake_domain_used_pages(&f->domains);
	while ((d = fake_domain_next(&f->domains, d == NULL ? 0 :
	    d->domid + 1)) != NULL)
		held++;
	fake_heap_unlock(f->heap);
	return held;
}

static void
shut_down(struct hv *hv, uint32_t domid, uint32_t reason)
{
	struct fake_hv *f = self(hv);
	struct fake_domain *d;

	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	if (d != NULL) {
		FAKE_SET(f->heap, d->shutdown, true);
		FAKE_SET(f->heap, d->shutdown_reason, reason);
	}
	fake_heap_unlock(f->heap);
}

void
fake_hv_suspend(struct hv *hv, uint32_t domid)
{
	shut_down(hv, domid, 2);
}

void
fake_hv_power_off(struct hv *hv, uint32_t domid)
{
	shut_down(hv, domid, 0);
}

bool
fake_hv_is_running(const struct hv *hv, uint32_t domid)
{
	const struct fake_hv *f = const_self(hv);
	const struct fake_domain *d;
	bool running;

	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	running = d != NULL && d->running;
	fake_heap_unlock(f->heap);
	return running;
}

bool
fake_hv_read(const struct hv *hv, uint32_t domid, uint64_t gfn, uint8_t *page)
{
	const struct fake_hv *f = const_self(hv);
	const struct fake_domain *d;
	bool good;

	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	good = d != NULL && fake_domain_has(&f->domains, d, gfn) &&
	    pread(f->domains.memory_fd, page, PAGE, (off_t)(gfn +
	    fake_domain_first_page(&f->domains, d)) * PAGE) == PAGE;
	fake_heap_unlock(f->heap);
	return good;
}

uint64_t
fake_hv_nr_populated(const struct hv *hv, uint32_t domid)
{
	const struct fake_hv *f = const_self(hv);
	const struct fake_domain *d;
	uint64_t nr;

	fake_heap_lock(f->heap);
	d = fake_domain_find(&f->domains, domid);
	nr = d != NULL ? d->populated : 0;
	fake_heap_unlock(f->heap);
	return nr;
}
