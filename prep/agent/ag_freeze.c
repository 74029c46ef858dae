/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The freezer of cgroup v2: every top-level group but the agent's own is
 * frozen.  Processes in the root group (all, where init makes no groups) are
 * moved into one of ours first.  Where there is no cgroup v2 all processes are
 * stopped by signal, which init does not obey.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/magic.h>

#include "include/cleanup.h"
#include "include/clock.h"
#include "prep/agent/ag_file.h"
#include "prep/agent/ag_freeze.h"
#include "prep/agent/ag_run.h"

#define AGENT_GROUP "dvm-agent"
#define GUEST_GROUP "dvm-guest"
#define PATH_BYTES 384
#define POLL_MS 5u
#define PF_KTHREAD 0x00200000u	/* linux/sched.h */

/* As getdents64() returns it; its libraries allocate. */
struct dirent64_raw {
	uint64_t ino;
	int64_t off;
	unsigned short len;
	unsigned char type;
	char name[];
};

static bool
is_cgroup2(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

static bool
find_root(struct ag_freeze *f)
{
	static const char *const usual[] = { "/sys/fs/cgroup",
	    "/sys/fs/cgroup/unified", AG_RUN_DIR "/cgroup" };

	(void)mkdir(usual[2], 0755);
	for (int i = 0; i < 3; i++) {
		if (i == 2)
			(void)mount("cgroup2", usual[i], "cgroup2", 0, NULL);
		if (!is_cgroup2(usual[i]))
			continue;
		(void)snprintf(f->root, sizeof(f->root), "%s", usual[i]);
		return true;
	}
	return false;
}

static int
open_in(const struct ag_freeze *f, const char *group, const char *file,
    int flags)
{
	char path[PATH_BYTES];

	(void)snprintf(path, sizeof(path), "%s/%.200s/%s", f->root, group,
	    file);
	return open(path, flags | O_CLOEXEC);
}

void
ag_freeze_open(struct ag_freeze *f)
{
	char path[PATH_BYTES];
	int own = -1;

	*f = (struct ag_freeze){ .guest_procs_fd = -1 };
	if (find_root(f)) {
		(void)snprintf(path, sizeof(path), "%s/" AGENT_GROUP, f->root);
		(void)mkdir(path, 0755);
		(void)snprintf(path, sizeof(path), "%s/" GUEST_GROUP, f->root);
		(void)mkdir(path, 0755);
		f->guest_procs_fd = open_in(f, GUEST_GROUP, "cgroup.procs",
		    O_WRONLY);
		own = open_in(f, AGENT_GROUP, "cgroup.procs", O_WRONLY);
	}
	f->by_signal = f->guest_procs_fd < 0 || own < 0 ||
	    write(own, "0", 1) != 1;
	if (own >= 0)
		(void)close(own);
}

static bool
is_kernel_thread(const char *pid)
{
	char path[32], stat[512];
	unsigned flags = 0;
	const char *at;

	(void)snprintf(path, sizeof(path), "/proc/%.15s/stat", pid);
	if (ag_file_read(path, stat, sizeof(stat)) < 0)
		return true;		/* gone: nothing to move either */
	at = strrchr(stat, ')');	/* the name may hold anything */
	return at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %u",
	    &flags) != 1 || (flags & PF_KTHREAD) != 0;
}

/* Moves what lies in the root group into ours, but for the kernel's threads: a
 * group that holds one never becomes frozen.  How many it moved. */
static unsigned
empty_root(const struct ag_freeze *f)
{
	static char procs[65536];
	char path[PATH_BYTES];
	unsigned nr = 0;
	char *at = procs, *pid;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", f->root);
	if (ag_file_read(path, procs, sizeof(procs)) < 0)
		return 0;
	while ((pid = strsep(&at, "\n")) != NULL)
		if (*pid != '\0' && !is_kernel_thread(pid) &&
		    write(f->guest_procs_fd, pid, strlen(pid)) > 0)
			nr++;
	return nr;
}

/* The next directory in the root group, or NULL.  `buf` and *at, *end are the
 * state of the listing. */
static const char *
next_group(int dir, char *buf, size_t cap, long *at, long *end)
{
	struct stat st;

	for (;;) {
		struct dirent64_raw *d;

		if (*at >= *end) {
			*at = 0;
			*end = syscall(SYS_getdents64, dir, buf, cap);
			if (*end <= 0)
				return NULL;
		}
		d = (struct dirent64_raw *)(void *)(buf + *at);
		*at += d->len;
		if (d->name[0] != '.' && strcmp(d->name, AGENT_GROUP) != 0 &&
		    fstatat(dir, d->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode))
			return d->name;
	}
}

static bool
is_frozen(const struct ag_freeze *f, const char *group)
{
	char path[PATH_BYTES], events[128];

	(void)snprintf(path, sizeof(path), "%s/%.200s/cgroup.events", f->root,
	    group);
	/* A group that went away meanwhile holds nobody. */
	return ag_file_read(path, events, sizeof(events)) < 0 ||
	    ag_file_number(events, "frozen ") == 1;
}

/* Freezes every group that is not; how many do not say "frozen" yet, or -1
 * if there are too many. */
static int
freeze_groups(struct ag_freeze *f)
{
	/* Aligned as the entries are. */
	static uint64_t buf[1024];
	AUTO_FD dir = open(f->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *group;
	long at = 0, end = 0;
	char was[8];
	int fd, waiting = 0;

	while (dir >= 0 && (group = next_group(dir, (char *)buf, sizeof(buf),
	    &at, &end)) != NULL) {
		fd = open_in(f, group, "cgroup.freeze", O_RDWR);
		if (fd < 0)
			continue;
		if (f->nr < AG_FREEZE_GROUPS_MAX &&
		    read(fd, was, sizeof(was)) > 0 && was[0] == '0' &&
		    pwrite(fd, "1", 1, 0) == 1)
			f->freeze_fds[f->nr++] = fd;
		else
			(void)close(fd);
		if (!is_frozen(f, group))
			waiting++;
	}
	return dir < 0 || f->nr == AG_FREEZE_GROUPS_MAX ? -1 : waiting;
}

int
ag_freeze_hold(struct ag_freeze *f, unsigned limit_s)
{
	uint64_t deadline = clock_now_ns() + limit_s * CLOCK_SECOND;
	int waiting;

	f->held = true;
	if (f->by_signal)
		return kill(-1, SIGSTOP) == 0 || errno == ESRCH ? 0 : -1;
	/* Until a look finds nothing that still moves: groups and processes
	 * may be made until all are held. */
	do {
		if (clock_now_ns() > deadline) {
			errno = ETIMEDOUT;
			goto fail;
		}
		if (empty_root(f) > 0)
			continue;
		waiting = freeze_groups(f);
		if (waiting == 0)
			return 0;
		if (waiting < 0) {
			errno = E2BIG;
			goto fail;
		}
		ag_file_sleep_ms(POLL_MS);
	} while (true);
fail:
	ag_freeze_release(f);
	return -1;
}

void
ag_freeze_release(struct ag_freeze *f)
{
	if (f->by_signal && f->held)
		(void)kill(-1, SIGCONT);
	for (int i = 0; i < f->nr; i++) {
		/* It fails only for a group that is gone. */
		ssize_t ignored = pwrite(f->freeze_fds[i], "0", 1, 0);

		(void)ignored;
		(void)close(f->freeze_fds[i]);
	}
	f->nr = 0;
	f->held = false;
}
