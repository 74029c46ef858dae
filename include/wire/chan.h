/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The channel between dvm and the agent of a disposable, with the courier in
 * between (dvm-channel.7): frames on a stream of bytes, both ways.  A header,
 * little-endian, then `len` bytes:
 *
 *   u8 type, u8 stream, u16 zero, u32 len
 *
 * First comes HELLO, both ways.  dvm then sends files, if any, and START; the
 * agent answers STARTED or FAILED.  Then there are bytes both ways; in the end
 * come the files that changed, and EXIT.
 *
 * Flow control: of each stream CHAN_WINDOW bytes may be under way.  Who has
 * passed on what it got says so with CREDIT.  So what an end may have to keep
 * is bounded, and a stream that nobody reads stops only itself.
 */
#ifndef CHAN_H
#define CHAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "include/err.h"

#define CHAN_VERSION 1u
#define CHAN_HEADER_BYTES 8
#define CHAN_PAYLOAD_MAX 32768u
#define CHAN_WINDOW 524288u
/* CREDIT for less may wait: who can send no more has the whole window under
 * way, so as much as this will be passed on. */
#define CHAN_CREDIT_MIN (CHAN_WINDOW / 8)
#define CHAN_HASH_BYTES 32		/* BLAKE2b */
#define CHAN_FILES_MAX 16u
#define CHAN_NAME_MAX 255u		/* a file's name, without the NUL */
#define CHAN_TEXT_MAX 400u

enum chan_stream {
	CHAN_STDIN, CHAN_STDOUT, CHAN_STDERR,
	CHAN_FILE_0 = 16,		/* and the CHAN_FILES_MAX - 1 after */
	CHAN_STREAMS = CHAN_FILE_0 + CHAN_FILES_MAX
};

enum chan_type {
	/* Both ways. */
	CHAN_HELLO = 1,		/* u32 version */
	CHAN_DATA,		/* stream; 1 to CHAN_PAYLOAD_MAX bytes */
	CHAN_EOF,		/* stream (not a file's): no DATA follows */
	CHAN_CREDIT,		/* stream; u32 bytes of it were passed on */
	CHAN_END,		/* stream, a file's: u64 bytes, the hash of all
				 * of them.  Complete only with this */
	/* dvm to agent. */
	CHAN_PUT = 32,		/* stream, a file's: u64 size, its name */
	CHAN_START,		/* struct chan_start, after all files' END */
	CHAN_SIGNAL,		/* u32 number, for the program's group */
	CHAN_WINSIZE,		/* u16 rows, u16 columns */
	/* Agent to dvm. */
	CHAN_STARTED = 64,	/* the program runs */
	CHAN_BACK,		/* stream, a file's: u8 enum chan_back, u64
				 * size.  If changed then DATA and END */
	CHAN_EXIT,		/* u32: exit status, or 256 + the signal that
				 * ended it.  Nothing follows */
	CHAN_FAILED,		/* u32 exit status for dvm (125, 126, 127),
				 * text.  Nothing follows; the courier says
				 * it too */
};

enum chan_back {
	CHAN_UNCHANGED = 1,
	CHAN_CHANGED,
	CHAN_GONE,		/* removed, or no regular file any more */
	CHAN_TOO_LARGE,		/* `size` is above chan_start.back_max */
	CHAN_BROKEN,		/* it could not be read to its end */
};

enum chan_kind {
	CHAN_PROGRAM = 1,	/* argv */
	CHAN_SERVICE,		/* argv[0]: "NAME" or "NAME+ARGUMENT" */
	CHAN_OPEN,		/* the files, no argv */
	CHAN_URL,		/* argv[0] */
};

#define CHAN_START_TTY 1u	/* stdin, stdout and stderr are one terminal */
#define CHAN_START_VIEW_ONLY 2u	/* files cannot be changed, none comes back */

/* START's payload: u8 kind, u8 flags, u16 nr_files, u16 rows, u16 cols, u64
 * back_max, then argv, each with its NUL. */
#define CHAN_START_BYTES 16
#define CHAN_ARGS_MAX 1024u
struct chan_start {
	uint8_t kind, flags;
	uint16_t nr_files, rows, cols;
	uint64_t back_max;	/* bytes of a file that comes back */
	const char *args;	/* in the frame */
	size_t args_len;
	unsigned nr_args;
};

struct chan_frame {
	uint8_t type, stream;
	uint32_t len;
	const uint8_t *data;	/* until the next chan_next() */
};

/* The stream of bytes below: a socket, or libxenvchan. */
struct chan_io {
	void *arg;
	int fd;			/* to poll */
	bool poll_out;		/* else only POLLIN wakes, for both */
	/* Never wait.  > 0; 0: not now; -1: it is closed (errno 0) or broken.
	 * libxenvchan is closed also while there still is something. */
	ssize_t (*read)(void *arg, void *buf, size_t len);
	ssize_t (*write)(void *arg, const void *buf, size_t len);
	void (*woken)(void *arg);	/* fd was readable.  NULL: nothing */
};

