/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Settling, as dvm-prepare sees it: tells the agent how, shows its steps and
 * waits for its last word.  The guest is trusted with nothing: it can only be
 * late, end, or say something that does not parse.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "include/clock.h"
#include "include/ident.h"
#include "prep/pr_clock.h"
#include "prep/pr_settle.h"

#define PATH_BYTES 128
#define VALUE_BYTES 2049	/* xenstore's limit, and a NUL */
#define GRACE_SECONDS 60u	/* for the steps whose limits are the agent's */

static const char *const step_names[PR_SETTLE_STEPS] = { "boot", "prerun",
    "quiet", "clean", "memory", "freeze" };

const char *
pr_settle_step_name(unsigned step)
{
	return step_names[step];
}

static void
path_of(const struct pr_settle_params *p, const char *node,
    char path[PATH_BYTES])
{
	(void)snprintf(path, PATH_BYTES, "/local/domain/%u/%s", p->domid,
	    node);
}

/* It must still run: a guest that has ended will not settle any more. */
static int
check_running(const struct pr_seams *s, uint32_t domid, struct err *e)
{
	struct hv_domain_info info;
	int found = s->hv->ops->info(s->hv, domid, &info, e);

	if (found < 0)
		return -1;
	if (found == 0 || info.dying || info.shutdown)
		return err_set(e, ERR_INPUT, 0, "the guest ended before it had "
		    "settled: boot it by hand with 'xl create -c' to see why");
	return 0;
}

static int
ask_agent(const struct pr_seams *s, const struct pr_settle_params *p,
    struct err *e)
{
	char path[PATH_BYTES], text[VALUE_BYTES];
	struct gen_text t = { .buf = text, .cap = sizeof(text) };
	/* The guest may read what lies below its own path. */
	const struct store_node node = { .path = path, .value = text,
	    .owner = STORE_NO_PERMS, .reader = STORE_NOBODY };

	path_of(p, IDENT_PREPARE, path);
	if (pr_config_settle_text(p->how, &t, e) != 0)
		return -1;
	return s->store->ops->write(s->store, &node, 1, e);
}

/* What the agent wrote, printable and on one line; "" if it has not. */
static int
read_word(const struct pr_seams *s, const struct pr_settle_params *p,
    const char *node, char value[VALUE_BYTES], struct err *e)
{
	char path[PATH_BYTES];
	int found;

	path_of(p, node, path);
	found = s->store->ops->read(s->store, path, value, VALUE_BYTES, e);
	if (found < 0)
		return -1;
	if (found == 0)
		value[0] = '\0';
	for (char *at = value; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20 || (unsigned char)*at > 0x7e)
			*at = '?';
	return 0;
}

/* The step that the agent is in, PR_SETTLE_STEPS before the first or if it is
 * not one of ours; -1 and why if it has given up. */
static int
agent_step(const struct pr_seams *s, const struct pr_settle_params *p,
    struct err *e)
{
	char untrusted_value[VALUE_BYTES];
	int step = 0;

	if (read_word(s, p, IDENT_AGENT_FAILED, untrusted_value, e) != 0)
		return -1;
	if (untrusted_value[0] != '\0')
		return err_set(e, ERR_INPUT, 0, "the guest cannot settle: "
		    "%.400s", untrusted_value);
	if (read_word(s, p, IDENT_AGENT_STEP, untrusted_value, e) != 0)
		return -1;
	while (step < PR_SETTLE_STEPS &&
	    strcmp(untrusted_value, step_names[step]) != 0)
		step++;
	return step;
}

/* Waits a second, or until the agent has settled: 1 then, else 0. */
static int
wait_a_second(const struct pr_seams *s, const struct pr_settle_params *p,
    uint64_t deadline_ns, struct err *e)
{
	static const char *const any[1] = { NULL };
	char path[PATH_BYTES];
	const char *paths[1] = { path };
	uint64_t now = clock_now_ns(), until = now + CLOCK_SECOND;

	if (until > deadline_ns)
		until = deadline_ns;
	if (!p->by_agent)
		return now >= until ? 0 : pr_clock_pause(s->interrupt_fd,
		    (unsigned)((until - now) / CLOCK_MS) + 1, e);
	path_of(p, IDENT_AGENT_SETTLED, path);
	if (s->store->ops->wait(s->store, paths, any, 1, until,
	    s->interrupt_fd, e) == 0)
		return 1;
	return e->code == ERR_TIMEOUT ? 0 : -1;
}

