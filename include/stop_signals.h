/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The signals that ask a program to stop, as a descriptor.
 */
#ifndef STOP_SIGNALS_H
#define STOP_SIGNALS_H

#include "include/err.h"

/* A signalfd(2) for SIGINT, SIGTERM, SIGHUP and `also` (0: none), close-on-exec
 * and not blocking; or -1.  They are blocked from now on, so whoever calls has
 * no threads yet; and SIGPIPE is ignored: a reader that goes away is an error
 * of the next write, and not the end of us. */
int stop_signals(int also, struct err *e);

#endif
