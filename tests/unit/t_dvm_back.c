/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A file that comes back, in process.  file_cut_bytes: the stream that dvm
 * receives is cut at every byte; control_file_cut_bytes: the same with a writer
 * that truncates the file and writes into it.  Then each system call of the
 * replacement fails once, and others change the file in its midst.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restore/client/dvm_files.h"
#include "tests/unit/tap.h"

#define SIZE (1u << 20)
#define NAME "report.pdf"
#define DISPOSABLE "disp0042"
#define READ_EVERY 8192		/* else a file's stat tells */
#define CONTROL_EVERY 997

/* The agent's words from HELLO to EXIT, and how far dvm has got them. */
static struct {
	uint8_t bytes[SIZE + SIZE / 16];
	size_t len, at, limit;
	size_t end;		/* of the file's END */
} stream;

static struct {
	char dir[32], path[64];
	int dir_fd;
	uint8_t old[SIZE], new[SIZE], now[SIZE + 1];
	struct stat st;		/* of the old one */
} box;

/* The system calls that are watched: the one numbered fail_at fails. */
static struct {
	unsigned nr, fail_at;
	bool no_tmpfile, no_exchange;
	void (*before_exchange)(void);
} calls;

int __real_openat(int fd, const char *path, int flags, ...);
int __real_renameat2(int from_fd, const char *from, int to_fd,
    const char *to, unsigned flags);
int __real_renameat(int from_fd, const char *from, int to_fd,
    const char *to);
int __real_linkat(int from_fd, const char *from, int to_fd, const char *to,
    int flags);
int __real_fsync(int fd);
int __real_fchmod(int fd, mode_t mode);
ssize_t __real_write(int fd, const void *data, size_t len);
int __wrap_openat(int fd, const char *path, int flags, mode_t mode);
int __wrap_renameat2(int from_fd, const char *from, int to_fd,
    const char *to, unsigned flags);
int __wrap_renameat(int from_fd, const char *from, int to_fd,
    const char *to);
int __wrap_linkat(int from_fd, const char *from, int to_fd, const char *to,
    int flags);
int __wrap_fsync(int fd);
int __wrap_fchmod(int fd, mode_t mode);
ssize_t __wrap_write(int fd, const void *data, size_t len);

static bool
fails(void)
{
	errno = EIO;
	return ++calls.nr == calls.fail_at;
}

int
__wrap_openat(int fd, const char *path, int flags, mode_t mode)
{
	if (calls.no_tmpfile && (flags & O_TMPFILE) == O_TMPFILE) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return fails() ? -1 : __real_openat(fd, path, flags, mode);
}

int
__wrap_renameat2(int from_fd, const char *from, int to_fd, const char *to,
    unsigned flags)
{
	if (calls.no_exchange) {
		errno = EINVAL;
		return -1;
	}
	if (flags == RENAME_EXCHANGE && calls.before_exchange != NULL) {
		void (*act)(void) = calls.before_exchange;

		calls.before_exchange = NULL;
		act();
	}
	return fails() ? -1 : __real_renameat2(from_fd, from, to_fd, to,
	    flags);
}

int
__wrap_renameat(int from_fd, const char *from, int to_fd, const char *to)
{
	return fails() ? -1 : __real_renameat(from_fd, from, to_fd, to);
}

int
__wrap_linkat(int from_fd, const char *from, int to_fd, const char *to,
    int flags)
{
	return fails() ? -1 : __real_linkat(from_fd, from, to_fd, to, flags);
}

int
__wrap_fsync(int fd)
{
	return fails() ? -1 : __real_fsync(fd);
}

int
__wrap_fchmod(int fd, mode_t mode)
{
	return fails() ? -1 : __real_fchmod(fd, mode);
}

ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	return fails() ? -1 : __real_write(fd, data, len);
}

static void
write_file(const char *path, const void *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

	tap_must(fd >= 0 && __real_write(fd, data, len) == (ssize_t)len, path);
	(void)close(fd);
}

static bool
has(const char *path, const uint8_t *want)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, box.now, sizeof(box.now));

	if (fd >= 0)
		(void)close(fd);
	return n == SIZE && memcmp(box.now, want, SIZE) == 0;
}

/* How many names the directory has. */
static unsigned
nr_names(void)
{
	char buf[2048];
	unsigned nr = 0;
	long n;

	(void)lseek(box.dir_fd, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, box.dir_fd, buf,
	    sizeof(buf))) > 0)
		for (long at = 0; at < n; nr++) {
			unsigned short len;

			memcpy(&len, buf + at + 16, sizeof(len));
			at += len;
		}
	return nr - 2;
}

