/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Opens a savefile: reads header, state and index once into memory of our own,
 * checks their digest, and only then parses them.  Trusts nothing of the file;
 * runs in the service's core as well as in a user's tools.
 */
#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "savefile/sf_bytes.h"
#include "savefile/sf_digest.h"
#include "savefile/sf_io.h"
#include "savefile/sf_page.h"
#include "savefile/sf_reader.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22		/* Linux 5.14 */
#endif

struct sf_reader {
	int fd;				/* our own duplicate */
	uint8_t *meta;			/* [0, data_off); state points here */
	const uint8_t *data;		/* the mapping of the rest, or NULL */
	size_t data_bytes;
	bool (*go_on)(void *ctx, uint64_t off);	/* or NULL */
	void *go_on_ctx;
	struct sf_header header;
	struct sf_state state;
	struct sf_image image;
};

/* Reads [0, data_off) and checks its digest. */
static int
read_meta(struct sf_reader *r, const uint8_t *host_key,
    const struct sf_limits *limits, struct err *e)
{
	uint8_t untrusted_header[SF_HEADER_BYTES];
	struct stat st;
	size_t len;

	if (fstat(r->fd, &st) == -1)
		return err_set(e, ERR_SYS, errno, "cannot stat the file");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INPUT, 0, "not a regular file");
	if (st.st_size < (off_t)SF_HEADER_BYTES)
		return err_set(e, ERR_INPUT, 0, "not a savefile, or cut short:"
		    " %jd bytes, the header alone has %u",
		    (intmax_t)st.st_size, SF_HEADER_BYTES);
	if (sf_io_read_at(r->fd, untrusted_header, SF_HEADER_BYTES, 0, e) ==
	    -1 ||
	    sf_format_decode_header(untrusted_header, (uint64_t)st.st_size,
	    limits, &r->header, e) == -1)
		return -1;
	len = (size_t)r->header.data_off;
	r->meta = malloc(len);
	if (r->meta == NULL)
		return err_set(e, ERR_NOMEM, 0,
		    "no memory for %zu bytes of header and index", len);
	if (sf_io_read_at(r->fd, r->meta, len, 0, e) == -1)
		return -1;
	/* A file that is being written can change between the two reads. */
	if (memcmp(r->meta, untrusted_header, SF_HEADER_BYTES) != 0)
		return err_set(e, ERR_BUSY, 0, "the file is being changed");
	return sf_digest_check(r->meta, len, host_key, e);
}

static int
map_data(struct sf_reader *r, struct err *e)
{
	void *p;

	r->data_bytes = (size_t)(r->header.file_bytes - r->header.data_off);
	if (r->data_bytes == 0)
		return 0;
	p = mmap(NULL, r->data_bytes, PROT_READ, MAP_SHARED, r->fd,
	    (off_t)r->header.data_off);
	if (p == MAP_FAILED)
		return err_set(e, ERR_SYS, errno, "cannot map %zu bytes",
		    r->data_bytes);
	r->data = p;
	return 0;
}

struct sf_reader *
sf_reader_open(int fd, const uint8_t *host_key,
    const struct sf_limits *limits, struct err *e)
{
	struct sf_reader *r;

	r = calloc(1, sizeof(*r));
	if (r == NULL) {
		(void)err_set(e, ERR_NOMEM, 0, "no memory");
		return NULL;
	}
	r->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (r->fd == -1) {
		(void)err_set(e, ERR_SYS, errno, "cannot use the descriptor");
		goto out;
	}
	if (read_meta(r, host_key, limits, e) == -1 ||
	    sf_state_decode(r->meta + SF_HEADER_BYTES, r->header.state_bytes,
	    &r->state, e) == -1 ||
	    sf_index_decode(&r->header, r->meta, &r->image, e) == -1 ||
	    map_data(r, e) == -1)
		goto out;
	return r;
out:
	sf_reader_close(r);
	return NULL;
}

