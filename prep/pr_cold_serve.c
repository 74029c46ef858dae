/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Serves cold boots: a process that only waits, and one that it forks for each
 * request, with handles of its own.  Root; whoever connects must be root too.
 * The administrator allows cold boots by having this run.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "include/listen.h"
#include "prep/pr_clock.h"
#include "prep/pr_cold.h"
#include "prep/pr_cold_serve.h"

#define BOOTS_MAX 4
#define BACKLOG 16
#define REQUEST_MS 10000
#define REAP_MS 200

struct server {
	const struct pr_cold_serve_params *p;
	int listen_fd;
	pid_t boots[BOOTS_MAX];	/* 0: none */
	unsigned nr;
};

/* Readable when we are asked to stop, or the request is taken back. */
static int
watch_both(int stop_fd, int conn_fd, struct err *e)
{
	struct epoll_event stop = { .events = EPOLLIN };
	struct epoll_event gone = { .events = EPOLLIN | EPOLLRDHUP };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, stop_fd, &stop) == 0 &&
	    epoll_ctl(fd, EPOLL_CTL_ADD, conn_fd, &gone) == 0)
		return fd;
	(void)err_set(e, ERR_SYS, errno, "epoll");
	cleanup_fd(&fd);
	return -1;
}

static int
receive(int conn_fd, struct cold_proto_request *r, struct err *e)
{
	struct pollfd p = { .fd = conn_fd, .events = POLLIN };
	uint8_t untrusted_wire[COLD_PROTO_REQUEST_BYTES + 1];
	ssize_t n;

	if (poll(&p, 1, REQUEST_MS) != 1)
		return err_set(e, ERR_TIMEOUT, 0, "no request came");
	n = recv(conn_fd, untrusted_wire, sizeof(untrusted_wire),
	    MSG_DONTWAIT);
	if (n < 0)
		return err_set(e, ERR_SYS, errno, "the request");
	return cold_proto_decode_request(untrusted_wire, (size_t)n, r, e);
}

static int
answer(int conn_fd, uint32_t domid, const struct err *e)
{
	uint8_t wire[COLD_PROTO_ANSWER_BYTES];
	struct cold_proto_answer a = { .domid = domid };

	if (domid == 0) {
		a.code = (uint32_t)err_exit_status(e->code);
		(void)snprintf(a.text, sizeof(a.text), "%s", e->msg);
		for (char *at = a.text; *at != '\0'; at++)
			if (*at < 0x20 || *at > 0x7e)
				*at = '?';
	}
	cold_proto_encode_answer(&a, wire);
	return send(conn_fd, wire, sizeof(wire), MSG_DONTWAIT |
	    MSG_NOSIGNAL) == sizeof(wire) ? 0 : -1;
}

/* Boots it; if core is no longer there to have it, takes it back. */
static int
boot(const struct pr_cold_params *p, struct pr_seams *s, struct err *e)
{
	uint32_t domid;
	struct err undo;

	if (pr_cold_boot(p, s, &domid, e) != 0)
		return -1;
	if (pr_clock_pause(s->interrupt_fd, 0, e) == 0 &&
	    answer(p->lock_fd, domid, NULL) == 0) {
		(void)fprintf(stderr, "dvm-prepare: %s of template %s boots "
		    "as domain %u\n", p->request->name, p->request->template,
		    domid);
		return 0;
	}
	if (pr_cold_undo(p->request, s, &undo) == 0)
		return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
	return err_set(e, undo.code, 0, "interrupted, and %s is left behind "
	    "(%.300s)", p->request->name, undo.msg);
}

/* In a process of its own, which ends with it. */
static int
serve_one(const struct pr_cold_serve_params *p, int conn_fd)
{
	struct cold_proto_request r = { .name = "" };
	struct pr_seams s = { .interrupt_fd = -1 };
	const struct pr_cold_params cold = { .state_dir = p->state_dir,
	    .request = &r, .lock_fd = conn_fd };
	struct err e;
	int rc = -1;

	if (receive(conn_fd, &r, &e) == 0 &&
	    (s.interrupt_fd = watch_both(p->stop_fd, conn_fd, &e)) >= 0) {
		if (p->open(&s, &e) == 0)
			rc = boot(&cold, &s, &e);
		p->close(&s);
	}
	if (rc == 0)
		return 0;
	(void)fprintf(stderr, "dvm-prepare: cold boot of %s, template %s: "
	    "%s\n", r.name, r.template, e.msg);
	(void)answer(conn_fd, 0, &e);
	return 1;
}

static void
reap(struct server *v)
{
	pid_t pid;

	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		for (int i = 0; i < BOOTS_MAX; i++)
			if (v->boots[i] == pid) {
				v->boots[i] = 0;
				v->nr--;
			}
}

static void
take(struct server *v)
{
	int conn_fd = accept4(v->listen_fd, NULL, NULL, SOCK_CLOEXEC), i = 0;
	struct ucred who;
	socklen_t len = sizeof(who);
	pid_t pid = -1;

	if (conn_fd < 0)
		return;
	if (getsockopt(conn_fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	    len == sizeof(who) && who.uid == 0) {
		if (v->nr == 0)
			v->p->sweep();
		pid = fork();
	}
	if (pid == 0) {
		(void)close(v->listen_fd);
		_exit(serve_one(v->p, conn_fd));
	}
	/* A closed connection is an answer too. */
	(void)close(conn_fd);
	if (pid < 0)
		return;
	while (v->boots[i] != 0)
		i++;
	v->boots[i] = pid;
	v->nr++;
}

/* Each takes back what it has made, which is bounded in time. */
static void
end_boots(struct server *v)
{
	struct err ignored;

	for (int i = 0; i < BOOTS_MAX; i++)
		if (v->boots[i] != 0)
			(void)kill(v->boots[i], SIGTERM);
	while (v->nr > 0) {
		(void)pr_clock_pause(-1, REAP_MS, &ignored);
		reap(v);
	}
}

int
pr_cold_serve(const struct pr_cold_serve_params *p, struct err *e)
{
	const struct listen_place place = { .path = p->socket_path,
	    .dir_mode = 0700, .backlog = BACKLOG };
	struct server v = { .p = p,
	    .listen_fd = listen_inherited("dvm-cold-boot.socket") };
	bool bound = v.listen_fd < 0;
	int rc = 0;

	if (bound && listen_is_served(p->socket_path))
		return err_set(e, ERR_BUSY, 0, "somebody listens on %s "
		    "already", p->socket_path);
	if (bound)
		v.listen_fd = listen_at(&place, e);
	if (v.listen_fd < 0)
		return -1;
	for (;;) {
		struct pollfd fds[2] = {
			{ .fd = p->stop_fd, .events = POLLIN },
			{ .fd = v.nr < BOOTS_MAX ? v.listen_fd : -1,
			    .events = POLLIN }
		};

		if (poll(fds, 2, v.nr > 0 ? REAP_MS : -1) < 0 &&
		    errno != EINTR) {
			rc = err_set(e, ERR_SYS, errno, "poll");
			break;
		}
		reap(&v);
		if (fds[0].revents != 0)
			break;
		if (fds[1].revents != 0)
			take(&v);
	}
	end_boots(&v);
	if (bound)
		(void)unlink(p->socket_path);
	(void)close(v.listen_fd);
	return rc;
}
