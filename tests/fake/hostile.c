/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which hostile agent (hostile.h) this session gets, and those that send one
 * frame as it is not to be.  Runs in the agent's server and in agent_serve.
 */
#include <string.h>
#include <unistd.h>

#include "tests/fake/hostile.h"
#include "tests/fake/hostile_acts.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))
#define PREFIX "hostile:"

int __wrap_chan_next(struct chan *c, struct chan_frame *f, struct err *e);
int __real_chan_send_hello(struct chan *c, struct err *e);
int __wrap_chan_send_hello(struct chan *c, struct err *e);

struct shot {
	const char *name, *expected, *needs;
	bool started;			/* first says STARTED */
	struct hostile_frame frame;
};

#define BROKEN "broken", "-"
#define BYTES(text) sizeof(text) - 1, text, sizeof(text) - 1
#define ZEROS(n) n, NULL, n

static const struct shot shots[] = {
	{ "huge-length", BROKEN, true, { CHAN_DATA, 1, 0,
	    UINT32_MAX, NULL, 8 } },
	{ "over-limit", BROKEN, true, { CHAN_DATA, 1, 0,
	    ZEROS(CHAN_PAYLOAD_MAX + 1) } },
	{ "zero-data", BROKEN, true, { CHAN_DATA, 1, 0, ZEROS(0) } },
	{ "pad", BROKEN, true, { CHAN_DATA, 1, 1, BYTES("x") } },
	{ "unknown-type", BROKEN, true, { 99, 0, 0, BYTES("x") } },
	{ "unknown-stream", BROKEN, true, { CHAN_DATA, 200, 0, BYTES("x") } },
	{ "dvm-type", BROKEN, true, { CHAN_SIGNAL, 0, 0, BYTES("\1\0\0\0") } },
	{ "hello-twice", BROKEN, true, { CHAN_HELLO, 0, 0,
	    BYTES("\1\0\0\0") } },
	{ "data-early", BROKEN, false, { CHAN_DATA, 1, 0, BYTES("x") } },
	{ "data-stdin", BROKEN, true, { CHAN_DATA, 0, 0, BYTES("x") } },
	{ "data-file", BROKEN, true, { CHAN_DATA, 16, 0, BYTES("x") } },
	{ "eof-stdin", BROKEN, true, { CHAN_EOF, 0, 0, ZEROS(0) } },
	{ "eof-long", BROKEN, true, { CHAN_EOF, 1, 0, BYTES("x") } },
	{ "started-long", BROKEN, false, { CHAN_STARTED, 0, 0, BYTES("x") } },
	{ "started-twice", BROKEN, true, { CHAN_STARTED, 0, 0, ZEROS(0) } },
	{ "exit-early", BROKEN, false, { CHAN_EXIT, 0, 0, ZEROS(4) } },
	{ "exit-short", BROKEN, true, { CHAN_EXIT, 0, 0, ZEROS(3) } },
	{ "exit-range", BROKEN, true, { CHAN_EXIT, 0, 0,
	    BYTES("\377\377\377\177") } },
	{ "exit-signal-zero", BROKEN, true, { CHAN_EXIT, 0, 0,
	    BYTES("\0\1\0\0") } },
	{ "failed-status", BROKEN, false, { CHAN_FAILED, 0, 0, ZEROS(4) } },
	{ "failed-short", BROKEN, false, { CHAN_FAILED, 0, 0, ZEROS(3) } },
	{ "failed-long", BROKEN, false, { CHAN_FAILED, 0, 0,
	    ZEROS(4 + CHAN_TEXT_MAX + 1) } },
	{ "failed-text", "legal", "-", false, { CHAN_FAILED, 0, 0,
	    BYTES("\176\0\0\0\33[2J\33]0;owned\7\r\n\300\200\377\376%s%n"
	    "\302\233K\342\200\256") } },
	{ "credit-zero", BROKEN, true, { CHAN_CREDIT, 0, 0, ZEROS(4) } },
	{ "credit-much", BROKEN, true, { CHAN_CREDIT, 0, 0,
	    BYTES("\377\377\377\377") } },
	{ "credit-own", BROKEN, true, { CHAN_CREDIT, 1, 0,
	    BYTES("\1\0\0\0") } },
	{ "end-unsent", BROKEN, true, { CHAN_END, 17, 0, ZEROS(40) } },
	{ "back-unsent", BROKEN, true, { CHAN_BACK, 31, 0,
	    BYTES("\2\4\0\0\0\0\0\0\0") } },
	{ "back-stdout", BROKEN, true, { CHAN_BACK, 1, 0,
	    BYTES("\2\4\0\0\0\0\0\0\0") } },
	{ "back-how", "broken", "file", true, { CHAN_BACK, 16, 0,
	    BYTES("\11\4\0\0\0\0\0\0\0") } },
};

