/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: what one end of the channel hears.  The first byte says which end
 * (an odd one: dvm hears an agent), the second how much comes at once; the
 * others are the bytes.  We answer as that end may: HELLO, files and START, or
 * STARTED; CREDIT for what came; and some output, for which CREDIT can come.
 */
#include <stdlib.h>
#include <string.h>

#include "include/wire/chan.h"

#define NR_FILES 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool holds)
{
	if (!holds)
		abort();
}

struct input {
	const uint8_t *at;
	size_t left, at_once;
};

static ssize_t
read_input(void *arg, void *buf, size_t len)
{
	struct input *in = arg;
	size_t n = in->left < in->at_once ? in->left : in->at_once;

	if (in->left == 0)
		return -1;
	if (n > len)
		n = len;
	memcpy(buf, in->at, n);
	in->at += n;
	in->left -= n;
	return (ssize_t)n;
}

static ssize_t
write_nowhere(void *arg, const void *buf, size_t len)
{
	(void)arg, (void)buf;
	return (ssize_t)len;
}

static bool
is_text(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < 0x20 || *text > 0x7e)
			return false;
	return true;
}

/* What was heard, counted anew. */
struct heard {
	unsigned nr;
	bool hello, start, end, eof[CHAN_STREAMS];
	uint64_t promised[CHAN_STREAMS], got[CHAN_STREAMS];
};

static void
hear_agent(struct heard *h, const struct chan_frame *f)
{
	char text[CHAN_TEXT_MAX + 1];
	enum chan_back how;
	uint64_t bytes;

	must(f->type < CHAN_PUT || f->type >= CHAN_STARTED);
	switch (f->type) {
	case CHAN_STARTED:
		h->start = true;
		break;
	case CHAN_BACK:
		must(h->start && f->stream >= CHAN_FILE_0 &&
		    f->stream < CHAN_FILE_0 + NR_FILES);
		chan_get_back(f, &how, &bytes);
		must(how >= CHAN_UNCHANGED && how <= CHAN_BROKEN);
		h->promised[f->stream] = how == CHAN_CHANGED ? bytes : 0;
		break;
	case CHAN_EXIT:
		must(h->start && chan_u32(f) < 256 + 65);
		h->end = true;
		break;
	case CHAN_FAILED:
		must(chan_u32(f) >= 125 && chan_u32(f) <= 127);
		chan_get_text(f, text);
		must(is_text(text) && strlen(text) == f->len - 4);
		h->end = true;
		break;
	default:
		break;
	}
}

static void
hear_start(const struct chan_frame *f, unsigned nr_files)
{
	struct chan_start s;

	chan_get_start(f, &s);
	must(s.nr_files == nr_files && s.kind >= CHAN_PROGRAM &&
	    s.kind <= CHAN_URL && s.nr_args <= CHAN_ARGS_MAX);
	must((s.kind == CHAN_OPEN) == (s.nr_args == 0));
	must(s.nr_args == 0 || (s.args[0] != '\0' &&
	    s.args[s.args_len - 1] == '\0'));
}

static void
hear_dvm(struct heard *h, const struct chan_frame *f, struct chan *c)
{
	char name[CHAN_NAME_MAX + 1];
	unsigned nr_files = 0;
	uint64_t bytes;

	must(f->type < CHAN_STARTED);
	if (f->type == CHAN_PUT) {
		must(!h->start);
		chan_get_put(f, &bytes, name);
		must(chan_is_name(name, strlen(name)) &&
		    strlen(name) == f->len - 8 && strchr(name, '/') == NULL);
		h->promised[f->stream] = bytes;
	} else if (f->type == CHAN_START) {
		must(!h->start);
		h->start = true;
		for (unsigned i = CHAN_FILE_0; i < CHAN_STREAMS; i++)
			nr_files += c->in.done[i];
		hear_start(f, nr_files);
	} else if (f->type == CHAN_SIGNAL) {
		must(h->start && chan_u32(f) >= 1 && chan_u32(f) <= 64);
	}
}

