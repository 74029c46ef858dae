/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The request STATUS: templates, stages, counters.
 */
#ifndef RS_ASK_STATUS_H
#define RS_ASK_STATUS_H

#include "rs_core.h"

void rs_ask_status(struct rs_core *c, const struct dvm_proto *m);

#endif
