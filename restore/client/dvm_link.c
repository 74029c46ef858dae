/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The connection.  Runs in dvm, as any user.  The service is root's and is
 * believed; that what answers is the service, or of this version, is not:
 * whatever comes, or does not come, ends in an error and in time.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/fd_pass.h"
#include "restore/client/dvm_link.h"

/* A full backlog is looked at this often. */
#define BACKLOG_MS 50

static const char *
socket_path(void)
{
	const char *path = getenv("DVM_SOCKET");

	return path != NULL && *path != '\0' ? path : DVM_PROTO_SOCKET;
}

/* 0 if it is not set, UINT_MAX if it is no number from 1. */
static unsigned
timeout_setting(void)
{
	const char *text = getenv("DVM_TIMEOUT");
	unsigned long s;
	char *end;

	if (text == NULL || *text == '\0')
		return 0;
	errno = 0;
	s = strtoul(text, &end, 10);
	if (*text < '1' || *text > '9' || *end != '\0' || errno != 0 ||
	    s >= UINT_MAX)
		return UINT_MAX;
	return (unsigned)s;
}

int
dvm_link_check_timeout(struct err *e)
{
	if (timeout_setting() == UINT_MAX)
		return err_set(e, ERR_USAGE, 0, "DVM_TIMEOUT: \"%.32s\" is no "
		    "number of seconds from 1", getenv("DVM_TIMEOUT"));
	return 0;
}

unsigned
dvm_link_seconds(unsigned timeout_s)
{
	unsigned most = timeout_setting();

	return most != 0 && most < timeout_s ? most : timeout_s;
}

void
dvm_link_expect(struct dvm_link *l, unsigned timeout_s)
{
	timeout_s = dvm_link_seconds(timeout_s);
	l->timeout_s = timeout_s;
	l->deadline_ns = timeout_s == 0 ? 0 :
	    clock_now_ns() + timeout_s * CLOCK_SECOND;
}

/* Until fd has events, the signal, or until_ns (0: for ever).  1: events. */
static int
wait_for(const struct dvm_link *l, int fd, short events, uint64_t until_ns,
    struct err *e)
{
	struct pollfd p[2] = { { .fd = fd, .events = events },
	    { .fd = l->signal_fd, .events = POLLIN } };

	for (;;) {
		uint64_t now = clock_now_ns(), left_ms = 60000;
		int n;

		if (until_ns != 0 && now >= until_ns)
			return 0;
		if (until_ns != 0 && (until_ns - now) / CLOCK_MS < left_ms)
			left_ms = (until_ns - now) / CLOCK_MS + 1;
		n = poll(p, 2, (int)left_ms);
		if (n < 0 && errno != EINTR)
			return err_set(e, ERR_SYS, errno, "poll");
		if (n > 0 && p[1].revents != 0)
			return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
		if (n > 0 && p[0].revents != 0)
			return 1;
	}
}

static int
wait_in_time(const struct dvm_link *l, short events, struct err *e)
{
	int rc = wait_for(l, l->fd, events, l->deadline_ns, e);

	if (rc != 0)
		return rc;
	return err_set(e, ERR_TIMEOUT, 0, "the service did not answer within "
	    "%u s: see systemctl status dvm-restored", l->timeout_s);
}

int
dvm_link_pause(const struct dvm_link *l, unsigned pause_ms, struct err *e)
{
	return wait_for(l, -1, 0, clock_now_ns() + pause_ms * CLOCK_MS, e);
}

static int
connect_failed(const char *path, int reason, struct err *e)
{
	switch (reason) {
	case ENOENT:
	case ENOTDIR:
	case ECONNREFUSED:
		return err_set(e, ERR_SYS, 0, "the service does not run (%s): "
		    "systemctl start dvm-restored", path);
	case EACCES:
	case EPERM:
		return err_set(e, ERR_SYS, 0, "you may not use the service "
		    "(%s): you must be in group dvm", path);
	default:
		return err_set(e, ERR_SYS, reason, "cannot reach the service "
		    "(%s)", path);
	}
}