static void
hear(struct heard *h, const struct chan_frame *f, struct chan *c)
{
	must(!h->end && f->stream < CHAN_STREAMS &&
	    f->len <= CHAN_PAYLOAD_MAX);
	must((h->nr++ == 0) == (f->type == CHAN_HELLO));
	if (f->type == CHAN_DATA) {
		must(f->len > 0 && !h->eof[f->stream]);
		h->got[f->stream] += f->len;
		must(f->stream < CHAN_FILE_0 ||
		    h->got[f->stream] <= h->promised[f->stream]);
		must(f->stream >= CHAN_FILE_0 || (c->in.from_agent ? h->start &&
		    (f->stream == CHAN_STDOUT || f->stream == CHAN_STDERR) :
		    f->stream == CHAN_STDIN));
	} else if (f->type == CHAN_EOF) {
		h->eof[f->stream] = true;
	} else if (f->type == CHAN_END) {
		must(f->stream >= CHAN_FILE_0 &&
		    h->got[f->stream] == h->promised[f->stream]);
	}
	if (c->in.from_agent)
		hear_agent(h, f);
	else
		hear_dvm(h, f, c);
	for (unsigned i = 0; i < CHAN_STREAMS; i++)
		must(c->in.under_way[i] <= CHAN_WINDOW &&
		    c->out.under_way[i] <= CHAN_WINDOW);
}

/* What dvm may say at once. */
static void
speak_first(struct chan *c)
{
	static const uint8_t hash[CHAN_HASH_BYTES];
	const struct chan_start start = { .kind = CHAN_OPEN,
	    .nr_files = NR_FILES };
	struct err e;

	must(chan_send_hello(c, &e) == 0);
	if (c->out.from_agent)
		return;
	for (uint8_t i = CHAN_FILE_0; i < CHAN_FILE_0 + NR_FILES; i++)
		must(chan_send_put(c, i, 1, "f", &e) == 0 &&
		    chan_send(c, CHAN_DATA, i, "x", 1, &e) == 0 &&
		    chan_send_end(c, i, 1, hash, &e) == 0);
	must(chan_send_start(c, &start, &e) == 0 &&
	    chan_send(c, CHAN_DATA, CHAN_STDIN, "in", 2, &e) == 0);
}

static void
answer(struct chan *c, const struct chan_frame *f)
{
	struct err e;

	/* Of every second frame, so that windows do fill. */
	if (f->type == CHAN_DATA && (f->len & 1) != 0)
		must(chan_send_u32(c, CHAN_CREDIT, f->stream, f->len,
		    &e) == 0);
	if (f->type == CHAN_START)
		must(chan_send(c, CHAN_STARTED, 0, NULL, 0, &e) == 0 &&
		    chan_send(c, CHAN_DATA, CHAN_STDOUT, "out", 3, &e) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct chan c;
	struct input in;
	const struct chan_io io = { .arg = &in, .fd = -1, .read = read_input,
	    .write = write_nowhere };
	struct heard h = { 0 };
	struct chan_frame f;
	uint8_t *copy;
	struct err e;
	int rc = 0;

	if (size < 2)
		return 0;
	in = (struct input){ .at = data + 2, .left = size - 2,
	    .at_once = data[1] == 0 ? SIZE_MAX : data[1] };
	chan_init(&c, &io, (data[0] & 1) == 0);
	speak_first(&c);
	while (rc == 0 && !c.closed) {
		must(chan_move(&c, 0, &e) == 0);
		while ((rc = chan_next(&c, &f, &e)) == 1) {
			/* Of just its length, so that a byte too many is
			 * seen. */
			copy = malloc(f.len > 0 ? f.len : 1);
			must(copy != NULL);
			memcpy(copy, f.data, f.len);
			f.data = copy;
			hear(&h, &f, &c);
			answer(&c, &f);
			free(copy);
			must(chan_move(&c, 0, &e) == 0);
		}
	}
	must(rc == 0 || (e.code == ERR_INPUT && e.msg[0] != '\0' &&
	    is_text(e.msg)));
	return 0;
}
