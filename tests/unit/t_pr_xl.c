/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Running xl, with shell scripts in its place: what it is told, what becomes
 * of its failure, and that it does not outlive an interruption.
 */
#include <sys/timerfd.h>

#include "include/cleanup.h"
#include "include/clock.h"
#include "prep/pr_clock.h"
#include "prep/pr_dir.h"
#include "prep/pr_xl.h"
#include "tests/unit/t_pr_files.h"
#include "tests/unit/tap.h"

static struct t_pr_files files;
static const uint8_t uuid[HV_UUID_BYTES] = { 'd', 'v', 'm', 'p', 1, 2, 0x43,
    4, 0x85, 6, 7, 8, 9, 10, 11, 12 };

static void
set_xl(const char *script)
{
	char path[96], text[512];

	(void)snprintf(path, sizeof(path), "%s/xl", files.dir);
	(void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
	t_pr_write(path, text);
	if (chmod(path, 0755) != 0)
		abort();
}

static int
start(int lock_fd, int interrupt_fd, struct err *e)
{
	const struct pr_start s = { .config = &files.config,
	    .name = "disp0042", .uuid = uuid, .lock_fd = lock_fd,
	    .interrupt_fd = interrupt_fd };

	e->msg[0] = '\0';
	return pr_xl_ops.start(NULL, &s, e);
}

static bool
said(const char *what)
{
	char path[96], text[4096] = "";
	AUTO_FD fd = -1;

	(void)snprintf(path, sizeof(path), "%s/args", files.dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
	    strstr(text, what) != NULL;
}

static void
test_arguments(void)
{
	char script[160], cfg[PATH_MAX + 64];
	struct err e;

	(void)snprintf(script, sizeof(script),
	    "printf '%%s\\n' \"$@\" >%s/args", files.dir);
	set_xl(script);
	ok(start(-1, -1, &e) == 0, "xl runs (%s)", e.msg);
	(void)snprintf(cfg, sizeof(cfg), "create\n-e\n-q\n--defconfig=%s\n",
	    files.config.cfg);
	ok(said(cfg), "without a daemon, on the template's configuration");
	ok(said("\nname=\"disp0042\"\n") &&
	    said("\nuuid=\"64766d70-0102-4304-8506-0708090a0b0c\"\n") &&
	    said("\non_crash=\"destroy\"\n") && said("\ndisk=["),
	    "name, uuid, disks and what to do at its end are ours");
}

static void
test_failures(void)
{
	struct err e;
	char *path = strdup(getenv("PATH"));

	set_xl("echo libxl: error: no memory >&2; echo more >&2; exit 1");
	ok(start(-1, -1, &e) == -1 && e.code == ERR_XEN &&
	    strstr(e.msg, "no memory more") != NULL,
	    "its own words are in the message (%s)", e.msg);
	set_xl("kill -SEGV $$");
	ok(start(-1, -1, &e) == -1 && e.code == ERR_XEN, "a crash is a "
	    "failure");
	(void)setenv("PATH", "/nonexistent", 1);
	ok(start(-1, -1, &e) == -1 && strstr(e.msg, "xen-utils") != NULL,
	    "without xl it says what to install (%s)", e.msg);
	(void)setenv("PATH", path, 1);
	free(path);
}

/* The script has a child of its own, which ignores SIGTERM: it must be gone,
 * and with it the lock. */
static void
test_interrupt(void)
{
	const struct itimerspec soon = { .it_value.tv_nsec = 300000000 };
	int stop = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	struct pr_dir held, other;
	uint64_t began = clock_now_ns();
	struct err e;

	if (stop < 0 || timerfd_settime(stop, 0, &soon, NULL) != 0 ||
	    pr_dir_open(files.dir, "state", &held, &e) != 0 ||
	    pr_dir_lock(&held, false, &e) != 0 ||
	    pr_dir_open(files.dir, "state", &other, &e) != 0)
		abort();
	set_xl("trap '' TERM; sleep 100 & wait");
	ok(start(held.lock_fd, stop, &e) == -1 && e.code == ERR_INTERRUPTED,
	    "an interruption ends xl (%s)", e.msg);
	ok(clock_now_ns() - began < 10 * CLOCK_SECOND,
	    "within seconds, even if it does not want to");
	pr_dir_close(&held);
	ok(pr_dir_lock(&other, true, &e) == 0, "and its child lets go of the "
	    "lock");
	pr_dir_close(&other);
	(void)close(stop);
}

int
main(void)
{
	char path[4096];

	t_pr_files_make(&files);
	files.config.nr_disks = 0;
	(void)snprintf(path, sizeof(path), "%s:%s", files.dir, getenv("PATH"));
	(void)setenv("PATH", path, 1);
	test_arguments();
	test_failures();
	test_interrupt();
	t_pr_remove_tree(files.dir);
	return tap_done();
}
