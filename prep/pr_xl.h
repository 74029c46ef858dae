/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The real pr_domain_ops: `xl create` on the template's own configuration.
 */
#ifndef PR_XL_H
#define PR_XL_H

#include "prep/pr_seams.h"

/* Takes no context. */
extern const struct pr_domain_ops pr_xl_ops;

/* Removes what `tidy` was not called for: of all disposables, none of which may
 * be on its way. */
void pr_xl_sweep(void);

#endif
