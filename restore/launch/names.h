/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of disposables: disp0001 to disp9999, drawn at random, not used again
 * for seven days, also across restarts.  Remembered in STATE_DIR/names, 8 bytes
 * a name: the time (u32, seconds since 1970, 0 never used) and for whom (u32,
 * uid), little-endian, under a lock, so that several processes may draw.
 */
#ifndef RS_NAMES_H
#define RS_NAMES_H

#include <stdint.h>

#include "include/err.h"
#include "restore/launch/domain.h"

#define RS_NAMES_MAX 9999
#define RS_NAMES_HOLD_S (7 * 24 * 3600)
/* A user's, but root's: one alone cannot keep the others from launching. */
#define RS_NAMES_PER_UID 5000u

/* Opens, and makes if need be; the descriptor is the caller's. */
int rs_names_open(const char *state_dir, struct err *e);
/* Draws a name for use by `uid` at `now`.  ERR_BUSY if none is free, or none
 * for this user. */
int rs_names_draw(int fd, uint32_t uid, int64_t now, char name[RS_NAME_BYTES],
    struct err *e);

#endif
