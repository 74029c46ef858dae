/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Lines "name=value" for a savefile's texts; used by dvm-prepare and, through
 * gen_key.c, by the launcher.  Trusts nothing about the values.
 */
#include <stdarg.h>
#include <stdio.h>

#include "savefile/gen/gen_text.h"

int
gen_text_line(struct gen_text *t, struct err *e, const char *fmt, ...)
{
	size_t room = t->cap - t->len;
	char *line = t->buf + t->len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, room, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n + 2 > room) {
		if (room > 0)
			line[0] = '\0';
		return err_set(e, ERR_INPUT, 0,
		    "the template's description is longer than %zu bytes",
		    t->cap);
	}
	for (int i = 0; i < n; i++) {
		if (line[i] >= 0x20 && line[i] <= 0x7e)
			continue;
		(void)err_set(e, ERR_INPUT, 0, "the template's description "
		    "would contain byte 0x%02x, which is not printable ASCII: "
		    "rename the file that has it in its name",
		    (unsigned)(unsigned char)line[i]);
		line[0] = '\0';
		return -1;
	}
	line[n] = '\n';
	line[n + 1] = '\0';
	t->len += (size_t)n + 1;
	return 0;
}

struct sf_blob
gen_text_blob(const struct gen_text *t)
{
	return (struct sf_blob){ (const uint8_t *)t->buf, t->len };
}