static void
clear(void)
{
	struct dirent *entry;
	DIR *dir = opendir(box.dir);

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		(void)unlinkat(box.dir_fd, entry->d_name, 0);
	if (dir != NULL)
		(void)closedir(dir);
}

static void
begin(void)
{
	clear();
	write_file(box.path, box.old, SIZE);
	tap_must(stat(box.path, &box.st) == 0, "stat");
	calls.nr = calls.fail_at = 0;
	calls.before_exchange = NULL;
}

static bool
is_old(bool read_it)
{
	struct stat st;

	return stat(box.path, &st) == 0 && st.st_ino == box.st.st_ino &&
	    st.st_size == SIZE &&
	    st.st_mtim.tv_nsec == box.st.st_mtim.tv_nsec &&
	    st.st_mtim.tv_sec == box.st.st_mtim.tv_sec &&
	    (!read_it || has(box.path, box.old));
}

static bool
is_new(bool read_it)
{
	struct stat st;

	return stat(box.path, &st) == 0 && st.st_ino != box.st.st_ino &&
	    st.st_size == SIZE && st.st_mode == box.st.st_mode &&
	    (!read_it || has(box.path, box.new));
}

static ssize_t
drop(void *arg, const void *data, size_t len)
{
	(void)arg;
	(void)data;
	return (ssize_t)len;
}

static ssize_t
record(void *arg, const void *data, size_t len)
{
	(void)arg;
	tap_must(len <= sizeof(stream.bytes) - stream.len, "the stream");
	memcpy(stream.bytes + stream.len, data, len);
	stream.len += len;
	return (ssize_t)len;
}

static ssize_t
nothing(void *arg, void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return 0;
}

static ssize_t
replay(void *arg, void *buf, size_t len)
{
	size_t left = stream.limit - stream.at;

	(void)arg;
	if (len > left)
		len = left;
	memcpy(buf, stream.bytes + stream.at, len);
	stream.at += len;
	return (ssize_t)len;
}

/* dvm's end, when all is sent. */
static void
open_dvm(struct chan *c, struct dvm_files *files)
{
	struct chan_io io = { .fd = -1, .read = replay, .write = drop };
	struct chan_start start = { .kind = CHAN_OPEN, .nr_files = 1,
	    .back_max = SIZE };
	struct err e;

	memset(files, 0, sizeof(*files));
	chan_init(c, &io, false);
	stream.at = stream.limit = 0;
	tap_must(chan_send_hello(c, &e) == 0 &&
	    dvm_files_add(files, box.path, false, SIZE, &e) == 0, e.msg);
	while (dvm_files_send(files, c, &e) == 0) {
		tap_must(chan_move(c, 0, &e) == 0, e.msg);
		/* As if credited. */
		memset(c->out.under_way, 0, sizeof(c->out.under_way));
	}
	tap_must(chan_move(c, 0, &e) == 0 &&
	    chan_send_start(c, &start, &e) == 0 &&
	    chan_move(c, 0, &e) == 0, e.msg);
}

/* What the real agent would say. */
static void
make_stream(const struct chan *dvm)
{
	static struct chan agent;
	struct chan_io io = { .fd = -1, .read = nothing, .write = record };
	uint8_t hash[CHAN_HASH_BYTES];
	struct err e;

	(void)crypto_generichash(hash, sizeof(hash), box.new, SIZE, NULL, 0);
	chan_init(&agent, &io, true);
	agent.in = dvm->out;
	tap_must(chan_send_hello(&agent, &e) == 0 &&
	    chan_send(&agent, CHAN_STARTED, 0, NULL, 0, &e) == 0 &&
	    chan_send_back(&agent, CHAN_FILE_0, CHAN_CHANGED, SIZE,
	    &e) == 0, e.msg);
	for (size_t at = 0; at < SIZE; at += CHAN_PAYLOAD_MAX) {
		tap_must(chan_send(&agent, CHAN_DATA, CHAN_FILE_0, box.new + at,
		    CHAN_PAYLOAD_MAX, &e) == 0 &&
		    chan_move(&agent, 0, &e) == 0, e.msg);
		agent.out.under_way[CHAN_FILE_0] = 0;
	}
	tap_must(chan_send_end(&agent, CHAN_FILE_0, SIZE, hash, &e) == 0 &&
	    chan_move(&agent, 0, &e) == 0, e.msg);
	stream.end = stream.len;
	tap_must(chan_send_u32(&agent, CHAN_EXIT, 0, 0, &e) == 0 &&
	    chan_move(&agent, 0, &e) == 0, e.msg);
}

