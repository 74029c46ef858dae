/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How a disposable's name is told from others.
 */
#include <string.h>

#include "ident.h"

bool
ident_is_disposable(const char *untrusted_name)
{
	return strlen(untrusted_name) == 8 &&
	    strncmp(untrusted_name, "disp", 4) == 0 &&
	    strspn(untrusted_name + 4, "0123456789") == 4;
}
