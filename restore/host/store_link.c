/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bytes to and from the xenstore daemon.  Runs in the process that builds
 * domains; trusts nothing that it carries, as it does not look at it.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "include/clock.h"
#include "restore/host/store_link.h"

/* The descriptor or -1 and errno. */
static int
connect_to(const char *path, unsigned timeout_ms)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct timeval tv;
	size_t len = strlen(path);
	int fd, saved;

	if (len >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path, path, len + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* xenstored's queue of connections is one long: a non-blocking
	 * connect() would fail where this one waits its turn. */
	tv.tv_sec = (time_t)(timeout_ms / 1000);
	tv.tv_usec = (suseconds_t)(timeout_ms % 1000) * 1000;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) != 0 ||
	    connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
		saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

int
store_link_connect(const char *socket_path, unsigned timeout_ms,
    struct err *e)
{
	static const char *const usual[] = {
		"/run/xenstored/socket",
		"/var/run/xenstored/socket",
	};
	const char *path = socket_path != NULL ? socket_path : usual[0];
	int fd;

	if (timeout_ms == 0) {
		return err_set(e, ERR_USAGE, 0,
		    "a xenstore timeout of 0 ms lets nothing be done");
	}
	fd = connect_to(path, timeout_ms);
	if (fd < 0 && errno == ENOENT && socket_path == NULL)
		fd = connect_to(usual[1], timeout_ms);
	if (fd < 0) {
		/* EAGAIN is SO_SNDTIMEO's. */
		return err_set(e, errno == EAGAIN ? ERR_TIMEOUT : ERR_STORE,
		    errno, "cannot connect to xenstore at %s "
		    "(is xenstored running?)", path);
	}
	return fd;
}

int
store_link_wait(int fd, bool want_write, uint64_t deadline_ns,
    int interrupt_fd, struct err *e)
{
	struct pollfd fds[2] = {
		{ .fd = fd, .events = POLLIN },
		{ .fd = interrupt_fd, .events = POLLIN },
	};
	struct timespec ts = { 0 };
	uint64_t now = clock_now_ns();

	if (want_write)
		fds[0].events = POLLIN | POLLOUT;
	if (now < deadline_ns) {
		ts.tv_sec = (time_t)((deadline_ns - now) / CLOCK_SECOND);
		ts.tv_nsec = (long)((deadline_ns - now) % CLOCK_SECOND);
	}
	if (ppoll(fds, 2, &ts, NULL) < 0) {
		if (errno != EINTR)
			return err_set(e, ERR_SYS, errno, "poll on xenstore");
		return 1;	/* nothing to read is no harm */
	}
	/* Also its POLLHUP: whoever was to interrupt us is gone. */
	if (fds[1].revents != 0) {
		return err_set(e, ERR_INTERRUPTED, 0,
		    "interrupted while waiting for xenstore");
	}
	return now < deadline_ns;
}

int
store_link_send(int fd, const char *bytes, size_t len, size_t *n,
    struct err *e)
{
	ssize_t sent;

	*n = 0;
	if (len == 0)
		return 0;
	sent = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent >= 0)
		*n = (size_t)sent;
	else if (errno != EAGAIN && errno != EINTR)
		return err_set(e, ERR_STORE, errno, "writing to xenstore");
	return 0;
}

int
store_link_receive(int fd, char *bytes, size_t cap, size_t *n, struct err *e)
{
	ssize_t got;

	*n = 0;
	got = recv(fd, bytes, cap, MSG_DONTWAIT);
	if (got > 0)
		*n = (size_t)got;
	else if (got == 0)
		return err_set(e, ERR_STORE, 0,
		    "xenstore closed the connection (did xenstored die?)");
	else if (errno != EAGAIN && errno != EINTR)
		return err_set(e, ERR_STORE, errno, "reading from xenstore");
	return 0;
}
