/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Three campaigns against the reader, each with its control:
 *
 *	truncate	the file cut short at every length
 *	flip		every single bit of header, state and index flipped
 *	mutate		random changes anywhere
 *
 * A try is lost if the reader, with the key and the full check, accepts what
 * was changed, or if it crashes: tries run in a child, which is started again
 * after one.  The controls do the same things and then repair or sign again,
 * so that some must be accepted: they show that it is the change that gets
 * files refused.
 */
#include <sys/mman.h>
#include <sys/wait.h>

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "savefile/sf_io.h"
#include "savefile/sf_reader.h"
#include "tests/fake/sf_build.h"

/* The file under attack, and a copy of it in a memory file. */
struct target {
	uint8_t *good, *bad;
	size_t len, data_off;
	uint64_t seed;
	int fd;
	bool control;
};

struct campaign {
	const char *name;
	/* Makes change number i. */
	void (*change)(struct target *t, uint64_t i);
	void (*undo)(struct target *t, uint64_t i);
	uint64_t (*count)(const struct target *t, uint64_t asked);
};

/* Shared with the child, so that a crash does not lose count. */
struct tally {
	uint64_t next, lost;
};

static void
write_at(const struct target *t, const uint8_t *p, size_t len, size_t off)
{
	struct err e;

	if (sf_io_write_at(t->fd, p, len, off, &e) == 0)
		return;
	(void)fprintf(stderr, "sf_campaign: %s\n", e.msg);
	exit(2);
}

static bool
accepted(const struct target *t)
{
	static const struct sf_limits limits = { UINT64_C(1) << 30 };
	struct sf_reader *r;
	struct err e;
	bool good;

	r = sf_reader_open(t->fd, sf_build_key, &limits, &e);
	good = r != NULL && sf_reader_verify_data(r, &e) == 0;
	/* Every refusal says something. */
	if (!good && ((e.code != ERR_INPUT && e.code != ERR_AUTH) ||
	    e.msg[0] == '\0'))
		good = true;
	sf_reader_close(r);
	return good;
}

/* Longest first, so that each needs one ftruncate.  The control puts the end
 * back on. */
static void
truncate_change(struct target *t, uint64_t i)
{
	size_t len = t->len - 1 - (size_t)i;

	if (ftruncate(t->fd, (off_t)len) == -1)
		exit(2);
	if (t->control)
		write_at(t, t->good + len, t->len - len, len);
}

static void
truncate_undo(struct target *t, uint64_t i)
{
	(void)t;
	(void)i;
}

static uint64_t
truncate_count(const struct target *t, uint64_t asked)
{
	(void)asked;
	return t->control ? t->len / 64 : t->len;
}

static void
flip_change(struct target *t, uint64_t i)
{
	size_t at = (size_t)(i / 8);

	memcpy(t->bad, t->good, t->data_off);
	t->bad[at] ^= (uint8_t)(1u << i % 8);
	if (t->control)
		sf_build_resign(t->bad, t->len, sf_build_key);
	write_at(t, t->bad, t->data_off, 0);
}

static void
flip_undo(struct target *t, uint64_t i)
{
	(void)i;
	write_at(t, t->good, t->data_off, 0);
}

static uint64_t
flip_count(const struct target *t, uint64_t asked)
{
	(void)asked;
	return t->data_off * 8;
}

/* One random change to [0, *len) of t->bad, which may shorten it. */
static void
mutate_once(struct target *t, struct sf_rng *rng, size_t *len)
{
	/* Half of the changes to the tables, which are the smaller part. */
	size_t end = sf_rng_below(rng, 2) == 0 ? t->data_off : *len, at, from;
	size_t n = 1 + sf_rng_below(rng, 64);
	uint8_t swap[64];

	if (end > *len)
		end = *len;
	at = sf_rng_below(rng, end - n);
	from = sf_rng_below(rng, end - n);
	switch (sf_rng_below(rng, 7)) {
	case 0:
		sf_rng_fill(rng, t->bad + at, n);
		break;
	case 1:
		t->bad[at] ^= (uint8_t)(1u << sf_rng_below(rng, 8));
		break;
	case 2:
		memset(t->bad + at, sf_rng_below(rng, 2) == 0 ? 0 : 0xff, n);
		break;
	case 3:
		memcpy(swap, t->bad + at, n);
		memmove(t->bad + at, t->bad + from, n);
		memcpy(t->bad + from, swap, n);
		break;
	case 4:
		memmove(t->bad + at, t->bad + from, n);
		break;
	case 5:
		t->bad[at] = (uint8_t)(t->bad[at] + 1);
		break;
	default:
		memmove(t->bad + at, t->bad + at + n, *len - at - n);
		*len -= n;
		break;
	}
}

