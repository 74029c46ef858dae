/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The user's terminal, given to the guest's program.
 */
#ifndef DVM_TTY_H
#define DVM_TTY_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "include/err.h"

struct dvm_tty {
	int fd;
	bool is_raw;
	struct termios before;
};

/* Every key goes to the program.  dvm_tty_restore() before exit. */
int dvm_tty_raw(struct dvm_tty *t, struct err *e);

/* As it was; what was typed and not read is dropped.  May be called again. */
void dvm_tty_restore(struct dvm_tty *t);

/* 24 rows of 80 if it does not know. */
void dvm_tty_size(int fd, uint16_t *rows, uint16_t *cols);

#endif
