/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How our names are told from others.
 */
#include <string.h>

#include "include/ident.h"

bool
ident_is_disposable(const char *untrusted_name)
{
	return strlen(untrusted_name) == 8 &&
	    strncmp(untrusted_name, "disp", 4) == 0 &&
	    strspn(untrusted_name + 4, "0123456789") == 4;
}

bool
ident_is_template(const char *untrusted_name)
{
	size_t len = strlen(untrusted_name);

	return len >= 1 && len <= IDENT_TEMPLATE_MAX &&
	    untrusted_name[0] != '.' && untrusted_name[0] != '-' &&
	    strspn(untrusted_name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789_.-") == len;
}
