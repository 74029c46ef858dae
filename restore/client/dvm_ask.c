/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Asking for lists.  Runs in dvm, as any user.  Trusts the service as far as
 * dvm_link does; what a list takes of memory is bounded here.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restore/client/dvm_ask.h"
#include "restore/client/dvm_link.h"
#include "restore/client/dvm_out.h"

/* There are 9999 names, and the log is shorter: at most 7 MiB. */
#define ANSWERS_MAX 10000
#define AGAIN_MS 1000

static int
append(struct dvm_answers *answers, const struct dvm_proto *m, struct err *e)
{
	/* Grows at the powers of two, the first time to 16. */
	if (answers->nr == 0 || (answers->nr >= 16 &&
	    (answers->nr & (answers->nr - 1)) == 0)) {
		size_t cap = answers->nr == 0 ? 16 : answers->nr * 2;
		struct dvm_proto *all = reallocarray(answers->all, cap,
		    sizeof(*all));

		if (all == NULL)
			return err_set(e, ERR_NOMEM, errno, "%zu answers",
			    cap);
		answers->all = all;
	}
	if (answers->nr == ANSWERS_MAX)
		return err_set(e, ERR_INPUT, 0, "the service's answer has "
		    "over %u parts", ANSWERS_MAX);
	answers->all[answers->nr++] = *m;
	return 0;
}

int
dvm_ask(struct dvm_proto *request, unsigned timeout_s,
    struct dvm_answers *answers, struct err *e)
{
	struct dvm_link l = { .fd = -1, .signal_fd = -1 };
	struct dvm_proto m;
	bool failed;
	int rc;

	memset(answers, 0, sizeof(*answers));
	dvm_link_expect(&l, timeout_s);
	if (dvm_link_open(&l, request, -1, e) != 0)
		return -1;
	while ((rc = dvm_link_receive(&l, &m, &failed, e)) == 1 &&
	    m.type != DVM_PROTO_DONE)
		if (append(answers, &m, e) != 0) {
			rc = -1;
			break;
		}
	dvm_link_close(&l);
	if (rc == 1) {
		answers->done = m;
		return 0;
	}
	dvm_ask_free(answers);
	if (rc == 0)
		return err_set(e, ERR_SYS, 0, "the service went away before "
		    "it answered: try again, or see systemctl status "
		    "dvm-restored");
	return -1;
}

void
dvm_ask_free(struct dvm_answers *answers)
{
	free(answers->all);
	memset(answers, 0, sizeof(*answers));
}

/* The service may be restarted while somebody watches it. */
static void
ask_until_answered(struct dvm_proto *request, struct dvm_answers *answers)
{
	struct err e;

	for (bool said = false;; said = true) {
		(void)poll(NULL, 0, AGAIN_MS);
		if (dvm_ask(request, DVM_ASK_TIMEOUT_S, answers, &e) == 0)
			return;
		if (!said)
			(void)fprintf(stderr, "dvm: %s; waiting for it\n",
			    e.msg);
	}
}

int
dvm_ask_show(uint16_t type, bool again, dvm_ask_show_fn *show,
    const struct dvm_args *args, struct err *e)
{
	struct dvm_proto request = { .type = type };
	struct dvm_answers now, before = { .all = NULL };
	int rc;

	/* A check waits until nothing is on its way. */
	if (dvm_ask(&request, type == DVM_PROTO_CHECK ? DVM_ASK_CHECK_S :
	    DVM_ASK_TIMEOUT_S, &now, e) != 0)
		return -1;
	for (;;) {
		rc = show(args, &now, &before, e);
		if (rc == 0)
			rc = dvm_out_flush(e);
		dvm_ask_free(&before);
		before = now;
		if (rc != 0 || !again)
			break;
		ask_until_answered(&request, &now);
	}
	dvm_ask_free(&before);
	return rc;
}
