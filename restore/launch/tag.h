/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the service must still know of a disposable after its own death, in
 * the node /libxl/DOMID/dvm, which only dom0 can read or write.  It is written
 * when the guest has answered: a domain without it is half a launch.
 */
#ifndef RS_TAG_H
#define RS_TAG_H

#include "restore/launch/launch.h"
#include "savefile/gen/gen.h"

struct rs_tag {
	char name[RS_NAME_BYTES];
	char template_name[GEN_NAME_MAX + 1];
	uint32_t uid;		/* whose it is */
	bool is_cold;		/* it was booted */
	/* CLOCK_MONOTONIC, which goes on while the host does, as domains do.
	 * until_ns 0: no limit. */
	uint64_t started_ns, until_ns;
};

int rs_tag_write(const struct env *env, uint32_t domid,
    const struct rs_tag *note, struct err *e);
/* 1, or 0 if there is none that can be read, or -1. */
int rs_tag_read(const struct env *env, uint32_t domid,
    struct rs_tag *note, struct err *e);

#endif
