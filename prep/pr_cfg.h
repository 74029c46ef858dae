/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads a template's xl.cfg with Xen's own parser (libxlutil).
 */
#ifndef PR_CFG_H
#define PR_CFG_H

#include "prep/pr_config.h"

/* ERR_INPUT, with the line to change, if the configuration is not one that a
 * disposable can be made of: PVH, fixed memory, raw disks of dom0, and no
 * device but disks. */
int pr_cfg_read(const char *path, struct pr_config *c, struct err *e);

#endif
