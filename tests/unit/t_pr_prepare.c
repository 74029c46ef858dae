/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A whole preparation on fakes: what it makes; that a failure of any call
 * leaves the previous generation current and nothing else; that it can be
 * stopped; and that what a killed one left is found and removed.
 */
#include <pthread.h>
#include <sys/eventfd.h>

#include <sodium.h>

#include "include/cleanup.h"
#include "include/ident.h"
#include "prep/pr_domain.h"
#include "prep/pr_prepare.h"
#include "prep/pr_undo.h"
#include "savefile/sf_reader.h"
#include "tests/fake/fake_disk.h"
#include "tests/fake/fake_fault.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"
#include "tests/unit/t_pr_build.h"
#include "tests/unit/t_pr_files.h"
#include "tests/unit/tap.h"

#define NR_PAGES 2500u
#define DOMAINS "/local/domain"
#define BACKENDS "/local/domain/0/backend/vbd"
#define FAKE_SECTORS 2048u	/* of every device of fake_disk */

/* Where the preparation is asked to stop. */
enum stop { STOP_NEVER, STOP_BEFORE, STOP_IN_START, STOP_IN_SUSPEND };

/* A host: everything that outlives one run. */
struct host {
	struct t_pr_files files;
	char state_dir[80];
	struct t_pr_stream stream;
	struct fake_fault fault;
	struct hv *hv;
	struct store *store;
	struct disk *disk;
	struct disk delta_disk;		/* fake_disk that makes the files */
	struct disk_ops delta_ops;
	struct pr_seams seams;
	enum stop stop;
	unsigned nr_tidied;
	bool guest_dies;
	bool agent_is_silent, agent_fails;
	const char *agent_says;
};

/* The seams' callbacks that have no context of their own. */
static struct host *the_host;

static void
ask_to_stop(struct host *h)
{
	const uint64_t one = 1;

	if (write(h->seams.interrupt_fd, &one, sizeof(one)) != sizeof(one))
		abort();
}

/* The guest's side of xenstore: it suspends itself when told to. */
static void
react(void *arg, struct store *s, const char *path)
{
	struct host *h = arg;
	const char *value = fake_store_get(s, path);
	unsigned domid;

	fake_store_vbd_backend(NULL, s, path);
	if (sscanf(path, "/local/domain/%u/control/shutdown", &domid) != 1 ||
	    strstr(path, "/control/shutdown") == NULL || value == NULL ||
	    strcmp(value, "suspend") != 0)
		return;
	if (h->stop == STOP_IN_SUSPEND)
		ask_to_stop(h);
	else
		fake_hv_suspend(h->hv, domid);
}

/* fake_disk makes no file; what publishes and looks for deltas needs one. */
static int
make_delta(struct disk *d, const char *name, const char *origin_path,
    const char *delta_path, uint64_t delta_bytes, struct disk_dev *dev,
    struct err *e)
{
	struct disk *inner = the_host->disk;

	(void)d;
	if (inner->ops->make_delta(inner, name, origin_path, delta_path,
	    delta_bytes, dev, e) != 0)
		return -1;
	t_pr_write(delta_path, "delta");
	return 0;
}

static int
open_base(struct disk *d, const char *name, const char *origin_path,
    const char *delta_path, struct disk_dev *dev, struct err *e)
{
	(void)d;
	return the_host->disk->ops->open_base(the_host->disk, name,
	    origin_path, delta_path, dev, e);
}

static int
remove_dev(struct disk *d, struct disk_dev *dev, struct err *e)
{
	(void)d;
	return the_host->disk->ops->remove(the_host->disk, dev, e);
}

static int
list_devs(struct disk *d, const char *prefix, char *names, size_t cap,
    struct err *e)
{
	(void)d;
	return the_host->disk->ops->list(the_host->disk, prefix, names, cap,
	    e);
}

static void
put(struct host *h, const char *above, uint32_t domid, const char *below,
    const char *value)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%u/%s", above, domid, below);
	fake_store_put(h->store, path, value);
}

