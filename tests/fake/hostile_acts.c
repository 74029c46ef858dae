/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The behaviours of hostile.h, but for single frames.  Some keep the rules,
 * and go through chan.c for that; the others write bytes.
 */
#include <endian.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <libxenvchan.h>

#include "tests/fake/hostile_acts.h"

#define TINY_FRAMES 1000000u
#define GARBAGE_BYTES (1u << 20)
#define TEN_GB UINT64_C(10000000000)

void
hostile_linger(struct chan *c)
{
	struct pollfd p = { .fd = c->io.fd, .events = POLLIN };
	ssize_t n;

	for (;;) {
		while ((n = c->io.read(c->io.arg, c->rx, sizeof(c->rx))) > 0)
			continue;
		if (n < 0)
			_exit(0);
		(void)poll(&p, 1, -1);
		if (c->io.woken != NULL && p.revents != 0)
			c->io.woken(c->io.arg);
	}
}

void
hostile_raw(struct chan *c, const void *data, size_t len)
{
	struct pollfd p = { .fd = c->io.fd, .events = c->io.poll_out ?
	    POLLIN | POLLOUT : POLLIN };
	const uint8_t *at = data;
	ssize_t n;

	while (len > 0) {
		n = c->io.write(c->io.arg, at, len);
		if (n < 0)
			_exit(0);
		at += n;
		len -= (size_t)n;
		if (n > 0)
			continue;
		(void)poll(&p, 1, -1);
		if (c->io.woken != NULL && p.revents != 0)
			c->io.woken(c->io.arg);
		if (c->io.read(c->io.arg, c->rx, sizeof(c->rx)) < 0)
			_exit(0);
	}
}

void
hostile_shoot(struct chan *c, const struct hostile_frame *s)
{
	static const uint8_t zeros[CHAN_PAYLOAD_MAX + 1];
	uint32_t len = htole32(s->len);
	uint8_t header[CHAN_HEADER_BYTES] = { s->type, s->stream, s->pad, 0 };

	memcpy(header + 4, &len, sizeof(len));
	hostile_raw(c, header, sizeof(header));
	hostile_raw(c, s->payload != NULL ? (const void *)s->payload : zeros,
	    s->payload_len);
}

/* Within the rules: until so much of the stream may be sent, or for 0 any
 * frame.  What comes is taken. */
static void
wait_for_room(struct chan *c, uint8_t stream, size_t len)
{
	struct pollfd p = { .fd = c->io.fd };
	struct chan_frame f;
	struct err e;
	bool took = true;

	while (len > 0 ? chan_may_send(c, stream) < len : !chan_has_room(c)) {
		p.events = chan_events(c);
		if (!took)
			(void)poll(&p, 1, -1);
		if (chan_move(c, took ? 0 : p.revents, &e) != 0)
			_exit(1);
		for (took = false; __real_chan_next(c, &f, &e) == 1;)
			took = true;
		if (c->closed)
			_exit(0);
	}
}

static void
say_data(struct chan *c, uint8_t stream, size_t len)
{
	static const uint8_t zeros[CHAN_PAYLOAD_MAX];
	struct err e;

	wait_for_room(c, stream, len);
	if (chan_send(c, CHAN_DATA, stream, zeros, len, &e) != 0)
		_exit(1);
}

void
hostile_flush(struct chan *c)
{
	struct pollfd p = { .fd = c->io.fd, .events = c->io.poll_out ?
	    POLLOUT : POLLIN };
	struct err e;

	for (;;) {
		if (chan_move(c, p.revents, &e) != 0 || c->closed)
			_exit(0);
		if (chan_is_flushed(c))
			return;
		(void)poll(&p, 1, -1);
	}
}

static void
say_back(struct chan *c, uint64_t size)
{
	struct err e;

	wait_for_room(c, 0, 0);
	if (chan_send_back(c, CHAN_FILE_0, CHAN_CHANGED, size, &e) != 0)
		_exit(1);
}

static void
say_end(struct chan *c, uint64_t size)
{
	static const uint8_t hash[CHAN_HASH_BYTES] = { 1 };
	struct err e;

	wait_for_room(c, 0, 0);
	if (chan_send_end(c, CHAN_FILE_0, size, hash, &e) != 0)
		_exit(1);
}

static void
say_exit(struct chan *c)
{
	struct err e;

	wait_for_room(c, 0, 0);
	if (chan_send_u32(c, CHAN_EXIT, 0, 0, &e) != 0)
		_exit(1);
	hostile_flush(c);
}

