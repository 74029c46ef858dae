/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What confined roles still can do, what they were left with, and when
 * rs_confine() refuses.  Needs root.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/dm-ioctl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "include/cleanup.h"
#include "tests/unit/t_rs_confine.h"
#include "tests/unit/tap.h"

/* What the tries work on, made by main() as root, unconfined. */
static struct {
	char dir[64];
	char file[96];		/* another user's, of mode 0400 */
	struct sockaddr_un listening;
	int listen_fd;		/* SOCK_SEQPACKET */
	int client_fd;		/* connected to it */
	int pair[2];
} world = { .listen_fd = -1, .client_fd = -1, .pair = { -1, -1 } };

/* The allowed ones: each returns the number of the first step that failed. */

static int
common_needs(void)
{
	struct timespec now, pause = { .tv_nsec = 1000 };
	uint8_t bytes[704] = { 1 };
	uint8_t *room;

	if (clock_gettime(CLOCK_MONOTONIC, &now) != 0 ||
	    clock_gettime(CLOCK_REALTIME, &now) != 0 ||
	    nanosleep(&pause, NULL) != 0)
		return 1;
	room = malloc(8u << 20);
	if (room == NULL)
		return 2;
	memset(room, 1, 8u << 20);
	free(room);
	if (send(world.pair[0], bytes, sizeof(bytes), MSG_DONTWAIT |
	    MSG_NOSIGNAL) != sizeof(bytes) ||
	    recv(world.pair[1], bytes, sizeof(bytes), MSG_DONTWAIT) !=
	    sizeof(bytes))
		return 3;
	if (fprintf(stderr, "# a confined process logs\n") < 0)
		return 4;
	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return 5;
	return 0;
}

static int
front_needs(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	char byte = 0;
	int loop, fd, rc = common_needs();

	if (rc != 0)
		return rc;
	loop = epoll_create1(EPOLL_CLOEXEC);
	if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, world.listen_fd,
	    &event) != 0 || epoll_wait(loop, &event, 1, 1000) != 1)
		return 11;
	fd = accept4(world.listen_fd, NULL, NULL, SOCK_NONBLOCK |
	    SOCK_CLOEXEC);
	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred,
	    &len) != 0 || cred.uid != 0)
		return 12;
	if (send(fd, "x", 1, MSG_NOSIGNAL) != 1 ||
	    recv(world.client_fd, &byte, 1, 0) != 1 || byte != 'x')
		return 13;
	return close(fd) != 0 || close(loop) != 0;
}

static int
courier_needs(void)
{
	struct pollfd p = { .fd = world.pair[1], .events = POLLIN };
	int rc = common_needs();

	if (rc != 0)
		return rc;
	if (poll(&p, 1, 0) != 0)
		return 14;
	/* IOCTL_EVTCHN_NOTIFY */
	if (ioctl(-1, _IOC(_IOC_NONE, 'E', 4, 4), NULL) == 0 ||
	    errno != EBADF)
		return 15;
	return 0;
}

static void *
use_memory(void *arg)
{
	void *p = malloc(1u << 20);

	(void)prctl(PR_SET_NAME, "worker", 0, 0, 0);
	(void)sched_yield();
	free(p);
	return p == NULL ? NULL : arg;
}

static int
threads_work(void)
{
	pthread_t threads[4];
	void *done;
	int rc = 0;

	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, use_memory, &world) != 0)
			return 1;
	for (int i = 0; i < 4; i++)
		if (pthread_join(threads[i], &done) != 0 || done == NULL)
			rc = 1;
	return rc;
}

static int
core_reads_files(void)
{
	char path[PATH_MAX], text[8] = "";
	FILE *f;
	int fd;

	/* Another user's: CAP_DAC_READ_SEARCH. */
	if (realpath(world.file, path) == NULL)
		return 21;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || pread(fd, text, 5, 0) != 5 ||
	    memcmp(text, "hello", 5) != 0 || flock(fd, LOCK_SH) != 0)
		return 22;
	f = fdopen(fd, "r");
	if (f == NULL || fgets(text, sizeof(text), f) == NULL ||
	    fclose(f) != 0)
		return 23;
	/* But no other file is written. */
	if (open(path, O_RDWR | O_CLOEXEC) >= 0 || errno != EACCES)
		return 24;
	return 0;
}

