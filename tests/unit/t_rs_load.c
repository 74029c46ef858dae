/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The plan and the load engine on fake domains: every page arrives, none is
 * written that need not be, nothing of a fresh frame's past shows, and nothing
 * is held after a failure at any call.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "restore/launch/load.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/sf_build.h"
#include "tests/unit/tap.h"

#define HOST_PAGES (1u << 18)

struct fixture {
	struct sf_guest guest;
	struct sf_reader *reader;
	struct rs_plan plan;
};

static bool
setup(const char *shape, enum sf_codec codec, struct fixture *x)
{
	const struct sf_limits limits = { .guest_bytes_max = 1u << 30 };
	struct sf_state_room room;
	struct sf_state state;
	struct err e = { .msg = "" };
	int fd;

	memset(x, 0, sizeof(*x));
	if (!sf_guest_make(shape, 7, &x->guest))
		return false;
	sf_build_state(7, 1, 2000, &room, &state);
	fd = sf_build_file(&x->guest, &state, codec, sf_build_key, &e);
	if (fd >= 0) {
		x->reader = sf_reader_open(fd, sf_build_key, &limits, &e);
		(void)close(fd);
	}
	if (x->reader == NULL || sf_reader_prefault(x->reader, &e) != 0 ||
	    rs_plan_make(sf_reader_image(x->reader), &x->plan, &e) != 0) {
		(void)printf("# %s: %s\n", shape, e.msg);
		return false;
	}
	return true;
}

static void
teardown(struct fixture *x)
{
	rs_plan_free(&x->plan);
	sf_reader_close(x->reader);
	sf_guest_free(&x->guest);
}

static uint32_t
make_domain(struct hv *hv, const struct fixture *x, struct err *e)
{
	struct hv_domain_params p = { .nr_vcpus = 1,
	    .nr_pages = rs_plan_nr_pages(&x->plan) };
	struct hv_channels channels;
	uint32_t domid;

	return hv->ops->create(hv, &p, &domid, &channels, e) == 0 ? domid : 0;
}

/* Is every frame what the guest's page was, and no other populated? */
static bool
same_memory(const struct hv *hv, uint32_t domid, const struct fixture *x)
{
	uint8_t want[SF_PAGE_BYTES], got[SF_PAGE_BYTES];

	for (uint64_t gfn = 0; gfn < x->guest.nr_gfns; gfn++) {
		bool there = fake_hv_read(hv, domid, gfn, got);

		if (there != (x->guest.kinds[gfn] != SF_PAGE_ABSENT))
			return false;
		if (!there)
			continue;
		sf_guest_page(&x->guest, gfn, want);
		if (memcmp(want, got, sizeof(want)) != 0)
			return false;
	}
	return fake_hv_nr_populated(hv, domid) == x->guest.nr_pages;
}

static uint64_t
nr_data_pages(const struct sf_guest *g)
{
	uint64_t nr = 0;

	for (uint64_t gfn = 0; gfn < g->nr_gfns; gfn++)
		nr += g->kinds[gfn] == SF_PAGE_TEXT ||
		    g->kinds[gfn] == SF_PAGE_NOISE;
	return nr;
}

