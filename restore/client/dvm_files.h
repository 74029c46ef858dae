/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files of a session: they are sent before it starts, and those that have
 * changed come back before it ends.
 */
#ifndef DVM_FILES_H
#define DVM_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "restore/client/dvm_back.h"

struct dvm_file {
	struct dvm_back back;
	const char *path;		/* as the user said it */
	char name[CHAN_NAME_MAX + 1];	/* in the guest */
	bool answered;			/* the agent has said BACK */
	uint32_t uncredited;		/* bytes taken, and not said so */
};

struct dvm_files {
	struct dvm_file all[CHAN_FILES_MAX];
	unsigned nr;
	bool view_only;
	unsigned sending;		/* which one */
	bool put;			/* ... and that is said */
	uint64_t sent;			/* bytes of it */
	int status;			/* for the exit: see dvm_files_finish */
};

/* `files` is zero at first.  Messages name the path.  ERR_USAGE, ERR_SYS. */
int dvm_files_add(struct dvm_files *files, const char *path, bool view_only,
    uint64_t size_max, struct err *e);

/* Sends what may be sent now.  1: all is sent; 0: not yet. */
int dvm_files_send(struct dvm_files *files, struct chan *c, struct err *e);

/* Takes a BACK, or DATA and END of a file's stream.  What is wrong with one
 * file is said on stderr and goes into the status; ERR_INPUT: what no agent
 * says. */
int dvm_files_take(struct dvm_files *files,
    const struct chan_frame *untrusted_f, const char *disposable,
    struct err *e);

/* Says CREDIT for what was taken, as far as there is room. */
int dvm_files_credit(struct dvm_files *files, struct chan *c, struct err *e);

/* Does one come back just now? */
bool dvm_files_is_coming(const struct dvm_files *files, const struct chan *c);

/* The session is over; with `exited` in order.  Says which files are as they
 * were although they might have changed.  0; 5: one changed meanwhile, both
 * versions are kept; 125: one did not come back. */
int dvm_files_finish(struct dvm_files *files, bool exited);

void dvm_files_close(struct dvm_files *files);

#endif
