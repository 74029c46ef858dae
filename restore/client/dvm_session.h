/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program in a disposable of its own: it is launched, the program's streams,
 * signals and terminal are ours, and when it ends so does the disposable.
 */
#ifndef DVM_SESSION_H
#define DVM_SESSION_H

#include "restore/client/dvm_program.h"

/* The exit status for dvm: the program's; 128 + the signal that ended it, or
 * us; what dvm_files_finish() says; 126 or 127 if it cannot be started; 125 if
 * the service, the disposable or we failed.  If a message is due it is in *e,
 * else that is empty.  -1: ERR_USAGE. */
int dvm_session_run(const struct dvm_session *p, struct err *e);

#endif
