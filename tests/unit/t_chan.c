/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The channel's rules: each once kept and once broken; names; and frames as
 * they come, whole and byte by byte.
 */
#include <string.h>

#include "include/wire/chan.h"
#include "tests/unit/tap.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))

struct step {
	bool from_agent;
	uint8_t type, stream;
	const char *data;
	uint32_t len;
};

#define D(type, stream, text) \
	{ false, type, stream, text, sizeof(text) - 1 }
#define A(type, stream, text) \
	{ true, type, stream, text, sizeof(text) - 1 }
#define LONG(agent, type, stream, len) { agent, type, stream, zeros, len }

#define ONE "\1\0\0\0"
#define ZERO8 "\0\0\0\0\0\0\0\0"
#define FOUR8 "\4\0\0\0\0\0\0\0"
#define HASH "01234567890123456789012345678901"
#define HELLOS D(CHAN_HELLO, 0, ONE), A(CHAN_HELLO, 0, ONE)
#define START(kind, files, args) \
	D(CHAN_START, 0, kind "\0" files "\0\0\0\0\0" ZERO8 args)
#define PROGRAM START("\1", "\0", "cat\0")
#define RUNS HELLOS, PROGRAM, A(CHAN_STARTED, 0, "")
#define FILE_IN(nr) D(CHAN_PUT, nr, FOUR8 "name"), \
	D(CHAN_DATA, nr, "1234"), D(CHAN_END, nr, FOUR8 HASH)
#define OPENS HELLOS, FILE_IN(16), START("\3", "\1", ""), \
	A(CHAN_STARTED, 0, "")
#define CHANGED "\2" FOUR8

static const char zeros[CHAN_PAYLOAD_MAX + 1];

/* How many of the steps the rules take. */
static size_t
taken(const struct step *steps, size_t nr)
{
	struct chan_says dvm = { 0 }, agent = { .from_agent = true };
	struct chan_frame f;
	struct err e;

	for (size_t i = 0; i < nr; i++) {
		bool from = steps[i].from_agent;

		f = (struct chan_frame){ .type = steps[i].type,
		    .stream = steps[i].stream, .len = steps[i].len,
		    .data = (const uint8_t *)steps[i].data };
		if (chan_says_check(from ? &agent : &dvm, from ? &dvm : &agent,
		    &f, &e) != 0)
			return i;
	}
	return nr;
}

static void
all_taken(const char *claim, const struct step *steps, size_t nr)
{
	size_t got = taken(steps, nr);

	if (!ok(got == nr, "%s", claim))
		printf("# refused at step %zu of %zu\n", got + 1, nr);
}

static void
last_refused(const char *claim, const struct step *steps, size_t nr)
{
	size_t got = taken(steps, nr);

	if (!ok(got == nr - 1, "not %s", claim))
		printf("# refused at step %zu of %zu\n", got + 1, nr);
}

#define STEPS(...) (const struct step[]){ __VA_ARGS__ }, \
	NR(((const struct step[]){ __VA_ARGS__ }))
#define TAKEN(claim, ...) all_taken(claim, STEPS(__VA_ARGS__))
#define REFUSED(claim, ...) last_refused(claim, STEPS(__VA_ARGS__))

