/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Signals for the guest's program.  Runs in dvm.
 */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "include/clock.h"
#include "restore/client/dvm_signals.h"

#define AGAIN_NS (2 * CLOCK_SECOND)
/* timeout(1) signals its child and then their group: that is asking once. */
#define ONCE_NS (100 * CLOCK_MS)

static void
add(sigset_t *set, int nr)
{
	struct sigaction was;

	/* Ignored, as under nohup, and to remain so. */
	if (sigaction(nr, NULL, &was) != 0 || was.sa_handler != SIG_IGN)
		(void)sigaddset(set, nr);
}

static int
listen_to(int fd, const sigset_t *set)
{
	(void)sigprocmask(SIG_BLOCK, set, NULL);
	return signalfd(fd, set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void
fill_first(sigset_t *set)
{
	(void)sigemptyset(set);
	add(set, SIGINT);
	add(set, SIGTERM);
	add(set, SIGQUIT);
	add(set, SIGHUP);
}

int
dvm_signals_open(struct dvm_signals *s, struct err *e)
{
	sigset_t set;

	*s = (struct dvm_signals){ .fd = -1 };
	fill_first(&set);
	s->fd = listen_to(-1, &set);
	return s->fd >= 0 ? 0 : err_set(e, ERR_SYS, errno, "signalfd");
}

void
dvm_signals_go_on(struct dvm_signals *s, bool tty)
{
	sigset_t set;

	s->tty = tty;
	fill_first(&set);
	add(&set, SIGUSR1);
	add(&set, SIGUSR2);
	if (tty) {
		(void)sigaddset(&set, SIGWINCH);
		(void)sigaddset(&set, SIGTSTP);
	}
	(void)listen_to(s->fd, &set);
}

/* Not one of the program's: the user wants his terminal. */
static void
stop(struct dvm_signals *s, struct dvm_tty *tty)
{
	bool was_raw = tty->is_raw;
	struct err e;

	dvm_tty_restore(tty);
	(void)raise(SIGSTOP);
	if (was_raw)
		(void)dvm_tty_raw(tty, &e);
	/* Its size may have changed, which others were told. */
	s->for_program |= UINT64_C(1) << SIGWINCH;
}

static bool
ends_us(struct dvm_signals *s, bool started, int nr)
{
	uint64_t now = clock_now_ns(), ago = now - s->asked_ns;
	bool asks = (nr == SIGINT || nr == SIGTERM) &&
	    (s->asked_ns == 0 || ago >= ONCE_NS);
	bool again = asks && s->asked_ns != 0 && ago < AGAIN_NS;

	if (asks)
		s->asked_ns = now;
	if (nr == SIGUSR1 || nr == SIGUSR2 || nr == SIGWINCH)
		return false;
	return s->tty || !started || again;
}

int
dvm_signals_take(struct dvm_signals *s, bool started, struct dvm_tty *tty)
{
	struct signalfd_siginfo info;
	int nr;

	while (read(s->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		nr = (int)info.ssi_signo;
		if (nr == SIGTSTP)
			stop(s, tty);
		else if (ends_us(s, started, nr))
			return nr;
		else
			s->for_program |= UINT64_C(1) << nr;
	}
	return 0;
}

uint32_t
dvm_signals_next(struct dvm_signals *s)
{
	uint32_t nr = 0;

	if (s->for_program == 0)
		return 0;
	while ((s->for_program & UINT64_C(1) << nr) == 0)
		nr++;
	s->for_program &= s->for_program - 1;
	return nr;
}

void
dvm_signals_close(struct dvm_signals *s)
{
	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = -1;
}
