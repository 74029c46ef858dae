/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From a running domain to a savefile, in dvm-prepare.
 *
 * xc_domain_save() blocks on its descriptor and cannot be asked to stop, so it
 * runs in a thread of its own: whatever goes wrong on our side, closing the
 * pipe ends it with EPIPE and the join is certain.  (A child process would
 * need handles of its own: libxencall's buffers do not survive a fork.)
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/wire/launch_page.h"
#include "prep/pr_clock.h"
#include "prep/pr_record.h"
#include "prep/pr_stream.h"

#define PIPE_BYTES (1 << 20)	/* the most a pipe may have by default */
#define TICK_MS 250

struct saver {
	const struct pr_record_params *params;
	int fd;			/* the pipe's end to write to */
	int result;
	struct err err;		/* of the save */
	struct err suspend_err;	/* of the suspend in it; ERR_NONE if none */
};

struct reader {
	const struct pr_record_params *params;
	int fd;
	bool ended;		/* end of file met */
	struct sf_writer *writer;
	uint64_t nr_pages;
	uint64_t launch_gfn;
	unsigned nr_launch_pages;
	uint64_t reported_ns;
};

static int
suspend(void *ctx)
{
	struct saver *s = ctx;

	return s->params->suspend(s->params->suspend_ctx, &s->suspend_err);
}

static void *
save(void *ctx)
{
	struct saver *s = ctx;
	struct hv *hv = s->params->hv;

	s->result = hv->ops->save(hv, s->params->domid, s->fd, suspend, s,
	    &s->err);
	(void)close(s->fd);
	return NULL;
}

static void
report(struct reader *r)
{
	uint64_t now = clock_now_ns();

	if (r->params->progress == NULL ||
	    now - r->reported_ns < TICK_MS * CLOCK_MS)
		return;
	r->reported_ns = now;
	r->params->progress(r->params->progress_ctx, r->nr_pages);
}

static int
read_pipe(void *ctx, uint8_t *buf, size_t len, struct err *e)
{
	struct reader *r = ctx;

	while (len > 0) {
		struct pollfd p[2] = {
			{ .fd = r->fd, .events = POLLIN },
			{ .fd = r->params->interrupt_fd, .events = POLLIN }
		};
		int ready = poll(p, 2, TICK_MS);
		ssize_t n;

		if (ready < 0 && errno != EINTR)
			return err_set(e, ERR_SYS, errno, "cannot wait for "
			    "the domain's memory");
		report(r);
		if (ready <= 0)
			continue;
		if (p[1].revents != 0)
			return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
		n = read(r->fd, buf, len);
		if (n < 0)
			return err_set(e, ERR_SYS, errno, "cannot read the "
			    "domain's memory");
		if (n == 0) {
			r->ended = true;
			return err_set(e, ERR_INPUT, 0, "the migration stream "
			    "ends early");
		}
		buf += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
take_page(void *ctx, uint64_t gfn, const uint8_t *page, struct err *e)
{
	struct reader *r = ctx;

	const uint8_t *magic = r->params->launch_magic;

	r->nr_pages++;
	if (magic != NULL && memcmp(page, magic, LAUNCH_PAGE_MAGIC_BYTES) ==
	    0 && launch_page_is_waiting(page)) {
		r->nr_launch_pages++;
		r->launch_gfn = gfn;
	}
	return sf_writer_page(r->writer, gfn, page, e);
}

static struct sf_blob
blob(const struct pr_stream_state *s, enum pr_stream_blob_kind kind)
{
	return (struct sf_blob){ s->blobs[kind].bytes, s->blobs[kind].len };
}

static int
finish(const struct reader *r, const struct sf_state *given,
    const struct pr_stream_state *s, struct err *e)
{
	struct sf_state state = *given;

	if (r->params->launch_magic != NULL && r->nr_launch_pages != 1)
		return err_set(e, ERR_INPUT, 0, "the guest's memory has %u "
		    "launch pages, not one: is its agent of this version?",
		    r->nr_launch_pages);
	state.launch_gfn = r->launch_gfn;
	state.tsc_mode = s->tsc_mode;
	state.tsc_khz = s->tsc_khz;
	state.tsc_nsec = s->tsc_nsec;
	state.tsc_incarnation = s->tsc_incarnation;
	state.cpuid = blob(s, PR_STREAM_CPUID);
	state.msrs = blob(s, PR_STREAM_MSRS);
	state.hvm_context = blob(s, PR_STREAM_HVM_CONTEXT);
	state.hvm_params = blob(s, PR_STREAM_HVM_PARAMS);
	return sf_writer_finish(r->writer, &state, r->params->host_key, e);
}

/* All signals blocked: they are the main thread's, and a SIGPIPE is to be
 * EPIPE. */
static int
start_thread(pthread_t *thread, struct saver *s, struct err *e)
{
	sigset_t all, old;
	int rc;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(thread, NULL, save, s);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return rc == 0 ? 0 : err_set(e, ERR_SYS, rc, "cannot start a thread");
}

/* Runs the save and the parser against each other; both are over on return. */
static int
transfer(struct reader *r, struct pr_stream_state *stream, struct err *e)
{
	const struct pr_stream_source source = { read_pipe, r };
	const struct pr_stream_sink sink = { take_page, r };
	struct saver s = { .params = r->params };
	pthread_t thread;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return err_set(e, ERR_SYS, errno, "cannot make a pipe");
	(void)fcntl(fds[0], F_SETPIPE_SZ, PIPE_BYTES);
	r->fd = fds[0];
	s.fd = fds[1];
	if (start_thread(&thread, &s, e) != 0) {
		(void)close(fds[0]);
		(void)close(fds[1]);
		return -1;
	}
	rc = pr_stream_read(&source, &sink, stream, e);
	(void)close(fds[0]);
	(void)pthread_join(thread, NULL);
	/* Of two errors the one that caused the other: an early end is the
	 * save's doing, a broken pipe is ours. */
	if (s.result != 0 && (rc == 0 || r->ended))
		*e = s.suspend_err.code != ERR_NONE ? s.suspend_err : s.err;
	return rc != 0 || s.result != 0 ? -1 : 0;
}

int
pr_record(const struct pr_record_params *p, struct sf_state *state,
    struct sf_writer_stats *stats, struct err *e)
{
	/* Below 4 GiB there is a hole for devices, and what does not fit
	 * lies above: so many groups, whatever the layout. */
	const struct sf_writer_params wp = {
		.nr_groups_max = (uint32_t)((4u << 10) / 2 +
		    (p->memory_kb >> 11) + 1),
		.nr_pages_max = (state->max_mem_kb > p->memory_kb ?
		    state->max_mem_kb : p->memory_kb) / 4,
		.nr_vcpus = state->nr_vcpus,
		.codec = p->codec
	};
	struct pr_stream_state stream = { .nr_pages = 0 };
	struct reader r = { .params = p, .fd = -1 };
	int rc = -1;

	r.writer = sf_writer_new(p->savefile_fd, &wp, e);
	if (r.writer == NULL)
		return -1;
	if (transfer(&r, &stream, e) == 0 &&
	    finish(&r, state, &stream, e) == 0) {
		sf_writer_stats(r.writer, stats);
		rc = 0;
	}
	pr_stream_state_free(&stream);
	sf_writer_free(r.writer);
	return rc;
}
