/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What a program of a session reads and writes, to and from the channel.
 */
#ifndef AG_STDIO_H
#define AG_STDIO_H

#include <poll.h>

#include "include/wire/chan.h"
#include "prep/agent/ag_spawn.h"

#define AG_STDIO_FDS 3

struct ag_stdio {
	struct ag_child child;
	bool tty;
	bool ending;			/* only what is there is still read */
	size_t left[2];			/* of stdout and stderr, then */
	bool in_eof;			/* nothing follows for the program */
	size_t in_at, in_len;
	uint8_t in[CHAN_WINDOW];	/* for the program */
};

void ag_stdio_init(struct ag_stdio *s);
void ag_stdio_close(struct ag_stdio *s);

/* A DATA frame for the program, also before it runs.  It always fits: without
 * CREDIT no more than a window comes. */
void ag_stdio_take(struct ag_stdio *s, const struct chan_frame *f);
/* To the program what it takes now, *passed_on bytes; of a program that reads
 * no more they go nowhere.  Whether it did something. */
bool ag_stdio_feed(struct ag_stdio *s, uint32_t *passed_on);
/* From the program what there is and may be sent.  1: something; 0: nothing
 * now; -1. */
int ag_stdio_relay(struct ag_stdio *s, struct chan *c, struct err *e);
/* The program has ended.  What is in its pipes now is still read, and no more:
 * who has inherited them may write for ever. */
void ag_stdio_end(struct ag_stdio *s);

/* What to poll for, so that one of the above may do something. */
void ag_stdio_poll(const struct ag_stdio *s, const struct chan *c,
    struct pollfd p[AG_STDIO_FDS]);

#endif
