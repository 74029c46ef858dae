/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A cold boot on fakes: what it makes and tells the guest, what it refuses, and
 * that a failure of any call, or an interruption, leaves nothing.
 */
#include <sys/eventfd.h>

#include <sodium.h>

#include "include/cleanup.h"
#include "include/ident.h"
#include "prep/pr_cold.h"
#include "prep/pr_domain.h"
#include "tests/fake/fake_disk.h"
#include "tests/fake/fake_fault.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"
#include "tests/unit/t_pr_files.h"
#include "tests/unit/tap.h"

#define UUID_TEXT "64766d31-3031-4233-8435-363738394142"
#define DISK IDENT_DM_DISP UUID_TEXT "-xvda"

static const struct cold_proto_request request = { .store_bytes = 1 << 20,
    .uuid = IDENT_UUID_DISP "01B3\x84" "56789AB", .name = "disp0042",
    .template = "tiny" };

enum start { START_GOOD, START_DIES, START_INTERRUPTED };

struct host {
	struct t_pr_files files;
	struct fake_fault fault;
	struct pr_seams seams;
	size_t baseline;	/* nodes */
	enum start start;
	unsigned nr_tidied;
	char name[32];		/* that xl was told */
	int lock_fd;
};

static void
put(struct host *h, const char *above, uint32_t domid, const char *below,
    const char *value)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%u/%s", above, domid, below);
	fake_store_put(h->seams.store, path, value);
}

/* In xl's place. */
static int
start(void *ctx, const struct pr_start *s, struct err *e)
{
	static const uint64_t one = 1;
	struct host *h = ctx;
	char vm[64];
	uint32_t domid = fake_hv_add(h->seams.hv, s->uuid, 1);

	(void)snprintf(h->name, sizeof(h->name), "%s", s->name);
	h->lock_fd = s->lock_fd;
	(void)snprintf(vm, sizeof(vm), "/vm/" UUID_TEXT);
	fake_store_put(h->seams.store, vm, "");
	put(h, "/local/domain", domid, "name", s->name);
	put(h, "/local/domain", domid, "vm", vm);
	put(h, "/local/domain", domid, "device/vbd/51712/state", "4");
	put(h, "/local/domain/0/backend/vbd", domid, "51712/online", "1");
	put(h, "/local/domain/0/backend/vbd", domid, "51712/state", "6");
	put(h, "/libxl", domid, "type", "pvh");
	if (fake_fault_hit(&h->fault))
		return err_set(e, ERR_XEN, 0, "fake start");
	if (h->start == START_DIES)
		(void)h->seams.hv->ops->destroy(h->seams.hv, domid, e);
	if (h->start != START_INTERRUPTED)
		return 0;
	(void)!write(s->interrupt_fd, &one, sizeof(one));
	return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
}

static void
tidy(void *ctx, uint32_t domid, const char *uuid_text)
{
	struct host *h = ctx;

	h->nr_tidied += domid != 0 && strcmp(uuid_text, UUID_TEXT) == 0;
}

static const struct pr_domain_ops domain_ops = { start, tidy };

static void
write_cfg(struct host *h, const char *more)
{
	char text[1024];

	(void)snprintf(text, sizeof(text), "type=\"pvh\"\nmemory=16\n"
	    "kernel=\"%s/kernel\"\n"
	    "disk=[ \"format=raw,vdev=xvda,access=rw,target=%s/disk\" ]\n%s\n",
	    h->files.dir, h->files.dir, more);
	t_pr_write(h->files.config.cfg, text);
}

