/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Generations on disk, for who makes them (prep) and who launches from them
 * (restore).
 *
 *	STATE_DIR/host.key			32 bytes, 0600, made once
 *	STATE_DIR/default -> TEMPLATE		if one was chosen
 *	STATE_DIR/TEMPLATE/lock			held while preparing
 *	STATE_DIR/TEMPLATE/cfg -> PATH		its xl.cfg, as last given
 *	STATE_DIR/TEMPLATE/current -> gen-ID	replaced by one rename
 *	STATE_DIR/TEMPLATE/gen-ID/savefile
 *	STATE_DIR/TEMPLATE/gen-ID/VDEV.delta	dm-snapshot stores
 *	STATE_DIR/TEMPLATE/tmp-ID/		one being made
 *
 * All of it is root's, 0700: who can write there is trusted as root is.
 */
#ifndef GEN_H
#define GEN_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "include/err.h"
#include "include/ident.h"
#include "savefile/sf_format.h"

#define GEN_NAME_MAX IDENT_TEMPLATE_MAX

/* A published generation, held open. */
struct gen {
	char template_name[GEN_NAME_MAX + 1];
	char dir[PATH_MAX];	/* its real directory, no symlink in it */
	int savefile_fd;	/* -1 if not held */
};

/* The template's name from what the user gave: a name, or the path of an
 * xl.cfg, whose file name without ".cfg" it is. */
int gen_template_name(const char *untrusted_arg, char *name, size_t cap,
    struct err *e);

/* Is the state directory's entry a template: a name that one may have, and
 * dvm-prepare was run on it? */
int gen_is_template(const char *state_dir, const char *entry);

/* The template that is meant where none is named: the one that was chosen, else
 * the only one.  ERR_STALE, with the next step. */
int gen_default(const char *state_dir, char name[GEN_NAME_MAX + 1],
    struct err *e);
/* Chooses it. */
int gen_set_default(const char *state_dir, const char *name, struct err *e);

/* The xl.cfg that the template was last prepared from, whatever became of
 * that.  ERR_STALE if none is noted. */
int gen_cfg(const char *state_dir, const char *name, char path[PATH_MAX],
    struct err *e);
/* Notes it; `path` is absolute. */
int gen_set_cfg(const char *state_dir, const char *name, const char *path,
    struct err *e);

/* Reads the host key; with create, makes it if there is none. */
int gen_host_key(const char *state_dir, int create,
    uint8_t key[SF_KEY_BYTES], struct err *e);

/* ERR_STALE with the next step if there is none. */
int gen_open_current(const char *state_dir, const char *template_name,
    struct gen *gen, struct err *e);
void gen_close(struct gen *gen);

#endif
