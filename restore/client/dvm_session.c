/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program in a disposable: the launch, and what is open while it runs.  Runs
 * in dvm, as any user.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "restore/client/dvm_session.h"
#include "restore/client/dvm_talk.h"

static int
join_args(struct dvm_talk *t, struct err *e)
{
	for (int i = 0; i < t->p->nr_args; i++) {
		size_t len = strlen(t->p->args[i]) + 1;

		if (i == CHAN_ARGS_MAX ||
		    len > sizeof(t->args) - t->args_len)
			return err_set(e, ERR_USAGE, 0, "too many arguments: "
			    "at most %u, and %zu bytes", CHAN_ARGS_MAX,
			    sizeof(t->args));
		memcpy(t->args + t->args_len, t->p->args[i], len);
		t->args_len += len;
	}
	return 0;
}

static int
launch(struct dvm_talk *t, int fds[2], struct err *e)
{
	int rc = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);

	if (rc != 0)
		return err_set(e, ERR_SYS, errno, "socketpair");
	dvm_hold_init(&t->hold, t->signals.fd, t->p->limit_s, t->p->quiet);
	rc = dvm_hold_launch(&t->hold, t->p->template, fds[1], e);
	/* The courier's alone, so that its end is seen. */
	(void)close(fds[1]);
	fds[1] = -1;
	t->hold.link.signal_fd = -1;
	if (rc == 0)
		return err_set(e, ERR_SYS, 0, "it ended: %.400s",
		    t->hold.ended.text);
	return rc < 0 ? -1 : 0;
}

static void
run(struct dvm_talk *t, struct err *e)
{
	int fds[2] = { -1, -1 };
	struct chan_io io;

	if (launch(t, fds, e) == 0) {
		if (t->p->launched != NULL)
			t->p->launched(&t->hold, t->p->launched_arg);
		io = chan_io_socket(fds[0]);
		chan_init(&t->chan, &io, false);
		dvm_stdin_open(&t->in, STDIN_FILENO);
		/* What shows a file or an address is not typed to. */
		if (t->p->kind == CHAN_OPEN || t->p->kind == CHAN_URL)
			dvm_stdin_close(&t->in);
		dvm_stdout_open(&t->out[0], STDOUT_FILENO, t->p->tty);
		dvm_stdout_open(&t->out[1], STDERR_FILENO, t->p->tty);
		dvm_signals_go_on(&t->signals, t->p->tty);
		dvm_talk_run(t, e);
		dvm_tty_restore(&t->tty);
		dvm_stdin_close(&t->in);
		dvm_stdout_close(&t->out[0]);
		dvm_stdout_close(&t->out[1]);
	} else {
		t->status = e->code == ERR_USAGE ? -1 :
		    e->code == ERR_INTERRUPTED ? DVM_SESSION_SIGNAL +
		    dvm_signals_take(&t->signals, false, &t->tty) :
		    DVM_SESSION_FAILED;
	}
	dvm_hold_close(&t->hold);
	if (fds[0] >= 0)
		(void)close(fds[0]);
}

int
dvm_session_run(const struct dvm_session *p, struct err *e)
{
	struct dvm_talk *t = calloc(1, sizeof(*t));
	int status;

	if (t == NULL)
		return err_set(e, ERR_NOMEM, errno, "a session");
	t->p = p;
	t->tty.fd = STDIN_FILENO;
	status = join_args(t, e);
	if (status == 0 && dvm_signals_open(&t->signals, e) != 0)
		status = DVM_SESSION_FAILED;
	if (status == 0) {
		run(t, e);
		status = t->status;
		dvm_signals_close(&t->signals);
	}
	free(t);
	return status;
}