/* A socket, also one that blocks. */
struct chan_io chan_io_socket(int fd);

/* What has been said in one direction: no frame is taken that does not follow
 * from those before it. */
struct chan_says {
	bool from_agent;
	bool hello, started, ended;	/* ended: EXIT or FAILED */
	bool eof[CHAN_STREAMS];
	bool opened[CHAN_STREAMS], done[CHAN_STREAMS];	/* files */
	uint64_t left[CHAN_STREAMS];	/* of a file, until END */
	uint32_t under_way[CHAN_STREAMS];	/* without CREDIT yet */
};

#define CHAN_FRAME_MAX (CHAN_HEADER_BYTES + CHAN_PAYLOAD_MAX)
struct chan {
	struct chan_io io;
	struct chan_says in, out;
	bool closed;			/* nothing more will come */
	size_t rx_len, rx_used, tx_len, tx_sent;
	uint8_t rx[8 * CHAN_FRAME_MAX], tx[8 * CHAN_FRAME_MAX];
};

/* is_agent: the frames that go out are the agent's.  Nothing is allocated;
 * the descriptor stays the caller's. */
void chan_init(struct chan *c, const struct chan_io *io, bool is_agent);

/* What to poll c->io.fd for; 0 is POLLHUP and POLLERR alone. */
short chan_events(const struct chan *c);

/* Moves what can be moved without waiting.  `revents` as poll() gave them.
 * ERR_SYS: it is broken. */
int chan_move(struct chan *c, short revents, struct err *e);

/* The next frame that came, checked: its form, its direction, its place in the
 * conversation, its stream's window.  1; 0: none yet (c->closed: nor will
 * be); ERR_INPUT: the other side breaks the protocol. */
int chan_next(struct chan *c, struct chan_frame *f, struct err *e);

/* Is there room for a frame of CHAN_PAYLOAD_MAX?  And is all of it sent? */
bool chan_has_room(const struct chan *c);
bool chan_is_flushed(const struct chan *c);

/* Bytes of the stream that may be sent now: for a DATA frame, at most
 * CHAN_PAYLOAD_MAX; 0 without room. */
size_t chan_may_send(const struct chan *c, uint8_t stream);

/* There must be room.  ERR_USAGE: that frame may not be said now, by the
 * rules that chan_next() has. */
int chan_send(struct chan *c, uint8_t type, uint8_t stream, const void *data,
    size_t len, struct err *e);
int chan_send_u32(struct chan *c, uint8_t type, uint8_t stream, uint32_t value,
    struct err *e);
int chan_send_hello(struct chan *c, struct err *e);
int chan_send_put(struct chan *c, uint8_t stream, uint64_t size,
    const char *name, struct err *e);
int chan_send_start(struct chan *c, const struct chan_start *s, struct err *e);
int chan_send_back(struct chan *c, uint8_t stream, enum chan_back how,
    uint64_t size, struct err *e);
int chan_send_end(struct chan *c, uint8_t stream, uint64_t size,
    const uint8_t hash[CHAN_HASH_BYTES], struct err *e);
int chan_send_failed(struct chan *c, uint32_t status, const char *text,
    struct err *e);

/* Of a frame that chan_next() gave, whose lengths it has checked. */
uint32_t chan_u32(const struct chan_frame *f);
uint64_t chan_u64(const uint8_t *from);
void chan_get_start(const struct chan_frame *f, struct chan_start *s);
void chan_get_put(const struct chan_frame *f, uint64_t *size,
    char name[CHAN_NAME_MAX + 1]);
void chan_get_back(const struct chan_frame *f, enum chan_back *how,
    uint64_t *size);
/* FAILED's text, for a terminal: what is not printable ASCII is "?". */
void chan_get_text(const struct chan_frame *f, char text[CHAN_TEXT_MAX + 1]);

/* Does this frame follow from what was said in its direction?  `back` is what
 * was said in the other: CREDIT is about that.  ERR_INPUT. */
int chan_says_check(struct chan_says *s, struct chan_says *back,
    const struct chan_frame *f, struct err *e);

/* May a file have this name in the guest?  One to CHAN_NAME_MAX bytes of
 * UTF-8 without '/' and control characters; not "." or "..", nor with '-' or
 * '.' in front. */
bool chan_is_name(const char *untrusted_name, size_t len);

/* How many bytes the UTF-8 character has that begins here, 0 if none does;
 * left > 0. */
size_t chan_utf8_len(const uint8_t *untrusted_at, size_t left);

#endif
