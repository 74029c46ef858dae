/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Waits for a disposable's acknowledgement.  What the guest writes is only
 * compared with the one thing that it should say.
 */
#include <stdio.h>
#include <string.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/launch_page.h"
#include "restore/launch/ack.h"

#define SLICE_NS CLOCK_SECOND
#define PATH_BYTES 96

int
rs_ack_has_ended(const struct env *env, const struct rs_domain *d,
    bool *ended, struct err *e)
{
	struct hv_domain_info info;
	int found;

	found = env->hv->ops->info(env->hv, d->domid, &info, e);
	if (found < 0)
		return -1;
	*ended = found == 0 || info.dying || info.shutdown ||
	    memcmp(info.uuid, d->uuid, HV_UUID_BYTES) != 0;
	return 0;
}

/* Has the agent given up, and said why? */
static int
check_failed(const struct env *env, const struct rs_domain *d,
    struct err *e)
{
	char path[PATH_BYTES], untrusted_why[256];
	int found;

	(void)snprintf(path, sizeof(path), "/local/domain/%u/"
	    IDENT_AGENT_FAILED, d->domid);
	found = env->store->ops->read(env->store, path, untrusted_why,
	    sizeof(untrusted_why), e);
	if (found <= 0)
		return found;
	for (char *at = untrusted_why; *at != '\0'; at++)
		if (*at < 0x20 || *at > 0x7e)
			*at = '?';
	return err_set(e, ERR_INPUT, 0, "its agent says: %s", untrusted_why);
}

/* The agent's word, in slices, so as not to wait for a guest that is dead. */
static int
wait_word(const struct env *env, const struct rs_domain *d,
    const char *path, uint64_t deadline_ns, int interrupt_fd, struct err *e)
{
	const char *paths[] = { path }, *any[] = { NULL };
	uint64_t slice_ns;
	bool ended = false;

	do {
		slice_ns = clock_now_ns() + SLICE_NS;
		if (slice_ns > deadline_ns)
			slice_ns = deadline_ns;
		if (env->store->ops->wait(env->store, paths, any, 1, slice_ns,
		    interrupt_fd, e) == 0)
			return 0;
		if (e->code != ERR_TIMEOUT || check_failed(env, d, e) != 0 ||
		    rs_ack_has_ended(env, d, &ended, e) != 0)
			return -1;
	} while (!ended && slice_ns < deadline_ns);
	if (!ended)
		return err_set(e, ERR_TIMEOUT, 0, "its agent has not "
		    "acknowledged its identity in time");
	return err_set(e, ERR_XEN, 0, "it ended before it answered: see its "
	    "console in /var/log/xen/console and `xl dmesg`");
}

int
rs_ack_wait(const struct env *env, const struct rs_domain *d,
    unsigned timeout_s, int interrupt_fd, struct rs_timings *timings,
    struct err *e)
{
	char path[PATH_BYTES], want[LAUNCH_PAGE_ID_TEXT];
	char untrusted_word[LAUNCH_PAGE_ID_TEXT];
	uint64_t deadline_ns = timings->start_ns +
	    timings->end_ns[RS_STAGE_UNPAUSE] + timeout_s * CLOCK_SECOND;
	struct err ignored;

	(void)snprintf(path, sizeof(path), "/local/domain/%u/"
	    IDENT_AGENT_ANSWER, d->domid);
	launch_page_id_text(launch_page_id(d->uuid), want);
	if (wait_word(env, d, path, deadline_ns, interrupt_fd, e) != 0)
		return err_prefix(e, "%s", d->name);
	/* Too long, or gone again, is as wrong as any other word. */
	if (env->store->ops->read(env->store, path, untrusted_word,
	    sizeof(untrusted_word), &ignored) != 1 ||
	    strcmp(untrusted_word, want) != 0)
		return err_set(e, ERR_INPUT, 0, "%s: its agent answers with "
		    "something that is not its launch id", d->name);
	timings->end_ns[RS_STAGE_ANSWER] = clock_now_ns() -
	    timings->start_ns;
	return 0;
}
