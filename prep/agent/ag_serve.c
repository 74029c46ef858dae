/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session of the channel, in a process that dvm-agent has forked after its
 * acknowledgement.  It trusts dom0, whose words have passed chan_next(), and
 * not what it starts.
 *
 * What came is always taken, room to answer or not, so that neither side waits
 * for the other: bytes for the program into a buffer of its window's size,
 * files to the disk.  What is owed for them is said when there is room.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "prep/agent/ag_files.h"
#include "prep/agent/ag_serve.h"
#include "prep/agent/ag_spawn.h"
#include "prep/agent/ag_start.h"
#include "prep/agent/ag_stdio.h"

#define EXIT_SIGNAL 256

enum state {
	WAITING,	/* for START */
	STARTING,
	RUNNING,
	RETURNING,	/* the files */
	EXITING,
	FAILING,
	DONE		/* the last frame is said */
};

struct session {
	struct chan chan;
	const struct ag_serve_params *p;
	enum state state;
	struct chan_start start;
	char args[CHAN_PAYLOAD_MAX];	/* start.args */
	struct ag_command command;
	struct ag_stdio stdio;
	int signal_fd;
	bool reaped, alone;		/* the program; all that it left */
	uint32_t exit_status;
	uint32_t owed[CHAN_STREAMS];	/* CREDIT to say */
	struct ag_files files;
	uint8_t next_back;		/* the file's stream */
	bool sending;
	int failed;			/* FAILED's status, and why */
	struct err why;
};

/* To be said to dvm; `status` 0 is none. */
static void
fail(struct session *s, int status)
{
	if (status == 0)
		return;
	s->failed = status;
	s->state = FAILING;
}

static void
take_start(struct session *s, const struct chan_frame *f)
{
	chan_get_start(f, &s->start);
	memcpy(s->args, s->start.args, s->start.args_len);
	s->start.args = s->args;
	s->stdio.tty = s->start.flags & CHAN_START_TTY;
	s->state = STARTING;
}

static int
take_put(struct session *s, const struct chan_frame *f)
{
	char name[CHAN_NAME_MAX + 1];
	uint64_t size;

	chan_get_put(f, &size, name);
	if (f->stream != CHAN_FILE_0 + s->files.nr)
		return err_set(&s->why, ERR_INPUT, 0, "the streams of files "
		    "are not in a row");
	return ag_files_put(&s->files, f->stream, name, &s->why);
}

static int
take_data(struct session *s, const struct chan_frame *f)
{
	if (f->stream == CHAN_STDIN) {
		ag_stdio_take(&s->stdio, f);
		return 0;
	}
	s->owed[f->stream] += f->len;
	return ag_files_data(&s->files, f->stream, f->data, f->len, &s->why);
}

static void
take_signal(struct session *s, int nr)
{
	if (s->state == RUNNING && !s->reaped)
		(void)kill(-s->stdio.child.pid, nr);
	else if (s->state == RUNNING)
		ag_spawn_signal_all(nr);
}

static void
take_frame(struct session *s, const struct chan_frame *f)
{
	int rc = 0;

	switch ((enum chan_type)f->type) {
	case CHAN_PUT:
		rc = take_put(s, f);
		break;
	case CHAN_DATA:
		rc = take_data(s, f);
		break;
	case CHAN_END:
		rc = ag_files_end(&s->files, f->stream, f->data + 8, &s->why);
		break;
	case CHAN_START:
		take_start(s, f);
		break;
	case CHAN_EOF:
		s->stdio.in_eof = true;
		break;
	case CHAN_SIGNAL:
		take_signal(s, (int)chan_u32(f));
		break;
	case CHAN_WINSIZE:
		if (s->state == RUNNING && s->stdio.tty)
			ag_spawn_set_size(&s->stdio.child,
			    (uint16_t)(f->data[0] | f->data[1] << 8),
			    (uint16_t)(f->data[2] | f->data[3] << 8));
		break;
	case CHAN_HELLO:
	case CHAN_CREDIT:
	case CHAN_STARTED:
	case CHAN_BACK:
	case CHAN_EXIT:
	case CHAN_FAILED:
		break;
	}
	if (rc != 0)
		fail(s, 125);
}

