/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The launch page: one page of a guest's memory by which dom0 tells a new
 * disposable who it is, before its first instruction.  The guest's agent makes
 * it (waiting), dvm-prepare finds it in the recorded memory by its magic, the
 * launcher fills it, the agent takes what is in it and wipes it.
 *
 * Little-endian; at these bytes of the page:
 *    0  magic, 32 random bytes, the agent's own at each preparing
 *   32  u32 version: LAUNCH_PAGE_VERSION
 *   36  u32 state: enum launch_page_state
 *   40  u64 launch id: the last 8 bytes of the domain's UUID, as a big-endian
 *       number; 16 hex digits of it are the agent's acknowledgement
 *   48  16 bytes UUID of the domain
 *   64  64 bytes seed for the kernel's random numbers
 *  128  u64 wall clock: dom0's, in ns since 1970, just before the unpause
 *  136  64 bytes name of the domain, NUL-padded
 *  200  64 bytes host name, NUL-padded
 *  264  3832 bytes zero: room for addresses
 */
#ifndef LAUNCH_PAGE_H
#define LAUNCH_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#define LAUNCH_PAGE_BYTES 4096u
#define LAUNCH_PAGE_MAGIC_BYTES 32u
#define LAUNCH_PAGE_SEED_BYTES 64u
#define LAUNCH_PAGE_NAME_BYTES 64u
#define LAUNCH_PAGE_UUID_BYTES 16u
#define LAUNCH_PAGE_ID_TEXT 17u		/* 16 hex digits and a NUL */
#define LAUNCH_PAGE_VERSION 1u

enum launch_page_state {
	LAUNCH_PAGE_WAITING = 1,	/* made by the agent */
	LAUNCH_PAGE_FILLED = 2,		/* by dom0 */
	LAUNCH_PAGE_TAKEN = 3		/* wiped by the agent */
};

struct launch_page {
	uint64_t launch_id;
	uint8_t uuid[LAUNCH_PAGE_UUID_BYTES];
	uint8_t seed[LAUNCH_PAGE_SEED_BYTES];
	uint64_t wall_clock_ns;
	/* Of a-z, A-Z, 0-9 and '-', neither empty nor longer than 63. */
	char name[LAUNCH_PAGE_NAME_BYTES];
	char host_name[LAUNCH_PAGE_NAME_BYTES];
};

/* The agent's: makes a waiting page. */
void launch_page_make(uint8_t *page, const uint8_t *magic);
/* Is it one that this version can fill? */
bool launch_page_is_waiting(const uint8_t *page);
/* dom0's: fills a waiting page. */
void launch_page_fill(uint8_t *page, const struct launch_page *p);
/* The agent's: 1 and *p, and the page is wiped but for its magic; 0 if it is
 * still waiting; -1 if it makes no sense. */
int launch_page_take(uint8_t *page, struct launch_page *p);

uint64_t launch_page_id(const uint8_t uuid[LAUNCH_PAGE_UUID_BYTES]);
void launch_page_id_text(uint64_t id, char text[LAUNCH_PAGE_ID_TEXT]);

#endif
