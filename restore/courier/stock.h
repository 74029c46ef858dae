/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The stock of couriers, in the parent or in a unit of systemd's of its own
 * (below: the parent): some wait, started ahead, so that no launch waits for a
 * fork; others have a disposable each.  They outlive core: the new one is given
 * those that are at work.
 */
#ifndef RS_STOCK_H
#define RS_STOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "include/err.h"

#define RS_STOCK_IDLE 4u
#define RS_STOCK_MAX 1024u	/* as many as disposables: RS_LIFE_SLOTS_MAX */
/* Each has a user of its own, who is nobody else: the first of a range that
 * systemd (UIDS-GIDS) leaves unused. */
#define RS_STOCK_UID 1879048192u

/* Memory of the stock's that core writes and couriers read. */
struct rs_stock_board {
	/* A launch is under way, at the longest until then (clock_now_ns()): it
	 * goes before what guests say.  0: none. */
	_Atomic uint64_t launch_until_ns;
};

/* Between parent and core, on a SOCK_SEQPACKET socket. */
enum rs_stock_what {
	RS_STOCK_BOARD,		/* to core, first, with the board's memory */
	RS_STOCK_HAVE,		/* to core, with the courier's socket.  domid:
				 * what it works for; 0: it waits */
	RS_STOCK_TAKEN,		/* to the parent: it works for domid now */
	RS_STOCK_END,		/* to the parent: it is to end */
};
struct rs_stock_word {
	uint32_t what, id, domid;	/* an id is never used again */
};

/* From core to the courier, once, with the client's end of the channel. */
struct rs_stock_job {
	uint32_t domid;
};

struct rs_stock;

struct rs_stock *rs_stock_new(char *const *argv, struct err *e);
/* The board; NULL if it cannot be had, errno says why.  fd is taken. */
struct rs_stock_board *rs_stock_board(int fd, bool writes);
/* A link to a new core; fd is taken. */
void rs_stock_link(struct rs_stock *s, int fd);
/* After that, and whenever something happened: starts what is missing, hands
 * it out.  How long until it wants to be called again, in ms; or -1. */
int rs_stock_fill(struct rs_stock *s);
/* To poll for POLLIN; then rs_stock_read(), which lets go of a link that has
 * ended: -1. */
int rs_stock_fd(const struct rs_stock *s);
void rs_stock_read(struct rs_stock *s);
/* Was it one of these that died? */
bool rs_stock_reap(struct rs_stock *s, pid_t pid);
/* Has any of them a disposable? */
bool rs_stock_is_used(const struct rs_stock *s);
/* Ends all.  Takes NULL. */
void rs_stock_free(struct rs_stock *s);

#endif
