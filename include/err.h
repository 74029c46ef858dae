/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Errors as values: every function that can fail returns 0/-1 (or NULL) and
 * fills a caller-owned struct err.  Nothing is allocated and nothing is logged
 * here; a program's main file prints the message once.
 */
#ifndef ERR_H
#define ERR_H

/* What went wrong, as far as a caller may want to act on it.  The order is
 * not stored anywhere; err_exit_status() gives the stable numbers. */
enum err_code {
	ERR_NONE = 0,
	ERR_USAGE,		/* the call itself is wrong */
	ERR_INPUT,		/* a file or message is malformed */
	ERR_AUTH,		/* well-formed, but not signed with our key */
	ERR_STALE,		/* no generation, or one of other things */
	ERR_BUSY,		/* somebody else holds it; try again later */
	ERR_NOMEM,		/* too little memory, here or in Xen */
	ERR_TIMEOUT,		/* a deadline passed */
	ERR_INTERRUPTED,	/* a signal asked us to stop */
	ERR_XEN,		/* a hypercall failed */
	ERR_STORE,		/* xenstore failed */
	ERR_DISK,		/* a block device failed */
	ERR_SYS			/* any other system call failed */
};

struct err {
	enum err_code code;
	int sys_errno;		/* 0 if none */
	char msg[480];		/* one line, no newline, no trailing dot */
};

/* Sets *e and returns -1, so that `return err_set(...)` reads well.  A
 * sys_errno other than 0 is appended as ": strerror". */
int err_set(struct err *e, enum err_code code, int sys_errno,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Puts "fmt: " before the message, to add context going up; returns -1. */
int err_prefix(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The exit status of a program that ends on this code: 0 none, 2 usage,
 * 3 input or auth, 4 stale, 5 busy, 6 no memory, 7 timeout,
 * 130 interrupted, 1 all others.  The man pages repeat this list. */
int err_exit_status(enum err_code code);
/* A code that has this exit status; ERR_SYS if there is none. */
enum err_code err_from_exit_status(unsigned status);

#endif
