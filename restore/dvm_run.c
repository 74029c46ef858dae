/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm run: starts a disposable and holds it.  The connection is the hold: the
 * service ends the disposable when it is closed, also by our death.  Trusts
 * the service as far as dvm_link does.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "dvm_cli.h"
#include "dvm_link.h"
#include "dvm_out.h"

#define LAUNCH_TIMEOUT_S 300
/* How long a service that went away may take to come back, and how often it
 * is looked for. */
#define AWAY_TIMEOUT_S 60
#define AWAY_MS 200
/* What the service may take beyond the time limit until it is gone. */
#define END_TIMEOUT_S 90

struct run {
	const struct dvm_args *args;
	struct dvm_link link;
	struct dvm_proto running;	/* the answer; its name is "" before */
	uint64_t start_ns;
	unsigned long limit_s;		/* 0: none */
	bool queue_shown;
};

/* A line that is written over while it waits, for people only. */
static void
show_queue(struct run *r, uint64_t before)
{
	if (dvm_cli_has(r->args, 'q') || !isatty(STDERR_FILENO))
		return;
	r->queue_shown = true;
	(void)fprintf(stderr, "\rqueued, %" PRIu64 " launches before this "
	    "one\033[K", before);
}

static void
clear_queue(struct run *r)
{
	if (r->queue_shown)
		(void)fprintf(stderr, "\r\033[K");
	r->queue_shown = false;
}

static void
print_json(const struct run *r, uint64_t took_ns)
{
	const struct dvm_proto *m = &r->running;
	struct json_object *o = json_object_new_object();
	struct json_object *stages = json_object_new_object();
	char id[17];

	(void)snprintf(id, sizeof(id), "%016" PRIx64, m->launch_id);
	dvm_out_add_text(o, "event", "running");
	dvm_out_add_text(o, "name", m->name);
	dvm_out_add_number(o, "domid", m->domid);
	dvm_out_add_text(o, "uuid", m->text);
	dvm_out_add_text(o, "template", m->template);
	dvm_out_add_text(o, "launch_id", id);
	dvm_out_add_seconds(o, "running_s", took_ns);
	for (unsigned i = 0; i < DVM_PROTO_STAGES; i++)
		if (m->value[i] != 0)
			dvm_out_add_seconds(stages, dvm_proto_stage_name(i),
			    m->value[i]);
	(void)json_object_object_add(o, "stages_s", stages);
	dvm_out_line(o);
}

static void
print_stages(const struct dvm_proto *m)
{
	uint64_t before = 0;

	for (unsigned i = 0; i < DVM_PROTO_STAGES; i++) {
		if (m->value[i] < before || m->value[i] == 0)
			continue;
		(void)printf("  %-10s %8.1f ms  (ends at %.1f ms)\n",
		    dvm_proto_stage_name(i),
		    (double)(m->value[i] - before) / 1e6,
		    (double)m->value[i] / 1e6);
		before = m->value[i];
	}
}

static int
print_running(const struct run *r, struct err *e)
{
	uint64_t took_ns = clock_now_ns() - r->start_ns;

	if (dvm_cli_has(r->args, 'q'))
		return 0;
	if (dvm_cli_has(r->args, 'j')) {
		print_json(r, took_ns);
	} else {
		(void)printf("%s: running after %.3f s\n", r->running.name,
		    (double)took_ns / 1e9);
		if (dvm_cli_has(r->args, 't'))
			print_stages(&r->running);
	}
	return dvm_out_flush(e);
}

/* What messages are about, from the first one on. */
static const char *
subject(const struct run *r)
{
	return r->running.name[0] != '\0' ? r->running.name :
	    r->args->operands[0];
}

/* The ENDED answer: 0, or the error that it tells of. */
static int
end(const struct run *r, const struct dvm_proto *m, struct err *e)
{
	if (m->code != 0)
		return err_set(e, dvm_link_code(m->code), 0, "it ended: %.400s",
		    m->text);
	if (dvm_cli_has(r->args, 'q'))
		return 0;
	if (dvm_cli_has(r->args, 'j')) {
		struct json_object *o = json_object_new_object();

		dvm_out_add_text(o, "event", "ended");
		dvm_out_add_text(o, "name", r->running.name);
		dvm_out_add_text(o, "reason", m->text);
		dvm_out_line(o);
	} else {
		(void)printf("%s: ended: %s\n", subject(r), m->text);
	}
	return dvm_out_flush(e);
}

