/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * bench_load SAVEFILE: the load engine natively, on a real guest's image (LZ4,
 * and stored raw again in memory), against memcpy and bare LZ4_decompress_safe
 * of the same bytes with as many threads.  Guest frames are plain memory here,
 * fresh (faulted in on the way, 2 MiB pages if the kernel gives them) or
 * populated.  Prints name<TAB>value<TAB>unit: medians of interleaved rounds.
 * bench_load --dump SAVEFILE writes the data pages to standard output.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <lz4.h>

#include "restore/launch/load.h"
#include "savefile/sf_page.h"
#include "savefile/sf_writer.h"

#define ROUNDS 15
#define HUGE_BYTES (2u << 20)

/* The seam: frames of the domain in the order of the plan's data_gfns. */
struct bench_hv {
	struct hv hv;
	const struct rs_plan *plan;
	uint8_t *memory;
};

static double
now_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
	(void)fprintf(stderr, "bench_load: %s\n", what);
	exit(1);
}

static int
op_populate(struct hv *hv, uint32_t domid, unsigned order,
    const uint64_t *gfns, size_t nr, size_t *done, struct err *e)
{
	(void)hv, (void)domid, (void)order, (void)gfns, (void)e;
	*done = nr;
	return 0;
}

static int
op_map(struct hv *hv, uint32_t domid, const uint64_t *gfns, size_t nr,
    void **addr, struct err *e)
{
	struct bench_hv *b = (struct bench_hv *)(void *)hv;
	size_t low = 0, high = b->plan->nr_data;

	(void)domid, (void)nr, (void)e;
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (b->plan->data_gfns[mid] < gfns[0])
			low = mid + 1;
		else
			high = mid;
	}
	*addr = b->memory + low * SF_PAGE_BYTES;
	return 0;
}

static void
op_unmap(struct hv *hv, void *addr, size_t nr)
{
	(void)hv, (void)addr, (void)nr;
}

static const struct hv_ops bench_ops = { .populate = op_populate,
    .map = op_map, .unmap = op_unmap };