/* How many frames came.  Those after START are for what it starts, so they
 * wait for that. */
static int
take_frames(struct session *s, struct err *e)
{
	struct chan_frame f;
	int nr = 0, rc = 0;

	while (s->state != STARTING &&
	    (rc = chan_next(&s->chan, &f, e)) == 1) {
		nr++;
		if (s->state < FAILING)
			take_frame(s, &f);
	}
	return rc < 0 ? -1 : nr;
}

static int
start(struct session *s, struct err *e)
{
	const struct ag_start where = { .root = s->p->root,
	    .user = s->p->user, .files = &s->files };
	struct ag_spawn spawn = { .argv = s->command.argv,
	    .user = s->p->user, .tty = s->stdio.tty, .rows = s->start.rows,
	    .cols = s->start.cols, .cgroup_fd = s->p->cgroup_fd };
	int status = ag_start(&where, &s->start, &s->command, &s->why);

	if (status == 0 && (s->start.flags & CHAN_START_VIEW_ONLY) != 0 &&
	    ag_files_protect(&s->files, &s->why) != 0)
		status = 125;
	spawn.argument = s->command.argument;
	if (status == 0)
		status = ag_spawn(&spawn, &s->stdio.child, &s->why);
	fail(s, status);
	if (status != 0)
		return 0;
	s->state = RUNNING;
	return chan_send(&s->chan, CHAN_STARTED, 0, NULL, 0, e);
}

static int
run(struct session *s, struct err *e)
{
	uint32_t passed_on;
	bool fed = ag_stdio_feed(&s->stdio, &passed_on);
	int relayed;

	s->owed[CHAN_STDIN] += passed_on;
	if (!s->stdio.ending && s->reaped &&
	    (s->alone || !s->command.to_the_last))
		ag_stdio_end(&s->stdio);
	relayed = ag_stdio_relay(&s->stdio, &s->chan, e);
	if (relayed < 0)
		return -1;
	if (!s->stdio.ending || !s->chan.out.eof[CHAN_STDOUT] ||
	    !s->chan.out.eof[CHAN_STDERR])
		return fed || relayed == 1;
	s->state = s->start.kind == CHAN_OPEN &&
	    (s->start.flags & CHAN_START_VIEW_ONLY) == 0 ? RETURNING : EXITING;
	return 1;
}

/* A step of the way back of the files. */
static int
give_back(struct session *s, struct err *e)
{
	uint8_t stream = s->next_back, buf[CHAN_PAYLOAD_MAX];
	struct ag_file *file = &s->files.file[stream - CHAN_FILE_0];
	size_t may = chan_may_send(&s->chan, stream), n;
	enum chan_back how;
	uint64_t size;

	if (!s->sending) {
		if (ag_files_look(&s->files, stream, s->start.back_max, &how,
		    &size) == 1)
			return 0;
		s->sending = how == CHAN_CHANGED;
		if (!s->sending)
			s->next_back++;
		return chan_send_back(&s->chan, stream, how, size, e);
	}
	n = ag_files_read(&s->files, stream, buf, may);
	if (n > 0)
		return chan_send(&s->chan, CHAN_DATA, stream, buf, n, e);
	s->sending = false;
	s->next_back++;
	return chan_send_end(&s->chan, stream, file->size, file->hash, e);
}

/* Says and does what it is time for.  1: it did; 0: nothing, until something
 * comes. */
