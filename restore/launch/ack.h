/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The end of a launch: the guest's agent acknowledges its new identity.
 */
#ifndef RS_ACK_H
#define RS_ACK_H

#include "restore/launch/launch.h"

/* Sets RS_STAGE_ANSWER.  -1 if it did not answer within timeout_s of the
 * unpause (ERR_TIMEOUT), ended (ERR_XEN), answered something else
 * (ERR_INPUT), or interrupt_fd became readable: then it is the caller's to
 * destroy, and must be handed to nobody.  Not to be called for a template
 * without an agent. */
int rs_ack_wait(const struct env *env, const struct rs_domain *d,
    unsigned timeout_s, int interrupt_fd, struct rs_timings *timings,
    struct err *e);

/* Has it ended by itself, or did somebody else end it? */
int rs_ack_has_ended(const struct env *env, const struct rs_domain *d,
    bool *ended, struct err *e);

#endif
