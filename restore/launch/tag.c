/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The note's text: "1 NAME TEMPLATE UID STARTED UNTIL", and " cold" if it was
 * booted.  Runs in core; root's own word, but of an earlier life, so its form
 * is checked.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "include/ident.h"
#include "restore/launch/tag.h"

#define PATH_BYTES 48
#define NOTE_BYTES 160
#define COLD " cold"

static void
path_of(uint32_t domid, char path[PATH_BYTES])
{
	(void)snprintf(path, PATH_BYTES, "/libxl/%u/dvm", domid);
}

int
rs_tag_write(const struct env *env, uint32_t domid,
    const struct rs_tag *note, struct err *e)
{
	char path[PATH_BYTES], text[NOTE_BYTES];
	const struct store_node node = { .path = path, .value = text,
	    .owner = STORE_NO_PERMS, .reader = STORE_NOBODY };

	path_of(domid, path);
	(void)snprintf(text, sizeof(text), "1 %s %s %" PRIu32 " %" PRIu64
	    " %" PRIu64 "%s", note->name, note->template_name, note->uid,
	    note->started_ns, note->until_ns, note->is_cold ? COLD : "");
	return env->store->ops->write(env->store, &node, 1, e);
}

int
rs_tag_read(const struct env *env, uint32_t domid, struct rs_tag *note,
    struct err *e)
{
	char path[PATH_BYTES], text[NOTE_BYTES], template[64];
	struct err malformed;
	int found, end = 0;

	path_of(domid, path);
	found = env->store->ops->read(env->store, path, text, sizeof(text), e);
	if (found <= 0)
		return found;
	/* The field widths are those of the arrays, less one. */
	found = sscanf(text, "1 %15s %63s %" SCNu32 " %" SCNu64 " %" SCNu64
	    "%n", note->name, template, &note->uid, &note->started_ns,
	    &note->until_ns, &end) == 5;
	note->is_cold = strcmp(text + end, COLD) == 0;
	return found && (note->is_cold || text[end] == '\0') &&
	    ident_is_disposable(note->name) &&
	    gen_template_name(template, note->template_name,
	    sizeof(note->template_name), &malformed) == 0;
}