static void
shot(struct chan *c, uint8_t type, uint8_t stream, const void *payload,
    uint32_t len)
{
	const struct hostile_frame s = { .type = type, .stream = stream,
	    .len = len, .payload = payload, .payload_len = len };

	hostile_flush(c);
	hostile_shoot(c, &s);
}

static void
do_silent(struct chan *c)
{
	hostile_linger(c);
}

static void
do_slam(struct chan *c)
{
	(void)c;
}

static void
do_mid_header(struct chan *c)
{
	hostile_flush(c);
	hostile_raw(c, "\2\1\0", 3);
}

static void
do_mid_payload(struct chan *c)
{
	hostile_flush(c);
	hostile_raw(c, "\2\1\0\0\100\0\0\0half", 12);
}

static void
do_no_window(struct chan *c)
{
	hostile_flush(c);
	for (;;)
		shot(c, CHAN_DATA, CHAN_STDOUT, NULL, CHAN_PAYLOAD_MAX);
}

static void
do_tiny(struct chan *c)
{
	for (unsigned i = 0; i < TINY_FRAMES; i++)
		say_data(c, CHAN_STDOUT, 1);
	say_exit(c);
}

static void
do_endless(struct chan *c)
{
	for (;;)
		say_data(c, CHAN_STDOUT, CHAN_PAYLOAD_MAX);
}

static void
do_exit_twice(struct chan *c)
{
	say_exit(c);
	shot(c, CHAN_EXIT, 0, "\7\0\0\0", 4);
	hostile_linger(c);
}

static void
do_after_exit(struct chan *c)
{
	say_exit(c);
	shot(c, CHAN_DATA, CHAN_STDOUT, "late", 4);
	hostile_linger(c);
}

static void
do_eof_twice(struct chan *c)
{
	shot(c, CHAN_EOF, CHAN_STDOUT, NULL, 0);
	shot(c, CHAN_EOF, CHAN_STDOUT, NULL, 0);
	hostile_linger(c);
}

static void
do_after_eof(struct chan *c)
{
	shot(c, CHAN_EOF, CHAN_STDOUT, NULL, 0);
	shot(c, CHAN_DATA, CHAN_STDOUT, "late", 4);
	hostile_linger(c);
}

static void
do_garbage(struct chan *c)
{
	uint32_t x = 2463534242u;

	hostile_flush(c);
	for (unsigned i = 0; i < GARBAGE_BYTES / sizeof(x); i++) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		hostile_raw(c, &x, sizeof(x));
	}
	hostile_linger(c);
}

static void
do_back_10g(struct chan *c)
{
	say_back(c, TEN_GB);
	for (uint64_t i = 0; i < TEN_GB / CHAN_PAYLOAD_MAX; i++)
		say_data(c, CHAN_FILE_0, CHAN_PAYLOAD_MAX);
	hostile_linger(c);
}

/* It says what is not so of a file that it would not give. */
static void
do_back_hash(struct chan *c)
{
	say_back(c, 4);
	say_data(c, CHAN_FILE_0, 4);
	say_end(c, 4);
	say_exit(c);
}

static void
do_back_size(struct chan *c)
{
	say_back(c, 4);
	say_data(c, CHAN_FILE_0, 4);
	say_end(c, 5);
	say_exit(c);
}

static void
do_back_short(struct chan *c)
{
	static const uint8_t end[8 + CHAN_HASH_BYTES] = { 100 };

	say_back(c, 100);
	say_data(c, CHAN_FILE_0, 4);
	shot(c, CHAN_END, CHAN_FILE_0, end, sizeof(end));
	hostile_linger(c);
}

static void
do_back_long(struct chan *c)
{
	say_back(c, 4);
	shot(c, CHAN_DATA, CHAN_FILE_0, "too long", 8);
	hostile_linger(c);
}

static void
do_back_cut(struct chan *c)
{
	say_back(c, 100000);
	say_data(c, CHAN_FILE_0, CHAN_PAYLOAD_MAX);
	hostile_flush(c);
}

static void
do_back_twice(struct chan *c)
{
	say_back(c, 0);
	say_end(c, 0);
	shot(c, CHAN_BACK, CHAN_FILE_0, "\2\4\0\0\0\0\0\0\0", 9);
	hostile_linger(c);
}

