/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The courier: hands frames from a client to its disposable and back, after
 * checking each.  All that it hears is untrusted, from both sides; its memory
 * is struct courier.  Begins as root, with what it takes to connect and to
 * become nobody; is confined before it reads the first byte.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/fd_pass.h"
#include "include/wire/chan.h"
#include "restore/courier/chan_open.h"
#include "restore/courier/courier.h"
#include "restore/courier/stock.h"
#include "restore/role/confine.h"

/* The agent's first word, after the guest has acknowledged. */
#define CONNECT_NS (60 * CLOCK_SECOND)
/* For a client to go, when it has the last words. */
#define LINGER_MS 10000
/* Small frames in great number cost time and bring nothing: a guest that sends
 * them gets a sixteenth of a CPU, and launches the rest.  So does any guest
 * while something is launched: moving its bytes costs its own CPU, too. */
#define PACE_WINDOW_NS (100 * CLOCK_MS)
#define PACE_PAUSE_NS (5 * CLOCK_MS)
#define PACE_FRAMES 256u	/* in a window; fewer are nobody's harm */
#define PACE_BYTES 1024u	/* a frame, on average; larger ones are work */
#define PACE_SHARE 16u
/* What guests say, also honest ones at full speed, comes after launches. */
#define NICE 19
#define STATUS_FAILED 125
#define FILES_MAX 64

struct courier {
	struct chan client, guest;
	const struct rs_stock_board *board;
	/* Of the window that began at start_ns. */
	struct {
		uint64_t start_ns, cpu_ns, frames, bytes;
	} pace;
};

static void
come_after_launches(void)
{
	/* The kernel shares the CPUs by session first, if it has autogroups;
	 * and within one by niceness. */
	int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

	(void)setpriority(PRIO_PROCESS, 0, NICE);
	if (fd >= 0) {
		(void)dprintf(fd, "%d", NICE);
		(void)close(fd);
	}
}

static int
keep_few_capabilities(struct err *e)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_updatev(CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE |
	    CAPNG_PERMITTED | CAPNG_BOUNDING_SET), CAP_SETUID, CAP_SETGID,
	    CAP_SETPCAP, -1) != 0 || capng_apply(CAPNG_SELECT_BOTH) != 0)
		return err_set(e, ERR_SYS, errno, "courier: cannot drop "
		    "capabilities");
	return 0;
}

/* 1; 0: there will be none. */
static int
wait_job(int link_fd, struct rs_stock_job *job, int *client_fd, struct err *e)
{
	struct pollfd p = { .fd = link_fd, .events = POLLIN };
	ssize_t n;

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return err_set(e, ERR_SYS, errno, "courier: poll");
	n = fd_pass_receive(link_fd, job, sizeof(*job), client_fd);
	return n == sizeof(*job) && *client_fd >= 0;
}

static uint64_t
cpu_now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * CLOCK_SECOND + (uint64_t)t.tv_nsec;
}

static bool
has_share_only(const struct courier *c, uint64_t now)
{
	return (c->pace.frames > PACE_FRAMES &&
	    c->pace.bytes / c->pace.frames < PACE_BYTES) ||
	    now < atomic_load_explicit(&c->board->launch_until_ns,
	    memory_order_relaxed);
}

/* Stands still while the guest has had its share. */
static void
keep_pace(struct courier *c)
{
	const struct timespec pause = { .tv_nsec = PACE_PAUSE_NS };
	uint64_t now = clock_now_ns();

	while (has_share_only(c, now) && now < c->pace.start_ns +
	    (cpu_now_ns() - c->pace.cpu_ns) * PACE_SHARE) {
		(void)nanosleep(&pause, NULL);
		now = clock_now_ns();
	}
	if (now - c->pace.start_ns < PACE_WINDOW_NS)
		return;
	c->pace.start_ns = now;
	c->pace.cpu_ns = cpu_now_ns();
	c->pace.frames = c->pace.bytes = 0;
}

/* Is all said, by the guest? */
static bool
is_over(const struct courier *c)
{
	return c->client.out.ended;
}

static int
relay(struct courier *c, struct chan *from, struct chan *to, bool *moved,
    struct err *e)
{
	struct chan_frame f;
	int rc;

	while (!is_over(c) && chan_has_room(to) &&
	    (rc = chan_next(from, &f, e)) != 0) {
		if (rc < 0 || chan_send(to, f.type, f.stream, f.data, f.len,
		    e) != 0)
			return -1;
		*moved = true;
		if (from == &c->guest) {
			c->pace.frames++;
			/* CREDIT stands for bytes that came this way. */
			c->pace.bytes += f.type == CHAN_CREDIT ? chan_u32(&f) :
			    f.len;
		}
	}
	return 0;
}

