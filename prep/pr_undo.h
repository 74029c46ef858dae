/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Takes a preparation back, whatever point it had come to: by its own
 * process, by the watchdog after that was killed, or by the next run if both
 * died.  All that a preparation makes carries its id (pr_domain_id_text), and
 * tmp-ID is made first and removed last, so the directory is all that needs to
 * be found.
 */
#ifndef PR_UNDO_H
#define PR_UNDO_H

#include "prep/pr_dir.h"
#include "prep/pr_seams.h"

/* The name of a dm device of this preparation. */
void pr_undo_dm_name(const char *id, const char *vdev,
    char name[DISK_NAME_MAX]);
/* Removes a device, waiting a little for whoever still has it open. */
int pr_undo_remove_dev(struct disk *disk, struct disk_dev *dev,
    struct err *e);
/* The same for all whose names begin so; the first error is returned, the rest
 * is tried all the same. */
int pr_undo_remove_devs(struct disk *disk, const char *prefix,
    struct err *e);

/* Domain, devices, files of one id.  Not interruptible; the first error is
 * returned, the rest is tried all the same. */
int pr_undo(const struct pr_seams *s, const struct pr_dir *d, const char *id,
    struct err *e);
/* The same for all that is there.  The lock must be held.  *nr counts. */
int pr_undo_all(const struct pr_seams *s, const struct pr_dir *d,
    unsigned *nr, struct err *e);

#endif
