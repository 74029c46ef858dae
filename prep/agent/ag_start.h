/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What START asks for, as the words of a program in the guest.
 */
#ifndef AG_START_H
#define AG_START_H

#include "include/wire/chan.h"
#include "prep/agent/ag_files.h"
#include "prep/agent/ag_run.h"

struct ag_start {
	const char *root;	/* before /etc and /usr: "", but in tests */
	const struct ag_run_user *user;
	const struct ag_files *files;
};

struct ag_command {
	const char *argv[CHAN_ARGS_MAX + CHAN_FILES_MAX + 8];
	const char *argument;	/* of a service; NULL: none */
	/* Not its own end is the end, but that of all that comes from it. */
	bool to_the_last;
	char path[512];
	char text[CHAN_PAYLOAD_MAX];	/* these and argv's words */
};

/* 0; else dvm's exit status, 127: there is no such thing in the guest, 126: it
 * cannot be executed, 125: anything else; and in *e why. */
int ag_start(const struct ag_start *w, const struct chan_start *s,
    struct ag_command *c, struct err *e);

#endif
