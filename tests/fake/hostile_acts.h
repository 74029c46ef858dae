/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What hostile agents do that takes more than one frame, and what they say it
 * with.  Whoever finds the channel closed ends the process.
 */
#ifndef HOSTILE_ACTS_H
#define HOSTILE_ACTS_H

#include "include/wire/chan.h"

struct hostile_act {
	const char *name, *expected, *needs;	/* as hostile_list() says */
	bool started;			/* first says STARTED */
	void (*act)(struct chan *c);
};
extern const struct hostile_act hostile_acts[];	/* until a name of NULL */

int __real_chan_next(struct chan *c, struct chan_frame *f, struct err *e);

/* Bytes past all rules.  What comes meanwhile is read and forgotten. */
void hostile_raw(struct chan *c, const void *data, size_t len);
/* A frame past all rules: its header says `len`, `payload_len` bytes or, if it
 * is NULL, zeros follow. */
struct hostile_frame {
	uint8_t type, stream, pad;
	uint32_t len;
	const char *payload;
	uint32_t payload_len;
};
void hostile_shoot(struct chan *c, const struct hostile_frame *f);
/* Reads and forgets until the other side closes. */
void hostile_linger(struct chan *c) __attribute__((noreturn));
void hostile_started(struct chan *c);
void hostile_flush(struct chan *c);

#endif