static void
do_back_exit(struct chan *c)
{
	say_back(c, 100);
	shot(c, CHAN_EXIT, 0, "\0\0\0\0", 4);
	hostile_linger(c);
}

/* Says EXIT, and nothing of the file. */
static void
do_back_none(struct chan *c)
{
	say_exit(c);
}

/* The other end of a ring is asked to write or read where nothing is. */
static void
do_ring(struct chan *c, uint32_t prod, uint32_t cons)
{
	struct libxenvchan *v = c->io.arg;

	hostile_flush(c);
	if (c->io.woken != NULL) {
		v->write.shr->prod = prod;
		v->read.shr->cons = cons;
		(void)xenevtchn_notify(v->event, v->event_port);
	}
	hostile_linger(c);
}

static void
do_ring_ahead(struct chan *c)
{
	do_ring(c, 0x7fffffff, 0x80000001);
}

static void
do_ring_behind(struct chan *c)
{
	do_ring(c, UINT32_MAX, UINT32_MAX);
}

static void
do_ring_moving(struct chan *c)
{
	struct libxenvchan *v = c->io.arg;

	for (uint32_t i = 0; c->io.woken != NULL &&
	    libxenvchan_is_open(v) == 1; i += 0x10001) {
		v->write.shr->prod = i;
		v->read.shr->cons = ~i;
		(void)xenevtchn_notify(v->event, v->event_port);
	}
	hostile_linger(c);
}

static void
do_ring_page(struct chan *c)
{
	struct libxenvchan *v = c->io.arg;

	hostile_flush(c);
	if (c->io.woken != NULL) {
		v->ring->left_order = v->ring->right_order = 0xffff;
		v->ring->cli_live = v->ring->srv_live = 0x55;
		v->ring->cli_notify = v->ring->srv_notify = 0xff;
		memset(v->ring->grants, 0xff, 64);
		(void)xenevtchn_notify(v->event, v->event_port);
	}
	hostile_linger(c);
}

/* Events without anything to tell. */
static void
do_notify(struct chan *c)
{
	struct libxenvchan *v = c->io.arg;

	hostile_flush(c);
	while (c->io.woken != NULL && libxenvchan_is_open(v) == 1)
		(void)xenevtchn_notify(v->event, v->event_port);
	hostile_linger(c);
}

void
hostile_started(struct chan *c)
{
	struct err e;

	wait_for_room(c, 0, 0);
	if (chan_send(c, CHAN_STARTED, 0, NULL, 0, &e) != 0)
		_exit(1);
}

const struct hostile_act hostile_acts[] = {
	/* These two are done at HELLO, and only by hostile_set(). */
	{ "mute", "endless", "-", false, do_silent },
	{ "hello-version", "broken", "-", false, do_silent },
	{ "silent", "endless", "-", false, do_silent },
	{ "no-exit", "endless", "-", true, do_silent },
	{ "slam", "cut", "-", false, do_slam },
	{ "mid-header", "cut", "-", true, do_mid_header },
	{ "mid-payload", "cut", "-", true, do_mid_payload },
	{ "no-window", "broken", "stalled", true, do_no_window },
	{ "tiny", "legal", "-", true, do_tiny },
	{ "endless", "endless", "-", true, do_endless },
	{ "exit-twice", "legal", "-", true, do_exit_twice },
	{ "after-exit", "legal", "-", true, do_after_exit },
	{ "eof-twice", "broken", "-", true, do_eof_twice },
	{ "after-eof", "broken", "-", true, do_after_eof },
	{ "garbage", "broken", "-", true, do_garbage },
	{ "back-10g", "refused", "file", true, do_back_10g },
	{ "back-hash", "refused", "file", true, do_back_hash },
	{ "back-size", "refused", "file", true, do_back_size },
	{ "back-none", "refused", "file", true, do_back_none },
	{ "back-short", "broken", "file", true, do_back_short },
	{ "back-long", "broken", "file", true, do_back_long },
	{ "back-twice", "broken", "file", true, do_back_twice },
	{ "back-exit", "broken", "file", true, do_back_exit },
	{ "back-cut", "cut", "file", true, do_back_cut },
	{ "ring-ahead", "endless", "vchan", true, do_ring_ahead },
	{ "ring-behind", "endless", "vchan", true, do_ring_behind },
	{ "ring-moving", "endless", "vchan", true, do_ring_moving },
	{ "ring-page", "endless", "vchan", true, do_ring_page },
	{ "notify", "endless", "vchan", true, do_notify },
	{ 0 }
};
