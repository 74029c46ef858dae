/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An end of the channel: frames into bytes and back, without allocation.  Runs
 * in dvm, in the courier and in the agent; what comes in is untrusted until
 * chan_says_check() has taken it.
 */
#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "include/wire/chan.h"

static ssize_t
from_socket(ssize_t n)
{
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n == 0 || errno == ECONNRESET || errno == EPIPE)
		errno = 0;
	return -1;
}

static ssize_t
read_socket(void *arg, void *buf, size_t len)
{
	const int *fd = arg;

	return from_socket(recv(*fd, buf, len, MSG_DONTWAIT));
}

static ssize_t
write_socket(void *arg, const void *buf, size_t len)
{
	const int *fd = arg;

	return from_socket(send(*fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL));
}

struct chan_io
chan_io_socket(int fd)
{
	/* arg: chan_init() sets it, to the fd of the copy it keeps. */
	return (struct chan_io){ .fd = fd, .poll_out = true,
	    .read = read_socket, .write = write_socket };
}

void
chan_init(struct chan *c, const struct chan_io *io, bool is_agent)
{
	c->io = *io;
	if (c->io.read == read_socket)
		c->io.arg = &c->io.fd;
	c->in = (struct chan_says){ .from_agent = !is_agent };
	c->out = (struct chan_says){ .from_agent = is_agent };
	c->closed = false;
	c->rx_len = c->rx_used = c->tx_len = c->tx_sent = 0;
}

short
chan_events(const struct chan *c)
{
	/* What chan_next() has given makes room at the next chan_move(). */
	bool in = !c->closed && c->rx_len - c->rx_used < sizeof(c->rx);
	bool out = c->tx_sent < c->tx_len;

	if (!c->io.poll_out)
		return in || out ? POLLIN : 0;
	return (short)((in ? POLLIN : 0) | (out ? POLLOUT : 0));
}

static int
send_some(struct chan *c, struct err *e)
{
	ssize_t n;

	while (c->tx_sent < c->tx_len) {
		errno = 0;
		n = c->io.write(c->io.arg, c->tx + c->tx_sent,
		    c->tx_len - c->tx_sent);
		if (n < 0 && errno == 0) {
			/* Nobody reads on; what has come is still to read. */
			c->tx_sent = c->tx_len;
			return 0;
		}
		if (n < 0)
			return err_set(e, ERR_SYS, errno, "the channel");
		if (n == 0)
			break;
		c->tx_sent += (size_t)n;
	}
	if (c->tx_sent == c->tx_len)
		c->tx_sent = c->tx_len = 0;
	return 0;
}

static int
receive_some(struct chan *c, struct err *e)
{
	ssize_t n;

	memmove(c->rx, c->rx + c->rx_used, c->rx_len - c->rx_used);
	c->rx_len -= c->rx_used;
	c->rx_used = 0;
	while (!c->closed && c->rx_len < sizeof(c->rx)) {
		errno = 0;
		n = c->io.read(c->io.arg, c->rx + c->rx_len,
		    sizeof(c->rx) - c->rx_len);
		if (n == 0)
			break;
		if (n < 0 && errno != 0)
			return err_set(e, ERR_SYS, errno, "the channel");
		if (n < 0)
			c->closed = true;
		else
			c->rx_len += (size_t)n;
	}
	return 0;
}

int
chan_move(struct chan *c, short revents, struct err *e)
{
	if ((revents & POLLIN) != 0 && c->io.woken != NULL)
		c->io.woken(c->io.arg);
	if (send_some(c, e) != 0)
		return -1;
	return receive_some(c, e);
}

int
chan_next(struct chan *c, struct chan_frame *f, struct err *e)
{
	const uint8_t *at = c->rx + c->rx_used;
	size_t have = c->rx_len - c->rx_used;
	uint32_t len;

	if (have < CHAN_HEADER_BYTES)
		return 0;
	memcpy(&len, at + 4, sizeof(len));
	*f = (struct chan_frame){ .type = at[0], .stream = at[1],
	    .len = le32toh(len), .data = at + CHAN_HEADER_BYTES };
	if (at[2] != 0 || at[3] != 0 || f->len > CHAN_PAYLOAD_MAX)
		return err_set(e, ERR_INPUT, 0, "a frame of type %u and %u "
		    "bytes", f->type, f->len);
	if (have < CHAN_HEADER_BYTES + f->len)
		return 0;
	if (chan_says_check(&c->in, &c->out, f, e) != 0)
		return -1;
	c->rx_used += CHAN_HEADER_BYTES + f->len;
	return 1;
}

bool
chan_has_room(const struct chan *c)
{
	return sizeof(c->tx) - c->tx_len >= CHAN_FRAME_MAX;
}

bool
chan_is_flushed(const struct chan *c)
{
	return c->tx_sent == c->tx_len;
}

size_t
chan_may_send(const struct chan *c, uint8_t stream)
{
	size_t window = CHAN_WINDOW - c->out.under_way[stream];

	if (!chan_has_room(c))
		return 0;
	return window < CHAN_PAYLOAD_MAX ? window : CHAN_PAYLOAD_MAX;
}

