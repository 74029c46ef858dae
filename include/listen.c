/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Listening sockets.  Runs as root, in who serves others.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "include/listen.h"

#define FIRST_FD 3		/* SD_LISTEN_FDS_START */

int
listen_inherited(const char *unit)
{
	const char *pid = getenv("LISTEN_PID"), *at = getenv("LISTEN_FDNAMES");
	size_t len;

	if (pid == NULL || at == NULL || strtol(pid, NULL, 10) != getpid())
		return -1;
	for (int fd = FIRST_FD;; fd++) {
		len = strcspn(at, ":");
		if (len == strlen(unit) && strncmp(at, unit, len) == 0)
			return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
		if (at[len] == '\0')
			return -1;
		at += len + 1;
	}
}

static bool
set_address(const char *path, struct sockaddr_un *addr)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (path[0] != '/' || strlen(path) >= sizeof(addr->sun_path))
		return false;
	memcpy(addr->sun_path, path, strlen(path));
	return true;
}

bool
listen_is_served(const char *path)
{
	struct sockaddr_un addr;
	bool served;
	int fd;

	if (!set_address(path, &addr))
		return false;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	/* EAGAIN: many wait there already. */
	served = connect(fd, (const struct sockaddr *)&addr,
	    sizeof(addr)) == 0 || errno == EAGAIN;
	(void)close(fd);
	return served;
}

int
listen_make_dir(const char *path, mode_t mode, struct err *e)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	(void)snprintf(dir, sizeof(dir), "%.*s", slash == NULL ? 0 :
	    (int)(slash - path), path);
	if (dir[0] == '\0' || (mkdir(dir, mode) == 0 ?
	    chmod(dir, mode) == 0 : errno == EEXIST))
		return 0;
	return err_set(e, ERR_SYS, errno, "%s", dir);
}

/* Nobody gets in between: it is root's until the group has it. */
static int
bind_to(int fd, const struct sockaddr_un *addr, const struct listen_place *p)
{
	mode_t mask = umask(0177);
	int rc;

	rc = bind(fd, (const struct sockaddr *)addr, sizeof(*addr));
	(void)umask(mask);
	if (rc == 0 && p->gid != 0 && (chown(p->path, 0, p->gid) != 0 ||
	    chmod(p->path, 0660) != 0))
		rc = -1;
	return rc == 0 ? listen(fd, p->backlog) : rc;
}

int
listen_at(const struct listen_place *p, struct err *e)
{
	struct sockaddr_un addr;
	int fd;

	if (!set_address(p->path, &addr))
		return err_set(e, ERR_USAGE, 0, "'%s' is no absolute path of "
		    "at most %zu bytes", p->path, sizeof(addr.sun_path) - 1);
	if (listen_make_dir(p->path, p->dir_mode, e) != 0)
		return -1;
	(void)unlink(p->path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | p->type, 0);
	if (fd >= 0 && bind_to(fd, &addr, p) == 0)
		return fd;
	(void)err_set(e, ERR_SYS, errno, "cannot listen on %s", p->path);
	if (fd >= 0)
		(void)close(fd);
	return -1;
}
