/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Putting a new version in a file's place.  At every moment, and after a death
 * at any, the name has the old content or the complete new one.
 */
#ifndef DVM_REPLACE_H
#define DVM_REPLACE_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "include/err.h"

struct dvm_replace {
	int dir_fd;
	char base[NAME_MAX + 1];	/* the file's name there */
	struct stat sent;		/* the file, as it was sent; in the end
					 * its mode and owner are as then */
	int fd;				/* the new version; -1: none */
	char temp[NAME_MAX + 1];	/* its name until then; "": none */
	char beside[NAME_MAX + 1];	/* where it is kept instead; "": not */
	char old[NAME_MAX + 1];		/* where the file is then; "": there */
};

/* Makes an empty new version, mode 0600, in the file's directory: without a
 * name if the file system can.  Owner and group are as of the file: ERR_SYS if
 * the user may not do that, or not write there. */
int dvm_replace_begin(struct dvm_replace *r, struct err *e);

/* Is the file as it was sent? */
bool dvm_replace_is_same(const struct dvm_replace *r);

/* Gives the new version, which is complete, the file's owner, mode and
 * attributes as they are now (not those that grant rights: set-uid,
 * capabilities), and its name.  ERR_BUSY: the file has changed since it was
 * sent, and is left as it is; ERR_SYS.  In both cases the new version is kept
 * as `beside`, FILE.disp1234, if that is possible.  Or it has got the name and
 * cannot be taken back, and the changed file is kept as `old`.  from_fd: the
 * file, to read attributes of. */
int dvm_replace_commit(struct dvm_replace *r, int from_fd,
    const char *disposable, struct err *e);

/* Removes a new version that has not got its name.  May be called again. */
void dvm_replace_drop(struct dvm_replace *r);

#endif
