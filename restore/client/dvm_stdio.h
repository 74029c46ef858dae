/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm's own standard streams, which it shares with others: none may hold up
 * the rest, and O_NONBLOCK is not set on them.
 */
#ifndef DVM_STDIO_H
#define DVM_STDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "include/err.h"
#include "include/wire/chan.h"

/* Standard input, or a way to read the same that does not wait. */
struct dvm_stdin {
	int fd;
	bool own;
	bool ended;
};

/* Standard output or error, and what it has not taken yet. */
struct dvm_stdout {
	int fd;
	bool own;		/* opened anew, with O_NONBLOCK */
	bool is_socket, is_file;
	bool tells_end;		/* standard output that somebody reads */
	bool ended;		/* nothing more comes */
	bool is_text;		/* a terminal, and not the guest's own */
	bool is_utf8;
	bool broken;		/* nobody reads it: all is dropped */
	size_t at, ready, len;	/* in buf: to write; cleaned; there */
	uint32_t uncredited;	/* bytes written, and not said so */
	uint8_t buf[CHAN_WINDOW];
};

void dvm_stdin_open(struct dvm_stdin *in, int fd);
/* > 0; 0: nothing now, or in->ended. */
ssize_t dvm_stdin_read(struct dvm_stdin *in, void *buf, size_t len);
void dvm_stdin_close(struct dvm_stdin *in);

/* raw: a terminal gets whatever comes. */
void dvm_stdout_open(struct dvm_stdout *out, int fd, bool raw);
/* At most CHAN_WINDOW bytes are kept: the channel's rules see to that. */
void dvm_stdout_put(struct dvm_stdout *out, const void *untrusted, size_t len);
/* Nothing more will come. */
void dvm_stdout_finish(struct dvm_stdout *out);
/* Is there something to write? */
bool dvm_stdout_waits(const struct dvm_stdout *out);
/* Writes what can be written without waiting; poll() said POLLOUT.  -1, with
 * errno: it is broken. */
int dvm_stdout_write(struct dvm_stdout *out);
void dvm_stdout_close(struct dvm_stdout *out);

#endif