static uint8_t *
fresh_memory(size_t bytes)
{
	uint8_t *m = mmap(NULL, bytes + HUGE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		die("no memory");
	(void)madvise(m, bytes + HUGE_BYTES, MADV_HUGEPAGE);
	return m;
}

/* What is compared. */
enum kind { ENGINE_RAW, ENGINE_RESIDENT, ENGINE_LZ4, COPY, BARE_LZ4, KINDS };
static const char *const kind_names[KINDS] = { "engine_raw",
    "engine_resident", "engine_lz4", "memcpy", "bare_lz4" };

struct bench {
	struct sf_reader *raw, *lz4;
	struct rs_plan raw_plan, lz4_plan;
	uint8_t *resident;
	size_t bytes;
};

/* A bare loop over tasks, for the two rivals. */
struct bare {
	const struct bench *b;
	enum kind kind;
	uint8_t *dst;
	atomic_size_t next;
};

static void *
bare_worker(void *arg)
{
	struct bare *w = arg;
	const struct sf_chunk *chunks = sf_reader_image(w->b->lz4)->chunks;
	size_t i;

	while ((i = atomic_fetch_add(&w->next, 1)) < w->b->lz4_plan.nr_tasks) {
		const struct rs_task *t = &w->b->lz4_plan.tasks[i];
		size_t at = t->first_page * SF_PAGE_BYTES;

		if (w->kind == COPY) {
			memcpy(w->dst + at, w->b->resident + at,
			    t->nr_pages * SF_PAGE_BYTES);
			continue;
		}
		for (uint32_t c = 0; c < t->nr_chunks; c++) {
			const struct sf_chunk *k = &chunks[t->first_chunk + c];
			const uint8_t *s = sf_reader_stored(w->b->lz4, k);
			size_t len = sf_chunk_nr_pages(k) * SF_PAGE_BYTES;

			if (k->method == SF_METHOD_RAW)
				memcpy(w->dst + at, s, len);
			else if (LZ4_decompress_safe((const char *)s,
			    (char *)w->dst + at, (int)k->stored_bytes,
			    (int)len) != (int)len)
				die("LZ4_decompress_safe");
			at += len;
		}
	}
	return NULL;
}

static void
run_bare(const struct bench *b, enum kind kind, unsigned threads, uint8_t *dst)
{
	struct bare w = { .b = b, .kind = kind, .dst = dst };
	pthread_t ids[RS_LOAD_WORKERS_MAX];

	for (unsigned i = 0; i < threads; i++)
		if (pthread_create(&ids[i], NULL, bare_worker, &w) != 0)
			die("pthread_create");
	for (unsigned i = 0; i < threads; i++)
		(void)pthread_join(ids[i], NULL);
}

static void
run_engine(const struct bench *b, enum kind kind, unsigned threads,
    uint8_t *dst)
{
	struct rs_load_source source = {
		.reader = kind == ENGINE_LZ4 ? b->lz4 : b->raw,
		.plan = kind == ENGINE_LZ4 ? &b->lz4_plan : &b->raw_plan,
		.resident = kind == ENGINE_RESIDENT ? b->resident : NULL,
		.frames_are_zero = true,
		.nr_workers = threads,
	};
	struct bench_hv hv = { .hv.ops = &bench_ops, .plan = source.plan,
	    .memory = dst };
	struct rs_load_counts counts;
	struct rs_load *load;
	struct err e;

	load = rs_load_start(&hv.hv, 1, &source, &e);
	if (load == NULL || rs_load_wait(load, &counts, &e) != 0)
		die(e.msg);
	if (counts.bytes_copied != b->bytes)
		die("bytes copied differ from the guest's data");
	rs_load_free(load);
}

static double
measure(const struct bench *b, enum kind kind, unsigned threads, bool fresh,
    uint8_t *populated)
{
	uint8_t *dst = fresh ? fresh_memory(b->bytes) : populated;
	double start = now_s();

	if (kind == COPY || kind == BARE_LZ4)
		run_bare(b, kind, threads, dst);
	else
		run_engine(b, kind, threads, dst);
	start = now_s() - start;
	if (memcmp(dst, b->resident, b->bytes) != 0)
		die("loaded memory differs");
	if (fresh)
		(void)munmap(dst, b->bytes + HUGE_BYTES);
	return start;
}

static int
by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double
median(double *v)
{
	qsort(v, ROUNDS, sizeof(*v), by_value);
	return v[ROUNDS / 2];
}

static void
bench_case(const struct bench *b, unsigned threads, bool fresh,
    uint8_t *populated)
{
	const char *where = fresh ? "fresh" : "populated";
	double t[KINDS][ROUNDS], m[KINDS];

	for (int r = 0; r < ROUNDS; r++)
		for (int k = 0; k < KINDS; k++)
			t[k][r] = measure(b, (enum kind)k, threads, fresh,
			    populated);
	for (int k = 0; k < KINDS; k++) {
		m[k] = median(t[k]);
		(void)printf("%s.%s.%uthread\t%.3f\tGB/s\n", kind_names[k],
		    where, threads, (double)b->bytes / m[k] / 1e9);
	}
	(void)printf("engine_raw_over_memcpy.%s.%uthread\t%.3f\tratio\n",
	    where, threads, m[COPY] / m[ENGINE_RAW]);
	(void)printf("engine_resident_over_memcpy.%s.%uthread\t%.3f\tratio\n",
	    where, threads, m[COPY] / m[ENGINE_RESIDENT]);
	(void)printf("engine_lz4_over_bare.%s.%uthread\t%.3f\tratio\n", where,
	    threads, m[BARE_LZ4] / m[ENGINE_LZ4]);
}

static struct sf_reader *
open_reader(int fd, struct rs_plan *plan)
{
	const struct sf_limits limits = { .guest_bytes_max = 1ull << 40 };
	struct sf_reader *r;
	struct err e;

	r = sf_reader_open(fd, NULL, &limits, &e);
	if (r == NULL || sf_reader_prefault(r, &e) != 0 ||
	    rs_plan_make(sf_reader_image(r), plan, &e) != 0)
		die(e.msg);
	(void)close(fd);
	return r;
}

/* The same image, stored raw, in a memory file. */
static int
write_raw(const struct bench *b)
{
	static const uint8_t zero_page[SF_PAGE_BYTES], key[SF_KEY_BYTES];
	const struct rs_plan *plan = &b->lz4_plan;
	struct sf_writer_params p = {
		.nr_groups_max = sf_reader_header(b->lz4)->nr_groups,
		.nr_pages_max = sf_reader_header(b->lz4)->nr_pages,
		.nr_vcpus = sf_reader_state(b->lz4)->nr_vcpus,
		.codec = SF_CODEC_RAW,
	};
	int fd = memfd_create("raw", MFD_CLOEXEC);
	size_t d = 0, z = 0;
	struct sf_writer *w;
	struct err e;

	w = sf_writer_new(fd, &p, &e);
	if (w == NULL)
		die(e.msg);
	while (d < plan->nr_data || z < plan->nr_zero) {
		bool data = z == plan->nr_zero || (d < plan->nr_data &&
		    plan->data_gfns[d] < plan->zero_gfns[z]);

		if (sf_writer_page(w, data ? plan->data_gfns[d] :
		    plan->zero_gfns[z], data ? b->resident +
		    d * SF_PAGE_BYTES : zero_page, &e) != 0)
			die(e.msg);
		if (data)
			d++;
		else
			z++;
	}
	if (sf_writer_finish(w, sf_reader_state(b->lz4), key, &e) != 0)
		die(e.msg);
	sf_writer_free(w);
	return fd;
}

int
main(int argc, char **argv)
{
	struct bench b;
	uint8_t *populated;
	struct err e;
	int fd;

	if (argc < 2 || argc > 3)
		die("usage: bench_load [--dump] SAVEFILE");
	fd = open(argv[argc - 1], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die(argv[argc - 1]);
	b.lz4 = open_reader(fd, &b.lz4_plan);
	b.bytes = b.lz4_plan.nr_data * SF_PAGE_BYTES;
	b.resident = fresh_memory(b.bytes);
	populated = fresh_memory(b.bytes);
	memset(populated, 1, b.bytes);
	if (rs_load_decode_all(b.lz4, &b.lz4_plan, b.resident, &e) != 0)
		die(e.msg);
	if (argc == 3)
		return fwrite(b.resident, 1, b.bytes, stdout) != b.bytes;
	b.raw = open_reader(write_raw(&b), &b.raw_plan);
	(void)printf("data_bytes\t%zu\tbytes\n", b.bytes);
	(void)printf("lz4_ratio\t%.3f\tratio\n", (double)b.bytes /
	    (double)(sf_reader_header(b.lz4)->file_bytes -
	    sf_reader_header(b.lz4)->data_off));
	for (unsigned threads = 1; threads <= 2; threads++) {
		bench_case(&b, threads, false, populated);
		bench_case(&b, threads, true, populated);
	}
	return 0;
}
