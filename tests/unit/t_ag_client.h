/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A client of the channel for tests of the agent's end: starts agent_serve,
 * which lies beside the test, on a socket, says what it is told and keeps what
 * it gets.
 */
#ifndef T_AG_CLIENT_H
#define T_AG_CLIENT_H

#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/wire/chan.h"
#include "tests/unit/tap.h"

#define CLIENT_LIMIT_MS 60000u
#define CLIENT_OUT_BYTES (11u << 20)
#define CLIENT_FILE_BYTES (2u << 20)

struct client_file {
	bool is_back, complete;
	enum chan_back how;
	uint64_t size;
	size_t len;
	bool hash_is_right;
	uint8_t data[CLIENT_FILE_BYTES];
};

static struct client {
	const char *root;		/* agent_serve --root */
	const char *hostile;		/* agent_serve --hostile */
	const char *user;		/* agent_serve --user */
	bool stalled;			/* no CREDIT for stdout */
	const uint8_t *in;		/* what the program is to read */
	size_t in_len;
	bool in_eof;			/* and then its end */

	struct chan chan;
	pid_t pid;
	unsigned nr_files;
	bool started, exited, has_failed, closed, broken;
	uint32_t status;
	char text[CHAN_TEXT_MAX + 1];	/* FAILED's */
	char why[480];			/* broken, how */
	uint8_t out[CLIENT_OUT_BYTES];
	char err[65536];
	size_t out_len, err_len;
	bool out_eof, err_eof;
	struct client_file file[2];
} client;

__attribute__((unused)) static char client_serve[4096];

static inline void
client_init(char *argv0)
{
	char *copy = strdup(argv0);

	(void)snprintf(client_serve, sizeof(client_serve), "%s/agent_serve",
	    copy != NULL ? dirname(copy) : ".");
	free(copy);
}

static inline void
client_exec(int fd)
{
	char number[16];
	const char *argv[10] = { client_serve, "--fd", number };
	size_t nr = 3;

	(void)snprintf(number, sizeof(number), "%d", fd);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (client.root != NULL) {
		argv[nr++] = "--root";
		argv[nr++] = client.root;
	}
	if (client.hostile != NULL) {
		argv[nr++] = "--hostile";
		argv[nr++] = client.hostile;
	}
	if (client.user != NULL) {
		argv[nr++] = "--user";
		argv[nr++] = client.user;
	}
	(void)execv(client_serve, (char *const *)(uintptr_t)argv);
	perror(client_serve);
	_exit(127);
}

static inline void
client_must(int rc, const struct err *e)
{
	if (rc != 0) {
		printf("# the client may not say that: %s\n", e->msg);
		exit(1);
	}
}

/* A new conversation, over this. */
static inline void
client_hello(const struct chan_io *io)
{
	struct err e;

	chan_init(&client.chan, io, false);
	client.nr_files = 0;
	client.started = client.exited = client.has_failed = client.closed =
	    client.broken = client.out_eof = client.err_eof = false;
	client.status = 0;
	client.text[0] = client.why[0] = client.err[0] = '\0';
	client.out_len = client.err_len = 0;
	client.file[0].len = client.file[1].len = 0;
	for (int i = 0; i < 2; i++)
		client.file[i].is_back = client.file[i].complete = false;
	client_must(chan_send_hello(&client.chan, &e), &e);
}

/* And with a new agent_serve. */
static inline void
client_begin(void)
{
	struct chan_io io;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		exit(1);
	(void)fflush(stdout);
	client.pid = fork();
	if (client.pid == 0) {
		(void)close(fds[0]);
		client_exec(fds[1]);
	}
	(void)close(fds[1]);
	io = chan_io_socket(fds[0]);
	client_hello(&io);
}

/* As much as fits; *len counts all. */
static inline void
client_keep(void *to, size_t cap, size_t *len, const struct chan_frame *f)
{
	size_t fits = *len < cap ? cap - *len : 0;

	memcpy((uint8_t *)to + (cap - fits), f->data,
	    f->len < fits ? f->len : fits);
	*len += f->len;
}

