/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How everything that is ours is recognised, so that state can be found again
 * by listing Xen, the device mapper and xenstore instead of from a journal.
 */
#ifndef IDENT_H
#define IDENT_H

#include <stdbool.h>

/* A domain's UUID begins with four fixed bytes and goes on with twelve
 * random ones (the version-4 and variant bits set as usual). */
#define IDENT_UUID_DISP "dvm1"		/* a disposable: 64766d31-... */
#define IDENT_UUID_PREP "dvmp"		/* a template being prepared */

/* dm devices, each followed by an id in hex and "-" vdev. */
#define IDENT_DM_BASE "dvm-g-"		/* id: the opening's own, random */
#define IDENT_DM_DISP "dvm-d-"		/* id: the domain's UUID */
#define IDENT_DM_PREP "dvm-p-"		/* id: the domain's UUID */

/* Nodes below /local/domain/D.  dvm-prepare writes the first one: lines
 * name=value that tell the agent that the guest is to settle, and how.
 *   prerun, user			a program to run, and as whom
 *   caches				keep or drop: the page cache
 *   boot_limit, prerun_limit, quiet_limit	seconds
 *   quiet_cpu, quiet_disk, quiet_seconds	%, KiB/s, seconds in a row */
#define IDENT_PREPARE "dvm/prepare"

/* ... and this one into a disposable that is booted for want of an image: the
 * same lines, and before them
 *   uuid, name				of the domain */
#define IDENT_COLD "dvm/cold"

/* The others are the agent's. */
#define IDENT_AGENT_DIR "data/dvm-agent"
#define IDENT_AGENT_UP IDENT_AGENT_DIR "/up"	/* "1": the boot is over */
#define IDENT_AGENT_STEP IDENT_AGENT_DIR "/step"	/* settling: which */
#define IDENT_AGENT_FAILED IDENT_AGENT_DIR "/failed"	/* ... and why not */
/* Of the settling: name=number with spaces between.  Milliseconds boot_ms,
 * prerun_ms, quiet_ms, clean_ms, memory_ms, freeze_ms; and total_kb, free_kb,
 * cached_kb of /proc/meminfo. */
#define IDENT_AGENT_REPORT IDENT_AGENT_DIR "/report"
/* Held and ready to be recorded: the launch page's magic, 64 hex digits. */
#define IDENT_AGENT_SETTLED IDENT_AGENT_DIR "/settled"
/* A disposable's acknowledgement: its launch id, 16 hex digits. */
#define IDENT_AGENT_ANSWER IDENT_AGENT_DIR "/answer"

/* Where the agent offers its channel (chan.h), as libxenvchan's server. */
#define IDENT_AGENT_CHANNEL IDENT_AGENT_DIR "/vchan"

#define IDENT_STATE_DIR "/var/lib/dvm"
/* Of all launchers on the host: what has our names and no holder of this is
 * left behind. */
#define IDENT_LAUNCH_LOCK "/run/dvm/lock"
/* Where who boots disposables listens (cold_proto.h), if it is allowed. */
#define IDENT_BOOT_SOCKET "/run/dvm-boot/boot.sock"

/* Has it the form of a disposable's name, disp0001? */
bool ident_is_disposable(const char *untrusted_name);
/* ... or of a template's, and of no path? */
#define IDENT_TEMPLATE_MAX 32
bool ident_is_template(const char *untrusted_name);

#endif
