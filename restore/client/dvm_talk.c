/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The conversation with a disposable's agent.  Runs in dvm, as any user.  The
 * service is root's and is believed; what comes on the channel is the guest's:
 * chan_next() has checked its form, nothing else.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "include/clock.h"
#include "restore/client/dvm_talk.h"

/* The agent has acknowledged, so it runs. */
#define HELLO_S 120
/* Between two bytes of a file that comes back. */
#define STALL_S 60
/* The channel's end and the reason for it come on two ways. */
#define LOST_S 10

enum { P_CHAN, P_LINK, P_SIGNAL, P_IN, P_OUT, P_ERR, P_NR };

static uint64_t
in_seconds(unsigned s)
{
	return clock_now_ns() + dvm_link_seconds(s) * CLOCK_SECOND;
}

static void
finish(struct dvm_talk *t, int status)
{
	t->over = true;
	t->status = status;
	dvm_hold_close(&t->hold);
	t->link_over = true;
}

/* Files, then START, as far as there is room. */
static int
send_start(struct dvm_talk *t, struct err *e)
{
	struct chan_start start = { .kind = t->p->kind,
	    .back_max = t->p->back_max, .args = t->args,
	    .args_len = t->args_len };
	int rc = t->p->files == NULL ? 1 :
	    dvm_files_send(t->p->files, &t->chan, e);

	if (rc <= 0 || !chan_has_room(&t->chan))
		return rc < 0 ? -1 : 0;
	if (t->p->tty) {
		start.flags |= CHAN_START_TTY;
		dvm_tty_size(t->tty.fd, &start.rows, &start.cols);
	}
	if (t->p->files != NULL) {
		start.nr_files = (uint16_t)t->p->files->nr;
		if (t->p->files->view_only)
			start.flags |= CHAN_START_VIEW_ONLY;
	}
	t->start_sent = true;
	return chan_send_start(&t->chan, &start, e);
}

static int
send_credit(struct dvm_talk *t, unsigned i, struct err *e)
{
	uint32_t bytes = t->out[i].uncredited;

	if (bytes < CHAN_CREDIT_MIN || !chan_has_room(&t->chan))
		return 0;
	t->out[i].uncredited = 0;
	return chan_send_u32(&t->chan, CHAN_CREDIT,
	    (uint8_t)(CHAN_STDOUT + i), bytes, e);
}

static int
send_signals(struct dvm_talk *t, struct err *e)
{
	uint16_t size[2], rows, cols;
	uint32_t nr;

	while (chan_has_room(&t->chan) &&
	    (nr = dvm_signals_next(&t->signals)) != 0) {
		if (nr != SIGWINCH) {
			if (chan_send_u32(&t->chan, CHAN_SIGNAL, 0, nr,
			    e) != 0)
				return -1;
			continue;
		}
		dvm_tty_size(t->tty.fd, &rows, &cols);
		size[0] = htole16(rows);
		size[1] = htole16(cols);
		if (chan_send(&t->chan, CHAN_WINSIZE, 0, size, sizeof(size),
		    e) != 0)
			return -1;
	}
	return 0;
}

/* All that is due, as far as there is room. */
static int
send_due(struct dvm_talk *t, struct err *e)
{
	struct chan *c = &t->chan;

	if (!t->start_sent)
		return send_start(t, e);
	if (!c->in.started)
		return 0;
	if (t->in.ended && !c->out.eof[CHAN_STDIN] && chan_has_room(c) &&
	    chan_send(c, CHAN_EOF, CHAN_STDIN, NULL, 0, e) != 0)
		return -1;
	if (send_credit(t, 0, e) != 0 || send_credit(t, 1, e) != 0 ||
	    (t->p->files != NULL &&
	    dvm_files_credit(t->p->files, c, e) != 0))
		return -1;
	return send_signals(t, e);
}

static int
send_stdin(struct dvm_talk *t, struct err *e)
{
	uint8_t data[CHAN_PAYLOAD_MAX];
	size_t len = chan_may_send(&t->chan, CHAN_STDIN);
	ssize_t n = len == 0 ? 0 : dvm_stdin_read(&t->in, data, len);

	return n <= 0 ? 0 : chan_send(&t->chan, CHAN_DATA, CHAN_STDIN, data,
	    (size_t)n, e);
}

