/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A daemon's listening sockets: who may connect, what is replaced, what a
 * directory's mode is, and which of systemd's is which.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "include/listen.h"
#include "tests/unit/tap.h"

#define GID 12345
#define FIRST_FD 3

static char top[] = "/tmp/t_listen.XXXXXX";

static const char *
at(const char *name)
{
	static char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s/%s", top, name);
	return path;
}

static mode_t
mode_of(const char *name)
{
	struct stat st;

	return stat(at(name), &st) == 0 ? st.st_mode & 07777 : 0;
}

static void
test_place(void)
{
	char *sock = strdup(at("new/sock"));
	struct listen_place p = { .path = sock, .dir_mode = 0755, .gid = GID,
	    .type = SOCK_NONBLOCK, .backlog = 4 };
	mode_t mask = umask(077);
	struct stat st;
	struct err e;
	int fd, again;

	fd = listen_at(&p, &e);
	ok(fd >= 0 && mode_of("new") == 0755, "its directory is made, with "
	    "that mode whatever the umask is: %o", mode_of("new"));
	ok(stat(sock, &st) == 0 && (st.st_mode & 07777) == 0660 &&
	    st.st_uid == 0 && st.st_gid == GID, "the group may connect");
	ok(umask(077) == 077, "the umask is as it was");
	ok(fcntl(fd, F_GETFD) & FD_CLOEXEC &&
	    fcntl(fd, F_GETFL) & O_NONBLOCK &&
	    accept(fd, NULL, NULL) < 0 && errno == EAGAIN,
	    "close-on-exec, and not blocking as was asked for");
	ok(listen_is_served(sock), "somebody listens");
	(void)chmod(at("new"), 01777);
	p.gid = 0;
	p.type = 0;
	again = listen_at(&p, &e);
	ok(again >= 0 && mode_of("new/sock") == 0600 &&
	    !(fcntl(again, F_GETFL) & O_NONBLOCK), "it is replaced; without "
	    "a group it is root's alone");
	ok(mode_of("new") == 01777, "a directory that is there keeps its "
	    "mode: %o", mode_of("new"));
	(void)close(fd);
	(void)close(again);
	ok(!listen_is_served(sock), "nobody does at one that is "
	    "left");
	ok(!listen_is_served(at("none")) && !listen_is_served("relative"),
	    "nor where there is none");
	(void)umask(mask);
	free(sock);
}

static bool
refuses(const char *path, enum err_code code)
{
	const struct listen_place p = { .path = path, .dir_mode = 0755 };
	struct err e = { .code = ERR_NONE };

	return listen_at(&p, &e) == -1 && e.code == code;
}

static void
test_refused(void)
{
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];

	memset(name, 'x', sizeof(name));
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	ok(refuses(name, ERR_USAGE), "a path that is too long");
	ok(refuses("here/sock", ERR_USAGE) && refuses("", ERR_USAGE),
	    "one that is not absolute");
	ok(refuses(at("a/b/sock"), ERR_SYS), "a directory that cannot be made");
	(void)mkdir(at("dir"), 0700);
	(void)mkdir(at("dir/sock"), 0700);
	ok(refuses(at("dir/sock"), ERR_SYS), "a directory in its place");
}

static void
test_inherited(void)
{
	char pid[16];

	(void)dup2(STDOUT_FILENO, FIRST_FD);
	(void)dup2(STDOUT_FILENO, FIRST_FD + 1);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ok(listen_inherited("b.socket") < 0, "not from systemd: none");
	(void)setenv("LISTEN_FDNAMES", "a.socket:b.socket", 1);
	(void)setenv("LISTEN_FDS", "2", 1);
	(void)setenv("LISTEN_PID", "1", 1);
	ok(listen_inherited("b.socket") < 0, "another process's are not ours");
	(void)setenv("LISTEN_PID", pid, 1);
	ok(listen_inherited("b.socket") == FIRST_FD + 1 &&
	    listen_inherited("a.socket") == FIRST_FD, "each by its name");
	ok(fcntl(FIRST_FD, F_GETFD) & FD_CLOEXEC, "close-on-exec");
	ok(listen_inherited("b.sock") < 0 && listen_inherited("") < 0 &&
	    listen_inherited("b.socket.x") < 0, "no other name");
	(void)close(FIRST_FD);
	ok(listen_inherited("a.socket") < 0, "one that is not open is none");
}

int
main(void)
{
	if (mkdtemp(top) == NULL || geteuid() != 0)
		return 1;
	test_place();
	test_refused();
	test_inherited();
	(void)unlink(at("new/sock"));
	(void)rmdir(at("new"));
	(void)rmdir(at("dir/sock"));
	(void)rmdir(at("dir"));
	(void)rmdir(top);
	return tap_done();
}