/* The parts become one payload. */
static int
send_parts(struct chan *c, uint8_t type, uint8_t stream, const void *one,
    size_t one_len, const void *two, size_t two_len, struct err *e)
{
	uint8_t *at = c->tx + c->tx_len;
	size_t len = one_len + two_len;
	uint32_t wire_len = htole32((uint32_t)len);
	struct chan_frame f = { .type = type, .stream = stream,
	    .len = (uint32_t)len, .data = at + CHAN_HEADER_BYTES };

	if (len > CHAN_PAYLOAD_MAX ||
	    len + CHAN_HEADER_BYTES > sizeof(c->tx) - c->tx_len)
		return err_set(e, ERR_USAGE, 0, "the channel has no room for "
		    "%zu bytes", len);
	at[0] = type;
	at[1] = stream;
	at[2] = at[3] = 0;
	memcpy(at + 4, &wire_len, sizeof(wire_len));
	if (one_len > 0)
		memcpy(at + CHAN_HEADER_BYTES, one, one_len);
	if (two_len > 0)
		memcpy(at + CHAN_HEADER_BYTES + one_len, two, two_len);
	if (chan_says_check(&c->out, &c->in, &f, e) != 0) {
		e->code = ERR_USAGE;
		return -1;
	}
	c->tx_len += CHAN_HEADER_BYTES + len;
	return 0;
}

int
chan_send(struct chan *c, uint8_t type, uint8_t stream, const void *data,
    size_t len, struct err *e)
{
	return send_parts(c, type, stream, data, len, NULL, 0, e);
}

int
chan_send_u32(struct chan *c, uint8_t type, uint8_t stream, uint32_t value,
    struct err *e)
{
	uint32_t wire = htole32(value);

	return send_parts(c, type, stream, &wire, sizeof(wire), NULL, 0, e);
}

int
chan_send_hello(struct chan *c, struct err *e)
{
	return chan_send_u32(c, CHAN_HELLO, 0, CHAN_VERSION, e);
}

int
chan_send_put(struct chan *c, uint8_t stream, uint64_t size, const char *name,
    struct err *e)
{
	uint64_t wire = htole64(size);

	return send_parts(c, CHAN_PUT, stream, &wire, sizeof(wire), name,
	    strlen(name), e);
}

int
chan_send_start(struct chan *c, const struct chan_start *s, struct err *e)
{
	uint16_t numbers[] = { htole16(s->nr_files), htole16(s->rows),
	    htole16(s->cols) };
	uint64_t back_max = htole64(s->back_max);
	uint8_t wire[CHAN_START_BYTES] = { s->kind, s->flags };

	memcpy(wire + 2, numbers, sizeof(numbers));
	memcpy(wire + 8, &back_max, sizeof(back_max));
	return send_parts(c, CHAN_START, 0, wire, sizeof(wire), s->args,
	    s->args_len, e);
}

int
chan_send_back(struct chan *c, uint8_t stream, enum chan_back how,
    uint64_t size, struct err *e)
{
	uint8_t byte = (uint8_t)how;
	uint64_t wire = htole64(size);

	return send_parts(c, CHAN_BACK, stream, &byte, 1, &wire, sizeof(wire),
	    e);
}

int
chan_send_end(struct chan *c, uint8_t stream, uint64_t size,
    const uint8_t hash[CHAN_HASH_BYTES], struct err *e)
{
	uint64_t wire = htole64(size);

	return send_parts(c, CHAN_END, stream, &wire, sizeof(wire), hash,
	    CHAN_HASH_BYTES, e);
}

int
chan_send_failed(struct chan *c, uint32_t status, const char *text,
    struct err *e)
{
	uint32_t wire = htole32(status);

	return send_parts(c, CHAN_FAILED, 0, &wire, sizeof(wire), text,
	    strnlen(text, CHAN_TEXT_MAX), e);
}

uint32_t
chan_u32(const struct chan_frame *f)
{
	uint32_t value;

	memcpy(&value, f->data, sizeof(value));
	return le32toh(value);
}

uint64_t
chan_u64(const uint8_t *from)
{
	uint64_t value;

	memcpy(&value, from, sizeof(value));
	return le64toh(value);
}

void
chan_get_start(const struct chan_frame *f, struct chan_start *s)
{
	uint16_t numbers[3];

	memcpy(numbers, f->data + 2, sizeof(numbers));
	*s = (struct chan_start){ .kind = f->data[0], .flags = f->data[1],
	    .nr_files = le16toh(numbers[0]), .rows = le16toh(numbers[1]),
	    .cols = le16toh(numbers[2]), .back_max = chan_u64(f->data + 8),
	    .args = (const char *)f->data + CHAN_START_BYTES,
	    .args_len = f->len - CHAN_START_BYTES };
	for (size_t i = 0; i < s->args_len; i++)
		s->nr_args += s->args[i] == '\0';
}

void
chan_get_put(const struct chan_frame *f, uint64_t *size,
    char name[CHAN_NAME_MAX + 1])
{
	*size = chan_u64(f->data);
	(void)snprintf(name, CHAN_NAME_MAX + 1, "%.*s", (int)f->len - 8,
	    (const char *)f->data + 8);
}

void
chan_get_back(const struct chan_frame *f, enum chan_back *how, uint64_t *size)
{
	*how = (enum chan_back)f->data[0];
	*size = chan_u64(f->data + 1);
}

void
chan_get_text(const struct chan_frame *f, char text[CHAN_TEXT_MAX + 1])
{
	size_t len = f->len - 4;

	for (size_t i = 0; i < len; i++)
		text[i] = f->data[4 + i] >= 0x20 && f->data[4 + i] <= 0x7e ?
		    (char)f->data[4 + i] : '?';
	text[len] = '\0';
}
