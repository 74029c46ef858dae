/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The way of a booted guest to one that can be recorded, or handed out as it
 * is, step by step.
 */
#ifndef AG_SETTLE_H
#define AG_SETTLE_H

#include <stdbool.h>

#include "include/wire/launch_page.h"
#include "prep/agent/ag_freeze.h"
#include "prep/agent/ag_quiet.h"
#include "prep/agent/ag_xenbus.h"

#define AG_SETTLE_WHY_BYTES 1024

/* What dvm-prepare says about the template, in xenstore (ident.h). */
struct ag_settings {
	char prerun[256];	/* a program; "" for none */
	char user[33];		/* of all programs; "": not said, and then
				 * prerun is root's */
	bool drop_caches;
	unsigned boot_limit_s, prerun_limit_s;
	struct ag_quiet quiet;
};

/* Lines name=value; -1 if one is missing, so that agent and dvm-prepare are of
 * the same version. */
int ag_settle_parse(const char *text, struct ag_settings *s);

/* Takes all steps and says each to dvm-prepare.  0: all is held.  -1, and in
 * `why` the step and the reason: nothing is held. */
int ag_settle(struct ag_xenbus *x, const struct ag_settings *s,
    struct ag_freeze *f, char why[AG_SETTLE_WHY_BYTES]);

/* For a disposable that was booted: who it is, without seed and time. */
int ag_settle_parse_cold(const char *text, struct ag_settings *s,
    struct launch_page *p);

/* The steps that make it as one that is launched would be.  Holds nothing. */
int ag_settle_cold(struct ag_xenbus *x, const struct ag_settings *s,
    struct ag_freeze *f, char why[AG_SETTLE_WHY_BYTES]);

#endif
