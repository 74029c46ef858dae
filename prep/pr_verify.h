/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Reads a generation back before it is published.
 */
#ifndef PR_VERIFY_H
#define PR_VERIFY_H

#include "prep/pr_work.h"

/* The paths of files in a generation's directory `dir`, itself less than
 * PATH_MAX long. */
#define PR_VERIFY_PATH_BYTES (PATH_MAX + 64)
void pr_verify_savefile_path(const char *dir,
    char path[PR_VERIFY_PATH_BYTES]);
void pr_verify_delta_path(const char *dir, const char *vdev,
    char path[PR_VERIFY_PATH_BYTES]);

/* The savefile through the real reader, every chunk; the disks by opening
 * them as a launch does; and the key once more, since the template may have
 * been changed meanwhile. */
int pr_verify(const struct pr_make *m, struct err *e);

/* 1 if the published generation is what pr_make() would make anew (its id is
 * then copied to *id), 0 if not. */
int pr_verify_current(const struct pr_params *p, const struct hv_host *host,
    const uint8_t *host_key, char id[64]);

#endif