static void
test_begin(void)
{
	TAKEN("HELLO both ways", HELLOS);
	REFUSED("anything before HELLO", D(CHAN_EOF, 0, ""));
	REFUSED("HELLO twice", HELLOS, D(CHAN_HELLO, 0, ONE));
	REFUSED("another version", A(CHAN_HELLO, 0, "\2\0\0\0"));
	REFUSED("a HELLO of three bytes", A(CHAN_HELLO, 0, "\1\0\0"));
	TAKEN("START may come before the other HELLO", D(CHAN_HELLO, 0, ONE),
	    PROGRAM);
	TAKEN("STARTED", RUNS);
	REFUSED("STARTED twice", RUNS, A(CHAN_STARTED, 0, ""));
	REFUSED("STARTED with bytes", HELLOS, PROGRAM,
	    A(CHAN_STARTED, 0, "x"));
	REFUSED("STARTED before START", HELLOS, A(CHAN_STARTED, 0, ""));
	REFUSED("START twice", RUNS, PROGRAM);
	REFUSED("a stream that is none", RUNS, A(CHAN_DATA, CHAN_STREAMS,
	    "x"));
	REFUSED("a type that is none", RUNS, A(200, 0, ""));
	REFUSED("the agent's START", HELLOS, A(CHAN_START, 0, "\1\0\0\0\0\0"
	    "\0\0" ZERO8 "cat\0"));
	REFUSED("dvm's STARTED", HELLOS, PROGRAM, D(CHAN_STARTED, 0, ""));
}

static void
test_start(void)
{
	TAKEN("a service", HELLOS, START("\2", "\0", "name+arg\0"));
	TAKEN("an address", HELLOS, START("\4", "\0", "http://x\0"));
	TAKEN("words, of which some are empty", HELLOS, START("\1", "\0",
	    "cat\0\0\0"));
	REFUSED("a kind that is none", HELLOS, START("\5", "\0", "x\0"));
	REFUSED("a START that is too short", HELLOS, D(CHAN_START, 0, "\1\0\0"
	    "\0\0\0\0\0\0\0\0\0\0\0\0"));
	REFUSED("words without a last NUL", HELLOS, START("\1", "\0", "cat"));
	REFUSED("a program without a name", HELLOS, START("\1", "\0", "\0"));
	REFUSED("a program without words", HELLOS, START("\1", "\0", ""));
	REFUSED("a service of two words", HELLOS, START("\2", "\0",
	    "a\0b\0"));
	REFUSED("an address of none", HELLOS, START("\4", "\0", ""));
	REFUSED("opening with words", HELLOS, FILE_IN(16), START("\3", "\1",
	    "x\0"));
	REFUSED("opening nothing", HELLOS, START("\3", "\0", ""));
	REFUSED("flags that are none", HELLOS, D(CHAN_START, 0, "\1\4\0\0\0\0"
	    "\0\0" ZERO8 "cat\0"));
}

/* Just as many as there may be, and one more. */
static void
test_words(void)
{
	static char start[CHAN_START_BYTES + 2 * (CHAN_ARGS_MAX + 1)] = "\1";
	struct step s[] = { D(CHAN_HELLO, 0, ONE),
	    { false, CHAN_START, 0, start, CHAN_START_BYTES +
	    2 * CHAN_ARGS_MAX } };

	for (size_t i = CHAN_START_BYTES; i < sizeof(start); i += 2)
		start[i] = 'x';
	ok(taken(s, 2) == 2, "as many words as may be");
	s[1].len += 2;
	ok(taken(s, 2) == 1, "not one more");
}

