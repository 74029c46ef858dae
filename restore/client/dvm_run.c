/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm run: starts a disposable and holds it until interrupted; or, with a
 * program, until that has ended.  Trusts the service as far as dvm_link does.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "include/clock.h"
#include "restore/client/dvm_cli.h"
#include "restore/client/dvm_hold.h"
#include "restore/client/dvm_out.h"
#include "restore/client/dvm_session.h"

/* What the command line says. */
struct what {
	const struct dvm_args *args;
	char template[sizeof(((struct dvm_proto *)0)->template)];
	unsigned long limit_s;		/* 0: none */
	char **program;			/* NULL: none */
	int nr_words;
};

static void
print_json(const struct dvm_hold *h, FILE *to, uint64_t took_ns)
{
	const struct dvm_proto *m = &h->running;
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
	(void)json_object_object_add(o, "cold",
	    json_object_new_boolean(m->value[DVM_PROTO_STAGES] != 0));
	for (unsigned i = 0; i < DVM_PROTO_STAGES; i++)
		if (m->value[i] != 0)
			dvm_out_add_seconds(stages, dvm_proto_stage_name(i),
			    m->value[i]);
	(void)json_object_object_add(o, "stages_s", stages);
	dvm_out_line_to(o, to);
}

static void
print_stages(const struct dvm_proto *m, FILE *to)
{
	uint64_t before = 0;

	for (unsigned i = 0; i < DVM_PROTO_STAGES; i++) {
		if (m->value[i] < before || m->value[i] == 0)
			continue;
		(void)fprintf(to, "  %-10s %8.1f ms  (ends at %.1f ms)\n",
		    dvm_proto_stage_name(i),
		    (double)(m->value[i] - before) / 1e6,
		    (double)m->value[i] / 1e6);
		before = m->value[i];
	}
}

static void
print_running(const struct dvm_args *args, const struct dvm_hold *h, FILE *to)
{
	uint64_t took_ns = clock_now_ns() - h->start_ns;

	if (dvm_cli_has(args, 'q'))
		return;
	if (dvm_cli_has(args, 'j')) {
		print_json(h, to, took_ns);
		return;
	}
	(void)fprintf(to, "%s: running after %.3f s\n", h->running.name,
	    (double)took_ns / 1e9);
	if (dvm_cli_has(args, 'T'))
		print_stages(&h->running, to);
}

/* Standard output is the program's alone. */
static void
launched(const struct dvm_hold *h, const void *arg)
{
	const struct dvm_args *args = arg;

	if (dvm_cli_has(args, 'j') || dvm_cli_has(args, 'T'))
		print_running(args, h, stderr);
}

/* The ENDED answer: 0, or the error that it tells of. */
static int
end(const struct what *w, const struct dvm_hold *h, struct err *e)
{
	if (dvm_hold_why(h, e) != 0)
		return -1;
	if (dvm_cli_has(w->args, 'q'))
		return 0;
	if (dvm_cli_has(w->args, 'j')) {
		struct json_object *o = json_object_new_object();

		dvm_out_add_text(o, "event", "ended");
		dvm_out_add_text(o, "name", h->running.name);
		dvm_out_add_text(o, "reason", h->ended.text);
		dvm_out_line(o);
	} else {
		(void)printf("%s: ended: %s\n", h->running.name[0] != '\0' ?
		    h->running.name : w->template, h->ended.text);
	}
	return dvm_out_flush(e);
}

static int
interrupted(const struct dvm_hold *h, struct err *e)
{
	if (h->away_until_ns == 0)
		return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
	return err_set(e, ERR_INTERRUPTED, 0, "interrupted while the service "
	    "is away: it may run on until dvm kill %s", h->running.name);
}

