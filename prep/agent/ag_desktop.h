/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An application's desktop entry, and the command line in it: Desktop Entry
 * Specification 1.5.
 */
#ifndef AG_DESKTOP_H
#define AG_DESKTOP_H

#include <stddef.h>

#include "include/err.h"

struct ag_desktop {
	const char *root;		/* before /usr: "", but in tests */
	const char *home;		/* the user's */
	char *text;			/* argv's words come here */
	size_t cap;
	const char **argv;		/* NULL-terminated */
	size_t nr_max;
};

/* NAME.desktop in the user's directory, then in the system's.  1; 0: there is
 * none; -1: there is one, and why it is not one to run. */
int ag_desktop_find(struct ag_desktop *d, const char *name, struct err *e);

/* The same of an entry's text, which is written into; `path` is for %k. */
int ag_desktop_words(struct ag_desktop *d, char *entry, const char *path,
    struct err *e);

#endif