static int
step(struct session *s, struct err *e)
{
	int rc = 0;

	if (s->state == RUNNING)
		return run(s, e);
	if (s->state == RETURNING &&
	    s->next_back == CHAN_FILE_0 + s->files.nr)
		s->state = EXITING;
	if (!chan_has_room(&s->chan) || s->state == WAITING ||
	    s->state == DONE || (s->state == RETURNING &&
	    chan_may_send(&s->chan, s->next_back) == 0))
		return 0;
	if (s->state == STARTING)
		return start(s, e) == 0 ? 1 : -1;
	if (s->state == RETURNING)
		return give_back(s, e) == 0 ? 1 : -1;
	if (s->state == EXITING)
		rc = chan_send_u32(&s->chan, CHAN_EXIT, 0, s->exit_status, e);
	else
		rc = chan_send_failed(&s->chan, (uint32_t)s->failed,
		    s->why.msg, e);
	s->state = DONE;
	return rc == 0 ? 1 : -1;
}

/* How many frames. */
static int
say_credit(struct session *s, struct err *e)
{
	int nr = 0;

	for (uint8_t i = 0; i < CHAN_STREAMS && s->state < DONE; i++) {
		if (s->owed[i] < CHAN_CREDIT_MIN || !chan_has_room(&s->chan))
			continue;
		if (chan_send_u32(&s->chan, CHAN_CREDIT, i, s->owed[i],
		    e) != 0)
			return -1;
		s->owed[i] = 0;
		nr++;
	}
	return nr;
}

static void
reap(struct session *s)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(s->signal_fd, &info, sizeof(info)) > 0)
		continue;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != s->stdio.child.pid)
			continue;
		s->reaped = true;
		s->exit_status = (uint32_t)(WIFEXITED(status) ?
		    WEXITSTATUS(status) : EXIT_SIGNAL + WTERMSIG(status));
	}
	s->alone = pid < 0;
}

/* What poll() gave for the channel; `busy`: does not wait. */
static short
wait_for_more(struct session *s, bool busy)
{
	struct pollfd p[2 + AG_STDIO_FDS];
	nfds_t nr = 2;

	p[0] = (struct pollfd){ .fd = s->chan.io.fd,
	    .events = chan_events(&s->chan) };
	p[1] = (struct pollfd){ .fd = s->signal_fd, .events = POLLIN };
	if (s->state == RUNNING) {
		ag_stdio_poll(&s->stdio, &s->chan, p + nr);
		nr += AG_STDIO_FDS;
	}
	if (poll(p, nr, busy ? 0 : -1) < 0)
		return 0;
	if (p[1].revents != 0)
		reap(s);
	return p[0].revents;
}

static int
converse(struct session *s, struct err *e)
{
	short revents = 0;
	int nr, said, did;

	for (;;) {
		if (chan_move(&s->chan, revents, e) != 0)
			return -1;
		nr = take_frames(s, e);
		said = nr < 0 ? -1 : say_credit(s, e);
		did = said < 0 ? -1 : step(s, e);
		if (did < 0)
			return -1;
		if ((s->state == DONE && chan_is_flushed(&s->chan)) ||
		    (s->chan.closed && nr == 0))
			return 0;
		/* Also until chan_move() could move nothing more: without a
		 * poll_out it is woken only then. */
		revents = wait_for_more(s, nr > 0 || said > 0 || did > 0);
	}
}

int
ag_serve(const struct chan_io *io, const struct ag_serve_params *p,
    struct err *e)
{
	static struct session s;
	sigset_t child;
	int rc = -1;

	chan_init(&s.chan, io, true);
	s.p = p;
	s.next_back = CHAN_FILE_0;
	ag_stdio_init(&s.stdio);
	ag_files_init(&s.files, p->user);
	(void)sigemptyset(&child);
	(void)sigaddset(&child, SIGCHLD);
	(void)signal(SIGCHLD, SIG_DFL);
	(void)signal(SIGPIPE, SIG_IGN);
	s.signal_fd = sigprocmask(SIG_BLOCK, &child, NULL) != 0 ? -1 :
	    signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	if (s.signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
		(void)err_set(e, ERR_SYS, errno, "cannot follow programs");
	else if (chan_send_hello(&s.chan, e) == 0)
		rc = converse(&s, e);
	ag_spawn_end_all();
	ag_stdio_close(&s.stdio);
	ag_files_close(&s.files);
	if (s.signal_fd >= 0)
		(void)close(s.signal_fd);
	return rc;
}
