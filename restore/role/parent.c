/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The parent.  Root, and unconfined since it starts others: so it reads
 * nothing that anybody wrote, and does nothing but wait.  If one role dies
 * both begin anew: core finds what runs, clients come back.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/listen.h"
#include "include/stop_signals.h"
#include "restore/courier/stock.h"
#include "restore/launch/reconcile.h"
#include "restore/role/parent.h"
#include "restore/role/spawn.h"

/* An earlier core may still be on its way out. */
#define LOCK_WAIT_NS (10 * CLOCK_SECOND)
#define LISTEN_BACKLOG 128
/* Roles that die before they are ready, in a row: then somebody must look. */
#define BAD_STARTS_MAX 10u

enum { FRONT, CORE, NR_ROLES };
static const char *const role_names[NR_ROLES] = { "front", "core" };

struct parent {
	const struct rs_parent_params *p;
	pid_t pid;
	int listen_fd, lock_fd, signal_fd, ready_fd;
	struct rs_stock *stock;
	pid_t pids[NR_ROLES];	/* 0: not running */
	int status[NR_ROLES];
	uid_t uid;
	gid_t gid;
	bool ready, stopping;
};

static int
find_user(struct parent *a, struct err *e)
{
	const struct passwd *pw = getpwnam(a->p->user);

	if (pw == NULL || pw->pw_uid == 0)
		return err_set(e, ERR_USAGE, 0, "there is no user %s for the "
		    "part of the service that talks to clients: systemd-"
		    "sysusers, or useradd --system %s", a->p->user,
		    a->p->user);
	a->uid = pw->pw_uid;
	a->gid = pw->pw_gid;
	return 0;
}

static int
take_lock(struct parent *a, struct err *e)
{
	uint64_t until = clock_now_ns() + LOCK_WAIT_NS;
	const struct timespec pause = { .tv_nsec = 50 * CLOCK_MS };

	for (;;) {
		a->lock_fd = rs_reconcile_lock_alone(a->p->lock_path, e);
		if (a->lock_fd >= 0)
			return 0;
		if (e->code != ERR_BUSY || clock_now_ns() > until)
			return -1;
		(void)nanosleep(&pause, NULL);
	}
}

/* With the lock held, who still seems to listen is on its way out. */
static int
listen_on_path(struct parent *a, struct err *e)
{
	const struct group *gr = getgrnam(a->p->group);
	struct listen_place place = { .path = a->p->socket_path,
	    .dir_mode = 0755, .type = SOCK_NONBLOCK,
	    .backlog = LISTEN_BACKLOG };

	if (gr == NULL)
		return err_set(e, ERR_USAGE, 0, "there is no group %s of those "
		    "who may use the service: systemd-sysusers, or groupadd "
		    "--system %s", a->p->group, a->p->group);
	place.gid = gr->gr_gid;
	a->listen_fd = listen_at(&place, e);
	return a->listen_fd < 0 ? -1 : 0;
}

static void
start_role(struct parent *a, int role, int link_fd, int other_fd, int stock_fd)
{
	struct rs_spawn spawn = { .role = role_names[role],
	    .argv = a->p->argv, .parent = a->pid, .uid = a->uid,
	    .gid = a->gid,
	    /* Core's end brings front's. */
	    .stops = role == CORE,
	    /* Who has the lock can let go of it for all: core only. */
	    .nr_fds = role == CORE ? 4 : 2,
	    .fds = { link_fd, other_fd, stock_fd, a->lock_fd } };

	a->pids[role] = rs_spawn(&spawn);
	if (a->pids[role] < 0)
		a->pids[role] = 0;
}

static int
start(struct parent *a, struct err *e)
{
	int link[2], ready[2], stock[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, stock) != 0)
		return err_set(e, ERR_SYS, errno, "socketpair");
	rs_stock_link(a->stock, stock[0]);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0, link) != 0) {
		(void)close(stock[1]);
		return err_set(e, ERR_SYS, errno, "socketpair");
	}
	if (pipe2(ready, O_CLOEXEC) != 0) {
		(void)close(stock[1]);
		(void)close(link[0]);
		(void)close(link[1]);
		return err_set(e, ERR_SYS, errno, "pipe");
	}
	start_role(a, FRONT, link[0], a->listen_fd, -1);
	start_role(a, CORE, link[1], ready[1], stock[1]);
	(void)close(stock[1]);
	(void)close(link[0]);
	(void)close(link[1]);
	(void)close(ready[1]);
	a->ready_fd = ready[0];
	if (a->pids[FRONT] != 0 && a->pids[CORE] != 0)
		return 0;
	return err_set(e, ERR_SYS, errno, "fork");
}

