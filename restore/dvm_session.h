/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program in a disposable of its own: it is launched, the program's streams,
 * signals and terminal are ours, and when it ends so does the disposable.
 */
#ifndef DVM_SESSION_H
#define DVM_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "dvm_files.h"
#include "dvm_hold.h"

struct dvm_session {
	const char *template;		/* "": the default one */
	unsigned limit_s;		/* to live; 0: none */
	bool quiet;
	uint8_t kind;			/* enum chan_kind */
	bool tty;
	uint64_t back_max;		/* bytes of a file that comes back */
	struct dvm_files *files;	/* NULL: none */
	char *const *args;
	int nr_args;
	/* When it runs. */
	void (*launched)(const struct dvm_hold *h, const void *arg);
	const void *launched_arg;
};

#define DVM_SESSION_FAILED 125
#define DVM_SESSION_SIGNAL 128

/* The exit status for dvm: the program's; 128 + the signal that ended it, or
 * us; what dvm_files_finish() says; 126 or 127 if it cannot be started; 125 if
 * the service, the disposable or we failed.  If a message is due it is in *e,
 * else that is empty.  -1: ERR_USAGE. */
int dvm_session_run(const struct dvm_session *p, struct err *e);

#endif