static int
connect_in_time(struct dvm_link *l, const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	if (len >= sizeof(a.sun_path))
		return err_set(e, ERR_USAGE, 0, "DVM_SOCKET: a socket's path "
		    "has at most %zu bytes", sizeof(a.sun_path) - 1);
	memcpy(a.sun_path, path, len);
	for (;;) {
		if (connect(l->fd, (const struct sockaddr *)&a,
		    sizeof(a)) == 0)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return connect_failed(path, errno, e);
		if (l->deadline_ns != 0 && clock_now_ns() >= l->deadline_ns)
			return err_set(e, ERR_TIMEOUT, 0, "the service (%s) "
			    "accepts nobody: see systemctl status "
			    "dvm-restored", path);
		if (dvm_link_pause(l, BACKLOG_MS, e) != 0)
			return -1;
	}
}

static int
send_in_time(const struct dvm_link *l, const struct dvm_proto *request,
    int pass_fd, struct err *e)
{
	uint8_t wire[DVM_PROTO_BYTES];

	dvm_proto_encode(request, wire);
	for (;;) {
		if (fd_pass_send(l->fd, wire, sizeof(wire), pass_fd) ==
		    (ssize_t)sizeof(wire))
			return 0;
		/* Hung up on us: what it has to say is still to be read. */
		if (errno == EPIPE || errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return err_set(e, ERR_SYS, errno, "cannot ask the "
			    "service");
		if (wait_in_time(l, POLLOUT, e) < 0)
			return -1;
	}
}

int
dvm_link_open(struct dvm_link *l, struct dvm_proto *request, int pass_fd,
    struct err *e)
{
	request->version = DVM_PROTO_VERSION;
	l->request = request->type;
	if (dvm_proto_check_request(request, e) != 0) {
		e->code = ERR_USAGE;
		return -1;
	}
	l->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (l->fd < 0)
		return err_set(e, ERR_SYS, errno, "socket");
	if (connect_in_time(l, socket_path(), e) == 0 &&
	    send_in_time(l, request, pass_fd, e) == 0)
		return 0;
	dvm_link_close(l);
	return -1;
}

static bool
is_answer_to(uint16_t request, uint16_t type)
{
	switch (request) {
	case DVM_PROTO_RUN:
		return type == DVM_PROTO_QUEUED ||
		    type == DVM_PROTO_RUNNING || type == DVM_PROTO_ENDED;
	case DVM_PROTO_ATTACH:
		return type == DVM_PROTO_RUNNING || type == DVM_PROTO_ENDED;
	case DVM_PROTO_LIST:
		return type == DVM_PROTO_RECORD || type == DVM_PROTO_DONE;
	case DVM_PROTO_KILL:
		return type == DVM_PROTO_DONE;
	case DVM_PROTO_STATUS:
		return type == DVM_PROTO_TEMPLATE ||
		    type == DVM_PROTO_STAGE || type == DVM_PROTO_COUNTERS ||
		    type == DVM_PROTO_DONE;
	case DVM_PROTO_CHECK:
		return type == DVM_PROTO_FINDING || type == DVM_PROTO_DONE;
	case DVM_PROTO_LOG:
		return type == DVM_PROTO_EVENT || type == DVM_PROTO_DONE;
	default:
		return false;
	}
}

int
dvm_link_receive(struct dvm_link *l, struct dvm_proto *answer, bool *failed,
    struct err *e)
{
	uint8_t untrusted_wire[DVM_PROTO_BYTES];
	ssize_t len;

	*failed = false;
	do {
		/* Before each: answers without end must not outlast the
		 * deadline or a signal. */
		if (wait_in_time(l, POLLIN, e) < 0)
			return -1;
		len = recv(l->fd, untrusted_wire, sizeof(untrusted_wire),
		    MSG_TRUNC);
	} while (len < 0 && (errno == EAGAIN || errno == EINTR));
	if (len == 0 || (len < 0 && errno == ECONNRESET))
		return 0;
	if (len < 0)
		return err_set(e, ERR_SYS, errno, "the service's answer");
	if (dvm_proto_decode(untrusted_wire, (size_t)len, answer, e) != 0)
		return err_prefix(e, "the service's answer");
	if (answer->type == DVM_PROTO_FAILED) {
		*failed = true;
		return err_set(e, err_from_exit_status(answer->code), 0,
		    "%.470s", answer->text[0] != '\0' ? answer->text :
		    "the service failed and does not say why: see dvm log");
	}
	if (!is_answer_to(l->request, answer->type))
		return err_set(e, ERR_INPUT, 0, "the service's answer: a "
		    "message of type %u, which is none to request %u",
		    answer->type, l->request);
	return 1;
}

void
dvm_link_close(struct dvm_link *l)
{
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
}
