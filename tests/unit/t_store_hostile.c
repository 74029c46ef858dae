/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The xenstore client against a daemon that breaks the protocol in every way
 * we could think of, and in random ones: always an error, never a hang.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#include "include/cleanup.h"
#include "restore/host/store_xen.h"
#include "tests/unit/tap.h"

#define TIMEOUT_MS 150
/* For what does not wait for a time limit, and that it does not. */
#define PATIENCE_MS 20000
#define SOON_MS 15000
#define NR_RANDOM 300

/* What the daemon answers to the first request; then it hangs up, unless it
 * stays silent. */
struct play {
	const char *claim;
	/* The operation that meets it: 'w' one write, 'b' a batch of two,
	 * 'l' a list, 'r' a read, 'm' more than the socket holds. */
	char op;
	enum err_code want;	/* ERR_NONE: it must succeed */
	uint32_t type;		/* 0: the request's */
	uint32_t id_offset, tx_id;
	uint32_t len;		/* told; 0: body_len */
	size_t header_len;	/* sent; 0: all of it */
	const char *body;
	size_t body_len;
	unsigned repeats;	/* how often it is sent again */
	bool silent;		/* afterwards, instead of hanging up */
	bool slowly;		/* byte by byte */
	bool deaf;		/* reads nothing */
};

#define BODY(text) .body = text, .body_len = sizeof(text)
#define BARE(text) .body = text, .body_len = sizeof(text) - 1

static const struct play plays[] = {
	{ "a daemon that keeps to it", 'w', ERR_NONE, BODY("OK") },
	{ "one that is slow", 'w', ERR_NONE, .slowly = true, BODY("OK") },
	{ "half a header, then the end", 'w', ERR_STORE, .header_len = 7 },
	{ "half a header, then silence", 'w', ERR_TIMEOUT, .header_len = 7,
	    .silent = true },
	{ "a length of 4 GiB", 'w', ERR_STORE, .len = UINT32_MAX,
	    BODY("OK"), .silent = true },
	{ "a length over 4096 by one", 'w', ERR_STORE, .len = 4097,
	    BODY("OK"), .silent = true },
	{ "an id that was not used", 'w', ERR_STORE, .id_offset = 1,
	    BODY("OK"), .silent = true },
	{ "an id far away", 'w', ERR_STORE, .id_offset = 1U << 31,
	    BODY("OK"), .silent = true },
	{ "an answer twice", 'b', ERR_STORE, .repeats = 1, BODY("OK"),
	    .silent = true },
	{ "a transaction that there is not", 'w', ERR_STORE, .tx_id = 1,
	    BODY("OK"), .silent = true },
	{ "another request's type", 'w', ERR_STORE, .type = XS_READ,
	    BODY("OK"), .silent = true },
	{ "a type that there is not", 'w', ERR_STORE, .type = 4711,
	    BODY("OK"), .silent = true },
	{ "something else than OK", 'w', ERR_STORE, BODY("KO"),
	    .silent = true },
	{ "OK without its NUL", 'w', ERR_STORE, BARE("OK"), .silent = true },
	{ "an empty OK", 'w', ERR_STORE, .silent = true },
	{ "an error", 'w', ERR_STORE, .type = XS_ERROR, BODY("EACCES"),
	    .silent = true },
	{ "an error of no known name", 'w', ERR_STORE, .type = XS_ERROR,
	    BODY("EWHATEVER"), .silent = true },
	{ "an error without its NUL", 'w', ERR_STORE, .type = XS_ERROR,
	    BARE("EACCES"), .silent = true },
	{ "an error with more after its NUL", 'w', ERR_STORE,
	    .type = XS_ERROR, BODY("EACCES\0x"), .silent = true },
	{ "an empty error", 'w', ERR_STORE, .type = XS_ERROR,
	    .silent = true },
	{ "the end in the middle", 'w', ERR_STORE, .len = 100, BODY("OK") },
	{ "silence in the middle", 'w', ERR_TIMEOUT, .len = 100, BODY("OK"),
	    .silent = true },
	{ "silence from the start", 'w', ERR_TIMEOUT, .header_len = SIZE_MAX,
	    .silent = true },
	{ "the end from the start", 'w', ERR_STORE, .header_len = SIZE_MAX },
	{ "nobody reads what is sent", 'm', ERR_TIMEOUT, .deaf = true,
	    .header_len = SIZE_MAX, .silent = true },
	{ "an event without a token", 'w', ERR_STORE,
	    .type = XS_WATCH_EVENT, BODY("/path"), .silent = true },
	{ "an event without a NUL", 'w', ERR_STORE, .type = XS_WATCH_EVENT,
	    BARE("/path"), .silent = true },
	{ "an event whose token has none", 'w', ERR_STORE,
	    .type = XS_WATCH_EVENT, BARE("/path\0token"), .silent = true },
	{ "an empty event", 'w', ERR_STORE, .type = XS_WATCH_EVENT,
	    .silent = true },
	{ "events without end", 'w', ERR_TIMEOUT, .type = XS_WATCH_EVENT,
	    BODY("/path\0token"), .repeats = UINT32_MAX },
	{ "names with a slash", 'l', ERR_STORE, BODY("a\0b/c") },
	{ "names without a NUL", 'l', ERR_STORE, BARE("a\0b") },
	{ "an empty name", 'l', ERR_STORE, BODY("a\0\0b") },
	{ "names as they should be", 'l', ERR_NONE, BODY("a\0b") },
	{ "a value with a NUL inside", 'r', ERR_STORE, BARE("a\0b") },
	{ "a value with a NUL behind", 'r', ERR_STORE, BODY("a") },
	{ "a value too long for its buffer", 'r', ERR_STORE,
	    BARE("0123456789abcdef") },
	{ "a value that just fits", 'r', ERR_NONE, BARE("0123456789abcde") },
};

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static bool
send_all(int fd, const void *bytes, size_t len, bool slowly)
{
	const char *at = bytes;
	size_t step;

	for (; len > 0; at += step, len -= step) {
		step = slowly ? 1 : len;
		if (send(fd, at, step, MSG_NOSIGNAL) != (ssize_t)step)
			return false;
		if (slowly)
			(void)usleep(1000);
	}
	return true;
}