/* Until it has ended: 0. */
static int
hold(struct dvm_hold *h, int signal_fd, struct err *e)
{
	int rc = 1;

	while (rc == 1) {
		struct pollfd p[2] = { { .fd = h->link.fd, .events = POLLIN },
		    { .fd = signal_fd, .events = POLLIN } };
		uint64_t now = clock_now_ns();
		int ms = h->wake_ns == 0 ? -1 : h->wake_ns <= now ? 0 :
		    h->wake_ns - now > 60 * CLOCK_SECOND ? 60000 :
		    (int)((h->wake_ns - now) / CLOCK_MS) + 1;

		if (poll(p, 2, ms) < 0 && errno != EINTR)
			return err_set(e, ERR_SYS, errno, "poll");
		if (p[1].revents != 0)
			return interrupted(h, e);
		rc = dvm_hold_turn(h, p[0].revents != 0, e);
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

static int
run_alone(const struct what *w, struct err *e)
{
	int signal_fd = open_signals(e), rc;
	struct dvm_hold h;

	if (signal_fd < 0)
		return -1;
	dvm_hold_init(&h, signal_fd, (unsigned)w->limit_s,
	    dvm_cli_has(w->args, 'q'));
	rc = dvm_hold_launch(&h, w->template, -1, e);
	h.link.signal_fd = -1;
	if (rc == 1) {
		print_running(w->args, &h, stdout);
		rc = dvm_out_flush(e);
		if (rc == 0)
			rc = hold(&h, signal_fd, e);
	}
	if (rc == 0)
		rc = end(w, &h, e);
	if (rc != 0 && h.running.name[0] != '\0')
		(void)err_prefix(e, "%s", h.running.name);
	dvm_hold_close(&h);
	(void)close(signal_fd);
	return rc;
}

static int
run_program(const struct what *w, uint8_t kind, struct err *e)
{
	struct dvm_session p = { .template = w->template,
	    .limit_s = (unsigned)w->limit_s, .kind = kind,
	    .quiet = dvm_cli_has(w->args, 'q'),
	    .tty = dvm_cli_has(w->args, 't'),
	    .args = w->program, .nr_args = w->nr_words,
	    .launched = launched, .launched_arg = w->args };

	if (p.tty && !isatty(STDIN_FILENO))
		return err_set(e, ERR_USAGE, 0, "run: --tty gives the program "
		    "your terminal, and standard input is none");
	return dvm_session_run(&p, e);
}

/* TEMPLATE, TEMPLATE [--] PROGRAM ..., or -- PROGRAM ... */
static int
parse(struct what *w, struct err *e)
{
	char **at = w->args->operands, **last = at + w->args->nr_operands;

	if (!w->args->ended && at < last &&
	    dvm_cli_put(w->template, sizeof(w->template), *at++,
	    "template's name", e) != 0)
		return -1;
	if (!w->args->ended && at < last && strcmp(*at, "--") == 0) {
		at++;
		if (at == last)
			return err_set(e, ERR_USAGE, 0, "run: a program is "
			    "missing after --; see dvm run --help");
	}
	if (at < last && **at == '\0')
		return err_set(e, ERR_USAGE, 0, "run: a program's name is "
		    "empty");
	if (at < last)
		w->program = at;
	w->nr_words = (int)(last - at);
	return 0;
}

int
dvm_run(const struct dvm_args *args, struct err *e)
{
	struct what w = { .args = args };
	const char *service = args->given['s'];
	char name[256];
	char *word = name;

	if (args->given['f'] != NULL && dvm_cli_number(args->given['f'], 1,
	    365 * 86400ul, "--for", &w.limit_s, e) != 0)
		return -1;
	if (parse(&w, e) != 0)
		return -1;
	if (service != NULL && (w.program != NULL || *service == '-'))
		return err_set(e, ERR_USAGE, 0, "run: --service takes its name "
		    "and argument, and no program; see dvm run --help");
	if (service != NULL) {
		if (dvm_cli_put(name, sizeof(name), service, "service's name",
		    e) != 0)
			return -1;
		w.program = &word;
		w.nr_words = 1;
		return run_program(&w, CHAN_SERVICE, e);
	}
	if (w.program != NULL)
		return run_program(&w, CHAN_PROGRAM, e);
	if (args->nr_operands == 0 || dvm_cli_has(args, 't'))
		return err_set(e, ERR_USAGE, 0, "run: say TEMPLATE, PROGRAM or "
		    "both; see dvm run --help");
	return run_alone(&w, e);
}
