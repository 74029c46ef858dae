/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fields of messages.  Runs in all programs, and reads what anybody sent.
 */
#include <string.h>

#include "include/wire/wire.h"

void
wire_put(uint8_t **at, uint64_t value, unsigned nr_bytes)
{
	for (unsigned i = 0; i < nr_bytes; i++)
		*(*at)++ = (uint8_t)(value >> 8 * i);
}

void
wire_put_text(uint8_t **at, const char *text, size_t cap)
{
	size_t len = strnlen(text, cap - 1);

	memset(*at, 0, cap);
	memcpy(*at, text, len);
	*at += cap;
}

uint64_t
wire_get(const uint8_t **at, unsigned nr_bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < nr_bytes; i++)
		value |= (uint64_t)*(*at)++ << 8 * i;
	return value;
}

int
wire_get_text(const uint8_t **at, char *text, size_t cap, struct err *e)
{
	size_t len = strnlen((const char *)*at, cap);

	for (size_t i = 0; i < cap; i++)
		if (i < len ? (*at)[i] < 0x20 || (*at)[i] > 0x7e :
		    (*at)[i] != 0)
			return err_set(e, ERR_INPUT, 0, "a message's text has "
			    "a byte that no text has");
	if (len == cap)
		return err_set(e, ERR_INPUT, 0, "a message's text has no end");
	memcpy(text, *at, cap);
	*at += cap;
	return 0;
}