static int
core_needs(void)
{
	uint8_t *shared;
	int fd, rc = common_needs();

	if (rc == 0)
		rc = core_reads_files();
	if (rc != 0)
		return rc;
	if (threads_work() != 0)
		return 31;
	fd = memfd_create("t", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 8192) != 0)
		return 32;
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return 33;
	shared[5000] = 1;
	if (munmap(shared, 8192) != 0 || close(fd) != 0)
		return 33;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&world.listening,
	    sizeof(world.listening)) != 0 || shutdown(fd, SHUT_WR) != 0 ||
	    poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, 0) < 0 ||
	    close(fd) != 0)
		return 34;
	fd = eventfd(0, EFD_CLOEXEC);
	if (fd < 0 || eventfd_write(fd, 1) != 0 || close(fd) != 0)
		return 35;
	if (ioctl(-1, DM_VERSION, NULL) == 0 || errno != EBADF)
		return 36;
	/* As libxencall asks privcmd; the request's size does not count. */
	if (ioctl(-1, _IOC(_IOC_NONE, 'P', 0, 48), NULL) == 0 ||
	    errno != EBADF)
		return 37;
	return 0;
}

static int
leaves_normally(void)
{
	exit(common_needs());
}

/* Whatever it says, root's own ids are refused. */
static int
front_as_root(void)
{
	struct rs_confine_params p = params(FRONT);
	struct err e;

	p.uid = 0;
	return rs_confine(&p, &e) == 0 || e.code != ERR_USAGE;
}

static int
of_another_parent(void)
{
	struct rs_confine_params p = params(CORE);
	struct err e;

	p.parent = 1;
	return rs_confine(&p, &e) == 0 || e.code != ERR_INTERRUPTED;
}

static void *
sleep_long(void *arg)
{
	(void)pause();
	return arg;
}

static int
beside_a_thread(void)
{
	struct rs_confine_params p = params(CORE);
	pthread_t thread;
	struct err e;

	if (pthread_create(&thread, NULL, sleep_long, NULL) != 0)
		return 1;
	return rs_confine(&p, &e) == 0 || e.code != ERR_USAGE;
}

static int
only_logged(void)
{
	struct rs_confine_params p = params(FRONT);
	struct err e;

	p.log_only = true;
	return rs_confine(&p, &e) != 0 ||
	    socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0;
}

static int
with_leak_check(void)
{
	struct rs_confine_params p = params(FRONT);
	struct err e;

	p.leak_check = true;
	if (rs_confine(&p, &e) != 0)
		return 1;
	return leaves_normally();
}

/* The beginning that systemd's unit gives core: with these alone, and nothing
 * to drop others with; more, if not -1, is left in `sets` too. */
static int
confine_core_of_unit(int more, capng_type_t sets)
{
	struct rs_confine_params p = params(CORE);
	struct err e;

	capng_clear(CAPNG_SELECT_ALL);
	if (capng_updatev(CAPNG_ADD, (capng_type_t)(CAPNG_EFFECTIVE |
	    CAPNG_PERMITTED | CAPNG_BOUNDING_SET), CAP_SYS_ADMIN,
	    CAP_DAC_READ_SEARCH, -1) != 0 || (more >= 0 &&
	    capng_update(CAPNG_ADD, sets, (unsigned)more) != 0) ||
	    setgroups(0, NULL) != 0 || capng_apply(CAPNG_SELECT_BOTH) != 0)
		return 1;
	return rs_confine(&p, &e) == 0 ? 0 : e.code == ERR_SYS ? -1 : 1;
}

/* ... and front. */
static int
confine_front_of_unit(gid_t group)
{
	struct rs_confine_params p = params(FRONT);
	struct err e;

	capng_clear(CAPNG_SELECT_BOUNDS);
	if (capng_apply(CAPNG_SELECT_BOUNDS) != 0 ||
	    setgroups(1, &group) != 0 ||
	    setresgid(OTHER_ID, OTHER_ID, OTHER_ID) != 0 ||
	    setresuid(OTHER_ID, OTHER_ID, OTHER_ID) != 0)
		return 1;
	return rs_confine(&p, &e) == 0 ? 0 : e.code == ERR_SYS ? -1 : 1;
}

