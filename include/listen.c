/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Listening sockets.  Runs as root, in who serves others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "listen.h"

#define FIRST_FD 3		/* SD_LISTEN_FDS_START */
#define BACKLOG 16

int
listen_inherited(void)
{
	const char *pid = getenv("LISTEN_PID"), *nr = getenv("LISTEN_FDS");

	if (pid == NULL || nr == NULL || strcmp(nr, "1") != 0 ||
	    strtol(pid, NULL, 10) != getpid() ||
	    fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC) != 0)
		return -1;
	return FIRST_FD;
}

static int
make_dir(const char *path, struct err *e)
{
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];

	(void)snprintf(dir, sizeof(dir), "%.*s",
	    (int)(strrchr(path, '/') - path), path);
	if (dir[0] == '\0' || mkdir(dir, 0700) == 0 || errno == EEXIST)
		return 0;
	return err_set(e, ERR_SYS, errno, "%s", dir);
}

int
listen_at(const char *path, struct err *e)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct sockaddr *to = (const struct sockaddr *)&addr;
	mode_t mask;
	int fd, rc;

	if (path[0] != '/' || strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, ERR_USAGE, 0, "'%s' is no absolute path of "
		    "at most %zu bytes", path, sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path));
	if (make_dir(path, e) != 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "socket");
	if (connect(fd, to, sizeof(addr)) == 0) {
		(void)close(fd);
		return err_set(e, ERR_BUSY, 0, "somebody listens on %s "
		    "already", path);
	}
	(void)unlink(path);
	mask = umask(0177);
	rc = bind(fd, to, sizeof(addr));
	(void)umask(mask);
	if (rc == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	(void)err_set(e, ERR_SYS, errno, "cannot listen on %s", path);
	(void)close(fd);
	return -1;
}