static inline void
client_take_data(const struct chan_frame *f)
{
	struct client_file *file;
	struct err e;

	if (f->stream == CHAN_STDOUT) {
		client_keep(client.out, sizeof(client.out), &client.out_len,
		    f);
	} else if (f->stream == CHAN_STDERR) {
		client_keep(client.err, sizeof(client.err), &client.err_len,
		    f);
	} else {
		file = &client.file[f->stream - CHAN_FILE_0];
		client_keep(file->data, sizeof(file->data), &file->len, f);
	}
	if (f->stream != CHAN_STDOUT || !client.stalled)
		client_must(chan_send_u32(&client.chan, CHAN_CREDIT,
		    f->stream, f->len, &e), &e);
}

static inline void
client_take_file(const struct chan_frame *f)
{
	struct client_file *file = &client.file[f->stream - CHAN_FILE_0];
	uint8_t hash[CHAN_HASH_BYTES];

	if (f->type == CHAN_BACK) {
		chan_get_back(f, &file->how, &file->size);
		file->is_back = true;
		file->len = 0;
		return;
	}
	(void)crypto_generichash(hash, sizeof(hash), file->data,
	    file->len <= sizeof(file->data) ? file->len : 0, NULL, 0);
	file->hash_is_right = memcmp(hash, f->data + 8, sizeof(hash)) == 0 &&
	    chan_u64(f->data) == file->len;
	file->complete = true;
}

static inline void
client_take(const struct chan_frame *f)
{
	switch (f->type) {
	case CHAN_STARTED:
		client.started = true;
		break;
	case CHAN_DATA:
		client_take_data(f);
		break;
	case CHAN_EOF:
		*(f->stream == CHAN_STDOUT ? &client.out_eof :
		    &client.err_eof) = true;
		break;
	case CHAN_BACK:
	case CHAN_END:
		client_take_file(f);
		break;
	case CHAN_EXIT:
		client.exited = true;
		client.status = chan_u32(f);
		break;
	case CHAN_FAILED:
		client.has_failed = true;
		client.status = chan_u32(f);
		chan_get_text(f, client.text);
		break;
	default:
		break;
	}
}

static inline bool
client_over(void)
{
	return client.exited || client.has_failed || client.closed ||
	    client.broken;
}

static inline void
client_feed(void)
{
	size_t may = chan_may_send(&client.chan, CHAN_STDIN);
	struct err e;

	if (may > client.in_len)
		may = client.in_len;
	if (may > 0) {
		client_must(chan_send(&client.chan, CHAN_DATA, CHAN_STDIN,
		    client.in, may, &e), &e);
		client.in += may;
		client.in_len -= may;
	}
	if (client.in_len == 0 && client.in_eof &&
	    chan_has_room(&client.chan)) {
		client_must(chan_send(&client.chan, CHAN_EOF, CHAN_STDIN, NULL,
		    0, &e), &e);
		client.in_eof = false;
	}
}

/* One turn, of at most that long. */
static inline void
client_turn(unsigned ms)
{
	struct pollfd p = { .fd = client.chan.io.fd };
	struct chan_frame f;
	struct err e;
	int rc = 1;

	client_feed();
	if (chan_move(&client.chan, 0, &e) != 0)
		client.closed = true;
	p.events = chan_events(&client.chan);
	(void)poll(&p, 1, (int)ms);
	if (chan_move(&client.chan, p.revents, &e) != 0)
		client.closed = true;
	/* Room for CREDIT of what may come. */
	while (!client_over() && chan_has_room(&client.chan) &&
	    (rc = chan_next(&client.chan, &f, &e)) == 1)
		client_take(&f);
	if (rc < 0) {
		client.broken = true;
		(void)snprintf(client.why, sizeof(client.why), "%s", e.msg);
	} else if (rc == 0 && client.chan.closed) {
		client.closed = true;
	}
}

static inline void
client_wait(unsigned ms)
{
	uint64_t end = clock_now_ns() + ms * CLOCK_MS;

	while (!client_over() && clock_now_ns() < end)
		client_turn(ms < 50 ? ms : 50);
}

/* Until so many bytes have come, of what this counts. */
static inline void
client_wait_len(const size_t *len, size_t nr)
{
	uint64_t end = clock_now_ns() + CLIENT_LIMIT_MS * CLOCK_MS;

	while (!client_over() && *len < nr && clock_now_ns() < end)
		client_turn(50);
}