static void
make_host(struct host *h)
{
	const struct fake_hv_params hp = { .fault = &h->fault,
	    .host_pages = 1 << 20, .scrubbed = true };
	char dir[96];
	struct err e;

	memset(h, 0, sizeof(*h));
	t_pr_files_make(&h->files);
	write_cfg(h, "dvm_user=\"user\"");
	(void)snprintf(dir, sizeof(dir), "%s/tiny", h->files.dir);
	if (mkdir(dir, 0700) != 0 || gen_set_cfg(h->files.dir, "tiny",
	    h->files.config.cfg, &e) != 0)
		abort();
	h->seams = (struct pr_seams){ fake_hv_open(&hp),
	    fake_store_open(&h->fault, NULL), fake_disk_open(&h->fault),
	    &domain_ops, h, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
	fake_store_put(h->seams.store, "/local/domain/0/backend/vbd", "");
	fake_store_put(h->seams.store, "/libxl", "");
	fake_store_put(h->seams.store, "/vm", "");
	h->baseline = fake_store_held(h->seams.store);
}

static void
drop_host(struct host *h)
{
	h->seams.disk->ops->close(h->seams.disk);
	h->seams.store->ops->close(h->seams.store);
	h->seams.hv->ops->close(h->seams.hv);
	(void)close(h->seams.interrupt_fd);
	t_pr_remove_tree(h->files.dir);
}

static int
boot(struct host *h, uint32_t *domid, struct err *e)
{
	const struct pr_cold_params p = { .state_dir = h->files.dir,
	    .request = &request, .lock_fd = 77 };

	*e = (struct err){ .code = ERR_NONE };
	return pr_cold_boot(&p, &h->seams, domid, e);
}

static size_t
held(const struct host *h)
{
	return fake_hv_held(h->seams.hv) + fake_disk_held(h->seams.disk) +
	    fake_store_held(h->seams.store) - h->baseline;
}

static void
test_good(struct host *h)
{
	char path[64], names[256] = "";
	const char *text;
	uint32_t domid = 0;
	struct err e;

	ok(boot(h, &domid, &e) == 0 && domid != 0, "a disposable is booted "
	    "(%s)", e.msg);
	(void)snprintf(path, sizeof(path), "/local/domain/%u/" IDENT_COLD,
	    domid);
	text = fake_store_get(h->seams.store, path);
	ok(text != NULL && strncmp(text, "uuid=" UUID_TEXT "\nname=disp0042\n"
	    "prerun=\nuser=user\n", 60) == 0, "its agent is told who it is "
	    "and the template's settings");
	ok(h->seams.disk->ops->list(h->seams.disk, "", names, sizeof(names),
	    &e) == 1 && strcmp(names, DISK) == 0, "its disk is named as a "
	    "disposable's");
	ok(strcmp(h->name, "disp0042") == 0 && h->lock_fd == 77,
	    "and so is its domain, whose starter holds the lock");
	ok(h->nr_tidied == 1, "xl's own files of it are gone");
	ok(pr_cold_undo(&request, &h->seams, &e) == 0 && held(h) == 0,
	    "it can be taken back");
	ok(pr_cold_undo(&request, &h->seams, &e) == 0, "also twice");
}

/* Every call fails once: of the boot, then of its taking back. */
static void
test_faults(struct host *h)
{
	unsigned n, nr_undone, nr_lost = 0;
	uint32_t domid;
	struct err e;

	for (n = 1; n < 200; n++) {
		h->fault = (struct fake_fault){ .fail_at = n };
		if (boot(h, &domid, &e) == 0)
			break;
		if (held(h) != 0 || e.msg[0] == '\0') {
			nr_lost++;
			printf("# call %u leaves something (%s)\n", n, e.msg);
		}
	}
	ok(n > 4 && n < 200 && nr_lost == 0, "each of %u calls fails once, "
	    "and the boot leaves nothing", n - 1);
	for (nr_undone = 0, n = 1; n < 200; n++) {
		h->fault = (struct fake_fault){ .fail_at = n };
		nr_undone += pr_cold_undo(&request, &h->seams, &e) == 0;
		if (h->fault.nr_calls < n)
			break;
		h->fault = (struct fake_fault){ .fail_at = 0 };
		nr_lost += pr_cold_undo(&request, &h->seams, &e) != 0 ||
		    held(h) != 0 || boot(h, &domid, &e) != 0;
	}
	h->fault = (struct fake_fault){ .fail_at = 0 };
	ok(n > 8 && n < 200 && nr_lost == 0 && nr_undone < n / 2, "each of %u "
	    "calls fails in taking it back: the next try does the rest",
	    n - 1);
	ok(held(h) == 0, "nothing is left");
}

static void
test_ends(struct host *h)
{
	uint64_t drained;
	uint32_t domid;
	struct err e;

	h->start = START_DIES;
	ok(boot(h, &domid, &e) == -1 && e.code == ERR_INPUT &&
	    strstr(e.msg, "xl create") != NULL && held(h) == 0,
	    "a guest that dies at once (%s)", e.msg);
	h->start = START_INTERRUPTED;
	ok(boot(h, &domid, &e) == -1 && e.code == ERR_INTERRUPTED &&
	    held(h) == 0, "an interruption leaves nothing");
	(void)!read(h->seams.interrupt_fd, &drained, sizeof(drained));
	h->start = START_GOOD;
}

static void
test_refusals(struct host *h)
{
	char path[128];
	uint32_t domid;
	struct err e;
	int fd = open(h->files.config.disks[0].origin, O_RDWR | O_CLOEXEC);

	ok(boot(h, &domid, &e) == -1 && e.code == ERR_BUSY &&
	    strstr(e.msg, "shut it down") != NULL && held(h) == 0,
	    "a disk that is being written (%s)", e.msg);
	(void)close(fd);
	ok(boot(h, &domid, &e) == 0 && pr_cold_undo(&request, &h->seams,
	    &e) == 0, "... and once it no longer is");
	write_cfg(h, "vif=[ '' ]");
	ok(boot(h, &domid, &e) == -1 && e.code == ERR_INPUT &&
	    strstr(e.msg, "vif") != NULL && held(h) == 0,
	    "a configuration of no template (%s)", e.msg);
	(void)unlink(h->files.config.cfg);
	ok(boot(h, &domid, &e) == -1 && e.code == ERR_INPUT &&
	    strstr(e.msg, "tiny.cfg") != NULL, "none at all (%s)", e.msg);
	(void)snprintf(path, sizeof(path), "%s/other.cfg", h->files.dir);
	write_cfg(h, "");
	(void)rename(h->files.config.cfg, path);
	(void)gen_set_cfg(h->files.dir, "tiny", path, &e);
	ok(boot(h, &domid, &e) == -1 && e.code == ERR_STALE &&
	    strstr(e.msg, "other's") != NULL, "another template's (%s)",
	    e.msg);
	(void)snprintf(path, sizeof(path), "%s/tiny/cfg", h->files.dir);
	(void)unlink(path);
	ok(boot(h, &domid, &e) == -1 && e.code == ERR_STALE &&
	    strstr(e.msg, "dvm-prepare") != NULL && held(h) == 0,
	    "a template of which nothing is known (%s)", e.msg);
}

int
main(void)
{
	static struct host h;

	if (sodium_init() < 0)
		abort();
	make_host(&h);
	test_good(&h);
	test_faults(&h);
	test_ends(&h);
	test_refusals(&h);
	drop_host(&h);
	return tap_done();
}
