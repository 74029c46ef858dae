/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The other end of dvm for its tests: dvm is started as a process, and the
 * test itself plays the service, message by message.
 */
#ifndef T_DVM_PLAY_H
#define T_DVM_PLAY_H

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/wire/dvm_proto.h"
#include "tests/unit/tap.h"

#define PLAY_TIMEOUT_MS 20000
#define PLAY_NR(array) (sizeof(array) / sizeof((array)[0]))
#define PLAY_SIGNALLED 1000	/* + the signal: how dvm ended */

static struct play {
	char dvm[4096];
	char dir[32];
	struct sockaddr_un socket;
	int listen_fd;
	const char *stdout_path;	/* instead of a file that is read */
	pid_t pid;
	char out[65536], err[65536];	/* of the last dvm that ended */
	unsigned nr_unasked;		/* connections that did not come */
} play = { .listen_fd = -1 };

static inline void
play_listen(int backlog)
{
	(void)unlink(play.socket.sun_path);
	play.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (play.listen_fd < 0 || bind(play.listen_fd,
	    (const struct sockaddr *)&play.socket, sizeof(play.socket)) != 0 ||
	    listen(play.listen_fd, backlog) != 0) {
		perror("listen");
		exit(1);
	}
}

/* The service is gone: nobody listens at the socket that is left. */
static inline void
play_deaf(void)
{
	(void)close(play.listen_fd);
	play.listen_fd = -1;
}

static inline void
play_begin(char *argv0)
{
	char *copy = strdup(argv0);

	(void)snprintf(play.dvm, sizeof(play.dvm), "%s/../dvm",
	    copy != NULL ? dirname(copy) : ".");
	free(copy);
	(void)snprintf(play.dir, sizeof(play.dir), "/tmp/t_dvm.XXXXXX");
	if (mkdtemp(play.dir) == NULL || access(play.dvm, X_OK) != 0) {
		perror(play.dvm);
		exit(1);
	}
	play.socket.sun_family = AF_UNIX;
	(void)snprintf(play.socket.sun_path, sizeof(play.socket.sun_path),
	    "%s/sock", play.dir);
	(void)setenv("DVM_SOCKET", play.socket.sun_path, 1);
	(void)unsetenv("DVM_TIMEOUT");
	(void)setenv("TZ", "UTC", 1);
	(void)signal(SIGPIPE, SIG_IGN);
	play_listen(16);
}

static inline const char *
play_path(const char *name)
{
	static char path[64];

	(void)snprintf(path, sizeof(path), "%s/%s", play.dir, name);
	return path;
}

static inline int
play_done(void)
{
	play_deaf();
	(void)unlink(play.socket.sun_path);
	(void)unlink(play_path("out"));
	(void)unlink(play_path("err"));
	(void)rmdir(play.dir);
	return tap_done();
}

/* Starts dvm with the words of `line`; "''" is an empty one. */
static inline void
play_start(const char *line)
{
	char words[512], *argv[16] = { play.dvm }, *rest = NULL;
	size_t nr = 1;

	(void)snprintf(words, sizeof(words), "%s", line);
	for (char *w = strtok_r(words, " ", &rest); w != NULL && nr < 15;
	    w = strtok_r(NULL, " ", &rest))
		argv[nr++] = strcmp(w, "''") == 0 ? w + 2 : w;
	play.pid = fork();
	if (play.pid != 0)
		return;
	(void)close(STDOUT_FILENO);
	(void)open(play.stdout_path != NULL ? play.stdout_path :
	    play_path("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	(void)close(STDERR_FILENO);
	(void)open(play_path("err"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
	/* For a socket's mode to mean something also when root tests. */
	(void)prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	(void)signal(SIGPIPE, SIG_DFL);
	(void)execv(play.dvm, argv);
	_exit(127);
}

static inline void
play_slurp(const char *name, char *text, size_t cap)
{
	int fd = open(play_path(name), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, cap - 1);

	text[n < 0 ? 0 : n] = '\0';
	if (fd >= 0)
		(void)close(fd);
}

/* Waits until dvm's standard error or output has the text. */
static inline bool
play_sees(const char *name, const char *text)
{
	char has[4096];

	for (int ms = 0; ms < PLAY_TIMEOUT_MS; ms += 10) {
		play_slurp(name, has, sizeof(has));
		if (strstr(has, text) != NULL)
			return true;
		(void)poll(NULL, 0, 10);
	}
	return false;
}

/* dvm's exit status, with play.out and play.err; -1 if it had to be
 * killed. */
static inline int
play_finish(void)
{
	int status = 0, ms = 0;

	while (waitpid(play.pid, &status, WNOHANG) == 0) {
		if (ms++ == PLAY_TIMEOUT_MS) {
			(void)kill(play.pid, SIGKILL);
			(void)waitpid(play.pid, &status, 0);
			return -1;
		}
		(void)poll(NULL, 0, 1);
	}
	play_slurp("out", play.out, sizeof(play.out));
	play_slurp("err", play.err, sizeof(play.err));
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    PLAY_SIGNALLED + WTERMSIG(status);
}

static inline bool
play_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, PLAY_TIMEOUT_MS) == 1;
}

/* dvm's next connection and its request; -1, and type 0, if none comes. */
static inline int
play_accept(struct dvm_proto *request)
{
	uint8_t wire[DVM_PROTO_BYTES + 1];
	struct err e;
	ssize_t n;
	int fd;

	memset(request, 0, sizeof(*request));
	fd = play_readable(play.listen_fd) ? accept4(play.listen_fd, NULL,
	    NULL, SOCK_CLOEXEC) : -1;
	if (fd < 0 || !play_readable(fd)) {
		play.nr_unasked++;
		return fd;
	}
	n = recv(fd, wire, sizeof(wire), 0);
	if (n < 0 || dvm_proto_decode(wire, (size_t)n, request, &e) != 0 ||
	    dvm_proto_check_request(request, &e) != 0) {
		play.nr_unasked++;
		memset(request, 0, sizeof(*request));
	}
	return fd;
}

static inline void
play_answer(int fd, struct dvm_proto m)
{
	uint8_t wire[DVM_PROTO_BYTES];

	m.version = DVM_PROTO_VERSION;
	dvm_proto_encode(&m, wire);
	(void)send(fd, wire, sizeof(wire), MSG_NOSIGNAL);
}

/* Takes one connection, answers and hangs up; returns the request's type. */
static inline uint16_t
play_serve(const struct dvm_proto *answers, size_t nr)
{
	struct dvm_proto request;
	int fd = play_accept(&request);

	for (size_t i = 0; i < nr; i++)
		play_answer(fd, answers[i]);
	if (fd >= 0)
		(void)close(fd);
	return request.type;
}

/* All of it: dvm with these words gets these answers. */
static inline int
play_all(const char *line, const struct dvm_proto *answers, size_t nr)
{
	play_start(line);
	(void)play_serve(answers, nr);
	return play_finish();
}

static inline bool
play_is(const char *what, const char *got, const char *want)
{
	if (strcmp(got, want) == 0)
		return true;
	printf("# %s is\n%s# instead of\n%s", what, got, want);
	return false;
}

static inline bool
play_has(const char *what, const char *got, const char *want)
{
	if (strstr(got, want) != NULL)
		return true;
	printf("# %s is\n%s# without\n%s\n", what, got, want);
	return false;
}

#define OUT_IS(want) play_is("stdout", play.out, want)
#define ERR_IS(want) play_is("stderr", play.err, want)
#define ERR_HAS(want) play_has("stderr", play.err, want)

#endif