static void
say_failed(struct courier *c, const struct err *why)
{
	struct err e;

	/* It is an answer, also to who was never answered. */
	if (!c->client.out.hello)
		(void)chan_send_hello(&c->client, &e);
	(void)chan_send_failed(&c->client, STATUS_FAILED, why->msg, &e);
}

/* All that can be moved without waiting.  1 to go on, 0 if it is over. */
static int
move(struct courier *c, struct err *e)
{
	bool moved, any = false;

	do {
		moved = false;
		if (chan_move(&c->client, 0, e) != 0)
			return -1;
		if (chan_move(&c->guest, 0, e) != 0 ||
		    relay(c, &c->guest, &c->client, &moved, e) != 0) {
			(void)err_prefix(e, "the disposable's agent breaks the "
			    "channel");
			say_failed(c, e);
		} else if (relay(c, &c->client, &c->guest, &moved, e) != 0) {
			(void)err_prefix(e, "dvm breaks the channel");
			say_failed(c, e);
		} else if (c->guest.closed && !moved && !is_over(c) &&
		    chan_has_room(&c->client)) {
			(void)err_set(e, ERR_SYS, 0, "the disposable's agent "
			    "has gone away");
			say_failed(c, e);
		}
		any = any || moved;
		keep_pace(c);
	} while (moved && !is_over(c));
	/* Being woken for nothing costs what a small frame does. */
	c->pace.frames += !any;
	return c->client.closed || is_over(c) ? 0 : 1;
}

/* The last words, however long the client takes for them: it may be stopped, or
 * write to a slow disk.  Then its end, or that of our patience. */
static void
linger(struct courier *c, int link_fd)
{
	struct pollfd p[] = { { .fd = c->client.io.fd }, { .fd = link_fd } };
	uint64_t until = 0;
	struct err e;

	while (chan_move(&c->client, 0, &e) == 0 && !c->client.closed) {
		bool flushed = chan_is_flushed(&c->client);

		if (flushed && until == 0)
			until = clock_now_ns() + LINGER_MS * CLOCK_MS;
		if (flushed && clock_now_ns() >= until)
			break;
		/* What it still says is to nobody. */
		c->client.rx_used = c->client.rx_len;
		p[0].events = (short)(POLLIN | (flushed ? 0 : POLLOUT));
		if (poll(p, 2, flushed ? LINGER_MS : -1) < 0 ||
		    p[1].revents != 0)
			break;
	}
}

static void
serve(struct courier *c, int link_fd)
{
	struct pollfd p[] = {
		{ .fd = c->client.io.fd }, { .fd = c->guest.io.fd },
		{ .fd = link_fd },
	};
	struct err e;

	while (move(c, &e) == 1) {
		p[0].events = chan_events(&c->client);
		p[1].events = chan_events(&c->guest);
		if (poll(p, 3, -1) < 0 && errno != EINTR)
			return;
		/* Core has let go of it. */
		if (p[2].revents != 0)
			return;
		if (p[1].revents & POLLIN && c->guest.io.woken != NULL)
			c->guest.io.woken(c->guest.io.arg);
	}
	linger(c, link_fd);
}

static int
confine(const struct rs_courier_params *p, struct err *e)
{
	const struct rs_confine_params cp = { .role = RS_CONFINE_COURIER,
	    .uid = p->uid, .gid = p->gid, .parent = p->parent,
	    .nr_files = FILES_MAX, .leak_check = true };

	return rs_confine(&cp, e);
}

/* All but the memory, which outlives every early return. */
static int
work(struct courier *c, const struct rs_courier_params *p, struct err *e)
{
	struct rs_stock_job job;
	struct chan_io to_client, to_guest;
	struct err why;
	int client_fd, rc;
	bool open;

	c->board = rs_stock_board(p->board_fd, false);
	if (c->board == NULL)
		return err_set(e, ERR_SYS, errno, "courier: mmap");
	if (keep_few_capabilities(e) != 0)
		return -1;
	rc = wait_job(p->link_fd, &job, &client_fd, e);
	if (rc != 1)
		return rc;
	open = rs_chan_open(job.domid, clock_now_ns() + CONNECT_NS,
	    p->link_fd, &to_guest, &why) == 0;
	if (confine(p, e) != 0)
		return -1;
	to_client = chan_io_socket(client_fd);
	chan_init(&c->client, &to_client, true);
	if (!open) {
		say_failed(c, &why);
		linger(c, p->link_fd);
		return 0;
	}
	chan_init(&c->guest, &to_guest, false);
	serve(c, p->link_fd);
	return 0;
}

int
rs_courier_run(const struct rs_courier_params *p, struct err *e)
{
	struct courier *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL)
		return err_set(e, ERR_NOMEM, errno, "courier");
	come_after_launches();
	rc = work(c, p, e);
	free(c);
	return rc;
}
