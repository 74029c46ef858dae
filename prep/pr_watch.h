/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A second process that outlives the first one's SIGKILL and cleans up after
 * it.
 */
#ifndef PR_WATCH_H
#define PR_WATCH_H

#include <sys/types.h>

#include "include/err.h"

struct pr_watch {
	pid_t pid;
	int fd;			/* its end of life is our end of life */
};

/* Starts the watchdog, which calls clean(ctx) if this process ends without
 * pr_watch_done().  To be called before anything is opened that must not be
 * shared, and with the signals that stop us blocked. */
int pr_watch_start(void (*clean)(void *ctx), void *ctx, struct pr_watch *w,
    struct err *e);
/* Sends it away and waits for its end. */
void pr_watch_done(struct pr_watch *w);

#endif
