/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libdevmapper in the process that builds domains, as root.  Names and tables
 * come from our own code, statuses from the kernel.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <libdevmapper.h>

#include "restore/host/disk_map.h"

#define CONTROL_PATH "/dev/mapper/control"

/* udev's part: no links, no blkid, no LVM.  The library's: no nodes. */
#define UDEV_FLAGS (DM_UDEV_DISABLE_DM_RULES_FLAG | \
    DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | DM_UDEV_DISABLE_DISK_RULES_FLAG | \
    DM_UDEV_DISABLE_OTHER_RULES_FLAG | DM_UDEV_DISABLE_LIBRARY_FALLBACK)

/* libdevmapper tells its reasons only to a callback without an argument, so
 * this cannot live in a handle.  The first error since map_task() stays: the
 * later ones only say that the earlier ones happened. */
static _Thread_local char first_log[200];

/* Nor is the library made for threads: one at a time, and its control device
 * is let go of by the last that opened it. */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;
static unsigned nr_opened;

__attribute__((format(printf, 5, 6)))
static void
take_log(int level, const char *file, int line, int dm_errno,
    const char *fmt, ...)
{
	va_list ap;

	(void)file;
	(void)line;
	(void)dm_errno;
	/* The upper bits are flags; 3 and below are errors. */
	if ((level & 7) > 3 || first_log[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(first_log, sizeof(first_log), fmt, ap);
	va_end(ap);
}

/* Says what libdevmapper said. */
static int
failed(struct dm_task *task, const char *doing, const char *name,
    struct err *e)
{
	int code = task == NULL ? ENOMEM : dm_task_get_errno(task);

	if (first_log[0] != '\0') {
		(void)err_set(e, ERR_DISK, 0, "cannot %s %s: %s", doing, name,
		    first_log);
		e->sys_errno = code;
	} else {
		(void)err_set(e, ERR_DISK, code, "cannot %s %s", doing, name);
	}
	if (code == EBUSY)
		e->code = ERR_BUSY;
	return -1;
}

/* Takes the library, for end_task() to give back, also after NULL. */
static struct dm_task *
map_task(int type, const char *name)
{
	struct dm_task *task;

	(void)pthread_mutex_lock(&library);
	first_log[0] = '\0';
	task = dm_task_create(type);
	if (task != NULL && name != NULL && !dm_task_set_name(task, name)) {
		dm_task_destroy(task);
		return NULL;
	}
	return task;
}

static void
end_task(struct dm_task *task)
{
	if (task != NULL)
		dm_task_destroy(task);
	(void)pthread_mutex_unlock(&library);
}

/* Runs a task that makes udev events. */
static bool
run_with_udev(struct dm_task *task)
{
	uint32_t cookie = 0;
	bool done;

	/* With synchronization off (disk_map_open) this only puts the flags
	 * into the events; it makes no semaphore, and the wait no more than
	 * empties the library's list of nodes to make. */
	if (!dm_task_set_cookie(task, &cookie, UDEV_FLAGS))
		return false;
	done = dm_task_run(task) != 0;
	(void)dm_udev_wait(cookie);
	return done;
}

/* The library keeps the control device open across exec(): who has it can do
 * everything to every disk. */
static int
hide_control(struct err *e)
{
	struct stat control, st;
	struct dirent *entry;
	DIR *dir;
	int fd, rc = -1;

	dir = opendir("/proc/self/fd");
	if (dir == NULL || stat(CONTROL_PATH, &control) != 0) {
		(void)err_set(e, ERR_DISK, errno, "%s", CONTROL_PATH);
		goto out;
	}
	while ((entry = readdir(dir)) != NULL) {
		fd = (int)strtol(entry->d_name, NULL, 10);
		if (entry->d_name[0] == '.' || fstat(fd, &st) != 0 ||
		    !S_ISCHR(st.st_mode) || st.st_rdev != control.st_rdev)
			continue;
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
			(void)err_set(e, ERR_DISK, errno, "%s", CONTROL_PATH);
			goto out;
		}
	}
	rc = 0;
out:
	if (dir != NULL)
		(void)closedir(dir);
	return rc;
}

int
disk_map_open(struct err *e)
{
	struct dm_task *task;
	int rc = -1;

	task = map_task(DM_DEVICE_VERSION, NULL);
	dm_log_with_errno_init(take_log);
	dm_udev_set_sync_support(0);
	dm_hold_control_dev(1);
	nr_opened++;
	if (task == NULL || !dm_task_run(task))
		(void)failed(task, "use", "the device mapper", e);
	else
		rc = hide_control(e);
	end_task(task);
	if (rc != 0)
		disk_map_close();
	return rc;
}

void
disk_map_close(void)
{
	(void)pthread_mutex_lock(&library);
	if (--nr_opened == 0) {
		dm_hold_control_dev(0);
		dm_lib_release();
	}
	(void)pthread_mutex_unlock(&library);
}

int
disk_map_create(const struct disk_map_params *p, struct disk_dev *dev,
    struct err *e)
{
	struct dm_task *task;
	struct dm_info info;
	int rc = -1;

	task = map_task(DM_DEVICE_CREATE, p->name);
	/* A failed load or resume takes the new device away again. */
	if (task == NULL ||
	    !dm_task_add_target(task, 0, p->sectors, p->target, p->table) ||
	    (p->read_only && !dm_task_set_ro(task)) ||
	    !run_with_udev(task) || !dm_task_get_info(task, &info)) {
		(void)failed(task, "make", p->name, e);
		goto out;
	}
	(void)snprintf(dev->name, sizeof(dev->name), "%s", p->name);
	dev->major = info.major;
	dev->minor = info.minor;
	dev->sectors = p->sectors;
	rc = 0;
out:
	end_task(task);
	return rc;
}

int
disk_map_query(const char *name, struct disk_map_status *st, struct err *e)
{
	struct dm_task *task;
	struct dm_info info;
	uint64_t start, length = 0;
	char *target = NULL, *status = NULL;
	int rc = -1;

	*st = (struct disk_map_status){ 0 };
	task = map_task(DM_DEVICE_STATUS, name);
	if (task == NULL || !dm_task_run(task)) {
		if (task != NULL && dm_task_get_errno(task) == ENXIO)
			rc = 0;
		else
			(void)failed(task, "look at", name, e);
		goto out;
	}
	if (!dm_task_get_info(task, &info)) {
		(void)failed(task, "look at", name, e);
		goto out;
	}
	rc = 0;
	if (!info.exists)
		goto out;
	(void)dm_get_next_target(task, NULL, &start, &length, &target,
	    &status);
	st->exists = true;
	st->active = info.live_table && !info.suspended && target != NULL;
	st->read_only = info.read_only;
	/* A working snapshot's status begins with a number, a lost one's is
	 * "Invalid" or "Overflow". */
	st->failed = status == NULL || status[0] < '0' || status[0] > '9';
	st->major = info.major;
	st->minor = info.minor;
	st->sectors = length;
out:
	end_task(task);
	return rc;
}

int
disk_map_remove(const char *name, struct err *e)
{
	struct dm_task *task;
	int rc = 0;

	task = map_task(DM_DEVICE_REMOVE, name);
	if (task == NULL || !run_with_udev(task)) {
		if (task == NULL || dm_task_get_errno(task) != ENXIO)
			rc = failed(task, "remove", name, e);
	}
	end_task(task);
	return rc;
}

int
disk_map_list(const char *prefix, char *names, size_t cap, struct err *e)
{
	const struct dm_names *at = NULL;
	struct dm_task *task;
	size_t len, used = 0;
	int nr = -1, found = 0;

	task = map_task(DM_DEVICE_LIST, NULL);
	if (task == NULL || !dm_task_run(task) ||
	    (at = dm_task_get_names(task)) == NULL) {
		(void)failed(task, "list", "dm devices", e);
		goto out;
	}
	/* dev 0: an empty list still has one entry. */
	while (at->dev != 0) {
		len = strlen(at->name) + 1;
		if (strncmp(at->name, prefix, strlen(prefix)) == 0) {
			if (len > cap - used) {
				(void)err_set(e, ERR_DISK, 0, "the names of "
				    "dm devices take over %zu bytes", cap);
				goto out;
			}
			memcpy(names + used, at->name, len);
			used += len;
			found++;
		}
		if (at->next == 0)
			break;
		at = (const struct dm_names *)(const void *)
		    ((const char *)at + at->next);
	}
	nr = found;
out:
	end_task(task);
	return nr;
}
