/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The signals that dvm gets while a program runs for it: most are the
 * program's.
 */
#ifndef DVM_SIGNALS_H
#define DVM_SIGNALS_H

#include <stdbool.h>
#include <stdint.h>

#include "include/err.h"
#include "restore/client/dvm_tty.h"

struct dvm_signals {
	int fd;			/* readable: there are some */
	bool tty;
	uint64_t for_program;	/* bit n: signal n */
	uint64_t asked_ns;	/* when SIGINT or SIGTERM came last */
};

/* SIGINT, SIGTERM, SIGQUIT and SIGHUP are not delivered any more. */
int dvm_signals_open(struct dvm_signals *s, struct err *e);

/* Now it is launched: nor are SIGUSR1, SIGUSR2, and with the terminal SIGWINCH
 * and SIGTSTP. */
void dvm_signals_go_on(struct dvm_signals *s, bool tty);

/* Takes what has come.  0, or the signal that is to end dvm: one that comes
 * before the program is `started`; with the terminal, where keys make none;
 * the second SIGINT or SIGTERM within 2 s, but not within the first 100 ms. */
int dvm_signals_take(struct dvm_signals *s, bool started,
    struct dvm_tty *tty);

/* The next one for the program, each once however often it came; 0: none.
 * SIGWINCH is the terminal's new size. */
uint32_t dvm_signals_next(struct dvm_signals *s);

void dvm_signals_close(struct dvm_signals *s);

#endif