static void
mutate_change(struct target *t, uint64_t i)
{
	struct sf_rng rng = { t->seed ^ i * UINT64_C(0x2545f4914f6cdd1d) };
	uint64_t times = 1 + sf_rng_below(&rng, 4);
	size_t len = t->len;

	memcpy(t->bad, t->good, t->len);
	while (times-- > 0)
		mutate_once(t, &rng, &len);
	if (len == t->len && memcmp(t->bad, t->good, len) == 0)
		t->bad[sf_rng_below(&rng, len)] ^= 1;
	if (t->control)
		sf_build_resign(t->bad, len, sf_build_key);
	if (ftruncate(t->fd, (off_t)len) == -1)
		exit(2);
	write_at(t, t->bad, len, 0);
}

static uint64_t
mutate_count(const struct target *t, uint64_t asked)
{
	return t->control ? asked / 10 : asked;
}

static const struct campaign campaigns[] = {
	{ "truncate", truncate_change, truncate_undo, truncate_count },
	{ "flip", flip_change, flip_undo, flip_count },
	{ "mutate", mutate_change, truncate_undo, mutate_count },
};

/* Runs tries until all are done or one crashes. */
static void
child(const struct campaign *c, struct target *t, uint64_t count,
    struct tally *tally)
{
	write_at(t, t->good, t->len, 0);
	for (; tally->next < count; tally->next++) {
		c->change(t, tally->next);
		if (accepted(t)) {
			tally->lost++;
			if (!t->control)
				(void)fprintf(stderr, "sf_campaign: %s %"
				    PRIu64 " was accepted\n", c->name,
				    tally->next);
		}
		c->undo(t, tally->next);
	}
	_exit(0);
}

static bool
run(const struct campaign *c, struct target *t, uint64_t count,
    struct tally *tally)
{
	int status;
	pid_t pid;

	while (tally->next < count) {
		pid = fork();
		if (pid == 0)
			child(c, t, count, tally);
		if (pid == -1 || waitpid(pid, &status, 0) == -1)
			return false;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			continue;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
			return false;
		(void)fprintf(stderr, "sf_campaign: %s %" PRIu64 " crashed\n",
		    c->name, tally->next);
		tally->lost++;
		tally->next++;
	}
	return true;
}

/* Runs the campaign or its control; false if it did not come out right. */
static bool
conduct(const struct campaign *c, struct target *t, uint64_t asked,
    const char *shown)
{
	uint64_t count = c->count(t, asked);
	struct tally *tally;
	char line[200];
	bool good;
	FILE *f;

	tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tally == MAP_FAILED || !run(c, t, count, tally))
		return false;
	good = t->control ? tally->lost > 0 : tally->lost == 0;
	(void)snprintf(line, sizeof(line), "%ssavefile_%s\t%" PRIu64 "\t%"
	    PRIu64 "\t%" PRIu64, t->control ? "control_" : "", c->name, count,
	    tally->lost, t->seed);
	(void)printf("%s\n", line);
	(void)munmap(tally, sizeof(*tally));
	if (shown == NULL)
		return good;
	f = fopen(shown, "a");
	if (f == NULL)
		return false;
	(void)fprintf(f, "%s\n", line);
	return fclose(f) == 0 && good;
}

static bool
target_make(struct target *t)
{
	static const struct sf_limits limits = { UINT64_C(1) << 30 };
	struct sf_reader *r;
	struct err e;

	t->good = sf_build_small(t->seed, sf_build_key, &t->len);
	if (t->good == NULL)
		return false;
	t->bad = malloc(t->len);
	t->fd = sf_build_memfd(t->good, t->len);
	if (t->bad == NULL || t->fd == -1)
		return false;
	r = sf_reader_open(t->fd, NULL, &limits, &e);
	if (r != NULL)
		t->data_off = (size_t)sf_reader_header(r)->data_off;
	sf_reader_close(r);
	return t->data_off != 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "count", required_argument, NULL, 'c' },
		{ "seed", required_argument, NULL, 's' },
		{ "shown", required_argument, NULL, 'o' }, { 0 }
	};
	struct target t = { .seed = 1, .fd = -1 };
	const char *shown = NULL;
	uint64_t asked = 100000;
	size_t i;
	bool good;
	int opt;

	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (opt == 'c')
			asked = strtoull(optarg, NULL, 10);
		else if (opt == 's')
			t.seed = strtoull(optarg, NULL, 10);
		else if (opt == 'o')
			shown = optarg;
		else
			return 2;
	}
	for (i = 0; i < 3 && optind < argc; i++) {
		if (strcmp(argv[optind], campaigns[i].name) != 0)
			continue;
		if (!target_make(&t))
			return 2;
		good = conduct(&campaigns[i], &t, asked, shown);
		t.control = true;
		good = conduct(&campaigns[i], &t, asked, shown) && good;
		free(t.good);
		free(t.bad);
		(void)close(t.fd);
		return good ? 0 : 1;
	}
	(void)fprintf(stderr, "usage: sf_campaign truncate|flip|mutate "
	    "[--count N] [--seed S] [--shown FILE]\n");
	return 2;
}
