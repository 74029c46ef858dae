/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A role of the service gives up all that it does not need, for good.
 */
#ifndef RS_CONFINE_H
#define RS_CONFINE_H

#include <stdbool.h>
#include <sys/types.h>

#include "include/err.h"

enum rs_confine_role {
	RS_CONFINE_FRONT,	/* uid and gid of its own, no capability, no
				 * thread; may open and make nothing but what
				 * it accepts and its event loop */
	RS_CONFINE_COURIER,	/* the same, and may not even accept */
	RS_CONFINE_CORE		/* root with two capabilities; threads, opens
				 * files that exist, connects to xenstore */
};

struct rs_confine_params {
	enum rs_confine_role role;
	uid_t uid;		/* of those two, not 0; core stays */
	gid_t gid;
	pid_t parent;		/* who started us: its death is ours */
	unsigned nr_files;	/* the most descriptors */
	bool log_only;		/* to find what the rules lack: a forbidden
				 * call is done, and the kernel's log has its
				 * number (type=1326, syscall=) */
	bool leak_check;	/* a sanitized build only, else without effect:
				 * the process ends by exit(), so LeakSanitizer
				 * may do at the end what a role may not */
};

/* To be called once, by the only thread, with everything open that the role
 * may not open itself, and before it reads the first byte from anyone.  After
 * it:
 *   - no core dump and no ptrace of us: seeds are in memory;
 *   - groups, capabilities and ids are gone, read back to be sure, and no
 *     exec() and no file can bring them back (securebits, no_new_privs).  Who
 *     begins without CAP_SETPCAP drops none and must have no others; core's
 *     bounding set is then what it keeps;
 *   - a system call outside the role's rules (rs_confine_rules.c) kills the
 *     process with SIGSYS, except clone3(), which is "not implemented";
 *   - it dies with its parent.  For a front this takes CAP_KILL in the parent,
 *     as the kernel asks for the dying one's right to signal it;
 *   - files are made with 0600.
 * Whatever fails, the process is half confined and is to end.  ERR_SYS;
 * ERR_USAGE if called too late or with root's ids. */
int rs_confine(const struct rs_confine_params *p, struct err *e);

#endif
