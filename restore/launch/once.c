/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Launching in the foreground, in dvm-restored --once.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/stop_signals.h"
#include "include/wire/dvm_proto.h"
#include "restore/launch/ack.h"
#include "restore/launch/once.h"
#include "restore/launch/reconcile.h"

/* How often a kept disposable is looked at. */
#define LOOK_MS 200
#define DESTROY_TIMEOUT_MS 30000

struct live {
	struct rs_domain domain;
	uint64_t destroy_ns;	/* 0: when it ends by itself */
};

struct once {
	const struct rs_once_params *p;
	const struct env *env;
	struct rs_template template;
	struct live *live;
	size_t nr_live;
	int signal_fd;
};

static double
seconds(uint64_t ns)
{
	return (double)ns / 1e9;
}

static void
print_json(const struct once *o, const struct rs_domain *d,
    const struct rs_timings *t)
{
	/* Names and UUIDs are our own: nothing to escape. */
	(void)printf("{\"name\":\"%s\",\"domid\":%u,\"uuid\":\"%s\","
	    "\"template\":\"%s\",\"stages_s\":{", d->name, d->domid,
	    d->uuid_text, o->template.gen.template_name);
	for (int i = 0; i < RS_STAGES && t->end_ns[i] != 0; i++)
		(void)printf("%s\"%s\":%.6f", i > 0 ? "," : "",
		    dvm_proto_stage_name((unsigned)i),
		    seconds(t->end_ns[i]));
	(void)printf("},\"populate_s\":%.6f,\"superpages\":%llu,"
	    "\"single_pages\":%llu,\"split_superpages\":%llu,"
	    "\"pages_mapped\":%llu,\"bytes_copied\":%llu,"
	    "\"data_bytes\":%llu,\"store_requests\":%llu}\n",
	    seconds(t->load.populate_ns),
	    (unsigned long long)t->load.nr_super,
	    (unsigned long long)t->load.nr_single,
	    (unsigned long long)t->load.nr_split,
	    (unsigned long long)t->load.nr_mapped,
	    (unsigned long long)t->load.bytes_copied,
	    (unsigned long long)o->template.plan.nr_data * SF_PAGE_BYTES,
	    (unsigned long long)t->store_requests);
}

static void
print_launch(const struct once *o, const struct rs_domain *d,
    const struct rs_timings *t)
{
	uint64_t before = 0;

	if (o->p->output == RS_ONCE_JSON) {
		print_json(o, d, t);
		return;
	}
	(void)printf("%s domid %u: running after %.3f s", d->name, d->domid,
	    seconds(t->end_ns[RS_STAGE_UNPAUSE]));
	if (t->end_ns[RS_STAGE_ANSWER] != 0)
		(void)printf(", answered after %.3f s",
		    seconds(t->end_ns[RS_STAGE_ANSWER]));
	(void)printf("\n");
	if (o->p->output != RS_ONCE_TIMINGS)
		return;
	for (int i = 0; i < RS_STAGES && t->end_ns[i] != 0; i++) {
		(void)printf("  %-10s %8.1f ms  (ends at %.1f ms)\n",
		    dvm_proto_stage_name((unsigned)i),
		    seconds(t->end_ns[i] - before) * 1e3,
		    seconds(t->end_ns[i]) * 1e3);
		before = t->end_ns[i];
	}
}

static int
launch_one(struct once *o, struct err *e)
{
	struct live *l = &o->live[o->nr_live];
	struct rs_timings timings;

	if (rs_launch(o->env, &o->template, &o->p->launch, &l->domain,
	    &timings, e) != 0)
		return -1;
	o->nr_live++;
	if (o->template.has_agent && rs_ack_wait(o->env, &l->domain,
	    o->p->answer_timeout_s, o->signal_fd, &timings, e) != 0)
		return -1;
	rs_launch_finish(&l->domain);
	print_launch(o, &l->domain, &timings);
	if (fflush(stdout) != 0)
		return err_set(e, ERR_SYS, errno, "standard output");
	l->destroy_ns = o->p->destroy_after_s < 0 ? 0 : clock_now_ns() +
	    (uint64_t)o->p->destroy_after_s * CLOCK_SECOND;
	return 0;
}

