/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libxenvchan for ag_serve, in its process: it allocates, and waits for
 * xenstore.  The other end is dom0's, which is trusted.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "include/ident.h"
#include "include/wire/chan_vchan.h"
#include "prep/agent/ag_run.h"
#include "prep/agent/ag_vchan.h"

#define RING_BYTES 262144u
#define DEVICE "/dev/xen/gntalloc"
#define MODULE_LIMIT_S 30u

void
ag_vchan_prepare(void)
{
	static const char *const load[] = { "modprobe", "-a", "xen-gntalloc",
	    "xen-evtchn", NULL };
	const struct ag_run r = { .argv = load, .limit_s = MODULE_LIMIT_S,
	    .cgroup_fd = -1 };

	if (access(DEVICE, F_OK) == 0)
		return;
	(void)ag_run(&r);
	if (access(DEVICE, F_OK) != 0)
		(void)fprintf(stderr, "dvm-agent: " DEVICE " is missing, so "
		    "programs cannot be run in the disposables: the kernel "
		    "needs the modules xen-gntalloc and xen-evtchn\n");
}

int
ag_vchan_open(struct chan_io *io, struct err *e)
{
	struct libxenvchan *v = libxenvchan_server_init(NULL, 0,
	    IDENT_AGENT_CHANNEL, RING_BYTES, RING_BYTES);

	if (v == NULL)
		return err_set(e, ERR_XEN, errno, "cannot offer the channel to "
		    "dom0 (" DEVICE ", /dev/xen/evtchn, xenstore)");
	*io = chan_vchan_io(v);
	return 0;
}

void
ag_vchan_close(struct chan_io *io)
{
	libxenvchan_close(io->arg);
	io->arg = NULL;
}
