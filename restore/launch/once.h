/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Launching in the foreground: N disposables one after the other, each kept
 * for a time, all ended on SIGINT or SIGTERM.
 */
#ifndef RS_ONCE_H
#define RS_ONCE_H

#include <stdbool.h>

#include "restore/launch/launch.h"

enum rs_once_output {
	RS_ONCE_LINE,		/* one line a launch */
	RS_ONCE_TIMINGS,	/* and its stages */
	RS_ONCE_JSON
};

struct rs_once_params {
	const char *template_arg;	/* as the user gave it */
	const char *state_dir;
	const char *lock_path;		/* IDENT_LAUNCH_LOCK */
	unsigned count;
	int destroy_after_s;		/* -1: until it ends by itself */
	unsigned answer_timeout_s;
	bool resident;
	enum rs_once_output output;
	struct rs_launch_params launch;
};

/* Blocks SIGINT, SIGTERM, SIGHUP and
 * SIGQUIT and ignores SIGPIPE for the process.  ERR_INTERRUPTED if one came;
 * all is undone then too, and what could not be is in the message. */
int rs_once(const struct rs_once_params *p, const struct env *env,
    struct err *e);

#endif
