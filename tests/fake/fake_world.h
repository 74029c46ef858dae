/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What dvm-prepare would have made, from real files: a state directory with
 * templates that hold a made-up guest of about 2 MiB with an agent.
 */
#ifndef FAKE_WORLD_H
#define FAKE_WORLD_H

#include <stdint.h>

#include "include/seam/hv.h"

/* Makes the template `name`, in a directory that exists, with all it is made
 * from (NAME.cfg, and `kernel` and `disk`, which all share), for the host that
 * hv is; the first one makes the host's key too.  Returns the gfn of its
 * launch page.  Aborts, having said why, if it cannot. */
uint64_t fake_world_add(const char *dir, const char *name, struct hv *hv);

/* Writes one of those files anew. */
void fake_world_write(const char *dir, const char *file, const char *text);

/* Removes the directory and what is in it, but for other templates. */
void fake_world_remove(const char *dir, const char *name);

#endif
