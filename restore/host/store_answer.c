/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the xenstore client's operations share in taking answers.
 */
#include <string.h>

#include "restore/host/store_answer.h"

int
store_answer_refused(const struct store_wire_answer *a, struct err *e)
{
	return err_set(e, ERR_STORE, a->daemon_errno, "xenstore: cannot %s %s",
	    a->doing, a->path);
}

/* For requests whose only answer is "OK".  arg: the errno that is as good,
 * or 0. */
static int
take_ok(void *arg, const struct store_wire_answer *a, struct err *e)
{
	const int *tolerated = arg;

	if (a->daemon_errno != 0) {
		if (a->daemon_errno == *tolerated)
			return 0;
		return store_answer_refused(a, e);
	}
	if (a->len != sizeof("OK") ||
	    memcmp(a->untrusted_data, "OK", sizeof("OK")) != 0) {
		return err_set(e, ERR_STORE, 0,
		    "xenstore: to %s %s was answered with something else "
		    "than OK", a->doing, a->path);
	}
	return 0;
}

int
store_answer_run_ok(struct store_wire *w, int tolerated, struct err *e)
{
	struct store_wire_taker t = { take_ok, &tolerated };

	return store_wire_run(w, &t, e);
}