static int
core_of_unit(void)
{
	return confine_core_of_unit(-1, CAPNG_PERMITTED) != 0 || core_needs();
}

static int
core_of_unit_can_more(void)
{
	return confine_core_of_unit(CAP_CHOWN, CAPNG_PERMITTED) != -1;
}

static int
core_of_unit_could_more(void)
{
	return confine_core_of_unit(CAP_CHOWN, CAPNG_BOUNDING_SET) != -1;
}

static int
front_of_unit(void)
{
	return confine_front_of_unit(OTHER_ID) != 0 || common_needs();
}

static int
front_of_unit_in_group(void)
{
	return confine_front_of_unit(0) != -1;
}

static void
test_allowed(void)
{
	static const struct {
		enum who who;
		int (*try)(void);
		const char *claim;
	} tries[] = {
		{ FRONT, front_needs, "front can serve clients and log" },
		{ COURIER, courier_needs, "courier can wait and hand on" },
		{ CORE, core_needs, "core can read files, run threads, map "
		    "memory, connect to a local socket" },
		{ NOBODY, core_of_unit, "core can, too, when it begins with "
		    "its capabilities alone" },
		{ NOBODY, core_of_unit_can_more, "core that begins with one "
		    "more, and cannot drop it, is refused" },
		{ NOBODY, core_of_unit_could_more, "and with one more in the "
		    "bounding set" },
		{ NOBODY, front_of_unit, "front is confined, too, when it "
		    "begins as its user, without any" },
		{ NOBODY, front_of_unit_in_group, "front that begins in "
		    "another group is refused" },
		{ NOBODY, front_as_root, "front as root is refused" },
		{ NOBODY, of_another_parent, "a parent that is not the "
		    "expected one is refused" },
		{ NOBODY, beside_a_thread, "a process with threads is "
		    "refused" },
		{ NOBODY, only_logged, "control: where the rules only log, "
		    "socket(AF_INET) succeeds" },
		{ NOBODY, with_leak_check, "a confined process can end by "
		    "exit(), sanitized or not" },
	};

	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		int status = in_child(tries[i].who, tries[i].try);

		(void)ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
		    "%s (%#x)", tries[i].claim, status);
	}
}

/* A child that is confined and then waits for a byte on *release_fd; its
 * pid. */
static pid_t
start_waiting(enum who who, int *release_fd)
{
	struct rs_confine_params p;
	int up[2], down[2];
	struct err e;
	char byte;
	pid_t pid;

	if (pipe2(up, O_CLOEXEC) != 0 || pipe2(down, O_CLOEXEC) != 0)
		return -1;
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)alarm(60);
		p = params(who);
		if ((who != NOBODY && rs_confine(&p, &e) != 0) ||
		    write(up[1], "x", 1) != 1)
			_exit(99);
		/* It has both ends: there is no end of file. */
		_exit(read(down[0], &byte, 1) != 1);
	}
	(void)close(up[1]);
	(void)close(down[0]);
	*release_fd = down[1];
	if (pid > 0 && read(up[0], &byte, 1) != 1)
		(void)printf("# it did not get confined\n");
	(void)close(up[0]);
	return pid;
}

static bool
has_line(const char *text, const char *line)
{
	char wanted[96];

	(void)snprintf(wanted, sizeof(wanted), "\n%s\n", line);
	if (strstr(text, wanted) != NULL)
		return true;
	(void)printf("# no \"%s\" in:%s\n", line, text);
	return false;
}

static void
test_status(enum who who, const char *name, const char *const *lines)
{
	char path[64], text[8192] = "";
	AUTO_FD release = -1;
	ssize_t len = 0;
	bool all = true;
	int status = -1;
	pid_t pid = start_waiting(who, &release);
	AUTO_FD fd = -1;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pid > 0 && fd >= 0)
		len = read(fd, text, sizeof(text) - 1);
	text[len < 0 ? 0 : len] = '\0';
	for (; *lines != NULL; lines++)
		all = has_line(text, *lines) && all;
	(void)ok(len > 0 && all, "%s has the ids, capabilities and filter that "
	    "it is to have, and no more", name);
	(void)ok(pid > 0 && write(release, "x", 1) == 1 &&
	    waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0, "%s stays until it is told to end",
	    name);
}