/* Destroys what is due, or all. */
static int
reap(struct once *o, bool all, struct err *e)
{
	uint64_t now = clock_now_ns();
	size_t kept = 0;
	struct err later;
	int rc = 0;

	for (size_t i = 0; i < o->nr_live; i++) {
		struct live *l = &o->live[i];
		struct err *to = rc == 0 ? e : &later;
		bool due = all || (l->destroy_ns != 0 && l->destroy_ns <= now);

		if (!due && rs_ack_has_ended(o->env, &l->domain, &due,
		    to) != 0)
			rc = -1;
		if (due && rs_launch_destroy(o->env, &l->domain,
		    DESTROY_TIMEOUT_MS, to) != 0) {
			(void)err_prefix(to, "%s", l->domain.name);
			rc = -1;
			due = false;	/* kept, to be tried again */
		}
		if (!due)
			o->live[kept++] = *l;
	}
	o->nr_live = kept;
	return rc;
}

static int
check_signal(const struct once *o, int timeout_ms, struct err *e)
{
	struct pollfd p = { .fd = o->signal_fd, .events = POLLIN };

	if (poll(&p, 1, timeout_ms) == 1)
		return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
	return 0;
}

static int
run(struct once *o, struct err *e)
{
	for (unsigned launched = 0; launched < o->p->count; launched++) {
		if (launch_one(o, e) != 0 || reap(o, false, e) != 0 ||
		    check_signal(o, 0, e) != 0)
			return -1;
	}
	while (o->nr_live > 0) {
		if (check_signal(o, LOOK_MS, e) != 0 || reap(o, false, e) != 0)
			return -1;
	}
	return 0;
}

/* What could not be undone is said, beside what went wrong before. */
static int
left_behind(int rc, const struct err *undo, struct err *e)
{
	if (rc == 0)
		*e = *undo;
	return err_prefix(e, rc == 0 ? "left behind" :
	    "something is left behind (%.200s) after", undo->msg);
}

/* The first of several launchers cleans up after those that were killed. */
static int
begin(const struct env *env, const char *lock_path, struct err *e)
{
	unsigned nr_removed = 0;
	bool alone;
	int fd = rs_reconcile_lock(lock_path, &alone, e);

	if (fd < 0 || !alone)
		return fd;
	if (rs_reconcile(env, NULL, &nr_removed, e) != 0 ||
	    rs_reconcile_share(fd, e) != 0) {
		(void)close(fd);
		return -1;
	}
	if (nr_removed > 0)
		(void)fprintf(stderr, "removed what a killed launcher left: "
		    "%u domains, devices or nodes\n", nr_removed);
	return fd;
}

int
rs_once(const struct rs_once_params *p, const struct env *env,
    struct err *e)
{
	struct once o = { .p = p, .env = env, .signal_fd = -1 };
	char name[GEN_NAME_MAX + 1];
	struct rs_template_params tp = { .state_dir = p->state_dir,
	    .template_name = name,
	    .resident_max = p->resident ? UINT64_MAX : 0,
	    .cfg_path = strchr(p->template_arg, '/') != NULL ?
	    p->template_arg : NULL };
	struct err later;
	bool is_open = false;
	int lock_fd = -1, rc = -1;

	if (gen_template_name(p->template_arg, name, sizeof(name), e) != 0)
		return -1;
	o.live = calloc(p->count + 1u, sizeof(*o.live));
	if (o.live == NULL)
		return err_set(e, ERR_NOMEM, errno, "%u launches", p->count);
	o.signal_fd = stop_signals(SIGQUIT, e);
	if (o.signal_fd < 0)
		goto out;
	lock_fd = begin(env, p->lock_path, e);
	if (lock_fd < 0)
		goto out;
	if (rs_template_open(&tp, env->hv, env->disk, &o.template, e) != 0)
		goto out;
	is_open = true;
	if (!o.template.has_agent)
		(void)fprintf(stderr, "warning: template %s was prepared "
		    "without dvm-agent: its disposables share random numbers, "
		    "host name and clock\n", name);
	rc = run(&o, e);
out:
	if (reap(&o, true, &later) != 0)
		rc = left_behind(rc, &later, e);
	if (is_open && rs_template_close(&o.template, env->disk, &later) != 0)
		rc = left_behind(rc, &later, e);
	if (o.signal_fd >= 0)
		(void)close(o.signal_fd);
	/* Last: from here on nothing is ours. */
	if (lock_fd >= 0)
		(void)close(lock_fd);
	free(o.live);
	return rc;
}
