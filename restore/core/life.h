/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of disposables in core: queued, built, running.
 */
#ifndef RS_LIFE_H
#define RS_LIFE_H

#include "restore/core/core.h"

#define RS_LIFE_SLOTS_MAX 1000u

/* RUN and ATTACH of a client. */
/* Takes the channel's descriptor; -1 is none. */
void rs_life_run(struct rs_core *c, const struct dvm_proto *m, int channel_fd);
void rs_life_attach(struct rs_core *c, const struct dvm_proto *m);
/* The client went away: what it held ends. */
void rs_life_gone(struct rs_core *c, uint32_t client);
/* Takes over what an earlier core has left running; once, at the start. */
void rs_life_adopt(struct rs_core *c);
/* A template was opened, or could not be: *e, else NULL. */
void rs_life_template(struct rs_core *c, const char *name,
    const struct err *e);
/* Begins what can begin. */
void rs_life_dispatch(struct rs_core *c);
/* Ends all, and takes no more. */
void rs_life_drain(struct rs_core *c);
/* What LIST and RUNNING say of it. */
void rs_life_describe(const struct rs_slot *s, struct dvm_proto *m);
/* Tells its client that it runs. */
void rs_life_tell_running(struct rs_slot *s);

#endif
