/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-savefile: looks at savefiles, checks, compares and exports them.  Run by
 * any user who may read the file; needs no Xen and no privilege, and trusts
 * nothing in the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "include/clock.h"
#include "savefile/dvm_savefile.h"
#include "savefile/sf_io.h"

#ifndef DVM_VERSION
#define DVM_VERSION "0.1"
#endif

/* Progress is shown when a file takes longer than this. */
#define QUIET_NS UINT64_C(2000000000)
#define PROGRESS_NS UINT64_C(250000000)

static const struct command commands[] = {
	{ "info", "[--json] FILE", "say what the file holds", cmd_info },
	{ "verify", "[--key KEYFILE] FILE ...",
	    "check every byte, with a key also who made it", cmd_verify },
	{ "diff", "FILE FILE", "say in what two recordings differ", cmd_diff },
	{ "export", "[--xl] FILE [OUT]",
	    "write it as a Xen migration stream", cmd_export },
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static volatile sig_atomic_t interrupted;

/* Of the file being read; there is one at a time that can be slow. */
static struct {
	const char *path;
	uint64_t data_off, file_bytes;
	uint64_t start_ns, last_ns;
	bool shown;
} progress;

static void
on_signal(int sig)
{
	(void)sig;
	interrupted = 1;
}

static void
progress_end(void)
{
	if (progress.shown)
		(void)fprintf(stderr, "\r\033[K");
	progress.shown = false;
}

static bool
go_on(void *ctx, uint64_t off)
{
	uint64_t total = progress.file_bytes - progress.data_off;
	uint64_t now;

	(void)ctx;
	if (interrupted)
		return false;
	if (!isatty(STDERR_FILENO))
		return true;
	now = clock_now_ns();
	if (now - progress.start_ns < QUIET_NS ||
	    now - progress.last_ns < PROGRESS_NS)
		return true;
	progress.last_ns = now;
	progress.shown = true;
	(void)fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 " MiB\033[K",
	    progress.path, (off - progress.data_off) >> 20, total >> 20);
	return true;
}

struct sf_reader *
savefile_open(const char *path, const uint8_t *host_key, struct err *e)
{
	/* Memory is bounded by the size of the file and what it declares. */
	const struct sf_limits no_limits = { UINT64_MAX };
	struct sf_reader *r;
	AUTO_FD fd = -1;

	/* O_NONBLOCK: a FIFO is refused, not waited for. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1) {
		(void)err_set(e, ERR_SYS, errno, "%s", path);
		return NULL;
	}
	r = sf_reader_open(fd, host_key, &no_limits, e);
	if (r == NULL) {
		(void)err_prefix(e, "%s", path);
		return NULL;
	}
	progress.path = path;
	progress.data_off = sf_reader_header(r)->data_off;
	progress.file_bytes = sf_reader_header(r)->file_bytes;
	progress.start_ns = progress.last_ns = clock_now_ns();
	sf_reader_on_read(r, go_on, NULL);
	return r;
}

int
savefile_fail(const struct err *e)
{
	progress_end();
	(void)fprintf(stderr, "dvm-savefile: %s\n", e->msg);
	return err_exit_status(e->code);
}

int
savefile_flush(struct err *e)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return err_set(e, ERR_SYS, errno, "cannot write the output");
}

/* A key file is exactly SF_KEY_BYTES bytes. */
static int
read_key(const char *path, uint8_t *key, struct err *e)
{
	uint8_t more[SF_KEY_BYTES + 1];
	AUTO_FD fd = -1;
	ssize_t n;

	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd == -1)
		return err_set(e, ERR_SYS, errno, "key %s", path);
	n = read(fd, more, sizeof(more));
	if (n == -1)
		return err_set(e, ERR_SYS, errno, "key %s", path);
	if (n != (ssize_t)SF_KEY_BYTES)
		return err_set(e, ERR_INPUT, 0, "key %s: not exactly %u bytes",
		    path, SF_KEY_BYTES);
	memcpy(key, more, SF_KEY_BYTES);
	return 0;
}

static int
verify_one(const char *path, const uint8_t *key, struct err *e)
{
	struct sf_reader *r;
	int rc;

	r = savefile_open(path, key, e);
	if (r == NULL)
		return -1;
	rc = sf_reader_verify_data(r, e);
	progress_end();
	if (rc == -1)
		(void)err_prefix(e, "%s", path);
	else
		(void)printf("%s: ok, %" PRIu32 " chunks%s\n", path,
		    sf_reader_header(r)->nr_chunks,
		    key != NULL ? ", signed with the key" : "");
	sf_reader_close(r);
	return rc;
}

int
cmd_verify(int argc, char **argv)
{
	static const struct option options[] = {
		{ "key", required_argument, NULL, 'k' }, { 0 }
	};
	uint8_t key_bytes[SF_KEY_BYTES], *key = NULL;
	int opt, status = 0;
	struct err e;

	while ((opt = getopt_long(argc, argv, "k:", options, NULL)) != -1) {
		if (opt != 'k')
			return -1;
		if (read_key(optarg, key_bytes, &e) == -1)
			return savefile_fail(&e);
		key = key_bytes;
	}
	if (optind == argc)
		return -1;
	/* All are looked at; the first failure gives the status. */
	for (; optind < argc && !interrupted; optind++)
		if (verify_one(argv[optind], key, &e) == -1) {
			opt = savefile_fail(&e);
			status = status == 0 ? opt : status;
		}
	if (savefile_flush(&e) == -1)
		return savefile_fail(&e);
	return status;
}

static int
usage(FILE *to)
{
	size_t i;

	(void)fprintf(to, "usage: dvm-savefile COMMAND [ARGUMENT ...]\n");
	for (i = 0; i < NR_COMMANDS; i++)
		(void)fprintf(to, "  %-6s %-26s %s\n", commands[i].name,
		    commands[i].args, commands[i].help);
	(void)fprintf(to, "  --help, --version\n");
	return to == stderr ? err_exit_status(ERR_USAGE) : 0;
}

static int
run(const struct command *c, int argc, char **argv)
{
	int status;

	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		(void)printf("usage: dvm-savefile %s %s\n", c->name, c->args);
		return 0;
	}
	status = c->run(argc, argv);
	if (status == -1) {
		(void)fprintf(stderr, "usage: dvm-savefile %s %s\n", c->name,
		    c->args);
		status = err_exit_status(ERR_USAGE);
	}
	progress_end();
	return status;
}

int
main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };
	size_t i;

	if (argc < 2)
		return usage(stderr);
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return usage(stdout);
	if (strcmp(argv[1], "--version") == 0) {
		(void)printf("dvm-savefile %s, savefile version %u\n",
		    DVM_VERSION, SF_VERSION);
		return 0;
	}
	/* EPIPE is an error like others; Ctrl-C removes what is half done. */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	for (i = 0; i < NR_COMMANDS; i++)
		if (strcmp(argv[1], commands[i].name) == 0)
			return run(&commands[i], argc - 1, argv + 1);
	(void)fprintf(stderr, "dvm-savefile: there is no command \"%s\"\n",
	    argv[1]);
	return usage(stderr);
}
