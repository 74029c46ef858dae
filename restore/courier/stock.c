/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The stock.  Runs in the parent, or in a unit of its own; what core says is a
 * number of a courier, and is looked up.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/fd_pass.h"
#include "restore/courier/stock.h"
#include "restore/role/spawn.h"

/* After one that died while it waited. */
#define BAD_PAUSE_NS CLOCK_SECOND
/* Until core has read what is waiting for it. */
#define FULL_PAUSE_MS 50

struct courier {
	pid_t pid;		/* 0: a free place */
	uint32_t id, domid;	/* domid 0: it waits */
	int fd;			/* core's end, kept for the next core */
	bool told;		/* core has it */
	bool ending;
};

struct rs_stock {
	char *const *argv;
	int fd;			/* to core, -1 before the first */
	int board_fd;		/* core's */
	int board_read_fd;	/* couriers', who can never write */
	uint32_t next_id;
	uint64_t pause_ns;	/* start none before */
	struct courier all[RS_STOCK_MAX];
};

static int
make_board(struct rs_stock *s)
{
	char path[64];

	s->board_fd = memfd_create("couriers", MFD_CLOEXEC);
	s->board_read_fd = -1;
	if (s->board_fd < 0 ||
	    ftruncate(s->board_fd, sizeof(struct rs_stock_board)) != 0)
		return -1;
	/* A mapping of what was opened for writing can be made writable. */
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", s->board_fd);
	s->board_read_fd = open(path, O_RDONLY | O_CLOEXEC);
	return s->board_read_fd < 0 ? -1 : 0;
}

struct rs_stock *
rs_stock_new(char *const *argv, struct err *e)
{
	struct rs_stock *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		(void)err_set(e, ERR_NOMEM, errno, "couriers");
		return NULL;
	}
	s->argv = argv;
	s->fd = -1;
	s->next_id = 1;
	if (make_board(s) == 0)
		return s;
	(void)err_set(e, ERR_SYS, errno, "couriers: their board");
	rs_stock_free(s);
	return NULL;
}

struct rs_stock_board *
rs_stock_board(int fd, bool writes)
{
	void *at = mmap(NULL, sizeof(struct rs_stock_board),
	    writes ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);

	(void)close(fd);
	return at == MAP_FAILED ? NULL : at;
}

static void
end(struct courier *r)
{
	r->ending = true;
	(void)kill(r->pid, SIGKILL);
}

void
rs_stock_link(struct rs_stock *s, int fd)
{
	const struct rs_stock_word board = { .what = RS_STOCK_BOARD };
	struct courier *r;

	if (s->fd >= 0)
		(void)close(s->fd);
	s->fd = fd;
	/* A new link has room.  A core that is gone already needs none. */
	(void)fd_pass_send(fd, &board, sizeof(board), s->board_fd);
	for (unsigned i = 0; i < RS_STOCK_MAX; i++) {
		r = &s->all[i];
		/* The core that died may have given it work and not said so. */
		if (r->pid != 0 && r->domid == 0 && r->told)
			end(r);
		r->told = false;
	}
}

static void
start(struct rs_stock *s, struct courier *r)
{
	uid_t uid = RS_STOCK_UID + (uid_t)(r - s->all);
	struct rs_spawn spawn = { .role = "courier", .argv = s->argv,
	    .parent = getpid(), .uid = uid, .gid = uid, .nr_fds = 2 };
	int link[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, link) != 0) {
		s->pause_ns = clock_now_ns() + BAD_PAUSE_NS;
		return;
	}
	spawn.fds[0] = link[1];
	spawn.fds[1] = s->board_read_fd;
	*r = (struct courier){ .pid = rs_spawn(&spawn), .id = s->next_id++,
	    .fd = link[0] };
	(void)close(link[1]);
	if (r->pid > 0)
		return;
	r->pid = 0;
	(void)close(link[0]);
	s->pause_ns = clock_now_ns() + BAD_PAUSE_NS;
}

static bool
tell(const struct rs_stock *s, struct courier *r)
{
	const struct rs_stock_word w = { .what = RS_STOCK_HAVE, .id = r->id,
	    .domid = r->domid };

	r->told = fd_pass_send(s->fd, &w, sizeof(w), r->fd) == sizeof(w);
	return r->told;
}

int
rs_stock_fill(struct rs_stock *s)
{
	uint64_t now = clock_now_ns();
	unsigned nr_idle = 0;
	int again_ms = -1;

	for (unsigned i = 0; i < RS_STOCK_MAX; i++)
		nr_idle += s->all[i].pid != 0 && s->all[i].domid == 0 &&
		    !s->all[i].ending;
	for (unsigned i = 0; i < RS_STOCK_MAX && nr_idle < RS_STOCK_IDLE &&
	    now >= s->pause_ns; i++)
		if (s->all[i].pid == 0) {
			start(s, &s->all[i]);
			nr_idle++;
		}
	if (now < s->pause_ns)
		again_ms = (int)((s->pause_ns - now) / CLOCK_MS) + 1;
	for (unsigned i = 0; i < RS_STOCK_MAX && s->fd >= 0; i++)
		if (s->all[i].pid != 0 && !s->all[i].told &&
		    !s->all[i].ending && !tell(s, &s->all[i]))
			return FULL_PAUSE_MS;
	return again_ms;
}

int
rs_stock_fd(const struct rs_stock *s)
{
	return s->fd;
}

void
rs_stock_read(struct rs_stock *s)
{
	struct rs_stock_word w;
	unsigned i;
	ssize_t n;

	while ((n = recv(s->fd, &w, sizeof(w), MSG_DONTWAIT)) == sizeof(w)) {
		for (i = 0; i < RS_STOCK_MAX; i++)
			if (s->all[i].pid != 0 && s->all[i].id == w.id)
				break;
		if (i == RS_STOCK_MAX)
			continue;	/* it has died meanwhile */
		if (w.what == RS_STOCK_TAKEN)
			s->all[i].domid = w.domid;
		else if (w.what == RS_STOCK_END)
			end(&s->all[i]);
	}
	if (n != 0)
		return;
	(void)close(s->fd);
	s->fd = -1;
}

bool
rs_stock_is_used(const struct rs_stock *s)
{
	for (unsigned i = 0; i < RS_STOCK_MAX; i++)
		if (s->all[i].pid != 0 && s->all[i].domid != 0)
			return true;
	return false;
}

bool
rs_stock_reap(struct rs_stock *s, pid_t pid)
{
	struct courier *r;

	for (unsigned i = 0; i < RS_STOCK_MAX; i++) {
		r = &s->all[i];
		if (r->pid != pid)
			continue;
		if (r->domid == 0 && !r->ending)
			s->pause_ns = clock_now_ns() + BAD_PAUSE_NS;
		(void)close(r->fd);
		r->pid = 0;
		return true;
	}
	return false;
}

void
rs_stock_free(struct rs_stock *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < RS_STOCK_MAX; i++) {
		if (s->all[i].pid == 0)
			continue;
		end(&s->all[i]);
		(void)waitpid(s->all[i].pid, NULL, 0);
		(void)close(s->all[i].fd);
	}
	if (s->fd >= 0)
		(void)close(s->fd);
	if (s->board_fd >= 0)
		(void)close(s->board_fd);
	if (s->board_read_fd >= 0)
		(void)close(s->board_read_fd);
	free(s);
}
