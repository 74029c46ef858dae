/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A savefile written out as a Xen migration stream, version 3, little-endian
 * (docs/specs/libxc-migration-stream.pandoc in Xen's tree), which
 * xc_domain_restore() reads.
 */
#ifndef SF_EXPORT_H
#define SF_EXPORT_H

#include <stdbool.h>

#include "savefile/sf_reader.h"

/* With xl_envelope the stream is put inside what `xl save` writes around it,
 * without a domain configuration: `xl restore CONFIG FILE` takes it. */
int sf_export(const struct sf_reader *r, int out_fd, bool xl_envelope,
    struct err *e);

#endif