/* A command's exit status. */
static inline int
client_shell(const char *command)
{
	int status = -1;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Until this stands in its standard output. */
static inline bool
client_sees(const char *text)
{
	uint64_t end = clock_now_ns() + CLIENT_LIMIT_MS * CLOCK_MS;

	while (clock_now_ns() < end) {
		if (memmem(client.out, client.out_len, text,
		    strlen(text)) != NULL)
			return true;
		if (client_over())
			return false;
		client_turn(50);
	}
	return false;
}

static inline void
client_put(const char *name, const void *data, size_t len)
{
	uint8_t stream = (uint8_t)(CHAN_FILE_0 + client.nr_files++);
	uint8_t hash[CHAN_HASH_BYTES];
	const uint8_t *at = data;
	size_t left = len, may;
	struct err e;

	(void)crypto_generichash(hash, sizeof(hash), at, len, NULL, 0);
	client_must(chan_send_put(&client.chan, stream, len, name, &e), &e);
	while (left > 0 && !client_over()) {
		may = chan_may_send(&client.chan, stream);
		if (may > left)
			may = left;
		if (may > 0)
			client_must(chan_send(&client.chan, CHAN_DATA, stream,
			    at, may, &e), &e);
		at += may;
		left -= may;
		client_turn(may > 0 ? 0 : 50);
	}
	if (left == 0)
		client_must(chan_send_end(&client.chan, stream, len, hash,
		    &e), &e);
}

static inline void
client_start(enum chan_kind kind, uint8_t flags, const char *words,
    size_t len, uint16_t rows, uint16_t cols)
{
	const struct chan_start s = { .kind = (uint8_t)kind, .flags = flags,
	    .nr_files = (uint16_t)client.nr_files, .rows = rows, .cols = cols,
	    .back_max = CLIENT_FILE_BYTES, .args = words, .args_len = len };
	struct err e;

	client_must(chan_send_start(&client.chan, &s, &e), &e);
}

#define CLIENT_START(kind, flags, words) \
	client_start(kind, flags, words, sizeof(words), 0, 0)
#define CLIENT_TTY(script, rows, cols) \
	client_start(CHAN_PROGRAM, CHAN_START_TTY, "sh\0-c\0" script, \
	    sizeof("sh\0-c\0" script), rows, cols)
#define CLIENT_SH(script) CLIENT_START(CHAN_PROGRAM, 0, "sh\0-c\0" script)

static inline void
client_say_u32(enum chan_type type, uint32_t value)
{
	struct err e;

	client_must(chan_send_u32(&client.chan, (uint8_t)type, 0, value, &e),
	    &e);
	client_turn(0);
}

/* Closes, and the server's exit status; -1: it had to be killed. */
static inline int
client_end(void)
{
	int status = 0;

	if (client.chan.io.fd >= 0)
		(void)close(client.chan.io.fd);
	client.chan.io.fd = -1;
	for (unsigned i = 0; waitpid(client.pid, &status, WNOHANG) == 0; i++) {
		if (i == CLIENT_LIMIT_MS) {
			(void)kill(client.pid, SIGKILL);
			(void)waitpid(client.pid, &status, 0);
			return -1;
		}
		(void)poll(NULL, 0, 1);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    256 + WTERMSIG(status);
}

/* Waits for its end, then that of the server: 0 if it is in order. */
static inline int
client_finish(void)
{
	client_wait(CLIENT_LIMIT_MS);
	client.out[client.out_len < sizeof(client.out) ? client.out_len :
	    sizeof(client.out) - 1] = '\0';
	client.err[client.err_len < sizeof(client.err) ? client.err_len :
	    sizeof(client.err) - 1] = '\0';
	return client_end();
}

static inline bool
client_exited(uint32_t status)
{
	if (client.exited && client.status == status)
		return true;
	printf("# %s %u %s%s\n", client.exited ? "exit" :
	    client.has_failed ? "failed" : client.closed ? "closed" :
	    client.broken ? "broken" : "endless", client.status, client.text,
	    client.why);
	return false;
}

static inline bool
client_failed(uint32_t status, const char *text)
{
	if (client.has_failed && client.status == status &&
	    strstr(client.text, text) != NULL)
		return true;
	(void)client_exited(UINT32_MAX);
	return false;
}

static inline bool
client_said(const char *text)
{
	if (strcmp((const char *)client.out, text) == 0)
		return true;
	printf("# stdout is '%.200s'\n", (const char *)client.out);
	return false;
}

#endif