void
sf_reader_close(struct sf_reader *r)
{
	union { const uint8_t *c; void *p; } data;

	if (r == NULL)
		return;
	if (r->data != NULL) {
		data.c = r->data;
		(void)munmap(data.p, r->data_bytes);
	}
	sf_index_free(&r->image);
	free(r->meta);
	if (r->fd != -1)
		(void)close(r->fd);
	free(r);
}

const struct sf_header *
sf_reader_header(const struct sf_reader *r)
{
	return &r->header;
}

const struct sf_state *
sf_reader_state(const struct sf_reader *r)
{
	return &r->state;
}

const struct sf_image *
sf_reader_image(const struct sf_reader *r)
{
	return &r->image;
}

int
sf_reader_prefault(struct sf_reader *r, struct err *e)
{
	uint8_t scratch[SF_CHUNK_BYTES];
	uint64_t off;
	size_t len;
	union { const uint8_t *c; void *p; } data;

	if (r->data == NULL)
		return 0;
	data.c = r->data;
	if (madvise(data.p, r->data_bytes, MADV_POPULATE_READ) == 0)
		return 0;
	if (errno != EINVAL)
		return err_set(e, ERR_SYS, errno,
		    "cannot read the data from byte %" PRIu64 " on",
		    r->header.data_off);
	/* An older kernel: at least into the page cache. */
	for (off = r->header.data_off; off < r->header.file_bytes;
	    off += len) {
		len = sizeof(scratch);
		if (len > r->header.file_bytes - off)
			len = (size_t)(r->header.file_bytes - off);
		if (sf_io_read_at(r->fd, scratch, len, off, e) == -1)
			return -1;
	}
	return 0;
}

const uint8_t *
sf_reader_stored(const struct sf_reader *r, const struct sf_chunk *c)
{
	return r->data + (c->off - r->header.data_off);
}

void
sf_reader_on_read(struct sf_reader *r, bool (*go_on)(void *ctx, uint64_t off),
    void *ctx)
{
	r->go_on = go_on;
	r->go_on_ctx = ctx;
}

static int
read_chunk(const struct sf_reader *r, const struct sf_chunk *c, size_t len,
    uint8_t *buf, struct err *e)
{
	if (r->go_on != NULL && !r->go_on(r->go_on_ctx, c->off))
		return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
	return sf_io_read_at(r->fd, buf, len, c->off, e);
}

int
sf_reader_read_stored(const struct sf_reader *r, const struct sf_chunk *c,
    uint8_t *buf, struct err *e)
{
	return read_chunk(r, c, c->stored_bytes, buf, e);
}

/* One chunk with its padding, which the buffers hold: a raw chunk has none. */
static int
verify_chunk(const struct sf_reader *r, const struct sf_chunk *c,
    uint8_t *stored, uint8_t *pages, struct err *e)
{
	size_t end = (size_t)sf_round_up(c->stored_bytes, SF_STORED_ALIGN);

	if (read_chunk(r, c, end, stored, e) == -1 ||
	    sf_page_verify(c, stored, pages, e) == -1)
		return -1;
	if (sf_first_nonzero(stored, c->stored_bytes, end) < end)
		return err_set(e, ERR_INPUT, 0, "chunk of gfn 0x%" PRIx64
		    " (byte %" PRIu64 "): not padded with zeros",
		    (uint64_t)c->gfn_chunk * SF_CHUNK_PAGES, c->off);
	return 0;
}

int
sf_reader_verify_data(const struct sf_reader *r, struct err *e)
{
	uint8_t *stored, *pages;
	int rc = -1;
	uint32_t i;

	stored = malloc(SF_CHUNK_BYTES);
	pages = malloc(SF_CHUNK_BYTES);
	if (stored == NULL || pages == NULL) {
		(void)err_set(e, ERR_NOMEM, 0, "no memory");
		goto out;
	}
	for (i = 0; i < r->image.nr_chunks; i++)
		if (verify_chunk(r, &r->image.chunks[i], stored, pages, e) ==
		    -1)
			goto out;
	rc = 0;
out:
	free(pages);
	free(stored);
	return rc;
}
