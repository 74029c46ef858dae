/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How everything that is ours is recognised, so that state can be found again
 * by listing Xen, the device mapper and xenstore instead of from a journal.
 */
#ifndef DVM_IDENT_H
#define DVM_IDENT_H

/* A domain's UUID begins with four fixed bytes and goes on with twelve
 * random ones (the version-4 and variant bits set as usual). */
#define IDENT_UUID_DISP "dvm1"		/* a disposable: 64766d31-... */
#define IDENT_UUID_PREP "dvmp"		/* a template being prepared */

/* dm devices, each followed by an id in hex and "-" vdev. */
#define IDENT_DM_BASE "dvm-g-"		/* id: the opening's own, random */
#define IDENT_DM_DISP "dvm-d-"		/* id: the domain's UUID */
#define IDENT_DM_PREP "dvm-p-"		/* id: the domain's UUID */

/* What the guest's agent writes below /local/domain/D. */
#define IDENT_AGENT_DIR "data/dvm-agent"
#define IDENT_AGENT_SETTLED IDENT_AGENT_DIR "/settled"	/* "1" */
#define IDENT_AGENT_ANSWER IDENT_AGENT_DIR "/answer"	/* its new domid */

#define IDENT_STATE_DIR "/var/lib/dvm"

#endif
