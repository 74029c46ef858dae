/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The least that a unit test needs: ok() per claim, tap_done() at the end.
 * One test is one process, so the two counters may be here.
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct tap {
	unsigned passed, failed;
};

static struct tap tap_counts;

/* What a test itself needs; errno says why it does not hold. */
static inline void
tap_must(bool holds, const char *what)
{
	if (holds)
		return;
	perror(what);
	exit(1);
}

/* Says whether the claim, printf-like, holds; returns it, so that a test can
 * stop. */
__attribute__((format(printf, 2, 3)))
static inline bool
ok(bool holds, const char *claim, ...)
{
	va_list ap;
	unsigned nr = tap_counts.passed + tap_counts.failed + 1;

	if (holds)
		tap_counts.passed++;
	else
		tap_counts.failed++;
	printf("%sok %u - ", holds ? "" : "not ", nr);
	va_start(ap, claim);
	(void)vprintf(claim, ap);
	va_end(ap);
	(void)putchar('\n');
	return holds;
}

/* A campaign's line in the file that $SHOWN names, if it does. */
static inline void
tap_shown(const char *name, unsigned tried, unsigned lost)
{
	const char *path = getenv("SHOWN");
	FILE *f = path != NULL ? fopen(path, "a") : NULL;

	if (f == NULL)
		return;
	(void)fprintf(f, "%s\t%u\t%u\t0\n", name, tried, lost);
	(void)fclose(f);
}

/* The exit status of main(). */
static inline int
tap_done(void)
{
	printf("%u passed, %u failed\n", tap_counts.passed,
	    tap_counts.failed);
	return tap_counts.failed == 0 && tap_counts.passed > 0 ? 0 : 1;
}

#endif
