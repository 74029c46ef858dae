/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: what an agent says after STARTED, to a dvm that has sent two
 * files.  Whatever it is, each is as it was, or is what the stream's last END
 * for it vouches for.  A record makes frames: a byte for type and stream, two
 * for a length; so that most are in order.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore/client/dvm_files.h"

#define NR_FILES 2
#define BACK_MAX 4096
#define STREAM_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char old[] = "the old content";
static char dir[32], paths[NR_FILES][48];

struct pipe {
	uint8_t bytes[STREAM_MAX];
	size_t len, at;
};

static void
must(bool holds)
{
	if (!holds)
		abort();
}

static ssize_t
take(void *arg, void *buf, size_t len)
{
	struct pipe *p = arg;

	if (len > p->len - p->at)
		len = p->len - p->at;
	memcpy(buf, p->bytes + p->at, len);
	p->at += len;
	return (ssize_t)len;
}

static ssize_t
drop(void *arg, const void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	return (ssize_t)len;
}

static void
remove_files(void)
{
	for (int i = 0; i < NR_FILES; i++)
		(void)unlink(paths[i]);
	(void)rmdir(dir);
}

static void
put_files(void)
{
	if (dir[0] == '\0') {
		(void)snprintf(dir, sizeof(dir), "/tmp/fuzz_back.XXXXXX");
		/* It is told of each file that does not come. */
		stderr = fopen("/dev/null", "we");
		must(mkdtemp(dir) != NULL && atexit(remove_files) == 0 &&
		    stderr != NULL);
	}
	for (int i = 0; i < NR_FILES; i++) {
		struct stat st;
		int fd;

		(void)snprintf(paths[i], sizeof(paths[i]), "%s/%d", dir, i);
		if (stat(paths[i], &st) == 0)
			continue;
		fd = open(paths[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
		must(fd >= 0 && write(fd, old, sizeof(old) - 1) ==
		    sizeof(old) - 1);
		(void)close(fd);
	}
}

static void
add_frame(struct pipe *p, uint8_t type, uint8_t stream, const void *data,
    size_t len)
{
	uint8_t header[CHAN_HEADER_BYTES] = { type, stream, 0, 0,
	    (uint8_t)len, (uint8_t)(len >> 8) };

	if (sizeof(p->bytes) - p->len < sizeof(header) + len)
		return;
	memcpy(p->bytes + p->len, header, sizeof(header));
	if (len > 0)
		memcpy(p->bytes + p->len + sizeof(header), data, len);
	p->len += sizeof(header) + len;
}

/* An END that is right for `sum`, or not, or the record's own bytes. */
static void
add_end(struct pipe *p, uint8_t stream, const uint8_t *sum, size_t len,
    uint8_t how)
{
	uint8_t end[8 + CHAN_HASH_BYTES] = { (uint8_t)len,
	    (uint8_t)(len >> 8) };

	(void)crypto_generichash(end + 8, CHAN_HASH_BYTES, sum, len, NULL, 0);
	if ((how & 0x40) != 0)
		end[how % sizeof(end)] ^= how;
	add_frame(p, CHAN_END, stream, end, sizeof(end));
}

static void
make_stream(struct pipe *p, const uint8_t *data, size_t size)
{
	static uint8_t sums[NR_FILES][STREAM_MAX];
	size_t lens[NR_FILES] = { 0, 0 };

	while (size >= 3) {
		unsigned file = data[0] & 1;
		uint8_t stream = (uint8_t)(CHAN_FILE_0 + file);
		size_t len = (size_t)data[1] | (size_t)(data[2] & 15) << 8;
		uint8_t back[9] = { (uint8_t)(1 + (data[0] >> 4) % 6),
		    data[1], data[2] & 31 };
		size_t has = len < size - 3 ? len : size - 3;

		switch (data[0] >> 1 & 7) {
		case 0:
		case 1:
			add_frame(p, CHAN_BACK, stream, back, sizeof(back));
			break;
		case 2:
			add_end(p, stream, sums[file], lens[file], data[2]);
			break;
		case 3:
			add_frame(p, data[1], data[2], data + 3, size - 3 < 40 ?
			    size - 3 : 40);
			break;
		default:
			add_frame(p, CHAN_DATA, stream, data + 3, has);
			if (lens[file] + has <= STREAM_MAX) {
				memcpy(sums[file] + lens[file], data + 3, has);
				lens[file] += has;
			}
			data += has;
			size -= has;
			break;
		}
		data += 3;
		size -= 3;
	}
}

static void
check(unsigned i, const uint8_t end[8 + CHAN_HASH_BYTES])
{
	uint8_t now[BACK_MAX + 1], hash[CHAN_HASH_BYTES];
	int fd = open(paths[i], O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, now, sizeof(now));

	must(n >= 0 && n <= BACK_MAX && close(fd) == 0);
	if (n == sizeof(old) - 1 && memcmp(now, old, (size_t)n) == 0)
		return;
	(void)crypto_generichash(hash, sizeof(hash), now, (size_t)n, NULL, 0);
	must(memcmp(hash, end + 8, sizeof(hash)) == 0 &&
	    chan_u64(end) == (uint64_t)n && unlink(paths[i]) == 0);
}

static void
send_all(struct chan *c, struct dvm_files *files)
{
	struct chan_start start = { .kind = CHAN_OPEN, .nr_files = NR_FILES };
	struct err e;

	must(chan_send_hello(c, &e) == 0);
	for (int i = 0; i < NR_FILES; i++)
		must(dvm_files_add(files, paths[i], false, BACK_MAX,
		    &e) == 0);
	must(dvm_files_send(files, c, &e) == 1 &&
	    chan_send_start(c, &start, &e) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t ends[NR_FILES][8 + CHAN_HASH_BYTES];
	static struct dvm_files files;
	static struct pipe p;
	static struct chan c;
	struct chan_io io = { .arg = &p, .fd = -1, .read = take,
	    .write = drop };
	uint8_t version[4] = { CHAN_VERSION };
	struct chan_frame f;
	struct err e;
	bool coming = true;

	put_files();
	memset(&files, 0, sizeof(files));
	memset(ends, 0, sizeof(ends));
	p.len = p.at = 0;
	chan_init(&c, &io, false);
	send_all(&c, &files);
	add_frame(&p, CHAN_HELLO, 0, version, sizeof(version));
	add_frame(&p, CHAN_STARTED, 0, NULL, 0);
	make_stream(&p, data, size);
	while (coming && chan_move(&c, 0, &e) == 0) {
		size_t before = p.at;
		int rc;

		while ((rc = chan_next(&c, &f, &e)) == 1)
			if (f.type == CHAN_END || f.type == CHAN_BACK ||
			    (f.type == CHAN_DATA && f.stream >= CHAN_FILE_0)) {
				if (f.type == CHAN_END)
					memcpy(ends[f.stream - CHAN_FILE_0],
					    f.data, sizeof(ends[0]));
				/* Who sends more than was asked for is cut
				 * off; nothing else ends it. */
				if (dvm_files_take(&files, &f, "disp0001",
				    &e) != 0) {
					must(f.type == CHAN_BACK);
					break;
				}
			}
		must(dvm_files_credit(&files, &c, &e) == 0);
		coming = rc == 0 && p.at < p.len && p.at >= before;
	}
	(void)dvm_files_finish(&files, false);
	dvm_files_close(&files);
	for (unsigned i = 0; i < NR_FILES; i++)
		check(i, ends[i]);
	return 0;
}
