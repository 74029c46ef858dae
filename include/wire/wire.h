/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fields of messages of a fixed size: little-endian numbers, and text that is
 * NUL-terminated with the rest of its field zero.  Each moves *at past its
 * field.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"

void wire_put(uint8_t **at, uint64_t value, unsigned nr_bytes);
/* Cut off where it does not fit. */
void wire_put_text(uint8_t **at, const char *text, size_t cap);

uint64_t wire_get(const uint8_t **at, unsigned nr_bytes);
/* ERR_INPUT unless it is printable, ended, and nothing is behind its end. */
int wire_get_text(const uint8_t **at, char *text, size_t cap, struct err *e);

#endif
