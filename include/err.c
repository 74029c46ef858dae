/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Errors as values; used by every process.  Trusts its format strings.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "include/err.h"

int
err_set(struct err *e, enum err_code code, int sys_errno, const char *fmt, ...)
{
	va_list ap;
	size_t len;

	e->code = code;
	e->sys_errno = sys_errno;
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	len = strlen(e->msg);
	if (sys_errno != 0 && len < sizeof(e->msg))
		(void)snprintf(e->msg + len, sizeof(e->msg) - len, ": %s",
		    strerror(sys_errno));
	return -1;
}

int
err_prefix(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->msg)];
	va_list ap;
	size_t len;

	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	(void)vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
	va_end(ap);
	len = strlen(e->msg);
	(void)snprintf(e->msg + len, sizeof(e->msg) - len, ": %s", old);
	return -1;
}

int
err_exit_status(enum err_code code)
{
	switch (code) {
	case ERR_NONE:
		return 0;
	case ERR_USAGE:
		return 2;
	case ERR_INPUT:
	case ERR_AUTH:
		return 3;
	case ERR_STALE:
		return 4;
	case ERR_BUSY:
		return 5;
	case ERR_NOMEM:
		return 6;
	case ERR_TIMEOUT:
		return 7;
	case ERR_INTERRUPTED:
		return 130;
	case ERR_XEN:
	case ERR_STORE:
	case ERR_DISK:
	case ERR_SYS:
		break;
	}
	return 1;
}

enum err_code
err_from_exit_status(unsigned status)
{
	for (int c = ERR_USAGE; c < ERR_SYS; c++)
		if ((unsigned)err_exit_status((enum err_code)c) == status)
			return (enum err_code)c;
	return ERR_SYS;
}
