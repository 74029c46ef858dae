/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The agent of a test, whose channel is served by hostile.c.  The node
 * /dvm-hostile in xenstore may choose how; where there is none, or no such
 * name in it, the session does.
 */
#include <stdio.h>
#include <unistd.h>

#include "prep/agent/ag_serve.h"
#include "prep/agent/ag_xenbus.h"
#include "tests/fake/hostile.h"

int __real_ag_serve(const struct chan_io *io, const struct ag_serve_params *p,
    struct err *e);
int __wrap_ag_serve(const struct chan_io *io, const struct ag_serve_params *p,
    struct err *e);

int
__wrap_ag_serve(const struct chan_io *io, const struct ag_serve_params *p,
    struct err *e)
{
	static struct ag_xenbus x;

	if (ag_xenbus_open(&x) != 0)
		return err_set(e, ERR_STORE, 0, "xenstore");
	if (ag_xenbus_read(&x, "/dvm-hostile") == 1 &&
	    hostile_set(x.payload))
		(void)fprintf(stderr, "dvm-agent: hostile: %.64s\n",
		    x.payload);
	(void)close(x.fd);
	return __real_ag_serve(io, p, e);
}
