/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Every operation of the xenstore seam against Xen's real daemons, C and
 * OCaml, with libxenstore as the independent witness.  Skipped, daemon by
 * daemon, where they are not installed.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xenstore.h>

#include "restore/host/store_xen.h"
#include "tests/fake/fake_dom0.h"
#include "tests/unit/tap.h"

#define DIR_TEST "/local/domain/7"
#define NR_MANY_DIRS 50
#define NR_MANY_EACH 100

static uint64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static uint64_t
deadline_in(uint64_t ms)
{
	return (now_ms() + ms) * 1000000;
}

static void
sleep_ms(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

static struct store_node
node(const char *path, const char *value)
{
	return (struct store_node){ path, value, STORE_NO_PERMS,
	    STORE_NOBODY, 0 };
}

/* "n0r7" */
static void
perms_of(struct xs_handle *xs, const char *path, char *text, size_t cap)
{
	struct xs_permissions *perms;
	unsigned int nr = 0, i;
	size_t len = 0;

	text[0] = '\0';
	perms = xs_get_permissions(xs, XBT_NULL, path, &nr);
	for (i = 0; perms != NULL && i < nr && len < cap; i++)
		len += (size_t)snprintf(text + len, cap - len, "%c%u",
		    perms[i].perms == XS_PERM_READ ? 'r' :
		    perms[i].perms == XS_PERM_NONE ? 'n' : '?', perms[i].id);
	free(perms);
}

static void
test_write(struct store *s, struct xs_handle *xs)
{
	const struct store_node nodes[] = {
		{ DIR_TEST, NULL, 0, 7, 0 },
		node(DIR_TEST "/name", "disp0001"),
		node(DIR_TEST "/console/tty", ""),
		{ DIR_TEST "/data", NULL, 7, STORE_NOBODY, 0 },
		node(DIR_TEST "/data/below", "x"),
		{ DIR_TEST "/device/vbd/51712", NULL, 7, 0, 0 },
		node(DIR_TEST "/device/vbd/51712/state", "1"),
		node(DIR_TEST "/name", "disp0002"),
		node(DIR_TEST "/data", NULL),
	};
	struct err e = { 0 };
	char text[64], *value;
	unsigned int len = 99;

	ok(s->ops->write(s, nodes, sizeof(nodes) / sizeof(*nodes), &e) == 0,
	    "a batch of values, directories and permissions is written %s",
	    e.msg);
	perms_of(xs, DIR_TEST, text, sizeof(text));
	ok(strcmp(text, "n0r7") == 0, "permissions are as asked (%s)", text);
	perms_of(xs, DIR_TEST "/console/tty", text, sizeof(text));
	ok(strcmp(text, "n0r7") == 0, "a child inherits them (%s)", text);
	perms_of(xs, DIR_TEST "/data/below", text, sizeof(text));
	ok(strcmp(text, "n7") == 0, "also those of an owner alone (%s)",
	    text);
	perms_of(xs, DIR_TEST "/device/vbd/51712/state", text, sizeof(text));
	ok(strcmp(text, "n7r0") == 0, "also through made parents (%s)", text);
	value = xs_read(xs, XBT_NULL, DIR_TEST "/name", &len);
	ok(value != NULL && len == 8 && memcmp(value, "disp0002", 8) == 0,
	    "the later of two values stays");
	free(value);
	value = xs_read(xs, XBT_NULL, DIR_TEST "/console/tty", &len);
	ok(value != NULL && len == 0, "an empty value is written as such");
	free(value);
	ok(s->ops->write(s, NULL, 0, &e) == 0, "a batch of nothing is done");
}

static void
test_read_list(struct store *s)
{
	struct err e = { 0 };
	char text[64];
	int nr;

	ok(s->ops->read(s, DIR_TEST "/name", text, sizeof(text), &e) == 1 &&
	    strcmp(text, "disp0002") == 0, "a value is read");
	ok(s->ops->read(s, DIR_TEST "/none", text, sizeof(text), &e) == 0,
	    "no such node is 0");
	ok(s->ops->read(s, DIR_TEST "/name", text, 9, &e) == 1,
	    "a value that just fits is read");
	ok(s->ops->read(s, DIR_TEST "/name", text, 8, &e) == -1 &&
	    e.code == ERR_STORE, "one that does not is an error: %s", e.msg);
	ok(s->ops->read(s, DIR_TEST "/data", text, sizeof(text), &e) == 1 &&
	    text[0] == '\0', "a directory's value is empty");
	nr = s->ops->list(s, DIR_TEST, text, sizeof(text), &e);
	ok(nr == 4, "a directory's names are listed (%d)", nr);
	ok(s->ops->list(s, DIR_TEST "/none", text, sizeof(text), &e) == 0,
	    "none of a directory that is not there");
	ok(s->ops->list(s, DIR_TEST "/name", text, sizeof(text), &e) == 0,
	    "none of one without any");
	ok(s->ops->list(s, DIR_TEST, text, 8, &e) == -1 &&
	    e.code == ERR_STORE, "names that do not fit are an error: %s",
	    e.msg);
}

static void
test_refusals(struct store *s)
{
	const struct store_node bad[] = {
		node("/before", "1"), node("/a//b c", "1"), node("/after", "1"),
	};
	char *long_path, text[8];
	struct err e = { 0 };

	ok(s->ops->write(s, bad, 3, &e) == -1 && e.code == ERR_STORE &&
	    strstr(e.msg, "/a//b c") != NULL,
	    "a refused request is named: %s", e.msg);
	ok(s->ops->read(s, "/after", text, sizeof(text), &e) == 1,
	    "the connection lives on, and so did the batch");
	long_path = malloc(STORE_PATH_MAX + 2);
	if (long_path == NULL)
		return;
	memset(long_path, 'a', STORE_PATH_MAX + 1);
	long_path[0] = '/';
	long_path[STORE_PATH_MAX + 1] = '\0';
	ok(s->ops->read(s, long_path, text, sizeof(text), &e) == -1,
	    "a path that is too long is refused: %.60s", e.msg);
	free(long_path);
	ok(s->ops->read(s, "/before", text, sizeof(text), &e) == 1,
	    "and harms nothing");
}

static void
test_remove(struct store *s)
{
	const char *const paths[] = { "/before", "/nowhere/at/all", "/after" };
	struct err e = { 0 };
	char text[8];

	ok(s->ops->remove(s, paths, 3, &e) == 0,
	    "paths are removed, one that is not there included %s", e.msg);
	ok(s->ops->read(s, "/before", text, sizeof(text), &e) == 0 &&
	    s->ops->read(s, "/after", text, sizeof(text), &e) == 0,
	    "and are gone");
}

static void
test_introduce(struct store *s, struct xs_handle *xs)
{
	struct err e = { 0 };

	ok(!xs_is_domain_introduced(xs, 7), "a domain is unknown at first");
	ok(s->ops->introduce(s, 7, 1044476, 1, &e) == 0,
	    "it is introduced %s", e.msg);
	ok(xs_is_domain_introduced(xs, 7), "and then known");
}

/* 5,000 nodes are 10,000 requests here: some 700 KB one way and more answers
 * than a socket's buffer holds the other. */
static void
test_many(struct store *s, const char *program)
{
	enum { NR = NR_MANY_DIRS * NR_MANY_EACH };
	struct store_node *nodes = calloc(NR, sizeof(*nodes));
	char (*paths)[32] = calloc(NR, sizeof(*paths));
	char names[4096];
	struct err e = { 0 };
	uint64_t start, batch_ms, single_ms;
	int i, nr = 0, rc = 0;

	for (i = 0; nodes != NULL && paths != NULL && i < NR; i++) {
		(void)snprintf(paths[i], sizeof(paths[i]), "/many/%d/n%d",
		    i / NR_MANY_EACH, i % NR_MANY_EACH);
		nodes[i] = (struct store_node){ paths[i], "a value", 0, 7, 0 };
	}
	ok(s->ops->write(s, nodes, NR, &e) == 0,
	    "5,000 nodes with permissions in one batch %s", e.msg);
	for (i = 0; i < NR_MANY_DIRS; i++) {
		(void)snprintf(paths[0], sizeof(paths[0]), "/many/%d", i);
		nr += s->ops->list(s, paths[0], names, sizeof(names), &e);
	}
	ok(nr == NR, "all are there (%d)", nr);
	for (i = 0; i < NR; i++)
		nodes[i].owner = STORE_NO_PERMS;
	start = now_ms();
	rc = s->ops->write(s, nodes, NR, &e);
	batch_ms = now_ms() - start;
	start = now_ms();
	for (i = 0; i < NR && rc == 0; i++)
		rc = s->ops->write(s, &nodes[i], 1, &e);
	single_ms = now_ms() - start;
	ok(rc == 0, "over each other too, together and one by one");
	printf("# %s: %d requests in one batch %" PRIu64 " ms (%" PRIu64
	    "/s), one by one %" PRIu64 " ms (%" PRIu64 "/s)\n", program, NR,
	    batch_ms, NR * 1000 / (batch_ms + 1), single_ms,
	    NR * 1000 / (single_ms + 1));
	free(paths);
	free(nodes);
}

/* Forks a client that, after delay_ms, writes the values to path in turn, or
 * for ever if nr is 0. */
static pid_t
writer(const struct fake_dom0 *r, const char *path,
    const char *const *values, int nr, long delay_ms)
{
	struct xs_handle *xs;
	pid_t pid;
	int i;

	(void)fflush(stdout);
	pid = fork();
	if (pid != 0)
		return pid;
	(void)setenv("XENSTORED_PATH", r->socket, 1);
	xs = xs_open(0);
	if (xs == NULL)
		_exit(1);
	for (i = 0; nr == 0 || i < nr; i++) {
		if (delay_ms > 0)
			sleep_ms(delay_ms);
		(void)xs_write(xs, XBT_NULL, path,
		    nr == 0 ? "no" : values[i],
		    (unsigned)strlen(nr == 0 ? "no" : values[i]));
	}
	xs_close(xs);
	_exit(0);
}

static void
test_wait(struct store *s, const struct fake_dom0 *r)
{
	static const char *const paths[] = { "/w/a", "/w/b", "/w/c" };
	static const char *const want[] = { "2", NULL, "4" };
	static const char *const steps[] = { "1", "3", "2", "5" };
	static const struct store_node there[] = {
		{ "/w/b", "", STORE_NO_PERMS, STORE_NOBODY, 0 },
		{ "/w/c", "4", STORE_NO_PERMS, STORE_NOBODY, 0 },
	};
	struct err e = { 0 };
	uint64_t start, before;
	pid_t pid;
	int rc;

	(void)s->ops->write(s, there, 2, &e);
	before = s->nr_requests;
	ok(s->ops->wait(s, paths + 1, want + 1, 2, 0, -1, &e) == 0,
	    "what is there already is not waited for %s", e.msg);
	ok(s->nr_requests == before + 2, "nor watched");
	pid = writer(r, "/w/a", steps, 4, 20);
	start = now_ms();
	rc = s->ops->wait(s, paths, want, 3, deadline_in(5000), -1, &e);
	ok(rc == 0 && now_ms() - start < 4000,
	    "a value that another client writes ends the wait %s", e.msg);
	(void)waitpid(pid, NULL, 0);
	start = now_ms();
	ok(s->ops->wait(s, paths, want, 3, deadline_in(100), -1, &e) == -1 &&
	    e.code == ERR_TIMEOUT && strstr(e.msg, "/w/a to be 2") != NULL,
	    "a value that does not come: %s", e.msg);
	ok(now_ms() - start >= 99 && now_ms() - start < 2000,
	    "at the deadline");
	pid = writer(r, "/w/a", NULL, 0, 0);
	start = now_ms();
	rc = s->ops->wait(s, paths, want, 1, deadline_in(200), -1, &e);
	ok(rc == -1 && e.code == ERR_TIMEOUT && now_ms() - start < 2000,
	    "also while somebody never stops writing: %s", e.msg);
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	ok(s->ops->wait(s, paths + 1, want + 1, 2, 0, -1, &e) == 0,
	    "the connection lives on");
}

static void
test_interrupt(struct store *s)
{
	static const char *const path = "/w/never";
	struct err e = { 0 };
	uint64_t start = now_ms();
	char text[8];
	int fds[2];

	if (pipe(fds) != 0)
		return;
	ok(s->ops->wait(s, &path, NULL, 1, deadline_in(50), fds[0],
	    &e) == -1 && e.code == ERR_TIMEOUT,
	    "a silent interrupt_fd changes nothing");
	(void)!write(fds[1], "x", 1);
	ok(s->ops->wait(s, &path, NULL, 1, deadline_in(5000), fds[0],
	    &e) == -1 && e.code == ERR_INTERRUPTED &&
	    now_ms() - start < 2000, "a readable one ends the wait: %s",
	    e.msg);
	ok(s->ops->read(s, "/w/c", text, sizeof(text), &e) == 1,
	    "and the connection lives on");
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* Last: the daemon does not survive it. */
static void
test_daemon_gone(struct store *s, struct fake_dom0 *r)
{
	static const char *const path = "/w/never";
	struct store_node one = node("/w/one", "1");
	struct store *hasty;
	struct err e = { 0 };
	uint64_t start;
	pid_t killer;
	int rc;

	hasty = store_xen_open(r->socket, 200, &e);
	if (!ok(hasty != NULL, "a second connection is opened %s", e.msg))
		return;
	(void)kill(r->pid, SIGSTOP);
	start = now_ms();
	ok(hasty->ops->write(hasty, &one, 1, &e) == -1 &&
	    e.code == ERR_TIMEOUT && now_ms() - start < 2000,
	    "a stopped daemon: %s", e.msg);
	(void)kill(r->pid, SIGCONT);
	/* It may still be busy with what piled up: 200 ms are not much. */
	for (start = now_ms(), rc = -1; rc != 0 && now_ms() - start < 10000;)
		rc = hasty->ops->write(hasty, &one, 1, &e);
	ok(rc == 0, "goes on: so does the next operation %s",
	    rc == 0 ? "" : e.msg);
	hasty->ops->close(hasty);
	(void)fflush(stdout);
	killer = fork();
	if (killer == 0) {
		sleep_ms(50);
		(void)kill(r->pid, SIGKILL);
		_exit(0);
	}
	start = now_ms();
	ok(s->ops->wait(s, &path, NULL, 1, deadline_in(5000), -1, &e) == -1 &&
	    e.code == ERR_STORE && now_ms() - start < 2000,
	    "the daemon dies during a wait: %s", e.msg);
	(void)waitpid(killer, NULL, 0);
	ok(s->ops->write(s, &one, 1, &e) == -1 && e.code == ERR_STORE,
	    "and from then on: %s", e.msg);
	/* Its sockets are closed one by one; stopping it reaps it. */
	(void)waitid(P_PID, (id_t)r->pid, NULL, WEXITED | WNOWAIT);
	ok(store_xen_open(r->socket, 200, &e) == NULL &&
	    e.code == ERR_STORE, "nobody there: %s", e.msg);
}

static void
test_daemon(const char *program)
{
	struct fake_dom0 r;
	struct xs_handle *xs;
	struct store *s;
	const char *why;
	struct err e = { 0 };
	int rc;

	rc = fake_dom0_start(&r, program, &why);
	if (rc == 1) {
		ok(true, "%s # SKIP %s", program, why);
		return;
	}
	if (!ok(rc == 0, "%s runs %s", program, rc == 0 ? "" : why))
		return;
	(void)setenv("XENSTORED_PATH", r.socket, 1);
	xs = xs_open(0);
	s = store_xen_open(r.socket, STORE_XEN_TIMEOUT_MS, &e);
	if (ok(xs != NULL && s != NULL, "%s is connected to %s", program,
	    e.msg)) {
		test_write(s, xs);
		test_read_list(s);
		test_refusals(s);
		test_remove(s);
		test_introduce(s, xs);
		test_many(s, program);
		test_wait(s, &r);
		test_interrupt(s);
		test_daemon_gone(s, &r);
	}
	if (s != NULL)
		s->ops->close(s);
	if (xs != NULL)
		xs_close(xs);
	fake_dom0_stop(&r);
}

int
main(void)
{
	test_daemon("xenstored");
	test_daemon("oxenstored");
	return tap_done();
}
