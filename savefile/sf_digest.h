/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The two BLAKE2b-256 digests over header, state and index, [0, data_off) with
 * the 64 bytes of the digests themselves taken as zeros.  The plain one shows
 * damage to anybody; the keyed one shows that this host made the file.
 *
 * The first call in a process runs sodium_init(), which may open
 * /dev/urandom: call once before a sandbox closes that.
 */
#ifndef SF_DIGEST_H
#define SF_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "include/err.h"
#include "savefile/sf_format.h"

/* Puts both into meta's header; without host_key the keyed one is zeros. */
int sf_digest_sign(uint8_t *meta, size_t len, const uint8_t *host_key,
    struct err *e);

/* ERR_INPUT if the plain one differs; ERR_AUTH if host_key is given and the
 * keyed one differs.  Compares in constant time. */
int sf_digest_check(const uint8_t *untrusted_meta, size_t len,
    const uint8_t *host_key, struct err *e);

#endif
