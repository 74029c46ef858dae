/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Text that others have written: what a terminal may be given, and a file's
 * name for the guest.
 */
#ifndef DVM_TEXT_H
#define DVM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/wire/chan.h"

/* Puts '?' for each byte that is not of printable text, line ends and tabs; so
 * no control sequence remains.  Without utf8 that is ASCII: another terminal
 * may take a character's bytes for control characters.  Returns how many are
 * done: all if `final`, else without a character at the end that is not
 * complete yet. */
size_t dvm_text_clean(uint8_t *untrusted, size_t len, bool utf8, bool final);

/* Is the user's locale one of UTF-8? */
bool dvm_text_is_utf8(void);

/* A name that chan_is_name() takes, from a file's: '_' for what may not be in
 * one.  With nr > 1 there is "-nr" before the extension. */
void dvm_text_name(const char *base, unsigned nr,
    char name[CHAN_NAME_MAX + 1]);

#endif
