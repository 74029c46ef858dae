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

#define LIST_BATCH 64
#define CRASHED 3u		/* SHUTDOWN_crash */

/* Why it no longer runs; NULL if it does.  *code 0: it ended by itself. */
static const char *
death_of(const struct rs_slot *s, const struct hv_domain_info *infos, int nr,
    uint32_t *code)
{
	*code = 0;
	for (int i = 0; i < nr; i++) {
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

/* All domains at once; NULL if Xen does not say.  Listing is a hypercall of
 * microseconds, and needs no xenstore that could hang: watching
 * @releaseDomain would. */
static struct hv_domain_info *
list_domains(struct rs_core *c, int *nr)
{
	struct hv_domain_info *all = NULL, *more;
	struct err e;
	uint32_t first = 0;
	int got;

	*nr = 0;
	do {
		more = reallocarray(all, (size_t)*nr + LIST_BATCH,
		    sizeof(*all));
		got = more == NULL ? -1 : c->env.hv->ops->list(c->env.hv,
		    first, more + *nr, LIST_BATCH, &e);
		if (more != NULL)
			all = more;
		if (got < 0) {
			free(all);
			return NULL;
		}
		*nr += got;
		first = got > 0 ? all[*nr - 1].domid + 1 : 0;
	} while (got == LIST_BATCH);
	return all;
}

void
rs_watch(struct rs_core *c)
{
	uint64_t now = clock_now_ns();
	struct rs_slot *s, *next;
	struct hv_domain_info *infos;
	const char *why;
	uint32_t code = 0;
	int nr;

	infos = list_domains(c, &nr);
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
