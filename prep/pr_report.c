/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Progress and summary of dvm-prepare.
 */
#include <inttypes.h>
#include <stdarg.h>

#include "include/clock.h"
#include "prep/pr_clock.h"
#include "prep/pr_report.h"

#define REDRAW_MS 100u
#define NAME_WIDTH 10
#define PAGE_BYTES 4096u

static double
seconds(uint64_t ns)
{
	return (double)ns / (double)CLOCK_SECOND;
}

static double
megabytes(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

void
pr_report_note(struct pr_report *r, const char *fmt, ...)
{
	uint64_t now = clock_now_ns();
	va_list ap;

	if (r->out == NULL || !r->live || !r->in_step ||
	    now - r->drawn_ns < REDRAW_MS * CLOCK_MS)
		return;
	r->drawn_ns = now;
	(void)fprintf(r->out, "\r\033[K%-*s %6.1f s  ", NAME_WIDTH,
	    r->steps[r->nr_steps].name, seconds(now - r->since_ns));
	va_start(ap, fmt);
	(void)vfprintf(r->out, fmt, ap);
	va_end(ap);
	(void)fflush(r->out);
}

void
pr_report_end(struct pr_report *r, bool good)
{
	uint64_t ns = clock_now_ns() - r->since_ns;

	if (!r->in_step)
		return;
	r->in_step = false;
	r->steps[r->nr_steps].ns = ns;
	if (r->out != NULL) {
		(void)fprintf(r->out, "%s%-*s %6.1f s%s\n",
		    r->live ? "\r\033[K" : "", NAME_WIDTH,
		    r->steps[r->nr_steps].name, seconds(ns),
		    good ? "" : "  failed");
		(void)fflush(r->out);
	}
	r->nr_steps++;
}

void
pr_report_step(struct pr_report *r, const char *name)
{
	pr_report_end(r, true);
	if (r->nr_steps == PR_REPORT_STEPS_MAX)
		return;
	r->steps[r->nr_steps].name = name;
	r->since_ns = clock_now_ns();
	r->drawn_ns = 0;
	r->in_step = true;
	pr_report_note(r, "%s", "");
}

/* What the agent told, if there was one. */
static void
print_settled(const struct pr_settled *s, FILE *out)
{
	if (s->total_kb == 0)
		return;
	(void)fprintf(out, "settled:");
	for (unsigned i = 0; i < PR_SETTLE_STEPS; i++)
		(void)fprintf(out, "%s %s %.1f s", i == 0 ? "" : ",",
		    pr_settle_step_name(i), (double)s->step_ms[i] / 1e3);
	(void)fprintf(out, "\nguest:  %.1f of %.1f MB in use, %.1f MB of it "
	    "page cache\n", (double)(s->total_kb - s->free_kb) / 1024,
	    (double)s->total_kb / 1024, (double)s->cached_kb / 1024);
}

void
pr_report_text(const struct pr_report *r, const char *template_name,
    const struct pr_result *result, FILE *out)
{
	const struct sf_writer_stats *s = &result->stats;
	uint64_t total = 0;

	if (result->up_to_date) {
		(void)fprintf(out, "%s: generation %s is up to date\n",
		    template_name, result->id);
		return;
	}
	for (unsigned i = 0; i < r->nr_steps; i++)
		total += r->steps[i].ns;
	(void)fprintf(out, "%s: generation %s is ready, after %.1f s\n",
	    template_name, result->id, seconds(total));
	print_settled(&result->settled, out);
	(void)fprintf(out, "memory: %" PRIu64 " pages resident, %" PRIu64
	    " of them zero, %" PRIu64 " recorded (%.1f MB)\n", s->nr_pages,
	    s->nr_zero_pages, s->nr_data_pages,
	    megabytes(s->nr_data_pages * PAGE_BYTES));
	(void)fprintf(out, "stored: %.1f MB of memory in %u chunks, %.1f MB "
	    "of disk written by the boot\n", megabytes(s->stored_bytes),
	    s->nr_chunks, megabytes(result->delta_bytes));
}

/* The strings are of our own making: nothing in them needs escaping. */
void
pr_report_json(const struct pr_report *r, const char *template_name,
    const struct pr_result *result, FILE *out)
{
	const struct sf_writer_stats *s = &result->stats;

	(void)fprintf(out, "{\"template\":\"%s\",\"generation\":\"%s\","
	    "\"up_to_date\":%s,\"leftovers_removed\":%u", template_name,
	    result->id, result->up_to_date ? "true" : "false",
	    result->nr_undone);
	if (!result->up_to_date) {
		(void)fprintf(out, ",\"pages\":%" PRIu64 ",\"zero_pages\":%"
		    PRIu64 ",\"data_pages\":%" PRIu64 ",\"chunks\":%u,"
		    "\"raw_chunks\":%u,\"stored_bytes\":%" PRIu64
		    ",\"savefile_bytes\":%" PRIu64 ",\"delta_bytes\":%" PRIu64
		    ",\"seconds\":{", s->nr_pages, s->nr_zero_pages,
		    s->nr_data_pages, s->nr_chunks, s->nr_raw_chunks,
		    s->stored_bytes, result->savefile_bytes,
		    result->delta_bytes);
		for (unsigned i = 0; i < r->nr_steps; i++)
			(void)fprintf(out, "%s\"%s\":%.3f",
			    i == 0 ? "" : ",", r->steps[i].name,
			    seconds(r->steps[i].ns));
		(void)fprintf(out, "},\"settle_ms\":{");
		for (unsigned i = 0; i < PR_SETTLE_STEPS; i++)
			(void)fprintf(out, "%s\"%s\":%" PRIu64,
			    i == 0 ? "" : ",", pr_settle_step_name(i),
			    result->settled.step_ms[i]);
		(void)fprintf(out, "},\"guest_total_kb\":%" PRIu64
		    ",\"guest_free_kb\":%" PRIu64
		    ",\"guest_cached_kb\":%" PRIu64,
		    result->settled.total_kb, result->settled.free_kb,
		    result->settled.cached_kb);
	}
	(void)fprintf(out, "}\n");
}