static void
test_load(const char *shape, enum sf_codec codec, bool scrubbed,
    bool fragmented, unsigned workers)
{
	const struct fake_hv_params hp = { .host_pages = HOST_PAGES,
	    .scrubbed = scrubbed, .fragmented = fragmented };
	struct rs_load_counts counts = { .bytes_copied = 0 };
	struct rs_load_source source;
	struct err e = { .msg = "" };
	struct hv *hv = fake_hv_open(&hp);
	struct fixture x;
	struct rs_load *load = NULL;
	uint32_t domid = 0;
	uint64_t want;
	bool good;

	good = setup(shape, codec, &x) &&
	    (domid = make_domain(hv, &x, &e)) != 0;
	source = (struct rs_load_source){ .reader = x.reader,
	    .plan = &x.plan, .frames_are_zero = scrubbed,
	    .nr_workers = workers };
	if (good)
		load = rs_load_start(hv, domid, &source, &e);
	good = load != NULL && rs_load_wait(load, &counts, &e) == 0;
	ok(good && same_memory(hv, domid, &x), "%s %s loads %s%s with %u "
	    "workers%s%s", shape, codec == SF_CODEC_RAW ? "raw" : "lz4",
	    scrubbed ? "into zeros" : "over old contents",
	    fragmented ? ", fragmented," : "", workers, good ? "" : ": ",
	    e.msg);
	want = scrubbed ? nr_data_pages(&x.guest) : x.guest.nr_pages;
	ok(counts.bytes_copied == want * SF_PAGE_BYTES,
	    "%s: each byte of %s is written once", shape,
	    scrubbed ? "data" : "memory");
	rs_load_free(load);
	if (domid != 0)
		(void)hv->ops->destroy(hv, domid, &e);
	ok(fake_hv_held(hv) == 0, "%s: nothing is held after it", shape);
	teardown(&x);
	hv->ops->close(hv);
}

/* The control: trusting frames that are not zero must show. */
static void
test_trust_is_seen(void)
{
	const struct fake_hv_params hp = { .host_pages = HOST_PAGES };
	struct rs_load_source source = { .frames_are_zero = true,
	    .nr_workers = 1 };
	struct rs_load_counts counts;
	struct hv *hv = fake_hv_open(&hp);
	struct rs_load *load = NULL;
	struct fixture x;
	struct err e;
	uint32_t domid = 0;

	if (setup(sf_guest_shapes[0], SF_CODEC_RAW, &x) &&
	    (domid = make_domain(hv, &x, &e)) != 0) {
		source.reader = x.reader;
		source.plan = &x.plan;
		load = rs_load_start(hv, domid, &source, &e);
	}
	ok(load != NULL && rs_load_wait(load, &counts, &e) == 0 &&
	    (x.guest.nr_pages == nr_data_pages(&x.guest) ||
	    !same_memory(hv, domid, &x)),
	    "control: old contents do show where zeros are taken on trust");
	rs_load_free(load);
	teardown(&x);
	hv->ops->close(hv);
}

static void
test_faults(void)
{
	struct fake_fault fault = { .fail_at = 0 };
	const struct fake_hv_params hp = { .host_pages = HOST_PAGES,
	    .fault = &fault };
	struct hv *hv = fake_hv_open(&hp);
	struct rs_load_source source = { .nr_workers = 2 };
	struct rs_load_counts counts;
	struct fixture x;
	struct err e;
	unsigned n, held = 0;
	bool done = false;

	if (!setup("holes", SF_CODEC_LZ4, &x)) {
		ok(false, "the fault loop has a guest");
		return;
	}
	source.reader = x.reader;
	source.plan = &x.plan;
	for (n = 1; !done && n < 1000; n++) {
		uint32_t domid;
		struct rs_load *load;

		fault = (struct fake_fault){ .fail_at = 0 };
		domid = make_domain(hv, &x, &e);
		fault = (struct fake_fault){ .fail_at = n };
		load = rs_load_start(hv, domid, &source, &e);
		/* A superpage that fails is split: no failure of the load. */
		done = load != NULL && rs_load_wait(load, &counts, &e) == 0 &&
		    fault.nr_calls < n;
		rs_load_free(load);
		fault = (struct fake_fault){ .fail_at = 0 };
		(void)hv->ops->destroy(hv, domid, &e);
		held += fake_hv_held(hv);
	}
	ok(done && n > 3 && held == 0, "after a failure of each of %u calls "
	    "of a load nothing is held", n - 2);
	teardown(&x);
	hv->ops->close(hv);
}

int
main(void)
{
	for (int i = 0; sf_guest_shapes[i] != NULL; i++) {
		const char *shape = sf_guest_shapes[i];

		test_load(shape, SF_CODEC_LZ4, true, false, 1);
		test_load(shape, SF_CODEC_RAW, false, false, 2);
		test_load(shape, SF_CODEC_LZ4, false, true, 3);
	}
	test_trust_is_seen();
	test_faults();
	return tap_done();
}
