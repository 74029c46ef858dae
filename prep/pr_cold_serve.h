/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The service of cold boots: takes core's requests (cold_proto.h).
 */
#ifndef PR_COLD_SERVE_H
#define PR_COLD_SERVE_H

#include "prep/pr_seams.h"

struct pr_cold_serve_params {
	const char *state_dir;
	const char *socket_path;	/* to listen on, unless systemd does */
	int stop_fd;			/* pr_clock.h; of SIGTERM, SIGINT */
	/* The seams of one boot; what was opened is closed also if not all
	 * was. */
	int (*open)(struct pr_seams *s, struct err *e);
	void (*close)(struct pr_seams *s);
	/* Called when nothing is being booted. */
	void (*sweep)(void);
};

/* Until it is told to stop; boots that are under way are taken back then.
 * SIGCHLD must have its default action. */
int pr_cold_serve(const struct pr_cold_serve_params *p, struct err *e);

#endif
