/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A program's standard input, output and errors, for ag_serve.  Nothing waits:
 * input is kept until the program takes it, output is only read when it may be
 * sent.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "prep/agent/ag_stdio.h"

#define END_OF_TRANSMISSION 0x04	/* ^D */

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void
ag_stdio_init(struct ag_stdio *s)
{
	s->child = (struct ag_child){ .pid = -1, .in = -1, .out = -1,
	    .err = -1 };
	s->tty = s->ending = s->in_eof = false;
	s->left[0] = s->left[1] = SIZE_MAX;
	s->in_at = s->in_len = 0;
}

void
ag_stdio_close(struct ag_stdio *s)
{
	close_fd(&s->child.in);
	close_fd(&s->child.out);
	close_fd(&s->child.err);
}

void
ag_stdio_take(struct ag_stdio *s, const struct chan_frame *f)
{
	size_t at = (s->in_at + s->in_len) % sizeof(s->in);
	size_t first = sizeof(s->in) - at;

	if (first > f->len)
		first = f->len;
	memcpy(s->in + at, f->data, first);
	memcpy(s->in, f->data + first, f->len - first);
	s->in_len += f->len;
}

static bool
feed_eof(struct ag_stdio *s)
{
	static const char end = END_OF_TRANSMISSION;
	ssize_t n = 1;

	if (!s->in_eof || s->child.in < 0)
		return false;
	/* A terminal has no other way to say it. */
	if (s->tty)
		n = write(s->child.in, &end, 1);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	close_fd(&s->child.in);
	return true;
}

bool
ag_stdio_feed(struct ag_stdio *s, uint32_t *passed_on)
{
	size_t len = sizeof(s->in) - s->in_at;
	ssize_t n;

	*passed_on = 0;
	if (s->in_len == 0)
		return feed_eof(s);
	if (len > s->in_len)
		len = s->in_len;
	if (s->child.in >= 0) {
		n = write(s->child.in, s->in + s->in_at, len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (n < 0)
			close_fd(&s->child.in);
		else
			len = (size_t)n;
	}
	s->in_at = (s->in_at + len) % sizeof(s->in);
	s->in_len -= len;
	*passed_on = (uint32_t)len;
	return len > 0;
}

static int
relay(struct ag_stdio *s, uint8_t stream, struct chan *c, struct err *e)
{
	int *fd = stream == CHAN_STDOUT ? &s->child.out : &s->child.err;
	size_t *left = &s->left[stream - CHAN_STDOUT];
	size_t may = chan_may_send(c, stream);
	uint8_t buf[CHAN_PAYLOAD_MAX];
	ssize_t n;

	if (s->ending && *left == 0)
		close_fd(fd);
	if (*fd < 0) {
		if (c->out.eof[stream] || !chan_has_room(c))
			return 0;
		return chan_send(c, CHAN_EOF, stream, NULL, 0, e) == 0 ? 1 : -1;
	}
	if (may == 0)
		return 0;
	n = read(*fd, buf, may < *left ? may : *left);
	if (n < 0 && !s->ending && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* Or EIO: a terminal that nobody has open. */
	if (n <= 0) {
		close_fd(fd);
		return 1;
	}
	if (s->ending)
		*left -= (size_t)n;
	return chan_send(c, CHAN_DATA, stream, buf, (size_t)n, e) == 0 ? 1 : -1;
}

int
ag_stdio_relay(struct ag_stdio *s, struct chan *c, struct err *e)
{
	int out = relay(s, CHAN_STDOUT, c, e);
	int err = out < 0 ? -1 : relay(s, CHAN_STDERR, c, e);

	return err < 0 ? -1 : out == 1 || err == 1;
}

void
ag_stdio_end(struct ag_stdio *s)
{
	const int fds[2] = { s->child.out, s->child.err };
	int there;

	s->ending = true;
	/* A terminal was hung up, and so comes to its end. */
	for (int i = 0; i < 2 && !s->tty; i++)
		if (fds[i] >= 0 && ioctl(fds[i], FIONREAD, &there) == 0)
			s->left[i] = (size_t)there;
}

void
ag_stdio_poll(const struct ag_stdio *s, const struct chan *c,
    struct pollfd p[AG_STDIO_FDS])
{
	p[0] = (struct pollfd){ .fd = s->in_len > 0 || s->in_eof ?
	    s->child.in : -1, .events = POLLOUT };
	p[1] = (struct pollfd){ .fd = chan_may_send(c, CHAN_STDOUT) > 0 ?
	    s->child.out : -1, .events = POLLIN };
	p[2] = (struct pollfd){ .fd = chan_may_send(c, CHAN_STDERR) > 0 ?
	    s->child.err : -1, .events = POLLIN };
}