/* Of hostile_set(), or of the first file. */
static char chosen[CHAN_NAME_MAX + 1];

static bool
is_known(const char *name)
{
	for (size_t i = 0; i < NR(shots); i++)
		if (strcmp(shots[i].name, name) == 0)
			return true;
	for (const struct hostile_act *a = hostile_acts; a->name != NULL; a++)
		if (strcmp(a->name, name) == 0)
			return true;
	return false;
}

bool
hostile_set(const char *name)
{
	if (!is_known(name))
		return false;
	(void)snprintf(chosen, sizeof(chosen), "%s", name);
	return true;
}

void
hostile_list(FILE *to)
{
	for (size_t i = 0; i < NR(shots); i++)
		(void)fprintf(to, "%s %s %s\n", shots[i].name,
		    shots[i].expected, shots[i].needs);
	for (const struct hostile_act *a = hostile_acts; a->name != NULL; a++)
		(void)fprintf(to, "%s %s %s\n", a->name, a->expected,
		    a->needs);
}

static void
behave(struct chan *c, const char *name)
{
	for (size_t i = 0; i < NR(shots); i++) {
		if (strcmp(shots[i].name, name) != 0)
			continue;
		if (shots[i].started)
			hostile_started(c);
		hostile_flush(c);
		hostile_shoot(c, &shots[i].frame);
		hostile_linger(c);
	}
	for (const struct hostile_act *a = hostile_acts; a->name != NULL; a++) {
		if (strcmp(a->name, name) != 0)
			continue;
		if (a->started)
			hostile_started(c);
		a->act(c);
		hostile_flush(c);
		_exit(0);
	}
}

int
__wrap_chan_send_hello(struct chan *c, struct err *e)
{
	static const uint8_t wrong[] = { CHAN_HELLO, 0, 0, 0, 4, 0, 0, 0, 99, 0,
	    0, 0 };

	if (strcmp(chosen, "mute") == 0)
		hostile_linger(c);
	if (strcmp(chosen, "hello-version") != 0)
		return __real_chan_send_hello(c, e);
	hostile_raw(c, wrong, sizeof(wrong));
	hostile_linger(c);
}

int
__wrap_chan_next(struct chan *c, struct chan_frame *f, struct err *e)
{
	int rc = __real_chan_next(c, f, e);
	char name[CHAN_NAME_MAX + 1];
	struct chan_start s;
	uint64_t size;

	if (rc == 1 && f->type == CHAN_PUT && chosen[0] == '\0') {
		chan_get_put(f, &size, name);
		if (strncmp(name, PREFIX, sizeof(PREFIX) - 1) == 0)
			(void)hostile_set(name + sizeof(PREFIX) - 1);
	}
	if (rc != 1 || f->type != CHAN_START)
		return rc;
	chan_get_start(f, &s);
	if (s.kind == CHAN_PROGRAM && chosen[0] == '\0' &&
	    strncmp(s.args, PREFIX, sizeof(PREFIX) - 1) == 0)
		(void)hostile_set(s.args + sizeof(PREFIX) - 1);
	behave(c, chosen);
	return rc;
}