/* In xl's place.  A failure leaves the domain half made. */
static int
start(void *ctx, const struct pr_start *s, struct err *e)
{
	struct host *h = ctx;
	char text[PR_DOMAIN_UUID_TEXT], vm[64];
	uint32_t domid = fake_hv_add(h->hv, s->uuid, s->config->nr_vcpus);

	pr_domain_uuid_text(s->uuid, text);
	(void)snprintf(vm, sizeof(vm), "/vm/%s", text);
	fake_store_put(h->store, vm, "");
	put(h, DOMAINS, domid, "vm", vm);
	put(h, DOMAINS, domid, "device/vbd/51712/state", "4");
	put(h, BACKENDS, domid, "51712/online", "1");
	if (fake_fault_hit(&h->fault))
		return err_set(e, ERR_XEN, 0, "fake start");
	put(h, BACKENDS, domid, "51712/state", "4");
	put(h, DOMAINS, domid, "memory/target", "16384");
	put(h, DOMAINS, domid, "control/shutdown", "");
	put(h, "/libxl", domid, "type", "pvh");
	if (h->agent_fails)
		put(h, DOMAINS, domid, IDENT_AGENT_FAILED,
		    "prerun: \033[31mno");
	else if (!h->agent_is_silent)
		put(h, DOMAINS, domid, IDENT_AGENT_SETTLED, h->agent_says);
	put(h, DOMAINS, domid, IDENT_AGENT_REPORT, "boot_ms=1200 quiet_ms=3 "
	    "nonsense total_kb=16000 free_kb=x cached_kb=99");
	if (h->stop == STOP_IN_START)
		ask_to_stop(h);
	if (h->guest_dies)
		(void)h->hv->ops->destroy(h->hv, domid, e);
	/* Its backend closes as soon as it is told to. */
	put(h, BACKENDS, domid, "51712/state", "6");
	return 0;
}

static void
tidy(void *ctx, uint32_t domid, const char *uuid_text)
{
	struct host *h = ctx;

	(void)domid;
	(void)uuid_text;
	h->nr_tidied++;
}

static const struct pr_domain_ops domain_ops = { start, tidy };

static void
make_host(struct host *h)
{
	const struct fake_store_reaction reaction = { react, h };
	struct fake_hv_params hp = { .fault = &h->fault,
	    .host_pages = 1 << 20, .scrubbed = true };

	memset(h, 0, sizeof(*h));
	the_host = h;
	h->agent_says = T_PR_LAUNCH_MAGIC;
	t_pr_files_make(&h->files);
	h->files.config.disks[0].sectors = FAKE_SECTORS;
	(void)snprintf(h->state_dir, sizeof(h->state_dir), "%s/state",
	    h->files.dir);
	h->stream = t_pr_good(NR_PAGES);
	hp.stream = h->stream.bytes;
	hp.stream_len = h->stream.len;
	h->hv = fake_hv_open(&hp);
	h->store = fake_store_open(&h->fault, &reaction);
	h->disk = fake_disk_open(&h->fault);
	h->delta_ops = *h->disk->ops;
	h->delta_ops.make_delta = make_delta;
	h->delta_ops.open_base = open_base;
	h->delta_ops.remove = remove_dev;
	h->delta_ops.list = list_devs;
	h->delta_disk.ops = &h->delta_ops;
	h->seams = (struct pr_seams){ h->hv, h->store, &h->delta_disk,
	    &domain_ops, h, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) };
}

static void
drop_host(struct host *h)
{
	h->disk->ops->close(h->disk);
	h->store->ops->close(h->store);
	h->hv->ops->close(h->hv);
	(void)close(h->seams.interrupt_fd);
	t_pr_remove_tree(h->files.dir);
	free(h->stream.bytes);
}

static int
prepare(struct host *h, bool force, struct pr_result *result, struct err *e)
{
	const struct pr_params p = {
		.state_dir = h->state_dir,
		.config = &h->files.config,
		.force = force,
		.keep = 1,
		.codec = SF_CODEC_LZ4,
		.by_agent = true,
		.settle_seconds = 1
	};
	struct pr_report report = { .out = NULL };
	uint64_t drained;
	int rc;

	e->code = ERR_NONE;
	e->msg[0] = '\0';
	rc = pr_prepare_run(&p, &h->seams, &report, result, e);
	(void)!read(h->seams.interrupt_fd, &drained, sizeof(drained));
	return rc;
}

/* What must not be there between runs; NULL if all is well. */
static const char *
left(struct host *h)
{
	char dir[96];

	(void)snprintf(dir, sizeof(dir), "%s/tiny", h->state_dir);
	if (fake_hv_held(h->hv) != 0)
		return "a domain";
	if (fake_disk_held(h->disk) != 0)
		return "a dm device";
	if (t_pr_count(dir, "tmp-") != 0 ||
	    t_pr_count(dir, "current.new") != 0)
		return "a temporary file";
	if (fake_store_get(h->store, "/libxl/1") != NULL ||
	    fake_store_get(h->store, "/local/domain/1") != NULL ||
	    fake_store_get(h->store, "/local/domain/0/backend/vbd/1") != NULL)
		return "a xenstore node";
	return NULL;
}

