/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The conversation with a disposable's agent: it is one loop, over the channel,
 * the service, signals and the standard streams.
 */
#ifndef DVM_TALK_H
#define DVM_TALK_H

#include "include/wire/chan.h"
#include "restore/client/dvm_program.h"
#include "restore/client/dvm_signals.h"
#include "restore/client/dvm_stdio.h"
#include "restore/client/dvm_tty.h"

struct dvm_talk {
	const struct dvm_session *p;
	struct dvm_hold hold;
	bool link_over;
	struct dvm_signals signals;
	struct dvm_tty tty;
	struct dvm_stdin in;
	struct dvm_stdout out[2];
	uint64_t hello_by_ns, stall_by_ns, lost_by_ns;	/* 0: no limit */
	bool start_sent, over, cut;	/* cut: nor is output waited for */
	int status;
	struct chan chan;
	size_t args_len;
	char args[CHAN_PAYLOAD_MAX - CHAN_START_BYTES];
};

/* All is open and launched; goes on until it is over and its output is written.
 * Fills t->status; a message, if one is due, is in *e, which else is empty. */
void dvm_talk_run(struct dvm_talk *t, struct err *e);

#endif
