/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules of the conversation.  All that either side sends goes through
 * here: in the agent and dvm what they say and hear, in the courier all.
 */
#include <signal.h>
#include <string.h>

#include "include/wire/chan.h"

#define EXIT_SIGNAL 256u

static bool
is_file(uint8_t stream)
{
	return stream >= CHAN_FILE_0 && stream < CHAN_STREAMS;
}

/* The well-formed sequences of RFC 3629, which leave out what is overlong,
 * surrogates, and beyond U+10FFFF. */
size_t
chan_utf8_len(const uint8_t *at, size_t left)
{
	size_t len = at[0] < 0x80 ? 1 : at[0] >= 0xc2 && at[0] <= 0xdf ? 2 :
	    (at[0] & 0xf0) == 0xe0 ? 3 : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4 :
	    0;

	if (len == 0 || len > left)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	if ((at[0] == 0xe0 && at[1] < 0xa0) ||
	    (at[0] == 0xed && at[1] > 0x9f) ||
	    (at[0] == 0xf0 && at[1] < 0x90) ||
	    (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return len;
}

bool
chan_is_name(const char *untrusted_name, size_t len)
{
	const uint8_t *at = (const uint8_t *)untrusted_name;
	size_t n;

	if (len == 0 || len > CHAN_NAME_MAX || at[0] == '.' || at[0] == '-')
		return false;
	for (size_t i = 0; i < len; i += n) {
		n = chan_utf8_len(at + i, len - i);
		if (n == 0 || at[i] < 0x20 || at[i] == 0x7f || at[i] == '/')
			return false;
		/* U+0080 to U+009f are control characters too. */
		if (n == 2 && at[i] == 0xc2 && at[i + 1] < 0xa0)
			return false;
	}
	return true;
}

static bool
is_start(const struct chan_says *s, const struct chan_frame *f)
{
	struct chan_start start;
	unsigned nr_files = 0;

	if (f->len < CHAN_START_BYTES)
		return false;
	chan_get_start(f, &start);
	for (unsigned i = CHAN_FILE_0; i < CHAN_STREAMS; i++) {
		/* They come in a row, and are complete. */
		if (s->opened[i] && (!s->done[i] ||
		    i != CHAN_FILE_0 + nr_files))
			return false;
		nr_files += s->opened[i];
	}
	if (start.nr_files != nr_files || start.nr_args > CHAN_ARGS_MAX ||
	    (start.args_len > 0 && start.args[start.args_len - 1] != '\0') ||
	    (start.flags & ~(CHAN_START_TTY | CHAN_START_VIEW_ONLY)) != 0)
		return false;
	switch (start.kind) {
	case CHAN_PROGRAM:
		return start.nr_args > 0 && start.args[0] != '\0';
	case CHAN_SERVICE:
	case CHAN_URL:
		return start.nr_args == 1 && start.args[0] != '\0';
	case CHAN_OPEN:
		return start.nr_args == 0 && nr_files > 0;
	default:
		return false;
	}
}

/* Of the streams of bytes, those that this side sends. */
static bool
is_own(const struct chan_says *s, uint8_t stream)
{
	return s->from_agent ? s->started && (stream == CHAN_STDOUT ||
	    stream == CHAN_STDERR) : stream == CHAN_STDIN;
}

static bool
check_data(struct chan_says *s, const struct chan_frame *f)
{
	if (f->len == 0 || f->len > CHAN_WINDOW - s->under_way[f->stream] ||
	    s->eof[f->stream])
		return false;
	if (is_file(f->stream)) {
		if (!s->opened[f->stream] || s->done[f->stream] ||
		    f->len > s->left[f->stream])
			return false;
		s->left[f->stream] -= f->len;
	} else if (!is_own(s, f->stream)) {
		return false;
	}
	s->under_way[f->stream] += f->len;
	return true;
}

static bool
check_eof(struct chan_says *s, const struct chan_frame *f)
{
	if (f->len != 0 || s->eof[f->stream] || !is_own(s, f->stream))
		return false;
	s->eof[f->stream] = true;
	return true;
}

static bool
check_end(struct chan_says *s, const struct chan_frame *f)
{
	if (f->len != 8 + CHAN_HASH_BYTES || !s->opened[f->stream] ||
	    s->done[f->stream] || s->left[f->stream] != 0)
		return false;
	s->done[f->stream] = true;
	return true;
}

static bool
check_open(struct chan_says *s, const struct chan_frame *f, uint64_t size)
{
	if (!is_file(f->stream) || s->opened[f->stream])
		return false;
	s->opened[f->stream] = true;
	s->left[f->stream] = size;
	return true;
}

static bool
check_back(struct chan_says *s, const struct chan_says *dvm,
    const struct chan_frame *f)
{
	enum chan_back how;
	uint64_t size;

	/* Only what was sent comes back. */
	if (f->len != 9 || !s->started || !is_file(f->stream) ||
	    !dvm->done[f->stream])
		return false;
	chan_get_back(f, &how, &size);
	if (how < CHAN_UNCHANGED || how > CHAN_BROKEN ||
	    !check_open(s, f, how == CHAN_CHANGED ? size : 0))
		return false;
	if (how != CHAN_CHANGED)
		s->done[f->stream] = true;
	return true;
}

static bool
check_exit(struct chan_says *s, const struct chan_frame *f)
{
	uint32_t status = f->len == 4 ? chan_u32(f) : UINT32_MAX;

	for (unsigned i = CHAN_FILE_0; i < CHAN_STREAMS; i++)
		if (s->opened[i] && !s->done[i])
			return false;
	s->ended = true;
	return s->started && status <= EXIT_SIGNAL + (uint32_t)SIGRTMAX &&
	    status != EXIT_SIGNAL;
}

static bool
from_agent(struct chan_says *s, const struct chan_says *dvm,
    const struct chan_frame *f)
{
	uint32_t status;

	switch (f->type) {
	case CHAN_STARTED:
		if (f->len != 0 || s->started || !dvm->started)
			return false;
		s->started = true;
		return true;
	case CHAN_BACK:
		return check_back(s, dvm, f);
	case CHAN_EXIT:
		return check_exit(s, f);
	case CHAN_FAILED:
		status = f->len >= 4 ? chan_u32(f) : 0;
		s->ended = true;
		return f->len <= 4 + CHAN_TEXT_MAX && status >= 125 &&
		    status <= 127;
	default:
		return false;
	}
}

static bool
from_dvm(struct chan_says *s, const struct chan_frame *f)
{
	uint32_t nr;

	switch (f->type) {
	case CHAN_PUT:
		return !s->started && f->len > 8 &&
		    chan_is_name((const char *)f->data + 8, f->len - 8) &&
		    check_open(s, f, chan_u64(f->data));
	case CHAN_START:
		if (s->started || !is_start(s, f))
			return false;
		s->started = true;
		return true;
	case CHAN_SIGNAL:
		nr = f->len == 4 ? chan_u32(f) : 0;
		return s->started && nr >= 1 && nr <= (uint32_t)SIGRTMAX;
	case CHAN_WINSIZE:
		return s->started && f->len == 4;
	default:
		return false;
	}
}

static bool
check(struct chan_says *s, struct chan_says *back, const struct chan_frame *f)
{
	uint32_t credit;

	if (s->ended || f->stream >= CHAN_STREAMS)
		return false;
	if (!s->hello) {
		s->hello = true;
		return f->type == CHAN_HELLO && f->len == 4 &&
		    chan_u32(f) == CHAN_VERSION;
	}
	switch (f->type) {
	case CHAN_DATA:
		return check_data(s, f);
	case CHAN_EOF:
		return check_eof(s, f);
	case CHAN_CREDIT:
		credit = f->len == 4 ? chan_u32(f) : 0;
		if (credit == 0 || credit > back->under_way[f->stream])
			return false;
		back->under_way[f->stream] -= credit;
		return true;
	case CHAN_END:
		return check_end(s, f);
	default:
		return s->from_agent ? from_agent(s, back, f) :
		    from_dvm(s, f);
	}
}

int
chan_says_check(struct chan_says *s, struct chan_says *back,
    const struct chan_frame *f, struct err *e)
{
	bool first = !s->hello;

	if (check(s, back, f))
		return 0;
	if (first && f->type == CHAN_HELLO && f->len == 4)
		return err_set(e, ERR_INPUT, 0, "it speaks version %u of the "
		    "channel, not %u: install the guest's agent and prepare "
		    "again", chan_u32(f), CHAN_VERSION);
	return err_set(e, ERR_INPUT, 0, "a frame of type %u, stream %u and %u "
	    "bytes where none may be", f->type, f->stream, f->len);
}
