/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A user's file that goes into a disposable, and may come back from it: the new
 * content takes its place when it is there completely, or not at all.
 */
#ifndef DVM_BACK_H
#define DVM_BACK_H

#include <stdbool.h>
#include <stdint.h>

#include <sodium.h>

#include "include/wire/chan.h"
#include "restore/client/dvm_replace.h"

enum dvm_back_state {
	DVM_BACK_WAITS,		/* nothing of it has come */
	DVM_BACK_COMES,
	DVM_BACK_SPOILT,	/* it comes and is not wanted any more */
	DVM_BACK_DONE		/* replaced, or needs not be */
};

struct dvm_back {
	struct dvm_replace replace;
	int fd;				/* the file, for reading */
	uint64_t back_max;
	uint8_t hash[CHAN_HASH_BYTES];	/* of what was sent */
	enum dvm_back_state state;
	uint64_t size, got;		/* of the new version */
	crypto_generichash_state hashing;
};

/* Opens the file, symbolic links resolved, and notes what it is.  With
 * back_max 0 it is not to come back; else all that its return will need is
 * tried.  ERR_SYS, ERR_USAGE: no regular file, or over size_max bytes.
 * dvm_back_close() in any case. */
int dvm_back_open(struct dvm_back *b, const char *path, uint64_t size_max,
    uint64_t back_max, struct err *e);

/* The next bytes for sending, hashed; `at` of them were sent already.
 * ERR_BUSY: the file has changed since it was opened. */
int dvm_back_read(struct dvm_back *b, uint64_t at, void *buf, size_t len,
    struct err *e);

/* All of it is sent: fills b->hash.  ERR_BUSY as above. */
int dvm_back_sent(struct dvm_back *b, struct err *e);

/* It comes back: its size, its bytes, its end.  After an error the file is as
 * it was, and what still comes of it is ignored.  The last one replaces the
 * file; errors as dvm_replace_commit(), and ERR_INPUT if it is not complete. */
int dvm_back_begin(struct dvm_back *b, uint64_t untrusted_size,
    struct err *e);
int dvm_back_data(struct dvm_back *b, const void *untrusted_data, size_t len,
    struct err *e);
int dvm_back_end(struct dvm_back *b, uint64_t untrusted_size,
    const uint8_t untrusted_hash[CHAN_HASH_BYTES], const char *disposable,
    struct err *e);

/* Removes what has come of it. */
void dvm_back_close(struct dvm_back *b);

#endif
