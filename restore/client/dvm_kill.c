/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm kill: ends disposables, and waits until they are gone.
 */
#include <inttypes.h>

#include "restore/client/dvm_ask.h"
#include "restore/client/dvm_out.h"

#define KILL_TIMEOUT_S 90

static int
kill_all(struct err *e)
{
	struct dvm_proto request = { .type = DVM_PROTO_KILL };
	struct dvm_answers answers;

	if (dvm_ask(&request, KILL_TIMEOUT_S, &answers, e) != 0)
		return -1;
	if (answers.done.value[0] == 0)
		(void)fputs("no disposables\n", stderr);
	else
		(void)printf("%" PRIu64 " gone\n", answers.done.value[0]);
	dvm_ask_free(&answers);
	return 0;
}

static int
kill_one(const char *name, struct err *e)
{
	struct dvm_proto request = { .type = DVM_PROTO_KILL };
	struct dvm_answers answers;

	if (dvm_cli_put(request.name, sizeof(request.name), name,
	    "disposable's name", e) != 0)
		return -1;
	if (dvm_ask(&request, KILL_TIMEOUT_S, &answers, e) != 0)
		return err_prefix(e, "%.16s", name);
	dvm_ask_free(&answers);
	(void)printf("%s: gone\n", name);
	return dvm_out_flush(e);
}

int
dvm_kill(const struct dvm_args *args, struct err *e)
{
	bool all = dvm_cli_has(args, 'a');
	struct err one;
	int rc = 0;

	if (all == (args->nr_operands > 0))
		return err_set(e, ERR_USAGE, 0, "kill: say NAME ... or --all; "
		    "see dvm kill --help");
	if (all)
		return kill_all(e);
	for (int i = 0; i < args->nr_operands; i++) {
		if (kill_one(args->operands[i], &one) == 0)
			continue;
		(void)fprintf(stderr, "dvm: %s\n", one.msg);
		/* The first one's code; all messages are out. */
		if (rc == 0)
			*e = one;
		rc = -1;
	}
	e->msg[0] = '\0';
	return rc;
}
