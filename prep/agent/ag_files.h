/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The files of a session: they come into a fresh directory of the guest's
 * user, and what has become of them goes back.
 */
#ifndef AG_FILES_H
#define AG_FILES_H

#include <stdbool.h>

#include <sodium.h>

#include "include/wire/chan.h"
#include "prep/agent/ag_run.h"

#define AG_FILES_PATH_BYTES (256 + 16 + 8 + CHAN_NAME_MAX + 1)

struct ag_file {
	char path[AG_FILES_PATH_BYTES];
	const char *name;		/* in path, and in dir_fd */
	int dir_fd, fd;
	uint64_t size, at;
	bool spoilt;			/* it goes, and cannot be finished */
	uint8_t hash[CHAN_HASH_BYTES];	/* of what came; then of what goes */
	crypto_generichash_state state;
};

struct ag_files {
	const struct ag_run_user *user;
	char dir[256 + 16];
	int dir_fd;			/* -1: there are no files yet */
	unsigned nr;
	struct ag_file file[CHAN_FILES_MAX];
};

void ag_files_init(struct ag_files *f, const struct ag_run_user *user);
void ag_files_close(struct ag_files *f);

/* As PUT, DATA and END say it, of streams in a row from CHAN_FILE_0 on.  -1
 * with what to say to the client; ag_files_end() also if the bytes are not
 * those that were sent. */
int ag_files_put(struct ag_files *f, uint8_t stream, const char *name,
    struct err *e);
int ag_files_data(struct ag_files *f, uint8_t stream, const uint8_t *data,
    size_t len, struct err *e);
int ag_files_end(struct ag_files *f, uint8_t stream,
    const uint8_t hash[CHAN_HASH_BYTES], struct err *e);
/* They are to be looked at and not to be changed. */
int ag_files_protect(struct ag_files *f, struct err *e);

/* What has become of it: the file that now has its name.  1: not known yet,
 * call again; 0: *how and *size are BACK's. */
int ag_files_look(struct ag_files *f, uint8_t stream, uint64_t max,
    enum chan_back *how, uint64_t *size);
/* The next bytes of what is CHANGED; 0 after the last, and then `hash` is that
 * of all of them.  If it is not the same any more or cannot be read, then what
 * is missing is zeros and `hash` is another: dvm keeps what it has, and the
 * files after it come all the same. */
size_t ag_files_read(struct ag_files *f, uint8_t stream, uint8_t *buf,
    size_t cap);

#endif
