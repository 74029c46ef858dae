/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A plain vchan, to measure the channel against: bytes through libxenvchan in
 * pieces of 32 KiB, both ends blocking, nothing looked at.
 *
 *	vchan_loop				in a guest, as root: the server
 *	vchan_loop DOMID in|out BYTES		in dom0: from the guest or to
 *						it; prints the seconds
 */
#include <libxenvchan.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/clock.h"

#define RING_BYTES 262144	/* as the channel has */
#define PIECE 32768u
#define NODE "data/vchan-loop"
/* The server closes, and then offers itself anew. */
#define TRIES 100
#define TRY_MS 50

/* What dom0 asks for. */
struct order {
	char way;		/* 'i' or 'o' */
	uint64_t bytes;
};

static char piece[PIECE];

static int
pass(struct libxenvchan *v, int writes, uint64_t bytes)
{
	int n;

	for (; bytes > 0; bytes -= (uint64_t)n) {
		size_t len = bytes < PIECE ? (size_t)bytes : PIECE;

		n = writes ? libxenvchan_write(v, piece, len) :
		    libxenvchan_read(v, piece, len);
		if (n <= 0)
			return -1;
	}
	return 0;
}

static int
serve(void)
{
	struct libxenvchan *v;
	struct order o;

	for (;;) {
		v = libxenvchan_server_init(NULL, 0, NODE, RING_BYTES,
		    RING_BYTES);
		if (v == NULL)
			return 1;
		v->blocking = -1;	/* its one bit has a sign */
		/* The last byte says that all has come. */
		if (libxenvchan_recv(v, &o, sizeof(o)) == (int)sizeof(o) &&
		    pass(v, o.way == 'i', o.bytes) == 0)
			(void)libxenvchan_send(v, "", 1);
		/* Until dom0 has closed. */
		(void)libxenvchan_recv(v, &o, 1);
		libxenvchan_close(v);
	}
}

static int
measure(int domid, char way, uint64_t bytes)
{
	struct order o = { .way = way, .bytes = bytes };
	struct libxenvchan *v = NULL;
	uint64_t start;
	char path[64];

	(void)snprintf(path, sizeof(path), "/local/domain/%d/" NODE, domid);
	for (int i = 0; v == NULL && i < TRIES; i++) {
		(void)poll(NULL, 0, i == 0 ? 0 : TRY_MS);
		v = libxenvchan_client_init(NULL, domid, path);
	}
	if (v == NULL)
		return 1;
	v->blocking = -1;	/* its one bit has a sign */
	start = clock_now_ns();
	if (libxenvchan_send(v, &o, sizeof(o)) != (int)sizeof(o) ||
	    pass(v, way == 'o', bytes) != 0 ||
	    libxenvchan_recv(v, path, 1) != 1)
		return 1;
	(void)printf("%.6f\n", (double)(clock_now_ns() - start) / 1e9);
	libxenvchan_close(v);
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 1)
		return serve();
	if (argc != 4 || (argv[2][0] != 'i' && argv[2][0] != 'o')) {
		(void)fprintf(stderr, "usage: vchan_loop [DOMID in|out "
		    "BYTES]\n");
		return 2;
	}
	return measure((int)strtol(argv[1], NULL, 10), argv[2][0],
	    strtoull(argv[3], NULL, 10));
}