/* The id of the current generation, if it is whole. */
static bool
current(const struct host *h, char id[64])
{
	const struct sf_limits limits = { UINT64_C(1) << 40 };
	uint8_t key[SF_KEY_BYTES];
	struct sf_reader *r = NULL;
	struct gen gen;
	struct err e;
	bool good;

	if (gen_open_current(h->state_dir, "tiny", &gen, &e) != 0)
		return false;
	if (gen_host_key(h->state_dir, 0, key, &e) == 0)
		r = sf_reader_open(gen.savefile_fd, key, &limits, &e);
	good = r != NULL && sf_reader_verify_data(r, &e) == 0;
	(void)snprintf(id, 64, "%.63s", strrchr(gen.dir, '/') + 5);
	sf_reader_close(r);
	gen_close(&gen);
	return good;
}

static void
test_good(struct host *h)
{
	struct pr_result result;
	char id[64], path[PATH_MAX + 16];
	struct gen gen;
	struct err e;

	ok(prepare(h, false, &result, &e) == 0 && !result.up_to_date,
	    "a template is prepared (%s)", e.msg);
	ok(left(h) == NULL && h->nr_tidied == 1, "nothing is left");
	ok(result.stats.nr_pages == NR_PAGES + 7 &&
	    result.stats.nr_zero_pages + result.stats.nr_data_pages ==
	    result.stats.nr_pages && result.stats.nr_zero_pages > NR_PAGES / 4
	    && result.savefile_bytes > 0, "the figures are the guest's");
	ok(current(h, id) && strcmp(id, result.id) == 0,
	    "the generation reads back");
	if (gen_open_current(h->state_dir, "tiny", &gen, &e) != 0)
		abort();
	(void)snprintf(path, sizeof(path), "%s/xvda.delta", gen.dir);
	ok(access(path, R_OK) == 0, "its delta is there");
	gen_close(&gen);
	ok(prepare(h, false, &result, &e) == 0 && result.up_to_date &&
	    strcmp(id, result.id) == 0, "again: up to date");
	t_pr_write(h->files.config.kernel, "kernel two");
	ok(prepare(h, false, &result, &e) == 0 && !result.up_to_date &&
	    current(h, id) && strcmp(id, result.id) == 0 && left(h) == NULL,
	    "with another kernel: prepared again");
	(void)snprintf(path, sizeof(path), "%s/tiny", h->state_dir);
	ok(t_pr_count(path, "gen-") == 2, "the old one is kept");
	(void)prepare(h, true, &result, &e);
	ok(t_pr_count(path, "gen-") == 2 && current(h, id) &&
	    strcmp(id, result.id) == 0, "--force: again, and one old is kept");
}

/* Every call fails once. */
static void
test_faults(struct host *h)
{
	unsigned nr_failed = 0, nr_left = 0, nr_lost = 0, n;
	char before[64], after[64];
	struct pr_result result;
	struct err e;

	for (n = 1; n < 1000; n++) {
		int rc;

		if (!current(h, before))
			break;
		h->fault = (struct fake_fault){ .fail_at = n };
		rc = prepare(h, true, &result, &e);
		if (rc == 0 && h->fault.nr_calls < n)
			break;
		h->fault = (struct fake_fault){ .fail_at = 0 };
		if (left(h) != NULL) {
			nr_left++;
			printf("# call %u leaves %s (%s)\n", n, left(h),
			    e.msg);
		}
		nr_lost += !current(h, after) || (rc != 0 &&
		    strcmp(before, after) != 0);
		nr_failed += rc != 0;
	}
	h->fault = (struct fake_fault){ .fail_at = 0 };
	ok(n > 20 && n < 1000, "%u calls failed, one at a time", n - 1);
	ok(nr_failed >= n - 5, "%u of them failed the preparation", nr_failed);
	ok(nr_left == 0, "nothing is left after any");
	ok(nr_lost == 0, "the previous generation is current after each");
}

static void
test_stops(struct host *h)
{
	static const char *const names[] = {
		[STOP_BEFORE] = "before it begins",
		[STOP_IN_START] = "while it boots",
		[STOP_IN_SUSPEND] = "while the guest suspends itself"
	};
	char before[64], after[64];
	struct pr_result result;
	struct err e;

	for (enum stop s = STOP_BEFORE; s <= STOP_IN_SUSPEND; s++) {
		if (!current(h, before))
			abort();
		h->stop = s;
		if (s == STOP_BEFORE)
			ask_to_stop(h);
		ok(prepare(h, true, &result, &e) == -1 &&
		    e.code == ERR_INTERRUPTED, "stopped %s (%s)", names[s],
		    e.msg);
		ok(left(h) == NULL && current(h, after) &&
		    strcmp(before, after) == 0, "nothing is left");
	}
	h->stop = STOP_NEVER;
}

