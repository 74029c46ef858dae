/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The standard streams.  Runs in dvm, as any user; what is written is the
 * guest's.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore/client/dvm_stdio.h"
#include "restore/client/dvm_text.h"

/* To a pipe that is writable so much does not wait, unless another writes to
 * it too; to a terminal it may. */
#define SHARED_MAX 512
#define OWN_MAX 262144

/* The same pipe or terminal with file flags of its own; -1: not possible. */
static int
open_anew(int fd, int access)
{
	char path[32];
	struct stat st;

	if (fstat(fd, &st) != 0 || (!S_ISFIFO(st.st_mode) && !isatty(fd)))
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void
dvm_stdin_open(struct dvm_stdin *in, int fd)
{
	int own = open_anew(fd, O_RDONLY);

	*in = (struct dvm_stdin){ .fd = own >= 0 ? own : fd, .own = own >= 0 };
}

ssize_t
dvm_stdin_read(struct dvm_stdin *in, void *buf, size_t len)
{
	ssize_t n = read(in->fd, buf, len);

	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	/* A terminal that hung up, a directory: no more than an end. */
	in->ended = true;
	return 0;
}

void
dvm_stdin_close(struct dvm_stdin *in)
{
	if (in->own)
		(void)close(in->fd);
	in->own = false;
	in->ended = true;
}

void
dvm_stdout_open(struct dvm_stdout *out, int fd, bool raw)
{
	int own = open_anew(fd, O_WRONLY);
	struct stat st = { .st_mode = 0 };

	(void)fstat(fd, &st);
	out->fd = own >= 0 ? own : fd;
	out->own = own >= 0;
	out->is_socket = S_ISSOCK(st.st_mode);
	/* A file, /dev/null: what does not wait for another process. */
	out->is_file = !out->is_socket && !S_ISFIFO(st.st_mode) && !isatty(fd);
	out->tells_end = fd == STDOUT_FILENO &&
	    (out->is_socket || S_ISFIFO(st.st_mode));
	out->ended = false;
	out->is_text = !raw && isatty(fd);
	out->is_utf8 = dvm_text_is_utf8();
	out->broken = false;
	out->at = out->ready = out->len = 0;
	out->uncredited = 0;
}

static void
clean(struct dvm_stdout *out, bool final)
{
	if (out->is_text)
		out->ready += dvm_text_clean(out->buf + out->ready,
		    out->len - out->ready, out->is_utf8, final);
	else
		out->ready = out->len;
}

void
dvm_stdout_put(struct dvm_stdout *out, const void *untrusted, size_t len)
{
	if (out->broken) {
		out->uncredited += (uint32_t)len;
		return;
	}
	if (len > sizeof(out->buf) - out->len) {
		memmove(out->buf, out->buf + out->at, out->len - out->at);
		out->len -= out->at;
		out->ready -= out->at;
		out->at = 0;
	}
	memcpy(out->buf + out->len, untrusted, len);
	out->len += len;
	clean(out, false);
}

/* Who reads it is told as soon as the program has closed it, and not when the
 * program ends. */
static void
tell_end(struct dvm_stdout *out)
{
	int null;

	if (!out->tells_end || !out->ended || dvm_stdout_waits(out))
		return;
	out->tells_end = false;
	null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (null < 0)
		return;
	dvm_stdout_close(out);
	(void)dup2(null, STDOUT_FILENO);
	(void)close(null);
	out->fd = STDOUT_FILENO;
}

void
dvm_stdout_finish(struct dvm_stdout *out)
{
	clean(out, true);
	out->ended = true;
	tell_end(out);
}

bool
dvm_stdout_waits(const struct dvm_stdout *out)
{
	return out->at < out->ready;
}

static ssize_t
write_some(const struct dvm_stdout *out, size_t len)
{
	const uint8_t *at = out->buf + out->at;

	if (out->is_socket)
		return send(out->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (!out->own && !out->is_file && len > SHARED_MAX)
		len = SHARED_MAX;
	return write(out->fd, at, len < OWN_MAX ? len : OWN_MAX);
}

static int
give_up(struct dvm_stdout *out)
{
	int reason = errno;

	/* The sender is not to wait for it. */
	out->uncredited += (uint32_t)(out->len - out->at);
	out->at = out->ready = out->len = 0;
	out->broken = true;
	errno = reason;
	return -1;
}

int
dvm_stdout_write(struct dvm_stdout *out)
{
	struct pollfd p = { .fd = out->fd, .events = POLLOUT };

	while (out->at < out->ready && poll(&p, 1, 0) == 1) {
		ssize_t n = write_some(out, out->ready - out->at);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n < 0)
			return give_up(out);
		out->at += (size_t)n;
		out->uncredited += (uint32_t)n;
	}
	if (out->at == out->len)
		out->at = out->ready = out->len = 0;
	tell_end(out);
	return 0;
}

void
dvm_stdout_close(struct dvm_stdout *out)
{
	if (out->own)
		(void)close(out->fd);
	out->own = false;
}
