/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Puts the agent into a template's root file system.
 */
#ifndef PR_INSTALL_H
#define PR_INSTALL_H

#include <stdbool.h>

#include "include/err.h"

#define PR_INSTALL_AGENT "/usr/local/sbin/dvm-agent"

/* Copies the agent and, where there is systemd, the unit that lies beside it,
 * and enables that.  `root` is where the template's file system is mounted;
 * its links lead nowhere outside it.  *with_unit says if its init will start
 * the agent.  Safe to repeat; what is replaced is replaced whole. */
int pr_install_agent(const char *root, const char *agent, bool *with_unit,
    struct err *e);

#endif