static const char *
describe_status(int status, char text[64])
{
	if (WIFSIGNALED(status))
		(void)snprintf(text, 64, "was killed by signal %d (%s)",
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		(void)snprintf(text, 64, "ended with status %d",
		    WEXITSTATUS(status));
	return text;
}

/* Takes the news of all children that died; true if one of ours did. */
static bool
reap(struct parent *a)
{
	bool any = false;
	char text[64];
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (rs_stock_reap(a->stock, pid))
			continue;
		for (int role = 0; role < NR_ROLES; role++) {
			if (a->pids[role] != pid)
				continue;
			a->pids[role] = 0;
			a->status[role] = status;
			any = true;
			if (!a->stopping || status != 0)
				(void)fprintf(stderr, "dvm-restored: %s %s\n",
				    role_names[role],
				    describe_status(status, text));
		}
	}
	return any;
}

static void
kill_roles(struct parent *a)
{
	for (int role = 0; role < NR_ROLES; role++) {
		if (a->pids[role] == 0)
			continue;
		(void)kill(a->pids[role], SIGKILL);
		/* Xen calls end; a second is long for them. */
		while (waitpid(a->pids[role], NULL, 0) < 0 && errno == EINTR)
			;
		a->pids[role] = 0;
	}
	if (a->ready_fd >= 0)
		(void)close(a->ready_fd);
	a->ready_fd = -1;
}

/* Waits for one event: a death (returns true), a signal, the start's end. */
static bool
wait_event(struct parent *a)
{
	struct pollfd fds[] = {
		{ .fd = a->signal_fd, .events = POLLIN },
		{ .fd = a->ready_fd, .events = POLLIN },
		{ .fd = rs_stock_fd(a->stock), .events = POLLIN },
	};
	struct signalfd_siginfo info;
	char byte;

	if (poll(fds, 3, a->stopping ? -1 : rs_stock_fill(a->stock)) <= 0)
		return false;
	if (fds[2].revents & POLLIN)
		rs_stock_read(a->stock);
	if (fds[1].revents != 0) {
		if (read(a->ready_fd, &byte, 1) == 1) {
			a->ready = true;
			(void)fprintf(stderr, "dvm-restored: ready\n");
		}
		(void)close(a->ready_fd);
		a->ready_fd = -1;
	}
	if (fds[0].revents == 0 || read(a->signal_fd, &info, sizeof(info)) !=
	    sizeof(info))
		return false;
	if (info.ssi_signo == SIGCHLD)
		return reap(a);
	/* Core ends what runs, and then itself. */
	a->stopping = true;
	if (a->pids[CORE] != 0)
		(void)kill(a->pids[CORE], SIGTERM);
	return false;
}

/* It has the last answers yet to hand on, and ends by itself. */
static void
wait_front(struct parent *a)
{
	const struct timespec pause = { .tv_nsec = 10 * CLOCK_MS };
	uint64_t until = clock_now_ns() + CLOCK_SECOND;

	while (a->pids[FRONT] != 0 && clock_now_ns() < until) {
		(void)nanosleep(&pause, NULL);
		(void)reap(a);
	}
}

static int
supervise(struct parent *a, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 200 * CLOCK_MS };
	unsigned nr_bad = 0;

	for (;;) {
		a->ready = false;
		/* For want of memory or processes, say: that passes. */
		if (start(a, e) != 0)
			(void)fprintf(stderr, "dvm-restored: %s\n", e->msg);
		else
			while (!wait_event(a))
				;
		if (a->stopping) {
			while (a->pids[CORE] != 0)
				(void)wait_event(a);
			wait_front(a);
			return a->status[CORE] == 0 ? 0 : err_set(e, ERR_BUSY,
			    0, "not everything could be ended: the next start "
			    "does the rest");
		}
		kill_roles(a);
		nr_bad = a->ready ? 0 : nr_bad + 1;
		if (nr_bad == BAD_STARTS_MAX)
			return err_set(e, ERR_SYS, 0, "%u starts in a row have "
			    "failed: the lines above say why", nr_bad);
		(void)nanosleep(&pause, NULL);
	}
}

int
rs_parent_run(const struct rs_parent_params *p, struct err *e)
{
	struct parent a = { .p = p, .pid = getpid(), .listen_fd = -1,
	    .lock_fd = -1, .ready_fd = -1 };
	int rc = -1;

	a.signal_fd = stop_signals(SIGCHLD, e);
	a.stock = rs_stock_new(p->argv, e);
	if (a.signal_fd >= 0 && a.stock != NULL && find_user(&a, e) == 0 &&
	    take_lock(&a, e) == 0 && listen_on_path(&a, e) == 0)
		rc = supervise(&a, e);
	kill_roles(&a);
	rs_stock_free(a.stock);
	if (a.listen_fd >= 0) {
		(void)unlink(p->socket_path);
		(void)close(a.listen_fd);
	}
	if (a.signal_fd >= 0)
		(void)close(a.signal_fd);
	if (a.lock_fd >= 0)
		(void)close(a.lock_fd);
	return rc;
}
