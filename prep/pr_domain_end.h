/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The end of the domain that a template is prepared in.
 */
#ifndef PR_DOMAIN_END_H
#define PR_DOMAIN_END_H

#include "prep/pr_seams.h"

/* Ends the domain, at whatever point it is, closes its disks' backends and
 * removes its nodes.  0 also if there is nothing.  Not interruptible. */
int pr_domain_end(const struct pr_seams *s, const uint8_t *uuid,
    struct err *e);

#endif
