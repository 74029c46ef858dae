/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Boots a template with `xl create`, as its administrator would, except that
 * its name, UUID and disks are ours and that it is not kept when it ends: to be
 * recorded, or as a disposable.  Used by dvm-prepare; trusts xl.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "include/clock.h"
#include "include/ident.h"
#include "prep/pr_clock.h"
#include "prep/pr_domain.h"
#include "prep/pr_xl.h"

#define START_SECONDS 300u
#define KILL_GRACE_MS 3000u
#define POLL_MS 20u
#define SAID_BYTES 400		/* of xl's last words */
#define DEVICE_BYTES (DISK_NAME_MAX + 16)
#define USERDATA "/var/lib/xen/userdata-?."

/* The node of a dm device: devtmpfs makes /dev/dm-N with or without udev; the
 * name under /dev/mapper is udev's, or that of the library in its place. */
static int
device_path(const struct disk_dev *dev, char path[DEVICE_BYTES],
    struct err *e)
{
	struct stat st;

	for (int i = 0; i < 2; i++) {
		if (i == 0)
			(void)snprintf(path, DEVICE_BYTES, "/dev/dm-%u",
			    dev->minor);
		else
			(void)snprintf(path, DEVICE_BYTES, "/dev/mapper/%s",
			    dev->name);
		if (stat(path, &st) == 0 && S_ISBLK(st.st_mode) &&
		    st.st_rdev == makedev(dev->major, dev->minor))
			return 0;
	}
	return err_set(e, ERR_DISK, 0, "there is no device node for '%s' "
	    "(%u:%u) in /dev: is devtmpfs mounted there?", dev->name,
	    dev->major, dev->minor);
}

/* The settings that replace the configuration's: xl takes them as further
 * arguments, and the last one counts.  Caller frees. */
static char *
make_settings(const struct pr_start *s, struct err *e)
{
	char uuid[PR_DOMAIN_UUID_TEXT], path[DEVICE_BYTES];
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int rc = 0;

	if (f == NULL) {
		(void)err_set(e, ERR_NOMEM, errno, "no memory");
		return NULL;
	}
	pr_domain_uuid_text(s->uuid, uuid);
	(void)fprintf(f, "name=\"%s\"\nuuid=\"%s\"\n"
	    "on_poweroff=\"destroy\"\non_reboot=\"destroy\"\n"
	    "on_crash=\"destroy\"\non_watchdog=\"destroy\"\n"
	    "on_soft_reset=\"destroy\"\ndisk=[", s->name, uuid);
	for (uint32_t i = 0; i < s->config->nr_disks && rc == 0; i++) {
		rc = device_path(&s->devs[i], path, e);
		(void)fprintf(f, "%s\"format=raw,backendtype=phy,vdev=%s,"
		    "access=%s,target=%s\"", i == 0 ? "" : ",",
		    s->config->disks[i].vdev,
		    s->config->disks[i].writable ? "rw" : "ro", path);
	}
	(void)fprintf(f, "]");
	if (fclose(f) != 0 && rc == 0)
		rc = err_set(e, ERR_NOMEM, errno, "no memory");
	if (rc == 0)
		return text;
	free(text);
	return NULL;
}

/* In the child: only what is safe between fork and exec.  Its own process
 * group, so that a ^C at the terminal is ours to handle; the lock's
 * descriptor stays open in it and in every script it starts, so the lock is
 * free only when all of them are gone. */
static void
exec_xl(const struct pr_start *s, int out_fd, char *const argv[])
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	(void)setpgid(0, 0);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(out_fd, STDOUT_FILENO) < 0 ||
	    dup2(out_fd, STDERR_FILENO) < 0 ||
	    (s->lock_fd >= 0 && fcntl(s->lock_fd, F_SETFD, 0) != 0))
		_exit(126);
	(void)execvp(argv[0], argv);
	_exit(127);
}

/* Ends xl and its scripts, and reaps it. */
static void
kill_group(pid_t pid, int *status)
{
	struct err ignored;
	unsigned waited;

	(void)kill(-pid, SIGTERM);
	for (waited = 0; waited < KILL_GRACE_MS; waited += POLL_MS) {
		if (waitpid(pid, status, WNOHANG) != 0)
			break;
		(void)pr_clock_pause(-1, POLL_MS, &ignored);
	}
	(void)kill(-pid, SIGKILL);
	if (waited >= KILL_GRACE_MS)
		(void)waitpid(pid, status, 0);
}