/* Does the child of a supervisor that is killed die with it? */
static bool
dies_with_parent(enum who who)
{
	struct pollfd gone = { .events = POLLIN };
	int alive[2], ready[2], release, status;
	pid_t pid, grandchild = -1;
	bool dies = false;

	if (pipe2(alive, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0)
		return false;
	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		grandchild = start_waiting(who, &release);
		if (write(ready[1], &grandchild, sizeof(grandchild)) < 0)
			_exit(1);
		(void)pause();
		_exit(1);
	}
	(void)close(ready[1]);
	(void)close(alive[1]);
	gone.fd = alive[0];
	if (pid > 0 && read(ready[0], &grandchild, sizeof(grandchild)) ==
	    sizeof(grandchild) && grandchild > 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, &status, 0);
		/* The end of file is there when the last one has ended. */
		dies = poll(&gone, 1, who == NOBODY ? 200 : 10000) == 1;
		if (!dies)
			(void)kill(grandchild, SIGKILL);
	}
	(void)close(ready[0]);
	(void)close(alive[0]);
	return dies;
}

static bool
make_world(void)
{
	AUTO_FD fd = -1;

	(void)snprintf(world.dir, sizeof(world.dir), "/tmp/t_rs_confine.%s",
	    "XXXXXX");
	if (mkdtemp(world.dir) == NULL || chmod(world.dir, 0755) != 0)
		return false;
	(void)snprintf(world.file, sizeof(world.file), "%s/file", world.dir);
	fd = open(world.file, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
	if (fd < 0 || write(fd, "hello\n", 6) != 6 ||
	    fchown(fd, OTHER_ID, OTHER_ID) != 0)
		return false;
	world.listening.sun_family = AF_UNIX;
	(void)snprintf(world.listening.sun_path,
	    sizeof(world.listening.sun_path), "%s/sock", world.dir);
	world.listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	world.client_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	return world.listen_fd >= 0 && world.client_fd >= 0 &&
	    bind(world.listen_fd, (struct sockaddr *)&world.listening,
	    sizeof(world.listening)) == 0 &&
	    listen(world.listen_fd, 8) == 0 &&
	    connect(world.client_fd, (struct sockaddr *)&world.listening,
	    sizeof(world.listening)) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0,
	    world.pair) == 0;
}

int
main(void)
{
	static const char *const front[] = {
		"Uid:\t65534\t65534\t65534\t65534",
		"Gid:\t65534\t65534\t65534\t65534", "Groups:\t ",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000",
		"CapEff:\t0000000000000000", "CapBnd:\t0000000000000000",
		"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
		NULL
	};
	/* Bit 21 is CAP_SYS_ADMIN, 2 is CAP_DAC_READ_SEARCH. */
	static const char *const core[] = {
		"Uid:\t0\t0\t0\t0", "Gid:\t0\t0\t0\t0", "Groups:\t ",
		"CapInh:\t0000000000000000", "CapPrm:\t0000000000200004",
		"CapEff:\t0000000000200004", "CapBnd:\t0000000000000000",
		"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
		NULL
	};

	if (!ok(geteuid() == 0, "root runs this test: who is not cannot give "
	    "up its rights") || !ok(make_world(), "files and sockets"))
		return tap_done();
	test_allowed();
	test_status(FRONT, "front", front);
	test_status(COURIER, "courier", front);
	test_status(CORE, "core", core);
	(void)ok(dies_with_parent(FRONT), "front dies with its parent");
	(void)ok(dies_with_parent(COURIER), "courier dies with its parent");
	(void)ok(dies_with_parent(CORE), "core dies with its parent");
	(void)ok(!dies_with_parent(NOBODY), "control: one that is not confined "
	    "outlives it");
	(void)unlink(world.file);
	(void)unlink(world.listening.sun_path);
	(void)rmdir(world.dir);
	return tap_done();
}
