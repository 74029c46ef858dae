/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What is to run in a disposable, and how.  Plain data.
 */
#ifndef DVM_PROGRAM_H
#define DVM_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "restore/client/dvm_files.h"
#include "restore/client/dvm_hold.h"

/* Exit statuses: ours failed; and to this is added the signal that ended it. */
#define DVM_SESSION_FAILED 125
#define DVM_SESSION_SIGNAL 128

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

#endif
