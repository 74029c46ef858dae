/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A template's current generation, checked and open, ready to be launched
 * from any number of times.
 */
#ifndef RS_TEMPLATE_H
#define RS_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "include/seam/disk.h"
#include "include/seam/hv.h"
#include "restore/launch/domain.h"
#include "restore/launch/plan.h"
#include "savefile/gen/gen.h"
#include "savefile/sf_reader.h"

/* A guest larger than this, in bytes, is refused before anything is allocated
 * for it. */
#define RS_TEMPLATE_GUEST_MAX (1ull << 40)

/* One of the template's disks. */
struct rs_template_disk {
	char vdev[16];
	uint32_t devid;
	bool writable;
	struct disk_dev base;	/* held while the template is open */
};

struct rs_template {
	struct gen gen;
	struct sf_reader *reader;
	struct rs_plan plan;
	uint8_t *resident;	/* mapped, or NULL: rs_load_source.resident */
	size_t resident_bytes;
	struct hv_host *host;	/* what it was checked against */
	bool frames_are_zero;	/* of this host */
	bool has_agent;		/* it takes its identity and answers */
	size_t launch_page;	/* with an agent: its number in data_gfns */
	uint64_t base_id;	/* random, in the names of its bases */
	uint32_t nr_disks;
	struct rs_template_disk disks[RS_DISKS_MAX];
};

struct rs_template_params {
	const char *state_dir;
	const char *template_name;
	const char *cfg_path;	/* it must be of this xl.cfg; NULL: of any */
	/* All data is decoded and checked now, once, if it has no more bytes
	 * than this. */
	uint64_t resident_max;
};

/* Checks the signature, the key against this host and the template's files,
 * and the image's shape; opens the base disks.  ERR_STALE, ERR_AUTH, ERR_INPUT
 * say what is wrong; then nothing is held. */
int rs_template_open(const struct rs_template_params *p, struct hv *hv,
    struct disk *disk, struct rs_template *t, struct err *e);
/* Would opening it now give the same?  ERR_STALE if not: the template, or its
 * current generation, is another one.  Reads no more than a few stamps. */
int rs_template_check(const struct rs_template *t, const char *state_dir,
    struct err *e);
/* -1 if a base could not be removed; that alone may be tried again. */
int rs_template_close(struct rs_template *t, struct disk *disk,
    struct err *e);

#endif
