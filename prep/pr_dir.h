/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template's directory of generations, for who makes them (the layout is in
 * gen.h).  What is here is durable: names are synced with their directory.
 */
#ifndef PR_DIR_H
#define PR_DIR_H

#include <stdbool.h>
#include <limits.h>
#include <stdint.h>

#include "include/err.h"
#include "savefile/gen/gen.h"

#define PR_DIR_TMP "tmp-"
#define PR_DIR_GEN "gen-"
#define PR_DIR_NAME_BYTES 64	/* of any name in the directory */
#define PR_DIR_ID_BYTES (PR_DIR_NAME_BYTES - 4)

struct pr_dir {
	char path[PATH_MAX - 2 * PR_DIR_NAME_BYTES];
	int fd;			/* -1 if not held */
	int lock_fd;		/* -1 if not held */
};

/* What follows the prefix in a name. */
struct pr_dir_id {
	char text[PR_DIR_ID_BYTES];
	uint64_t mtime_ns;
};

/* Makes it (and the state directory) if there is none, 0700. */
int pr_dir_open(const char *state_dir, const char *template_name,
    struct pr_dir *d, struct err *e);
void pr_dir_close(struct pr_dir *d);

/* One preparation of a template at a time.  ERR_BUSY if another has it, or
 * with `wait` when that has ended. */
int pr_dir_lock(struct pr_dir *d, bool wait, struct err *e);

/* tmp-ID; its path is "PATH/tmp-ID". */
int pr_dir_make_tmp(const struct pr_dir *d, const char *id, struct err *e);
/* fsync of every file in it and of itself. */
int pr_dir_sync_tmp(const struct pr_dir *d, const char *id, struct err *e);
/* Makes tmp-ID gen-ID and `current`, which until the very last step stays
 * what it was. */
int pr_dir_publish(const struct pr_dir *d, const char *id, struct err *e);
/* Undoes a publication that was cut short. */
int pr_dir_undo_publish(const struct pr_dir *d, struct err *e);
/* Removes tmp-ID or gen-ID with the files in it; 0 if there is none. */
int pr_dir_remove(const struct pr_dir *d, const char *name, struct err *e);

/* The ids of all names with this prefix, oldest first;
 * their number or -1.  The caller frees *ids. */
int pr_dir_list(const struct pr_dir *d, const char *prefix,
    struct pr_dir_id **ids, struct err *e);
/* Removes all generations but the current one and `keep` others, the newest.
 * Who has one open keeps its files until it closes them. */
int pr_dir_prune(const struct pr_dir *d, unsigned keep, struct err *e);

/* Is the file system so full that this is what a failure comes from?  Then
 * *e says so, before what it said, with what a preparation may need. */
void pr_dir_explain_full(const struct pr_dir *d, uint64_t needed_bytes,
    struct err *e);

#endif