/* As dvm_talk does with what has come up to there. */
static void
receive(struct chan *c, struct dvm_files *files, size_t limit)
{
	struct chan_frame f;
	struct err e;

	stream.limit = limit;
	do {
		tap_must(chan_move(c, 0, &e) == 0, e.msg);
		while (chan_next(c, &f, &e) == 1)
			if (f.stream == CHAN_FILE_0)
				tap_must(dvm_files_take(files, &f, DISPOSABLE,
				    &e) == 0, e.msg);
		tap_must(dvm_files_credit(files, c, &e) == 0, e.msg);
	} while (stream.at < limit);
}

/* The channel's end, in a copy of what dvm has then. */
static void
close_copy(const struct dvm_files *files)
{
	static struct dvm_files copy;
	struct dvm_back *b = &copy.all[0].back;

	memcpy(&copy, files, offsetof(struct dvm_files, all[1]));
	copy.nr = files->nr;
	copy.status = 0;
	b->fd = dup(b->fd);
	b->replace.dir_fd = dup(b->replace.dir_fd);
	if (b->replace.fd >= 0)
		b->replace.fd = dup(b->replace.fd);
	(void)dvm_files_finish(&copy, false);
	dvm_files_close(&copy);
}

static void
file_cut_bytes(struct chan *c, struct dvm_files *files)
{
	unsigned tried = 0, lost = 0;

	begin();
	open_dvm(c, files);
	make_stream(c);
	for (size_t cut = 0; cut <= stream.len; cut++, tried++) {
		bool look = cut % READ_EVERY == 0 || cut + 100 > stream.len;

		receive(c, files, cut);
		close_copy(files);
		lost += nr_names() != 1 || (cut < stream.end ?
		    !is_old(look) : !is_new(look));
	}
	ok(dvm_files_finish(files, true) == 0, "the whole stream is a success");
	dvm_files_close(files);
	ok(is_new(true) && nr_names() == 1, "... and has the new content");
	ok(lost == 0 && tried > SIZE, "cut at each of %u bytes: the file is "
	    "the old one or the whole new one, and nothing else is there "
	    "(%u lost)", tried, lost);
	tap_shown("file_cut_bytes", tried, lost);
}

