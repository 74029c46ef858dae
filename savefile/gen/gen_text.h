/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The texts in a savefile (KEY, CONFIG): lines "name=value" of printable
 * ASCII, built in a caller's buffer.  sf_state_text_get() reads them.
 */
#ifndef GEN_TEXT_H
#define GEN_TEXT_H

#include <stddef.h>

#include "include/err.h"
#include "savefile/sf_state.h"

struct gen_text {
	char *buf;		/* the caller's */
	size_t cap, len;	/* always NUL-terminated once a line is in */
};

/* Appends one line, given without its newline.  ERR_INPUT if it has bytes
 * that are not printable ASCII or if the text grows past the buffer; nothing
 * is appended then. */
int gen_text_line(struct gen_text *t, struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct sf_blob gen_text_blob(const struct gen_text *t);

#endif
