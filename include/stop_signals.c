/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The signals that ask a program to stop, as a descriptor.
 */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

#include "include/stop_signals.h"

int
stop_signals(int also, struct err *e)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	if (also != 0)
		(void)sigaddset(&set, also);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd >= 0 ? fd : err_set(e, ERR_SYS, errno, "cannot watch for "
	    "signals");
}