static void
test_files_in(void)
{
	TAKEN("a file, opened", OPENS);
	TAKEN("two", HELLOS, FILE_IN(16), FILE_IN(17), START("\3", "\2", ""));
	TAKEN("an empty one", HELLOS, D(CHAN_PUT, 16, ZERO8 "n"),
	    D(CHAN_END, 16, ZERO8 HASH), START("\3", "\1", ""));
	REFUSED("another number of files", HELLOS, FILE_IN(16), START("\3",
	    "\2", ""));
	REFUSED("a file left out", HELLOS, FILE_IN(17), START("\3", "\1",
	    ""));
	REFUSED("a START before END", HELLOS, D(CHAN_PUT, 16, ZERO8 "n"),
	    START("\3", "\1", ""));
	REFUSED("a file after START", HELLOS, PROGRAM, D(CHAN_PUT, 16,
	    FOUR8 "name"));
	REFUSED("PUT twice", HELLOS, D(CHAN_PUT, 16, FOUR8 "name"),
	    D(CHAN_PUT, 16, FOUR8 "name"));
	REFUSED("PUT on a stream that is no file's", HELLOS, D(CHAN_PUT, 0,
	    FOUR8 "name"));
	REFUSED("a file without a name", HELLOS, D(CHAN_PUT, 16, FOUR8));
	REFUSED("a name that is a path", HELLOS, D(CHAN_PUT, 16, FOUR8
	    "a/b"));
	REFUSED("DATA before PUT", HELLOS, D(CHAN_DATA, 16, "x"));
	REFUSED("more than its size", HELLOS, D(CHAN_PUT, 16, FOUR8 "n"),
	    D(CHAN_DATA, 16, "12345"));
	REFUSED("more after all", HELLOS, FILE_IN(16), D(CHAN_DATA, 16,
	    "5"));
	REFUSED("END before all", HELLOS, D(CHAN_PUT, 16, FOUR8 "n"),
	    D(CHAN_DATA, 16, "123"), D(CHAN_END, 16, FOUR8 HASH));
	REFUSED("END twice", HELLOS, FILE_IN(16), D(CHAN_END, 16, FOUR8
	    HASH));
	REFUSED("END of another length", HELLOS, D(CHAN_PUT, 16, ZERO8 "n"),
	    D(CHAN_END, 16, ZERO8));
	REFUSED("EOF of a file", HELLOS, D(CHAN_PUT, 16, FOUR8 "n"),
	    D(CHAN_EOF, 16, ""));
}

static void
test_streams(void)
{
	TAKEN("all streams", RUNS, D(CHAN_DATA, 0, "in"), D(CHAN_EOF, 0, ""),
	    A(CHAN_DATA, 1, "out"), A(CHAN_DATA, 2, "err"),
	    A(CHAN_EOF, 1, ""), A(CHAN_EOF, 2, ""));
	TAKEN("stdin before STARTED", HELLOS, PROGRAM, D(CHAN_DATA, 0, "in"));
	REFUSED("no bytes", RUNS, A(CHAN_DATA, 1, ""));
	REFUSED("stdout before STARTED", HELLOS, PROGRAM, A(CHAN_DATA, 1,
	    "x"));
	REFUSED("the agent's stdin", RUNS, A(CHAN_DATA, 0, "x"));
	REFUSED("dvm's stdout", RUNS, D(CHAN_DATA, 1, "x"));
	REFUSED("a stream between", RUNS, A(CHAN_DATA, 3, "x"));
	REFUSED("DATA after EOF", RUNS, A(CHAN_EOF, 1, ""), A(CHAN_DATA, 1,
	    "x"));
	REFUSED("EOF twice", RUNS, A(CHAN_EOF, 1, ""), A(CHAN_EOF, 1, ""));
	REFUSED("EOF of one between", RUNS, A(CHAN_EOF, 15, ""));
	REFUSED("EOF with bytes", RUNS, A(CHAN_EOF, 1, "x"));
	REFUSED("EOF before STARTED", HELLOS, PROGRAM, A(CHAN_EOF, 1, ""));
	TAKEN("a signal and a size", RUNS, D(CHAN_SIGNAL, 0, "\17\0\0\0"),
	    D(CHAN_WINSIZE, 0, "\1\0\2\0"));
	REFUSED("signal 0", RUNS, D(CHAN_SIGNAL, 0, "\0\0\0\0"));
	REFUSED("signal 65", RUNS, D(CHAN_SIGNAL, 0, "A\0\0\0"));
	REFUSED("a signal before START", HELLOS, D(CHAN_SIGNAL, 0, ONE));
	REFUSED("a size of two bytes", RUNS, D(CHAN_WINSIZE, 0, "\1\0"));
	REFUSED("the agent's signal", RUNS, A(CHAN_SIGNAL, 0, ONE));
}