/* 1: it runs; 0: it has ended already. */
static int
launch(struct run *r, struct err *e)
{
	struct dvm_proto request = { .type = DVM_PROTO_RUN };
	struct dvm_proto m;
	bool failed;
	int rc;

	request.value[0] = r->limit_s;
	if (dvm_cli_put(request.template, sizeof(request.template),
	    r->args->operands[0], "template's name", e) != 0)
		return -1;
	dvm_link_expect(&r->link, LAUNCH_TIMEOUT_S);
	if (dvm_link_open(&r->link, &request, -1, e) != 0)
		return -1;
	while ((rc = dvm_link_receive(&r->link, &m, &failed, e)) == 1 &&
	    m.type == DVM_PROTO_QUEUED)
		show_queue(r, m.value[0]);
	clear_queue(r);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return err_set(e, ERR_SYS, 0, "the service went away before "
		    "it ran: try again, or see systemctl status "
		    "dvm-restored");
	if (m.type == DVM_PROTO_ENDED)
		return end(r, &m, e);
	r->running = m;
	return print_running(r, e) == 0 ? 1 : -1;
}

/* One attempt: 1 it is held again, 0 it has ended, -1; *again if the next
 * attempt may succeed. */
static int
attach_once(struct run *r, bool *again, struct err *e)
{
	struct dvm_proto request = { .type = DVM_PROTO_ATTACH,
	    .launch_id = r->running.launch_id };
	struct dvm_proto m;
	bool failed = false;
	int rc = dvm_link_open(&r->link, &request, -1, e);

	if (rc == 0)
		rc = dvm_link_receive(&r->link, &m, &failed, e);
	else if (e->code == ERR_SYS)
		rc = 0;
	if (rc == 1 && m.type == DVM_PROTO_ENDED)
		return end(r, &m, e);
	if (rc == 1)
		return 1;
	dvm_link_close(&r->link);
	/* It went away again, is not there yet, or is busy finding what
	 * runs; at the deadline, the next attempt is none. */
	*again = rc == 0 || e->code == (failed ? ERR_BUSY : ERR_TIMEOUT);
	return -1;
}

/* 1: it is held again; 0: it has ended. */
static int
attach(struct run *r, struct err *e)
{
	bool again;
	int rc = -1;

	dvm_link_close(&r->link);
	dvm_link_expect(&r->link, AWAY_TIMEOUT_S);
	if (!dvm_cli_has(r->args, 'q'))
		(void)fprintf(stderr, "dvm: %s: the service went away; "
		    "waiting up to %u s for it to come back\n",
		    r->running.name, r->link.timeout_s);
	do {
		again = false;
		rc = attach_once(r, &again, e);
		if (again && dvm_link_pause(&r->link, AWAY_MS, e) != 0)
			again = false;
	} while (again && clock_now_ns() < r->link.deadline_ns);
	if (again)
		return err_set(e, ERR_SYS, 0, "the service did not come back "
		    "within %u s: see systemctl status dvm-restored, then dvm "
		    "kill %s", r->link.timeout_s, r->running.name);
	if (rc < 0 && e->code == ERR_INTERRUPTED)
		return err_set(e, ERR_INTERRUPTED, 0, "interrupted while the "
		    "service is away: it may run on until dvm kill %s",
		    r->running.name);
	return rc;
}

/* Until it has ended. */
static int
hold(struct run *r, struct err *e)
{
	uint64_t limit_ns = r->limit_s == 0 ? 0 : clock_now_ns() +
	    (r->limit_s + END_TIMEOUT_S) * CLOCK_SECOND;
	struct dvm_proto m;
	bool failed;
	int rc = 1;

	while (rc == 1) {
		r->link.deadline_ns = limit_ns;
		r->link.timeout_s = (unsigned)r->limit_s + END_TIMEOUT_S;
		rc = dvm_link_receive(&r->link, &m, &failed, e);
		if (rc == 1 && m.type == DVM_PROTO_ENDED)
			return end(r, &m, e);
		if (rc == 1)
			return err_set(e, ERR_INPUT, 0, "the service's "
			    "answer: type %u while it runs", m.type);
		if (rc == 0)
			rc = attach(r, e);
	}
	return rc;
}

static int
open_signals(struct err *e)
{
	struct sigaction hup;
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	/* Ignored under nohup, and to remain so. */
	if (sigaction(SIGHUP, NULL, &hup) != 0 || hup.sa_handler != SIG_IGN)
		(void)sigaddset(&set, SIGHUP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "signalfd");
	return fd;
}

int
dvm_run(const struct dvm_args *args, struct err *e)
{
	struct run r = { .args = args, .start_ns = clock_now_ns(),
	    .link = { .fd = -1, .signal_fd = -1 } };
	int rc;

	if (args->given['f'] != NULL && dvm_cli_number(args->given['f'], 1,
	    365 * 86400ul, "--for", &r.limit_s, e) != 0)
		return -1;
	r.link.signal_fd = open_signals(e);
	if (r.link.signal_fd < 0)
		return -1;
	rc = launch(&r, e);
	if (rc == 1)
		rc = hold(&r, e);
	if (rc != 0 && r.running.name[0] != '\0')
		(void)err_prefix(e, "%s", r.running.name);
	dvm_link_close(&r.link);
	(void)close(r.link.signal_fd);
	return rc;
}
