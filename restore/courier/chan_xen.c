/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The channel over libxenvchan: the agent is the server, we connect.  Runs in
 * the courier, before it gives up root.  What the guest wrote, until then, are
 * two numbers in xenstore and the ring page, both read by libxenvchan.
 * libxenstore may block for ever: core ends a courier whose disposable ends.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xenstore.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/chan_vchan.h"
#include "restore/courier/chan_open.h"

/* Written last by libxenvchan's server. */
#define LAST_NODE "event-channel"

static bool
is_there(struct xs_handle *xs, const char *path)
{
	unsigned len;
	char *value = xs_read(xs, XBT_NULL, path, &len);
	bool there = value != NULL && len > 0;

	free(value);
	return there;
}

static int
wait_for_server(struct xs_handle *xs, const char *path, uint64_t deadline_ns,
    int cancel_fd, struct err *e)
{
	struct pollfd p[] = {
		{ .fd = xs_fileno(xs), .events = POLLIN },
		{ .fd = cancel_fd, .events = POLLIN },
	};
	uint64_t now;

	if (!xs_watch(xs, path, "chan"))
		return err_set(e, ERR_STORE, errno, "%s", path);
	while (!is_there(xs, path)) {
		now = clock_now_ns();
		if (now >= deadline_ns)
			return err_set(e, ERR_TIMEOUT, 0, "the guest's agent "
			    "does not speak: is it of this version, and are "
			    "the modules xen-gntalloc and xen-evtchn in the "
			    "guest?");
		(void)poll(p, 2, (int)((deadline_ns - now) / CLOCK_MS) + 1);
		if (p[1].revents != 0)
			return err_set(e, ERR_INTERRUPTED, 0, "ended");
		if (p[0].revents != 0)
			free(xs_check_watch(xs));
	}
	return 0;
}

int
rs_chan_open(uint32_t domid, uint64_t deadline_ns, int cancel_fd,
    struct chan_io *io, struct err *e)
{
	struct xs_handle *xs = xs_open(0);
	struct libxenvchan *v;
	char dir[64], path[96];

	(void)snprintf(dir, sizeof(dir), "/local/domain/%" PRIu32 "/"
	    IDENT_AGENT_CHANNEL, domid);
	(void)snprintf(path, sizeof(path), "%s/" LAST_NODE, dir);
	if (xs == NULL)
		return err_set(e, ERR_STORE, errno, "xenstore");
	if (wait_for_server(xs, path, deadline_ns, cancel_fd, e) != 0) {
		xs_close(xs);
		return -1;
	}
	xs_close(xs);
	v = libxenvchan_client_init(NULL, (int)domid, dir);
	if (v == NULL)
		return err_set(e, ERR_XEN, errno, "cannot connect to the "
		    "guest's channel");
	*io = chan_vchan_io(v);
	return 0;
}