static void
test_window(void)
{
#define LARGE LONG(true, CHAN_DATA, 1, CHAN_PAYLOAD_MAX)
#define FOUR LARGE, LARGE, LARGE, LARGE
#define FULL FOUR, FOUR, FOUR, FOUR
	_Static_assert(CHAN_WINDOW == 16 * CHAN_PAYLOAD_MAX, "it is full");
	TAKEN("a window", RUNS, FULL);
	REFUSED("a byte more", RUNS, FULL, A(CHAN_DATA, 1, "x"));
	TAKEN("a byte more, after CREDIT for one", RUNS, FULL,
	    D(CHAN_CREDIT, 1, ONE), A(CHAN_DATA, 1, "x"));
	REFUSED("two more", RUNS, FULL, D(CHAN_CREDIT, 1, ONE),
	    A(CHAN_DATA, 1, "xy"));
	TAKEN("another stream, beside a full one", RUNS, FULL,
	    A(CHAN_DATA, 2, "x"));
	REFUSED("CREDIT for what was not sent", RUNS, A(CHAN_DATA, 2, "x"),
	    D(CHAN_CREDIT, 1, ONE));
	REFUSED("more CREDIT than was sent", RUNS, A(CHAN_DATA, 1, "x"),
	    D(CHAN_CREDIT, 1, "\2\0\0\0"));
	REFUSED("CREDIT for one's own", RUNS, A(CHAN_DATA, 1, "x"),
	    A(CHAN_CREDIT, 1, ONE));
	REFUSED("CREDIT for nothing", RUNS, A(CHAN_DATA, 1, "x"),
	    D(CHAN_CREDIT, 1, "\0\0\0\0"));
	REFUSED("CREDIT of five bytes", RUNS, A(CHAN_DATA, 1, "x"),
	    D(CHAN_CREDIT, 1, ONE "\0"));
	TAKEN("CREDIT after EOF", RUNS, A(CHAN_DATA, 1, "x"), A(CHAN_EOF, 1,
	    ""), D(CHAN_CREDIT, 1, ONE));
}

static void
test_files_back(void)
{
#define OVER A(CHAN_EXIT, 0, "\0\0\0\0")
	TAKEN("a file comes back", OPENS, A(CHAN_BACK, 16, CHANGED),
	    A(CHAN_DATA, 16, "1234"), A(CHAN_END, 16, FOUR8 HASH), OVER);
	TAKEN("nothing of one that is unchanged", OPENS, A(CHAN_BACK, 16,
	    "\1" FOUR8), OVER);
	TAKEN("nor of one that is too large", OPENS, A(CHAN_BACK, 16,
	    "\4" FOUR8), OVER);
	TAKEN("EXIT without any", OPENS, OVER);
	REFUSED("DATA of one that is unchanged", OPENS, A(CHAN_BACK, 16,
	    "\1" FOUR8), A(CHAN_DATA, 16, "1"));
	REFUSED("BACK before STARTED", HELLOS, FILE_IN(16), START("\3", "\1",
	    ""), A(CHAN_BACK, 16, CHANGED));
	REFUSED("BACK of what was not sent", OPENS, A(CHAN_BACK, 17,
	    CHANGED));
	REFUSED("BACK twice", OPENS, A(CHAN_BACK, 16, "\1" FOUR8),
	    A(CHAN_BACK, 16, CHANGED));
	REFUSED("BACK of no known kind", OPENS, A(CHAN_BACK, 16, "\6" FOUR8));
	REFUSED("nor of kind 0", OPENS, A(CHAN_BACK, 16, "\0" FOUR8));
	REFUSED("BACK of ten bytes", OPENS, A(CHAN_BACK, 16, CHANGED "x"));
	REFUSED("more than it promised", OPENS, A(CHAN_BACK, 16, CHANGED),
	    A(CHAN_DATA, 16, "12345"));
	REFUSED("END before that", OPENS, A(CHAN_BACK, 16, CHANGED),
	    A(CHAN_DATA, 16, "123"), A(CHAN_END, 16, FOUR8 HASH));
	REFUSED("EXIT before END", OPENS, A(CHAN_BACK, 16, CHANGED), OVER);
	REFUSED("dvm's BACK", OPENS, D(CHAN_BACK, 16, CHANGED));
}