static void
test_bad_guests(struct host *h)
{
	struct pr_result result;
	struct err e;

	h->agent_is_silent = true;
	ok(prepare(h, true, &result, &e) == -1 && e.code == ERR_TIMEOUT &&
	    strstr(e.msg, "dvm-agent") != NULL && left(h) == NULL,
	    "an agent that is silent (%s)", e.msg);
	h->agent_is_silent = false;
	h->agent_fails = true;
	ok(prepare(h, true, &result, &e) == -1 && e.code == ERR_INPUT &&
	    strstr(e.msg, "prerun: ?[31mno") != NULL && left(h) == NULL,
	    "an agent that says why it cannot (%s)", e.msg);
	h->agent_fails = false;
	h->agent_says = "1";
	ok(prepare(h, true, &result, &e) == -1 && e.code == ERR_INPUT &&
	    strstr(e.msg, "magic") != NULL && left(h) == NULL,
	    "an agent that says no magic (%s)", e.msg);
	h->agent_says = "00000000000000000000000000000000"
	    "00000000000000000000000000000000";
	ok(prepare(h, true, &result, &e) == -1 && e.code == ERR_INPUT &&
	    strstr(e.msg, "0 launch pages") != NULL && left(h) == NULL,
	    "a magic that no page has (%s)", e.msg);
	h->agent_says = T_PR_LAUNCH_MAGIC;
	h->guest_dies = true;
	ok(prepare(h, true, &result, &e) == -1 && e.code == ERR_INPUT,
	    "a guest that dies at once (%s)", e.msg);
	ok(left(h) == NULL, "nothing is left");
	h->guest_dies = false;
	/* A record in the middle is damaged. */
	h->stream.bytes[24 + 16 + 4] ^= 1;
	ok(prepare(h, true, &result, &e) == -1 && e.code == ERR_INPUT &&
	    left(h) == NULL, "a stream that is broken (%s)", e.msg);
	h->stream.bytes[24 + 16 + 4] ^= 1;
	h->files.config.disks[0].sectors++;
	ok(prepare(h, true, &result, &e) == -1 && e.code == ERR_DISK &&
	    left(h) == NULL, "a disk of another size (%s)", e.msg);
	h->files.config.disks[0].sectors--;
}

/* As a killed run and its killed watchdog leave it. */
static void
leave_things(struct host *h, const char *with_domain)
{
	struct pr_start s = { .config = &h->files.config };
	char id[PR_DOMAIN_ID_TEXT], name[DISK_NAME_MAX], path[256];
	uint8_t uuid[HV_UUID_BYTES];
	struct disk_dev dev;
	struct pr_dir d;
	struct err e;

	pr_domain_new_uuid(uuid);
	pr_domain_id_text(uuid, id);
	if (pr_dir_open(h->state_dir, "tiny", &d, &e) != 0 ||
	    pr_dir_make_tmp(&d, id, &e) != 0)
		abort();
	(void)snprintf(path, sizeof(path), "%s/tiny/tmp-%s/xvda.delta",
	    h->state_dir, id);
	pr_undo_dm_name(id, "xvda", name);
	if (make_delta(NULL, name, "", path, 4096, &dev, &e) != 0)
		abort();
	s.uuid = uuid;
	h->guest_dies = strcmp(with_domain, "nodes") == 0;
	if (strcmp(with_domain, "none") != 0 && start(h, &s, &e) != 0)
		abort();
	h->guest_dies = false;
	pr_dir_close(&d);
}

static void
test_leftovers(struct host *h)
{
	static const char *const kinds[] = { "none", "nodes", "domain" };
	char before[64], after[64];
	struct pr_result result;
	struct err e;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!current(h, before))
			abort();
		leave_things(h, kinds[i]);
		ok(left(h) != NULL, "control: something is left (%s)",
		    kinds[i]);
		ok(pr_prepare_clean(h->state_dir, "tiny", &h->seams, &e) == 0
		    && left(h) == NULL && current(h, after) &&
		    strcmp(before, after) == 0, "the watchdog removes it");
	}
	leave_things(h, "domain");
	ok(prepare(h, false, &result, &e) == 0 && result.nr_undone == 1 &&
	    left(h) == NULL, "so does the next run");
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
	test_stops(&h);
	test_bad_guests(&h);
	test_leftovers(&h);
	drop_host(&h);
	return tap_done();
}
