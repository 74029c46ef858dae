/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A generation's key: everything that would make its image wrong, as lines
 * "name=value" (savefile.5, KEY).  Made at prepare, made again and compared
 * before a launch.
 */
#ifndef GEN_KEY_H
#define GEN_KEY_H

#include <stddef.h>

#include "include/err.h"
#include "include/seam/hv.h"
#include "savefile/sf_state.h"

#define GEN_KEY_BYTES_MAX 16384

/* Builds the key's text for the template that `config` (the CONFIG record's
 * text) describes, on this host, from the files as they are now. */
int gen_key_build(const struct sf_blob *config, const struct hv_host *host,
    char *text, size_t cap, struct err *e);

/* 0 if the recorded key is what gen_key_build() gives now; else ERR_STALE and a
 * message that names the first thing that changed. */
int gen_key_check(const struct sf_blob *recorded, const struct sf_blob *config,
    const struct hv_host *host, struct err *e);

#endif