static void
test_end(void)
{
	TAKEN("a signal's status", RUNS, A(CHAN_EXIT, 0, "\11\1\0\0"));
	REFUSED("status 256, which is no signal", RUNS, A(CHAN_EXIT, 0,
	    "\0\1\0\0"));
	REFUSED("status 256 + 65", RUNS, A(CHAN_EXIT, 0, "A\1\0\0"));
	REFUSED("EXIT of three bytes", RUNS, A(CHAN_EXIT, 0, "\0\0\0"));
	REFUSED("EXIT before STARTED", HELLOS, PROGRAM, OVER);
	REFUSED("EXIT twice", RUNS, OVER, OVER);
	REFUSED("DATA after EXIT", RUNS, OVER, A(CHAN_DATA, 1, "x"));
	TAKEN("dvm may still speak then", RUNS, OVER, D(CHAN_DATA, 0, "x"));
	TAKEN("FAILED at any time", HELLOS, A(CHAN_FAILED, 0, "}\0\0\0no"));
	TAKEN("FAILED without a text", HELLOS, A(CHAN_FAILED, 0, "\177\0\0"
	    "\0"));
	REFUSED("FAILED with status 124", HELLOS, A(CHAN_FAILED, 0,
	    "|\0\0\0no"));
	REFUSED("FAILED with status 128", HELLOS, A(CHAN_FAILED, 0,
	    "\200\0\0\0no"));
	REFUSED("FAILED of three bytes", HELLOS, A(CHAN_FAILED, 0, "}\0\0"));
	REFUSED("STARTED after FAILED", HELLOS, PROGRAM, A(CHAN_FAILED, 0,
	    "}\0\0\0no"), A(CHAN_STARTED, 0, ""));
}

static void
test_names(void)
{
	static const char *const good[] = { "a", "a b.pdf", "r\303\251sum",
	    "\344\270\255\346\226\207", "\360\237\230\200", "a-",
	    "a..b", "\302\240", "\364\217\277\277", "\355\237\277",
	    "hostile:x" };
	static const char *const bad[] = { "", ".", "..", ".hidden", "-rf",
	    "a/b", "/", "a\nb", "a\177", "\033[2J", "\303", "\303(", "\300\200",
	    "\340\200\200", "\340\237\277", "\360\200\200\200",
	    "\355\240\200", "\364\220\200\200", "\365\200\200\200", "\200",
	    "\377", "\302\200", "\302\237", "a\302\205", "\344\270",
	    "\360\237\230" };
	char name[CHAN_NAME_MAX + 2];
	unsigned nr = 0;

	for (size_t i = 0; i < NR(good); i++)
		nr += chan_is_name(good[i], strlen(good[i]));
	ok(nr == NR(good), "%u names that may be", nr);
	nr = 0;
	for (size_t i = 0; i < NR(bad); i++)
		nr += !chan_is_name(bad[i], strlen(bad[i]));
	ok(nr == NR(bad), "%u that may not", nr);
	ok(!chan_is_name("a\0b", 3), "nor one with a NUL");
	memset(name, 'n', sizeof(name));
	ok(chan_is_name(name, CHAN_NAME_MAX) &&
	    !chan_is_name(name, CHAN_NAME_MAX + 1), "nor one too long");
}

/* A stream in memory, of which a read gives at most `at_once`. */
struct wire {
	uint8_t bytes[16 * CHAN_FRAME_MAX];
	size_t len, used, at_once, cap;
	bool closed;
};

static ssize_t
read_wire(void *arg, void *buf, size_t len)
{
	struct wire *w = arg;
	size_t n = w->len - w->used;

	if (n > len)
		n = len;
	if (n > w->at_once)
		n = w->at_once;
	memcpy(buf, w->bytes + w->used, n);
	w->used += n;
	if (n == 0 && w->closed)
		return -1;
	return (ssize_t)n;
}