static uint64_t
report_number(const char *untrusted_report, const char *name)
{
	char key[32];
	const char *at;

	(void)snprintf(key, sizeof(key), "%s=", name);
	at = strstr(untrusted_report, key);
	return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

/* The agent's last words. */
static int
read_settled(const struct pr_seams *s, const struct pr_settle_params *p,
    struct pr_settled *settled, struct err *e)
{
	char untrusted_value[VALUE_BYTES], name[32];
	size_t len;

	if (read_word(s, p, IDENT_AGENT_SETTLED, untrusted_value, e) != 0)
		return -1;
	if (strlen(untrusted_value) != 2 * sizeof(settled->magic) ||
	    sodium_hex2bin(settled->magic, sizeof(settled->magic),
	    untrusted_value, strlen(untrusted_value), NULL, &len,
	    NULL) != 0 || len != sizeof(settled->magic))
		return err_set(e, ERR_INPUT, 0, "the guest's agent says "
		    "'%.80s' where the magic of its launch page should be: "
		    "install the agent of this version", untrusted_value);
	if (read_word(s, p, IDENT_AGENT_REPORT, untrusted_value, e) != 0)
		return -1;
	for (int i = 0; i < PR_SETTLE_STEPS; i++) {
		(void)snprintf(name, sizeof(name), "%s_ms", step_names[i]);
		settled->step_ms[i] = report_number(untrusted_value, name);
	}
	settled->total_kb = report_number(untrusted_value, "total_kb");
	settled->free_kb = report_number(untrusted_value, "free_kb");
	settled->cached_kb = report_number(untrusted_value, "cached_kb");
	return 0;
}

/* How long a step may take before the agent is taken for dead. */
static unsigned
step_seconds(const struct pr_settle_params *p, int step)
{
	const unsigned limits[PR_SETTLE_STEPS] = { p->how->boot_limit,
	    p->how->prerun_limit, p->how->quiet_limit, 120, 120, 60 };

	return limits[step] + GRACE_SECONDS;
}

static int
timed_out(const struct pr_settle_params *p, int step, struct err *e)
{
	if (step < PR_SETTLE_STEPS)
		return err_set(e, ERR_TIMEOUT, 0, "the guest's agent has not "
		    "come to an end of its step '%s' within %u seconds: is it "
		    "alive?", step_names[step], step_seconds(p, step));
	return err_set(e, ERR_TIMEOUT, 0, "the guest's agent has not said a "
	    "word within %u seconds: is dvm-agent installed and started in "
	    "it? (or use --settle-timeout, or --settle-after for a guest "
	    "without it)", p->seconds);
}

int
pr_settle(const struct pr_seams *s, const struct pr_settle_params *p,
    struct pr_settled *settled, struct err *e)
{
	uint64_t deadline = clock_now_ns() + p->seconds * CLOCK_SECOND;
	int step = PR_SETTLE_STEPS, furthest = -1, done;

	memset(settled, 0, sizeof(*settled));
	if (p->by_agent && ask_agent(s, p, e) != 0)
		return -1;
	for (;;) {
		uint64_t now;

		if (check_running(s, p->domid, e) != 0)
			return -1;
		done = wait_a_second(s, p, deadline, e);
		if (done < 0)
			return -1;
		if (done > 0)
			return read_settled(s, p, settled, e);
		if (p->by_agent && (step = agent_step(s, p, e)) < 0)
			return -1;
		now = clock_now_ns();
		/* Forward only: else a guest could keep us for ever. */
		if (step < PR_SETTLE_STEPS && step > furthest) {
			deadline = now + step_seconds(p, step) *
			    CLOCK_SECOND;
			furthest = step;
		}
		if (now >= deadline)
			break;
		if (p->progress != NULL)
			p->progress(p->progress_ctx, step < PR_SETTLE_STEPS ?
			    step_names[step] : "",
			    (unsigned)((deadline - now) / CLOCK_SECOND));
	}
	return p->by_agent ? timed_out(p, step, e) :
	    check_running(s, p->domid, e);
}
