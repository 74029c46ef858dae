/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The request STATUS: templates, stages, counters.
 */
#ifndef RS_STATUS_H
#define RS_STATUS_H

#include "restore/core/core.h"

void rs_status(struct rs_core *c, const struct dvm_proto *m);

#endif