static ssize_t
write_wire(void *arg, const void *buf, size_t len)
{
	struct wire *w = arg;
	size_t n = w->cap - w->len;

	if (n > len)
		n = len;
	if (n > w->at_once)
		n = w->at_once;
	memcpy(w->bytes + w->len, buf, n);
	w->len += n;
	return (ssize_t)n;
}

static ssize_t
read_none(void *arg, void *buf, size_t len)
{
	(void)arg, (void)buf, (void)len;
	return 0;
}

/* What dvm says, and the agent hears. */
static struct wire wire;
static struct chan dvm, agent;

static void
connect_both(size_t at_once)
{
	const struct chan_io says = { .arg = &wire, .read = read_none,
	    .write = write_wire };
	const struct chan_io hears = { .arg = &wire, .read = read_wire };

	wire.len = wire.used = 0;
	wire.cap = sizeof(wire.bytes);
	wire.closed = false;
	wire.at_once = at_once;
	chan_init(&dvm, &says, false);
	chan_init(&agent, &hears, true);
}

static void
test_frames(size_t at_once)
{
	static const struct chan_start start = { .kind = CHAN_PROGRAM,
	    .flags = CHAN_START_TTY, .nr_files = 1, .rows = 24, .cols = 80,
	    .back_max = UINT64_C(0x123456789abc), .args = "cat\0-n",
	    .args_len = 7 };
	static const uint8_t hash[CHAN_HASH_BYTES] = { 1, 2, 3 };
	char name[CHAN_NAME_MAX + 1];
	struct chan_start got;
	struct chan_frame f;
	uint64_t size = 0;
	struct err e;
	int rc = 0;

	connect_both(at_once);
	ok(chan_send_hello(&dvm, &e) == 0 && chan_send_put(&dvm, 16, 3,
	    "name", &e) == 0 && chan_send(&dvm, CHAN_DATA, 16, "abc", 3,
	    &e) == 0 && chan_send_end(&dvm, 16, 3, hash, &e) == 0 &&
	    chan_send_start(&dvm, &start, &e) == 0 && chan_move(&dvm, 0,
	    &e) == 0 && chan_is_flushed(&dvm), "frames are sent, %zu bytes "
	    "at once", at_once);
	ok(chan_move(&agent, 0, &e) == 0 && chan_next(&agent, &f, &e) == 1 &&
	    f.type == CHAN_HELLO && chan_next(&agent, &f, &e) == 1 &&
	    f.type == CHAN_PUT, "and come");
	chan_get_put(&f, &size, name);
	ok(size == 3 && strcmp(name, "name") == 0, "PUT as it was");
	ok(chan_next(&agent, &f, &e) == 1 && f.type == CHAN_DATA &&
	    f.len == 3 && memcmp(f.data, "abc", 3) == 0, "DATA");
	ok(chan_next(&agent, &f, &e) == 1 && f.type == CHAN_END &&
	    chan_u64(f.data) == 3 && memcmp(f.data + 8, hash,
	    sizeof(hash)) == 0, "END");
	rc = chan_next(&agent, &f, &e);
	ok(rc == 1 && f.type == CHAN_START, "START");
	chan_get_start(&f, &got);
	ok(got.kind == start.kind && got.flags == start.flags &&
	    got.rows == 24 && got.cols == 80 && got.nr_args == 2 &&
	    got.back_max == start.back_max && got.args_len == 7 &&
	    memcmp(got.args, start.args, 7) == 0, "with all it says");
	ok(chan_next(&agent, &f, &e) == 0 && !agent.closed, "no more");
	wire.closed = true;
	ok(chan_move(&agent, 0, &e) == 0 && agent.closed &&
	    chan_next(&agent, &f, &e) == 0, "and then the end");
}