static int
take_end(struct dvm_talk *t, const struct chan_frame *f, struct err *e)
{
	char text[CHAN_TEXT_MAX + 1];
	uint32_t status = chan_u32(f);
	int of_files = 0;

	if (f->type == CHAN_FAILED) {
		chan_get_text(f, text);
		if (t->p->files != NULL && t->chan.in.started)
			(void)dvm_files_finish(t->p->files, false);
		finish(t, (int)status);
		return err_set(e, ERR_SYS, 0, "%s", text);
	}
	if (t->p->files != NULL)
		of_files = dvm_files_finish(t->p->files, true);
	finish(t, of_files != 0 ? of_files : (int)(status < 256 ? status :
	    status - 256 + DVM_SESSION_SIGNAL));
	return 0;
}

static int
take_frame(struct dvm_talk *t, const struct chan_frame *f, struct err *e)
{
	struct dvm_stdout *out = f->stream == CHAN_STDOUT ? &t->out[0] :
	    f->stream == CHAN_STDERR ? &t->out[1] : NULL;

	if (f->type == CHAN_HELLO)
		t->hello_by_ns = 0;
	if (f->type == CHAN_STARTED && t->p->tty)
		return dvm_tty_raw(&t->tty, e);
	if (f->type == CHAN_EXIT || f->type == CHAN_FAILED)
		return take_end(t, f, e);
	if (f->type != CHAN_DATA && f->type != CHAN_EOF &&
	    f->type != CHAN_BACK && f->type != CHAN_END)
		return 0;
	if (out != NULL && f->type == CHAN_DATA) {
		dvm_stdout_put(out, f->data, f->len);
	} else if (out != NULL && f->type == CHAN_EOF) {
		dvm_stdout_finish(out);
	} else if (f->stream >= CHAN_FILE_0 && t->p->files != NULL) {
		t->stall_by_ns = in_seconds(STALL_S);
		if (dvm_files_take(t->p->files, f, t->hold.running.name,
		    e) != 0)
			return -1;
		if (!dvm_files_is_coming(t->p->files, &t->chan))
			t->stall_by_ns = 0;
	} else {
		return err_set(e, ERR_INPUT, 0, "stream %u is none",
		    f->stream);
	}
	return 0;
}

static int
take_frames(struct dvm_talk *t, short revents, struct err *e)
{
	struct chan_frame f;
	int rc;

	if (chan_move(&t->chan, revents, e) != 0)
		return -1;
	while (!t->over && (rc = chan_next(&t->chan, &f, e)) != 0)
		if (rc < 0 || take_frame(t, &f, e) != 0)
			return t->over ? -1 : err_prefix(e, "its agent");
	return 0;
}

static int
take_signals(struct dvm_talk *t, struct err *e)
{
	int nr = dvm_signals_take(&t->signals, t->chan.in.started && !t->over,
	    &t->tty);

	if (nr == 0)
		return 0;
	finish(t, DVM_SESSION_SIGNAL + nr);
	t->cut = true;
	return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
}

static int
write_out(struct dvm_talk *t, struct err *e)
{
	(void)dvm_stdout_write(&t->out[1]);
	if (dvm_stdout_write(&t->out[0]) == 0)
		return 0;
	/* What is opened is the point, and files are to come back. */
	if (t->p->kind == CHAN_OPEN || t->p->kind == CHAN_URL)
		return 0;
	t->cut = true;
	if (errno == EPIPE) {
		/* As who dies of writing to nobody. */
		finish(t, DVM_SESSION_SIGNAL + SIGPIPE);
		return 0;
	}
	finish(t, DVM_SESSION_FAILED);
	return err_set(e, ERR_SYS, errno, "cannot write the output");
}

static int
take_link(struct dvm_talk *t, bool readable, struct err *e)
{
	int rc = dvm_hold_turn(&t->hold, readable, e);

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	/* What the channel still has is first. */
	t->link_over = true;
	dvm_hold_close(&t->hold);
	t->lost_by_ns = in_seconds(LOST_S);
	return 0;
}

