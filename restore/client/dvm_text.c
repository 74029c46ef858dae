/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Text that others have written.  Runs in dvm, as any user.  The bytes are the
 * guest's, or those of a name that came from anywhere.
 */
#include <langinfo.h>
#include <stdio.h>
#include <string.h>

#include "restore/client/dvm_text.h"

#define EXTENSION_MAX 32

/* Could more bytes make a character of these? */
static bool
is_begun(const uint8_t *at, size_t left)
{
	size_t len = at[0] < 0xc2 || at[0] > 0xf4 ? 0 : at[0] < 0xe0 ? 2 :
	    at[0] < 0xf0 ? 3 : 4;

	for (size_t i = 1; i < left; i++)
		if ((at[i] & 0xc0) != 0x80)
			return false;
	return left < len;
}

static bool
is_shown(const uint8_t *at, size_t len, bool utf8)
{
	if (len == 1)
		return (at[0] >= 0x20 && at[0] <= 0x7e) || at[0] == '\n' ||
		    at[0] == '\r' || at[0] == '\t';
	/* U+0080 to U+009f are control characters. */
	return utf8 && len > 1 && (at[0] != 0xc2 || at[1] >= 0xa0);
}

size_t
dvm_text_clean(uint8_t *untrusted, size_t len, bool utf8, bool final)
{
	size_t n;

	for (size_t i = 0; i < len; i += n) {
		n = chan_utf8_len(untrusted + i, len - i);
		if (n == 0 && utf8 && !final &&
		    is_begun(untrusted + i, len - i))
			return i;
		if (is_shown(untrusted + i, n, utf8))
			continue;
		n = n > 0 ? n : 1;
		memset(untrusted + i, '?', n);
	}
	return len;
}

bool
dvm_text_is_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

void
dvm_text_name(const char *base, unsigned nr, char name[CHAN_NAME_MAX + 1])
{
	size_t len = strnlen(base, CHAN_NAME_MAX), n, stem, room;
	char clean[CHAN_NAME_MAX + 1], number[16] = "";
	uint8_t *at = (uint8_t *)clean;
	const char *dot;

	(void)snprintf(clean, sizeof(clean), "%.*s", (int)len, base);
	for (size_t i = 0; i < len; i += n) {
		n = chan_utf8_len(at + i, len - i);
		if (n == 0 || clean[i] == '/' || clean[i] == '\n' ||
		    clean[i] == '\t' || clean[i] == '\r' ||
		    !is_shown(at + i, n, true)) {
			n = n > 0 ? n : 1;
			memset(clean + i, '_', n);
		}
	}
	if (clean[0] == '.' || clean[0] == '-' || clean[0] == '\0')
		(void)memcpy(clean, len > 0 ? "_" : "_\0", len > 0 ? 1 : 2);
	if (nr > 1)
		(void)snprintf(number, sizeof(number), "-%u", nr);
	dot = strrchr(clean, '.');
	if (dot == NULL || strlen(dot) > EXTENSION_MAX)
		dot = clean + strlen(clean);
	stem = (size_t)(dot - clean);
	room = CHAN_NAME_MAX - strlen(number) - strlen(dot);
	/* Whole characters only. */
	while (stem > room || (stem < strlen(clean) &&
	    ((uint8_t)clean[stem] & 0xc0) == 0x80))
		stem--;
	(void)snprintf(name, CHAN_NAME_MAX + 1, "%.*s%s%s", (int)stem, clean,
	    number, dot);
}