static void
control_file_cut_bytes(void)
{
	unsigned tried = 0, lost = 0;
	int fd;

	begin();
	fd = open(box.path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	tap_must(fd >= 0, "the control");
	for (size_t at = 0; at <= SIZE; at += CONTROL_EVERY, tried++) {
		lost += !has(box.path, box.old) && !has(box.path, box.new);
		tap_must(__real_write(fd, box.new + at, SIZE - at <
		    CONTROL_EVERY ? SIZE - at : CONTROL_EVERY) >= 0,
		    "the control");
	}
	(void)close(fd);
	ok(lost > tried / 2, "the control, which writes into the file, loses "
	    "%u of %u", lost, tried);
	tap_shown("control_file_cut_bytes", tried, lost);
}

/* All of it once; the names that are left, besides the file's. */
static unsigned
once(struct chan *c, struct dvm_files *files, size_t limit)
{
	open_dvm(c, files);
	calls.nr = 0;
	receive(c, files, limit);
	(void)dvm_files_finish(files, limit == stream.len);
	dvm_files_close(files);
	return nr_names() - 1;
}

static void
test_named(struct chan *c, struct dvm_files *files)
{
	unsigned wrong = 0, nr = 0;

	calls.no_tmpfile = true;
	for (size_t cut = 0; cut < stream.len; cut += stream.len / 150, nr++) {
		begin();
		wrong += once(c, files, cut) != 0 || !is_old(true);
	}
	begin();
	ok(once(c, files, stream.len) == 0 && is_new(true) && wrong == 0,
	    "without O_TMPFILE too: %u cuts", nr);
	calls.no_exchange = true;
	begin();
	ok(once(c, files, stream.len) == 0 && is_new(true),
	    "... and without RENAME_EXCHANGE");
	calls.no_tmpfile = false;
	begin();
	ok(once(c, files, stream.len) == 0 && is_new(true),
	    "... and with one of them");
	calls.no_exchange = false;
}

/* Another name than the file's, ""; or "?": there are more. */
static const char *
other_name(void)
{
	static char name[NAME_MAX + 1];
	struct dirent *entry;
	DIR *dir = opendir(box.dir);

	name[0] = '\0';
	while (dir != NULL && (entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
		    strcmp(entry->d_name, "..") != 0 &&
		    strcmp(entry->d_name, NAME) != 0)
			(void)snprintf(name, sizeof(name), "%s",
			    name[0] != '\0' ? "?" : entry->d_name);
	if (dir != NULL)
		(void)closedir(dir);
	return name;
}

static bool
is_beside(const char *name)
{
	char path[sizeof(box.dir) + 64];

	(void)snprintf(path, sizeof(path), "%s/%s", box.dir, name);
	return strcmp(name, NAME "." DISPOSABLE) == 0 &&
	    strcmp(other_name(), name) == 0 && has(path, box.new);
}

static void
test_faults(struct chan *c, struct dvm_files *files)
{
	unsigned tried = 0, lost = 0, beside = 0;

	for (unsigned way = 0; way < 4; way++) {
		bool reached = true;

		calls.no_tmpfile = (way & 1) != 0;
		calls.no_exchange = (way & 2) != 0;
		for (unsigned n = 1; reached && n < 200; n++, tried++) {
			const char *name;

			begin();
			open_dvm(c, files);
			calls.nr = 0;
			calls.fail_at = n;
			receive(c, files, stream.len);
			reached = calls.nr >= n;
			calls.fail_at = 0;
			dvm_files_close(files);
			name = other_name();
			beside += name[0] != '\0';
			lost += (!is_old(true) && !is_new(true)) ||
			    (name[0] != '\0' && !is_beside(name));
		}
		lost += !is_new(true);
	}
	calls.no_tmpfile = calls.no_exchange = false;
	ok(tried > 100 && lost == 0, "%u times a call fails: the file is the "
	    "old or the new one (%u lost), or, %u times, the new one is beside "
	    "it", tried, lost, beside);
}

static void
write_into(void)
{
	write_file(box.path, box.old, SIZE / 2);
}

static void
rename_over(void)
{
	char path[sizeof(box.dir) + 8];

	(void)snprintf(path, sizeof(path), "%s/x", box.dir);
	write_file(path, box.old, SIZE / 2);
	tap_must(rename(path, box.path) == 0, "rename");
}

static void
remove_it(void)
{
	tap_must(unlink(box.path) == 0, "unlink");
}

/* Between the last look and the exchange. */
static void
test_races(struct chan *c, struct dvm_files *files)
{
	static const struct {
		void (*act)(void);
		const char *what;
		off_t size;
	} races[] = {
		{ write_into, "is written into", SIZE / 2 },
		{ rename_over, "is replaced", SIZE / 2 },
		{ remove_it, "is removed", -1 },
	};

	for (size_t i = 0; i < sizeof(races) / sizeof(races[0]); i++) {
		struct stat st = { .st_size = -1 };
		int status;

		begin();
		open_dvm(c, files);
		calls.before_exchange = races[i].act;
		receive(c, files, stream.len);
		status = dvm_files_finish(files, true);
		dvm_files_close(files);
		(void)stat(box.path, &st);
		ok(status == 5 && st.st_size == races[i].size &&
		    is_beside(NAME "." DISPOSABLE), "the file %s at the last "
		    "moment: both are kept", races[i].what);
	}
}

int
main(void)
{
	static struct dvm_files files;
	static struct chan c;
	int err_fd = dup(STDERR_FILENO);

	(void)snprintf(box.dir, sizeof(box.dir), "/tmp/t_dvm_back.XXXXXX");
	tap_must(mkdtemp(box.dir) != NULL, box.dir);
	(void)snprintf(box.path, sizeof(box.path), "%s/" NAME, box.dir);
	box.dir_fd = open(box.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tap_must(box.dir_fd >= 0, box.dir);
	for (unsigned i = 0; i < SIZE; i++) {
		box.old[i] = (uint8_t)(i * 7 + i / 256);
		box.new[i] = (uint8_t)(i * 11 + i / 999);
	}
	/* It is told of each file that did not come. */
	(void)!freopen("/dev/null", "w", stderr);
	file_cut_bytes(&c, &files);
	control_file_cut_bytes();
	test_named(&c, &files);
	test_faults(&c, &files);
	test_races(&c, &files);
	clear();
	(void)fflush(stderr);
	(void)dup2(err_fd, STDERR_FILENO);
	(void)close(err_fd);
	(void)close(box.dir_fd);
	(void)rmdir(box.dir);
	return tap_done();
}