static int
check_time(struct dvm_talk *t, struct err *e)
{
	uint64_t now = clock_now_ns();
	bool lost = t->lost_by_ns != 0 && now >= t->lost_by_ns;

	if (t->chan.closed && t->lost_by_ns == 0)
		t->lost_by_ns = in_seconds(LOST_S);
	if (t->link_over && (t->chan.closed || lost))
		return err_set(e, ERR_SYS, 0, "it ended: %.400s",
		    t->hold.ended.text);
	if (lost)
		return err_set(e, ERR_SYS, 0, "the connection to it was lost: "
		    "see dvm log");
	if (t->hello_by_ns != 0 && now >= t->hello_by_ns)
		return err_set(e, ERR_TIMEOUT, 0, "its agent did not answer "
		    "within %u s: install the template's agent and prepare it "
		    "again", dvm_link_seconds(HELLO_S));
	if (t->stall_by_ns != 0 && now >= t->stall_by_ns)
		return err_set(e, ERR_TIMEOUT, 0, "nothing came for %u s while "
		    "a file was to come back", dvm_link_seconds(STALL_S));
	return 0;
}

static void
fill_poll(const struct dvm_talk *t, struct pollfd p[P_NR])
{
	const struct chan *c = &t->chan;
	bool in = !t->over && c->in.started && !t->in.ended &&
	    chan_may_send(c, CHAN_STDIN) > 0;

	p[P_CHAN] = (struct pollfd){ .fd = t->over || c->closed ? -1 :
	    c->io.fd, .events = chan_events(c) };
	p[P_LINK] = (struct pollfd){ .fd = t->link_over ? -1 :
	    t->hold.link.fd, .events = POLLIN };
	p[P_SIGNAL] = (struct pollfd){ .fd = t->signals.fd,
	    .events = POLLIN };
	p[P_IN] = (struct pollfd){ .fd = in ? t->in.fd : -1,
	    .events = POLLIN };
	for (int i = 0; i < 2; i++)
		p[P_OUT + i] = (struct pollfd){
		    .fd = dvm_stdout_waits(&t->out[i]) ? t->out[i].fd : -1,
		    .events = POLLOUT };
}

static int
poll_timeout(const struct dvm_talk *t)
{
	uint64_t by[] = { t->hello_by_ns, t->stall_by_ns, t->lost_by_ns,
	    t->link_over ? 0 : t->hold.wake_ns };
	uint64_t now = clock_now_ns(), ms = 60000;

	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++)
		if (by[i] != 0 && (by[i] <= now ||
		    (by[i] - now) / CLOCK_MS < ms))
			ms = by[i] <= now ? 0 :
			    (by[i] - now) / CLOCK_MS + 1;
	return t->over ? -1 : (int)ms;
}

static int
turn(struct dvm_talk *t, struct err *e)
{
	struct pollfd p[P_NR];
	int rc;

	fill_poll(t, p);
	if (poll(p, P_NR, poll_timeout(t)) < 0 && errno != EINTR)
		return err_set(e, ERR_SYS, errno, "poll");
	if (p[P_SIGNAL].revents != 0 && take_signals(t, e) != 0)
		return -1;
	rc = write_out(t, e);
	if (rc != 0 || t->over)
		return rc;
	if (p[P_IN].revents != 0 && send_stdin(t, e) != 0)
		return -1;
	if (take_frames(t, p[P_CHAN].revents, e) != 0)
		return -1;
	if (t->over)
		return 0;
	/* Last, so that poll() sees all that is to be sent. */
	if (send_due(t, e) != 0)
		return -1;
	if (!t->link_over && take_link(t, p[P_LINK].revents != 0, e) != 0)
		return -1;
	return check_time(t, e);
}

void
dvm_talk_run(struct dvm_talk *t, struct err *e)
{
	struct err later;

	e->msg[0] = '\0';
	t->hello_by_ns = in_seconds(HELLO_S);
	if (chan_send_hello(&t->chan, e) != 0)
		finish(t, DVM_SESSION_FAILED);
	while (!t->over)
		if (turn(t, e) != 0 && !t->over)
			finish(t, DVM_SESSION_FAILED);
	if (t->status == DVM_SESSION_FAILED || t->cut)
		if (t->p->files != NULL && t->chan.in.started &&
		    !t->chan.in.ended)
			(void)dvm_files_finish(t->p->files, false);
	for (int i = 0; i < 2; i++)
		dvm_stdout_finish(&t->out[i]);
	while (!t->cut && (dvm_stdout_waits(&t->out[0]) ||
	    dvm_stdout_waits(&t->out[1])))
		if (turn(t, &later) != 0 && e->msg[0] == '\0')
			*e = later;
	if (e->msg[0] != '\0')
		(void)err_prefix(e, "%s", t->hold.running.name);
}