static void
act(int fd, const struct play *p)
{
	struct xsd_sockmsg header = { .type = XS_WRITE };
	char body[4096];
	size_t header_len;
	unsigned i;

	if (!p->deaf && recv(fd, &header, sizeof(header), MSG_WAITALL) ==
	    sizeof(header) && header.len <= sizeof(body))
		(void)recv(fd, body, header.len, MSG_WAITALL);
	header.req_id += p->id_offset;
	header.tx_id = p->tx_id;
	header.len = p->len != 0 ? p->len : (uint32_t)p->body_len;
	if (p->type != 0)
		header.type = p->type;
	header_len = p->header_len == SIZE_MAX ? 0 :
	    p->header_len != 0 ? p->header_len : sizeof(header);
	for (i = 0; i <= p->repeats; i++) {
		if (!send_all(fd, &header, header_len, p->slowly) ||
		    !send_all(fd, p->body, p->body_len, p->slowly) ||
		    i == UINT32_MAX)
			break;
	}
	if (p->silent)
		(void)pause();
}

/* xorshift64*: the streams are the same in every run. */
static uint64_t
next_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 2685821657736338717U;
}

/* Answers of random fields, mostly near the right ones. */
static void
act_randomly(int fd, uint64_t seed)
{
	struct xsd_sockmsg header;
	uint64_t r;
	char body[4200];
	unsigned i;

	(void)recv(fd, &header, sizeof(header), MSG_WAITALL);
	for (i = 0; i < 20; i++) {
		r = next_random(&seed);
		header.type = (r & 7) == 0 ? XS_WRITE : (r & 7) == 1 ?
		    XS_ERROR : (r & 7) < 4 ? XS_WATCH_EVENT :
		    (uint32_t)(r >> 8) & 31;
		header.req_id = (uint32_t)(r >> 16) & 3;
		header.tx_id = (r & 0x700000) == 0;
		header.len = (uint32_t)(r >> 24) & 31;
		memset(body, (int)(r >> 40), sizeof(body));
		body[(r >> 32) & 31] = '\0';
		if (!send_all(fd, &header, sizeof(header) - (r >> 60 == 0),
		    false) || !send_all(fd, body, header.len, false))
			break;
	}
}

/* Forks a daemon for one connection; p NULL: a random one. */
static pid_t
serve(struct sockaddr_un *addr, const struct play *p, uint64_t seed)
{
	int listener, fd;
	pid_t pid;

	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)unlink(addr->sun_path);
	if (listener < 0 || bind(listener, (struct sockaddr *)addr,
	    sizeof(*addr)) != 0 || listen(listener, 1) != 0)
		return -1;
	(void)fflush(stdout);
	pid = fork();
	if (pid != 0) {
		(void)close(listener);
		return pid;
	}
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	fd = accept(listener, NULL, NULL);
	if (p != NULL)
		act(fd, p);
	else
		act_randomly(fd, seed);
	_exit(0);
}