/* Every frame cut at every byte: it comes only when it is whole. */
static void
test_partial(void)
{
	struct chan_frame f;
	unsigned early = 0, late = 0;
	struct err e;

	/* A HELLO of 12 bytes and a PUT of 20. */
	for (size_t cut = 0; cut <= 12 + 20; cut++) {
		connect_both(SIZE_MAX);
		(void)chan_send_hello(&dvm, &e);
		(void)chan_send_put(&dvm, 16, 3, "name", &e);
		wire.cap = cut;
		(void)chan_move(&dvm, 0, &e);
		(void)chan_move(&agent, 0, &e);
		for (size_t end = 12; end <= cut; end += 20)
			late += chan_next(&agent, &f, &e) != 1;
		early += chan_next(&agent, &f, &e) != 0;
	}
	ok(early == 0 && late == 0, "a frame comes when it is whole, and not "
	    "before");
}

static void
test_form(void)
{
	static const uint8_t forms[][8] = {
		{ CHAN_HELLO, 0, 1, 0, 4, 0, 0, 0 },
		{ CHAN_HELLO, 0, 0, 1, 4, 0, 0, 0 },
		{ CHAN_HELLO, 0, 0, 0, 1, 0x80, 0, 0 },
		{ CHAN_HELLO, 0, 0, 0, 0xff, 0xff, 0xff, 0xff },
	};
	struct chan_frame f;
	unsigned nr = 0;
	struct err e;

	for (size_t i = 0; i < NR(forms); i++) {
		connect_both(SIZE_MAX);
		memcpy(wire.bytes, forms[i], 8);
		wire.len = 8;
		(void)chan_move(&agent, 0, &e);
		nr += chan_next(&agent, &f, &e) == -1 && e.code == ERR_INPUT;
	}
	ok(nr == NR(forms), "headers that no frame has");
}

static void
test_room(void)
{
	/* HELLO takes the last one's place. */
	const unsigned room = sizeof(dvm.tx) / CHAN_FRAME_MAX - 1;
	unsigned nr = 0;
	struct err e;

	connect_both(SIZE_MAX);
	wire.cap = 0;
	(void)chan_send_hello(&dvm, &e);
	ok(chan_may_send(&dvm, CHAN_STDIN) == CHAN_PAYLOAD_MAX,
	    "a frame's worth may be sent");
	for (; chan_has_room(&dvm) && nr < 2 * room; nr++)
		(void)chan_send(&dvm, CHAN_DATA, CHAN_STDIN, zeros,
		    CHAN_PAYLOAD_MAX, &e);
	ok(nr == room && chan_may_send(&dvm, CHAN_STDIN) == 0, "until there is "
	    "no room");
	ok(chan_send(&dvm, CHAN_DATA, CHAN_STDIN, zeros, CHAN_PAYLOAD_MAX,
	    &e) == -1 && e.code == ERR_USAGE, "then none goes");
	wire.cap = sizeof(wire.bytes);
	(void)chan_move(&dvm, 0, &e);
	for (; chan_may_send(&dvm, CHAN_STDIN) > 0 && nr < 40; nr++) {
		(void)chan_send(&dvm, CHAN_DATA, CHAN_STDIN, zeros,
		    CHAN_PAYLOAD_MAX, &e);
		wire.len = 0;
		(void)chan_move(&dvm, 0, &e);
	}
	ok(nr == CHAN_WINDOW / CHAN_PAYLOAD_MAX && chan_has_room(&dvm),
	    "nor beyond the window");
	ok(chan_send(&dvm, CHAN_DATA, CHAN_STDIN, "x", 1, &e) == -1 &&
	    e.code == ERR_USAGE && chan_is_flushed(&dvm), "what may not be "
	    "said is not sent");
}

int
main(void)
{
	test_begin();
	test_start();
	test_words();
	test_files_in();
	test_streams();
	test_window();
	test_files_back();
	test_end();
	test_names();
	test_frames(SIZE_MAX);
	test_frames(1);
	test_partial();
	test_form();
	test_room();
	return tap_done();
}
