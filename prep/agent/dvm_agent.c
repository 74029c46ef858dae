/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-agent: runs as root in the guest, from the end of its boot on.  It says
 * that the guest has settled, and after each resume in a new domain it says
 * which one.  It trusts xenstore, which is dom0's, but not its lengths.
 *
 * It speaks xenstore's wire protocol with the kernel itself, so that a static
 * binary of a few system calls is all that a guest needs.  The kernel
 * registers every watch anew when it resumes, and a new watch fires once: a
 * watch on a node that never changes is how a process learns of a resume,
 * without a timer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <xen/io/xs_wire.h>

#include "ident.h"

#define WATCHED "domid"		/* relative: below this domain's own path */

struct xenbus {
	int fd;
	bool resumed;		/* an event came that is not dealt with */
	char payload[XENSTORE_PAYLOAD_MAX + 1];	/* of the last reply */
};

static int
fail(const char *what)
{
	fprintf(stderr, "dvm-agent: %s: %s\n", what, strerror(errno));
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
receive(struct xenbus *x)
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
 * if it is a value. */
static int
request(struct xenbus *x, uint32_t type, const char *first,
    const char *second, bool second_nul)
{
	size_t first_len = strlen(first) + 1;
	size_t second_len = strlen(second) + (second_nul ? 1 : 0);
	char buf[sizeof(struct xsd_sockmsg) + 256];
	struct xsd_sockmsg msg = {
		.type = type,
		.len = (uint32_t)(first_len + second_len)
	};
	size_t len = sizeof(msg) + msg.len;
	int answer;

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
	while ((answer = receive(x)) == XS_WATCH_EVENT)
		x->resumed = true;
	if (answer < 0)
		return -1;
	if ((uint32_t)answer == type)
		return 0;
	fprintf(stderr, "dvm-agent: xenstore refuses '%s': %s\n", first,
	    answer == XS_ERROR ? x->payload : "unexpected reply");
	return -1;
}

static int
wait_for_event(struct xenbus *x)
{
	while (!x->resumed) {
		int type = receive(x);

		if (type < 0)
			return -1;
		x->resumed = type == XS_WATCH_EVENT;
	}
	x->resumed = false;
	return 0;
}

static int
answer(struct xenbus *x)
{
	char domid[16];

	if (request(x, XS_READ, WATCHED, "", false) != 0)
		return -1;
	(void)snprintf(domid, sizeof(domid), "%.15s", x->payload);
	return request(x, XS_WRITE, IDENT_AGENT_ANSWER, domid, false);
}

static int
serve(struct xenbus *x)
{
	if (request(x, XS_WATCH, WATCHED, "resume", true) != 0)
		return -1;
	/* The one that every new watch begins with. */
	if (wait_for_event(x) != 0)
		return -1;
	/* What the boot wrote is to be in the recorded disk, not in flight. */
	sync();
	if (request(x, XS_WRITE, IDENT_AGENT_SETTLED, "1", false) != 0)
		return -1;
	for (;;) {
		if (wait_for_event(x) != 0)
			return -1;
		/* A refusal is the service's to notice, by its deadline; the
		 * next resume may be luckier. */
		(void)answer(x);
	}
}

int
main(int argc, char **argv)
{
	struct xenbus x = { .fd = -1 };

	(void)argv;
	if (argc != 1) {
		fprintf(stderr, "usage: dvm-agent\n"
		    "It takes no arguments and runs until it is killed.\n");
		return 2;
	}
	x.fd = open("/dev/xen/xenbus", O_RDWR | O_CLOEXEC);
	if (x.fd < 0)
		x.fd = open("/proc/xen/xenbus", O_RDWR | O_CLOEXEC);
	if (x.fd < 0) {
		(void)fail("cannot open /dev/xen/xenbus (is this a Xen guest, "
		    "and are you root?)");
		return 1;
	}
	(void)serve(&x);
	(void)close(x.fd);
	return 1;
}
