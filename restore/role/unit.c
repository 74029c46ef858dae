/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Units of systemd's.  Runs in each of them before it is confined, as root, or
 * for front as its user; the stock of couriers stays here.  Trusts systemd and
 * who may open the sockets, root.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/listen.h"
#include "include/stop_signals.h"
#include "restore/courier/stock.h"
#include "restore/launch/reconcile.h"
#include "restore/role/spawn.h"
#include "restore/role/unit.h"

#define BAD_CORE_PAUSE_MS 100

static int
not_a_unit(const char *what, struct err *e)
{
	return err_set(e, ERR_USAGE, 0, "systemd gave no %s: --unit is for its "
	    "units alone; to start the service otherwise, leave it out", what);
}

/* path: '@' at its begin is that of an abstract one. */
static int
connect_to(const char *path, int type, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	int fd;

	if (len >= sizeof(addr.sun_path))
		return err_set(e, ERR_USAGE, 0, "%s: too long", path);
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, (socklen_t)
	    (offsetof(struct sockaddr_un, sun_path) + len)) != 0) {
		(void)err_set(e, ERR_SYS, errno, "cannot connect to %s", path);
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	return fd;
}

/* Waits for a core; type: SOCK_NONBLOCK or 0. */
static int
accept_core(int listen_fd, int type, struct err *e)
{
	struct pollfd p = { .fd = listen_fd, .events = POLLIN };
	struct ucred who;
	socklen_t len = sizeof(who);
	int fd;

	(void)poll(&p, 1, -1);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | type);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "cannot accept core");
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	    who.uid == 0)
		return fd;
	(void)close(fd);
	return err_set(e, ERR_SYS, 0, "who connects is not core");
}

int
rs_unit_core(struct rs_core_params *p, const char *lock_path, struct err *e)
{
	const char *notify = getenv("NOTIFY_SOCKET");

	if (notify == NULL)
		return not_a_unit("NOTIFY_SOCKET", e);
	/* Held until our end. */
	if (rs_reconcile_lock_alone(lock_path, e) < 0)
		return -1;
	p->parent = getppid();
	p->ready_fd = connect_to(notify, SOCK_DGRAM, e);
	if (p->ready_fd < 0)
		return -1;
	p->link_fd = connect_to(RS_UNIT_FRONT, SOCK_SEQPACKET | SOCK_NONBLOCK,
	    e);
	if (p->link_fd < 0)
		return -1;
	p->stock_fd = connect_to(RS_UNIT_COURIERS, SOCK_SEQPACKET, e);
	return p->stock_fd < 0 ? -1 : rs_core_run(p, e);
}

int
rs_unit_front(struct rs_front_params *p, struct err *e)
{
	int fd = listen_inherited("dvm-front.socket");

	p->listen_fd = listen_inherited("dvm-restored.socket");
	if (fd < 0 || p->listen_fd < 0)
		return not_a_unit(fd < 0 ? "dvm-front.socket" :
		    "dvm-restored.socket", e);
	p->parent = getppid();
	p->uid = geteuid();
	p->gid = getegid();
	p->link_fd = accept_core(fd, SOCK_NONBLOCK, e);
	if (p->link_fd < 0)
		return -1;
	(void)close(fd);
	/* It has core's last answers yet to hand on: core's end brings ours. */
	(void)signal(SIGTERM, SIG_IGN);
	return rs_front_run(p, e);
}

/* Couriers at work outlive a core, and one that fails to come. */
static void
next_core(struct rs_stock *stock, int listen_fd)
{
	struct err e;
	int fd = accept_core(listen_fd, 0, &e);

	if (fd >= 0) {
		rs_stock_link(stock, fd);
		return;
	}
	(void)fprintf(stderr, "dvm-restored: couriers: %s\n", e.msg);
	/* Who connects may still wait: not at full speed. */
	(void)poll(NULL, 0, BAD_CORE_PAUSE_MS);
}

/* False after a signal. */
static bool
serve_stock(struct rs_stock *stock, int listen_fd, int signal_fd)
{
	struct pollfd p[] = {
		{ .fd = signal_fd, .events = POLLIN },
		{ .fd = rs_stock_fd(stock), .events = POLLIN },
		/* One core at a time. */
		{ .fd = rs_stock_fd(stock) < 0 ? listen_fd : -1,
		    .events = POLLIN },
	};
	struct signalfd_siginfo info;
	pid_t pid;

	if (poll(p, 3, rs_stock_fill(stock)) <= 0)
		return true;
	if (p[1].revents != 0)
		rs_stock_read(stock);
	if (p[2].revents != 0)
		next_core(stock, listen_fd);
	if (p[0].revents == 0 || read(signal_fd, &info, sizeof(info)) !=
	    sizeof(info))
		return true;
	if (info.ssi_signo != SIGCHLD)
		return false;
	while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
		(void)rs_stock_reap(stock, pid);
	return true;
}

int
rs_unit_couriers(char *const *argv, struct err *e)
{
	int listen_fd = listen_inherited("dvm-couriers.socket");
	int link_fd = listen_fd < 0 ? not_a_unit("dvm-couriers.socket", e) :
	    accept_core(listen_fd, 0, e);
	int signal_fd = link_fd < 0 ? -1 : stop_signals(SIGCHLD, e);
	struct rs_stock *stock;

	if (signal_fd < 0)
		return -1;
	stock = rs_stock_new(argv, e);
	if (stock == NULL)
		return -1;
	rs_stock_link(stock, link_fd);
	while ((rs_stock_fd(stock) >= 0 || rs_stock_is_used(stock)) &&
	    serve_stock(stock, listen_fd, signal_fd))
		;
	rs_stock_free(stock);
	(void)close(signal_fd);
	return 0;
}
