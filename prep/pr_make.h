/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Makes and publishes one generation.
 */
#ifndef PR_MAKE_H
#define PR_MAKE_H

#include "prep/pr_work.h"

/* On failure everything stays where it is: pr_undo() of the id takes it
 * back. */
int pr_make(struct pr_make *m, struct err *e);

#endif
