/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Which system calls a role may do; part of rs_confine.
 */
#ifndef RS_CONFINE_RULES_H
#define RS_CONFINE_RULES_H

#include "restore/role/confine.h"

/* From here on the kernel holds the process to its role's rules.  ERR_SYS. */
int rs_confine_rules_load(const struct rs_confine_params *p, struct err *e);

#endif