/* xl's exit status; -1 if it was ended because of an interruption or of its
 * time. */
static int
await_xl(const struct pr_start *s, pid_t pid, int *status, struct err *e)
{
	uint64_t deadline = clock_now_ns() +
	    START_SECONDS * CLOCK_SECOND;

	for (;;) {
		pid_t done = waitpid(pid, status, WNOHANG);

		if (done == pid)
			return 0;
		if (done < 0)
			return err_set(e, ERR_SYS, errno, "cannot wait for "
			    "xl");
		if (pr_clock_pause(s->interrupt_fd, POLL_MS, e) != 0)
			break;
		if (clock_now_ns() >= deadline) {
			(void)err_set(e, ERR_TIMEOUT, 0, "xl create has not "
			    "come to an end within %u seconds", START_SECONDS);
			break;
		}
	}
	kill_group(pid, status);
	return -1;
}

/* The end of what xl printed, on one line. */
static void
last_words(int fd, char said[SAID_BYTES])
{
	struct stat st;
	off_t from = 0;
	ssize_t n;

	if (fstat(fd, &st) == 0 && st.st_size > SAID_BYTES - 1)
		from = st.st_size - (SAID_BYTES - 1);
	n = pread(fd, said, SAID_BYTES - 1, from);
	said[n > 0 ? n : 0] = '\0';
	for (char *at = said; *at != '\0'; at++)
		if ((unsigned char)*at < 0x20)
			*at = at[1] == '\0' ? '\0' : ' ';
}

static int
start(void *ctx, const struct pr_start *s, struct err *e)
{
	AUTO_FREE char *settings = make_settings(s, e);
	AUTO_FD out = -1;
	char said[SAID_BYTES];
	int status = 0;
	pid_t pid;

	(void)ctx;
	if (settings == NULL)
		return -1;
	/* A file and not a pipe: nobody needs to drain it. */
	out = memfd_create("xl", MFD_CLOEXEC);
	if (out < 0)
		return err_set(e, ERR_SYS, errno, "cannot run xl");
	pid = fork();
	if (pid < 0)
		return err_set(e, ERR_SYS, errno, "cannot run xl");
	if (pid == 0) {
		char xl[] = "xl", create[] = "create", no_daemon[] = "-e";
		char quiet[] = "-q", cfg[PATH_MAX + 16];
		char *argv[] = { xl, create, no_daemon, quiet, cfg, settings,
		    NULL };

		(void)snprintf(cfg, sizeof(cfg), "--defconfig=%s",
		    s->config->cfg);
		exec_xl(s, out, argv);
	}
	/* Also here, in case we kill the group before the child made it. */
	(void)setpgid(pid, pid);
	if (await_xl(s, pid, &status, e) != 0)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_words(out, said);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return err_set(e, ERR_SYS, 0, "xl cannot be run: is "
		    "xen-utils installed?");
	return err_set(e, ERR_XEN, 0, "xl create failed: %s", said);
}

/* libxl's own description of the domain. */
static void
remove_files(const char *pattern)
{
	glob_t found;

	if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++)
		(void)unlink(found.gl_pathv[i]);
	globfree(&found);
}

static void
tidy(void *ctx, uint32_t domid, const char *uuid_text)
{
	char pattern[128];

	(void)ctx;
	(void)snprintf(pattern, sizeof(pattern), USERDATA "%u.%s.*", domid,
	    uuid_text);
	remove_files(pattern);
}

void
pr_xl_sweep(void)
{
	static const char prefix[] = IDENT_UUID_DISP;
	char pattern[128];

	(void)snprintf(pattern, sizeof(pattern), USERDATA "*.%02x%02x%02x%02x-"
	    "*", prefix[0], prefix[1], prefix[2], prefix[3]);
	remove_files(pattern);
}

const struct pr_domain_ops pr_xl_ops = {
	.start = start,
	.tidy = tidy,
};
