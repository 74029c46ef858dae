/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Looks after what runs, a few times each second.  Runs in core's main
 * thread, and only if there is something.
 */
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"
#include "restore/core/end.h"
#include "restore/core/life.h"
#include "restore/core/watch.h"

#define CRASHED 3u		/* SHUTDOWN_crash */

/* Why it no longer runs; NULL if it does.  *code 0: it ended by itself. */
static const char *
death_of(const struct rs_slot *s, const struct hv_domain_info *infos,
    size_t nr, uint32_t *code)
{
	*code = 0;
	for (size_t i = 0; i < nr; i++) {
		if (infos[i].domid != s->domain.domid ||
		    memcmp(infos[i].uuid, s->domain.uuid, HV_UUID_BYTES) != 0)
			continue;
		if (infos[i].dying)
			break;
		if (!infos[i].shutdown)
			return NULL;
		*code = infos[i].shutdown_reason == CRASHED;
		return *code ? "its system crashed" : "its system shut down";
	}
	*code = 1;
	return "somebody else destroyed it";
}

void
rs_watch(struct rs_core *c)
{
	uint64_t now = clock_now_ns();
	struct rs_slot *s, *next;
	struct hv_domain_info *infos;
	const char *why;
	uint32_t code = 0;
	struct err ignored;
	size_t nr;

	/* Listing is a hypercall of microseconds, and needs no xenstore that
	 * could hang, as watching @releaseDomain would. */
	infos = hv_list_all(c->env.hv, &nr, &ignored);
	for (s = TAILQ_FIRST(&c->slots); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->state == DVM_PROTO_STATE_ZOMBIE && !s->busy &&
		    !c->checking && s->retry_ns <= now) {
			rs_end_start(s);
			continue;
		}
		if (s->state != DVM_PROTO_STATE_RUNNING)
			continue;
		why = infos != NULL ? death_of(s, infos, nr, &code) : NULL;
		if (why == NULL && s->note.until_ns != 0 &&
		    s->note.until_ns <= now)
			why = "its time is over";
		if (why == NULL && s->grace_ns != 0 && s->grace_ns <= now)
			why = "nobody came back for it";
		if (why != NULL)
			rs_end(s, code, why);
	}
	free(infos);
	rs_life_dispatch(c);
}
