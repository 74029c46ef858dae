/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Requests that are answered by a list: all of dvm's but run.
 */
#ifndef DVM_ASK_H
#define DVM_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "include/wire/dvm_proto.h"
#include "restore/client/dvm_cli.h"

struct dvm_answers {
	struct dvm_proto *all;	/* heap; DONE is not one of them */
	size_t nr;
	struct dvm_proto done;
};

#define DVM_ASK_TIMEOUT_S 10
#define DVM_ASK_CHECK_S 60

/* Fills *answers, to be given back with dvm_ask_free(); nothing is held if
 * it fails.  Errors as dvm_link's. */
int dvm_ask(struct dvm_proto *request, unsigned timeout_s,
    struct dvm_answers *answers, struct err *e);

void dvm_ask_free(struct dvm_answers *answers);

/* Prints what is `now`; `before` is what it was given the last time, empty
 * the first time. */
typedef int dvm_ask_show_fn(const struct dvm_args *args,
    const struct dvm_answers *now, const struct dvm_answers *before,
    struct err *e);

/* Asks, shows and flushes; with `again` every second, until the output fails.
 * Then a service that is away is said once, and waited for. */
int dvm_ask_show(uint16_t type, bool again, dvm_ask_show_fn *show,
    const struct dvm_args *args, struct err *e);

#endif