static int
do_op(struct store *s, char op, struct err *e)
{
	struct store_node two[2] = {
		{ "/a", "1", STORE_NO_PERMS, STORE_NOBODY, 0 },
		{ "/b", "2", STORE_NO_PERMS, STORE_NOBODY, 0 },
	};
	enum { NR_MANY = 5000 };
	AUTO_FREE struct store_node *many = NULL;
	char text[16];
	size_t i;

	switch (op) {
	case 'w':
		return s->ops->write(s, two, 1, e);
	case 'b':
		return s->ops->write(s, two, 2, e);
	case 'l':
		return s->ops->list(s, "/a", text, sizeof(text), e);
	case 'r':
		return s->ops->read(s, "/a", text, sizeof(text), e);
	default:
		many = calloc(NR_MANY, sizeof(*many));
		for (i = 0; many != NULL && i < NR_MANY; i++)
			many[i] = two[0];
		return s->ops->write(s, many, NR_MANY, e);
	}
}

static void
test_play(struct sockaddr_un *addr, const struct play *p)
{
	unsigned ms = p->want == ERR_TIMEOUT ? TIMEOUT_MS : PATIENCE_MS;
	struct err e = { 0 };
	struct store *s;
	uint64_t start;
	pid_t pid;
	int rc;

	pid = serve(addr, p, 0);
	s = store_xen_open(addr->sun_path, ms, &e);
	if (pid < 0 || s == NULL) {
		ok(false, "%s: not connected: %s", p->claim, e.msg);
		return;
	}
	start = now_ms();
	rc = do_op(s, p->op, &e);
	ok((rc >= 0 ? ERR_NONE : e.code) == p->want &&
	    now_ms() - start < SOON_MS, "%s: %s", p->claim,
	    rc >= 0 ? "done" : e.msg);
	s->ops->close(s);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static void
test_random(struct sockaddr_un *addr)
{
	const char *const paths[] = { "/a", "/b" };
	unsigned i, nr_ended = 0, nr_failed = 0;
	uint64_t start = now_ms();
	struct err e;
	struct store *s;
	pid_t pid;

	for (i = 0; i < NR_RANDOM; i++) {
		pid = serve(addr, NULL, i + 1);
		s = store_xen_open(addr->sun_path, TIMEOUT_MS, &e);
		if (pid < 0 || s == NULL)
			continue;
		e.msg[0] = '\0';
		if (do_op(s, i % 2 == 0 ? 'b' : 'w', &e) != 0 ||
		    s->ops->wait(s, paths, NULL, 2,
		    (now_ms() + TIMEOUT_MS) * 1000000, -1, &e) != 0)
			nr_failed += e.msg[0] != '\0';
		nr_ended++;
		s->ops->close(s);
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
	}
	ok(nr_ended == NR_RANDOM && nr_failed == NR_RANDOM &&
	    now_ms() - start < NR_RANDOM * TIMEOUT_MS * 3,
	    "%u random daemons, %u errors", nr_ended, nr_failed);
}

/* A daemon that does not accept: one connection waits, the next cannot. */
static void
test_full_queue(struct sockaddr_un *addr)
{
	struct store *first, *second;
	struct err e = { 0 };
	AUTO_FD listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t start = now_ms();

	(void)unlink(addr->sun_path);
	if (listener < 0 || bind(listener, (struct sockaddr *)addr,
	    sizeof(*addr)) != 0 || listen(listener, 0) != 0)
		return;
	first = store_xen_open(addr->sun_path, TIMEOUT_MS, &e);
	ok(first != NULL && do_op(first, 'w', &e) == -1 &&
	    e.code == ERR_TIMEOUT, "a daemon that does not accept: %s",
	    e.msg);
	second = store_xen_open(addr->sun_path, TIMEOUT_MS, &e);
	ok(second == NULL && e.code == ERR_TIMEOUT &&
	    now_ms() - start < SOON_MS,
	    "nor has room for another: %s", e.msg);
	if (first != NULL)
		first->ops->close(first);
}

int
main(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char dir[] = "/tmp/dvm-hostile-XXXXXX";
	size_t i;

	if (mkdtemp(dir) == NULL)
		return 1;
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/socket",
	    dir);
	for (i = 0; i < sizeof(plays) / sizeof(*plays); i++)
		test_play(&addr, &plays[i]);
	test_random(&addr);
	test_full_queue(&addr);
	(void)unlink(addr.sun_path);
	(void)rmdir(dir);
	return tap_done();
}
