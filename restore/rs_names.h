/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names of disposables: disp0001 to disp9999, drawn at random, not used again
 * for seven days, also across restarts.  Remembered in STATE_DIR/names, one
 * 8-byte little-endian time a name (seconds since 1970, 0 never used), under
 * a lock, so that several processes may draw.
 */
#ifndef RS_NAMES_H
#define RS_NAMES_H

#include <stdint.h>

#include "err.h"
#include "rs_domain.h"

#define RS_NAMES_MAX 9999
#define RS_NAMES_HOLD_S (7 * 24 * 3600)

/* Opens, and makes if need be; the descriptor is the caller's. */
int rs_names_open(const char *state_dir, struct err *e);
/* Draws a name for use at `now`.  ERR_BUSY if none is free. */
int rs_names_draw(int fd, int64_t now, char name[RS_NAME_BYTES],
    struct err *e);

#endif
