/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libxenvchan as the stream of bytes below a channel, for its server (the
 * agent) and its client (the courier).  The caller has opened it.
 */
#ifndef CHAN_VCHAN_H
#define CHAN_VCHAN_H

#include <errno.h>
#include <libxenvchan.h>

#include "include/wire/chan.h"

/* Closed is also what broke; but what came before that is read first. */
static inline ssize_t
chan_vchan_read(void *arg, void *buf, size_t len)
{
	struct libxenvchan *v = arg;
	int n = libxenvchan_read(v, buf, len);

	/* It may have come between the look for it and the one for the end. */
	if (n < 0 && libxenvchan_data_ready(v) > 0)
		n = libxenvchan_read(v, buf, len);
	errno = 0;
	return n;
}

static inline ssize_t
chan_vchan_write(void *arg, const void *buf, size_t len)
{
	ssize_t n = libxenvchan_write(arg, buf, len);

	errno = 0;
	return n;
}

/* Only when the descriptor is readable, and then it does not wait. */
static inline void
chan_vchan_woken(void *arg)
{
	(void)libxenvchan_wait(arg);
}

static inline struct chan_io
chan_vchan_io(struct libxenvchan *v)
{
	v->blocking = 0;
	return (struct chan_io){ .arg = v, .fd = libxenvchan_fd_for_select(v),
	    .read = chan_vchan_read, .write = chan_vchan_write,
	    .woken = chan_vchan_woken };
}

#endif
