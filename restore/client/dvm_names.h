/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Other names and options under which dvm is called: qvm-run, qvm-open-in-dvm
 * and qvm-open-in-vm.
 */
#ifndef DVM_NAMES_H
#define DVM_NAMES_H

#include "include/err.h"

struct dvm_names {
	char **words;		/* heap; the strings are argv's and constants */
	int nr;
};

/* Says in dvm's own words what was asked by argv[0]'s: the command first.  1;
 * 0: it is dvm's own name; -1, ERR_USAGE: not to be understood, or of another
 * VM than a new disposable. */
int dvm_names_translate(struct dvm_names *n, int argc, char **argv,
    struct err *e);

#endif
