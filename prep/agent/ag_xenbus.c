/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * xenstore for dvm-agent.  A static binary of a few system calls is all that a
 * guest needs.  Trusts xenstore, which is dom0's, but not its lengths.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "prep/agent/ag_xenbus.h"

static int
fail(const char *what)
{
	(void)fprintf(stderr, "dvm-agent: %s: %s\n", what, strerror(errno));
	return -1;
}

static int
read_all(int fd, void *buf, size_t len)
{
	char *at = buf;

	while (len > 0) {
		ssize_t n = read(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ENODATA;
		if (n <= 0)
			return fail("cannot read from xenbus");
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The next message's payload, NUL-terminated; its type, or -1. */
static int
receive(struct ag_xenbus *x)
{
	struct xsd_sockmsg untrusted_msg;

	if (read_all(x->fd, &untrusted_msg, sizeof(untrusted_msg)) != 0)
		return -1;
	if (untrusted_msg.len > XENSTORE_PAYLOAD_MAX ||
	    untrusted_msg.type > INT16_MAX) {
		errno = EPROTO;
		return fail("cannot understand xenbus");
	}
	if (read_all(x->fd, x->payload, untrusted_msg.len) != 0)
		return -1;
	x->payload[untrusted_msg.len] = '\0';
	return (int)untrusted_msg.type;
}

/* Two strings follow the header: the first with its NUL, the second without
 * if it is a value.  The reply's type, or -1. */
static int
request(struct ag_xenbus *x, uint32_t type, const char *first,
    const char *second, bool second_nul)
{
	size_t first_len = strlen(first) + 1;
	size_t second_len = strlen(second) + (second_nul ? 1 : 0);
	char buf[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
	struct xsd_sockmsg msg = {
		.type = type,
		.len = (uint32_t)(first_len + second_len)
	};
	size_t len = sizeof(msg) + msg.len;
	int reply;

	if (len > sizeof(buf)) {
		errno = E2BIG;
		return fail(first);
	}
	memcpy(buf, &msg, sizeof(msg));
	memcpy(buf + sizeof(msg), first, first_len);
	memcpy(buf + sizeof(msg) + first_len, second, second_len);
	/* The kernel takes a message as one write or not at all. */
	if (write(x->fd, buf, len) != (ssize_t)len)
		return fail("cannot write to xenbus");
	while ((reply = receive(x)) == XS_WATCH_EVENT)
		x->event = true;
	return reply;
}

static int
refused(const struct ag_xenbus *x, const char *path, int reply)
{
	if (reply >= 0)
		(void)fprintf(stderr, "dvm-agent: xenstore refuses '%s': %s\n",
		    path, reply == XS_ERROR ? x->payload : "unexpected reply");
	return -1;
}

int
ag_xenbus_open(struct ag_xenbus *x)
{
	x->event = false;
	x->fd = open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC);
	if (x->fd < 0)
		x->fd = open("/proc/xen/xenbus", O_RDWR | O_CLOEXEC);
	if (x->fd < 0)
		return fail("cannot open /dev/xen/xenbus (is this a Xen guest, "
		    "and are you root?)");
	return 0;
}

int
ag_xenbus_read(struct ag_xenbus *x, const char *path)
{
	int reply = request(x, XS_READ, path, "", false);

	if (reply == XS_READ)
		return 1;
	if (reply == XS_ERROR && strcmp(x->payload, "ENOENT") == 0)
		return 0;
	return refused(x, path, reply);
}

int
ag_xenbus_write(struct ag_xenbus *x, const char *path, const char *value)
{
	int reply = request(x, XS_WRITE, path, value, false);

	return reply == XS_WRITE ? 0 : refused(x, path, reply);
}

int
ag_xenbus_watch(struct ag_xenbus *x, const char *path)
{
	int reply = request(x, XS_WATCH, path, "dvm", true);

	return reply == XS_WATCH ? 0 : refused(x, path, reply);
}

int
ag_xenbus_wait(struct ag_xenbus *x)
{
	while (!x->event) {
		int type = receive(x);

		if (type < 0)
			return -1;
		x->event = type == XS_WATCH_EVENT;
	}
	x->event = false;
	return 0;
}
