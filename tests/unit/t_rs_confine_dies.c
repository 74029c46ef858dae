/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What confined roles cannot do.  Each try is a child of its own: a forbidden
 * call must kill it with SIGSYS, and the same call in a child that is not
 * confined must not.  Needs root.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/dm-ioctl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "tests/unit/t_rs_confine.h"
#include "tests/unit/tap.h"

/* The forbidden calls.  What they ask for is wrong or harmless, so that the
 * control, which is root, does no damage. */

static int
exec_true(void)
{
	char name[] = "true";
	char *argv[] = { name, NULL };

	(void)execv("/bin/true", argv);
	return 1;
}

static int
exec_at(void)
{
	return (int)syscall(SYS_execveat, -1, "", NULL, NULL, AT_EMPTY_PATH)
	    == 0;
}

static int
socket_inet(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0;
}

static int
socket_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0) < 0;
}

static int
socket_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) < 0;
}

static int
open_passwd(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC) < 0;
}

static int
make_file(void)
{
	static const char path[] = "/tmp/t_rs_confine_dies.new";

	if (open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0)
		return 1;
	return unlink(path) != 0;
}

static int
make_unnamed_file(void)
{
	return open("/tmp", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600) < 0;
}

static int
trace_me(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0;
}

static int
map_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE |
	    MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static int
protect_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE |
	    MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED || mprotect(p, 4096, PROT_EXEC) != 0;
}

static int
become_root(void)
{
	return setuid(0) != 0;
}

static int
become_other(void)
{
	return setresuid(OTHER_ID, OTHER_ID, OTHER_ID) != 0;
}

static int
fork_once(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid < 0;
}

static int
new_user_namespace(void)
{
	return syscall(SYS_clone, CLONE_NEWUSER | CLONE_VM | CLONE_VFORK |
	    CLONE_THREAD, NULL, NULL, NULL, NULL) == 0;
}

static int
start_thread_by_clone3(void)
{
	return syscall(SYS_clone3, NULL, 0) == 0;
}

static int
kill_parent(void)
{
	return kill(getppid(), 0) != 0;
}

static int
signal_thread_of_parent(void)
{
	return syscall(SYS_tgkill, getppid(), getppid(), 0) != 0;
}

static int
mount_nothing(void)
{
	return mount("none", "/nonexistent", "tmpfs", 0, NULL) == 0;
}

static int
unshare_uts(void)
{
	return unshare(CLONE_NEWUTS) != 0;
}

static int
enter_namespace(void)
{
	return setns(-1, 0) == 0;
}

static int
change_root(void)
{
	return chroot("/") != 0;
}

static int
type_on_terminal(void)
{
	return ioctl(-1, TIOCSTI, "x") == 0;
}

static int
remove_all_disks(void)
{
	return ioctl(-1, DM_REMOVE_ALL, NULL) == 0;
}

static int
look_at_keys(void)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID,
	    KEY_SPEC_SESSION_KEYRING, 0) == -2;
}

static int
load_bpf(void)
{
	return syscall(SYS_bpf, BPF_PROG_LOAD, NULL, 0) == 0;
}

static int
read_other_memory(void)
{
	return process_vm_readv(getppid(), NULL, 0, NULL, 0, 0) != 0;
}

static int
open_by_handle(void)
{
	return syscall(SYS_open_by_handle_at, -1, NULL, O_RDONLY) >= 0;
}

static int
make_uring(void)
{
	return syscall(SYS_io_uring_setup, 0, NULL) >= 0;
}

static int
load_module(void)
{
	return syscall(SYS_init_module, NULL, 0, "") == 0;
}

static int
raise_limit(void)
{
	const struct rlimit r = { .rlim_cur = 0, .rlim_max = 0 };

	return setrlimit(RLIMIT_CORE, &r) != 0;
}

static int
become_dumpable(void)
{
	return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0;
}

static int
change_personality(void)
{
	return personality(0xffffffff) < 0;
}

static int
set_clock(void)
{
	return clock_settime(CLOCK_MONOTONIC, &(struct timespec){ 0 }) == 0;
}

static int
remove_file(void)
{
	return unlink("/nonexistent/dvm") == 0;
}

static int
rename_thread(void)
{
	return prctl(PR_SET_NAME, "dvm", 0, 0, 0) != 0;
}

static int
accept_nobody(void)
{
	return accept4(-1, NULL, NULL, SOCK_CLOEXEC) >= 0;
}

static int
make_loop(void)
{
	return epoll_create1(EPOLL_CLOEXEC) < 0;
}

static int
take_descriptor(void)
{
	struct msghdr m = { .msg_iov = NULL };

	return recvmsg(-1, &m, 0) >= 0;
}

static int
hand_descriptor_on(void)
{
	const struct msghdr m = { .msg_iov = NULL };

	return sendmsg(-1, &m, MSG_NOSIGNAL) >= 0;
}

static int
ask_for_peer(void)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(-1, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0;
}

static const struct {
	const char *name;
	int (*try)(void);
	bool front, courier, core;	/* must die of it */
} forbidden[] = {
	{ "execve", exec_true, true, true, true },
	{ "execveat", exec_at, true, true, true },
	{ "socket(AF_INET)", socket_inet, true, true, true },
	{ "socket(AF_NETLINK)", socket_netlink, true, true, true },
	{ "socket(AF_UNIX)", socket_unix, true, true, false },
	{ "open of /etc/passwd", open_passwd, true, true, false },
	{ "open that makes a file", make_file, true, true, true },
	{ "open of O_TMPFILE", make_unnamed_file, true, true, true },
	{ "unlink", remove_file, true, true, true },
	{ "ptrace", trace_me, true, true, true },
	{ "mmap of code", map_code, true, true, true },
	{ "mprotect to code", protect_code, true, true, true },
	{ "setuid(0)", become_root, true, true, true },
	{ "setresuid", become_other, true, true, true },
	{ "fork", fork_once, true, true, true },
	{ "clone of a user namespace", new_user_namespace, true, true, true },
	{ "clone3", start_thread_by_clone3, true, true, false },
	{ "kill of the parent", kill_parent, true, true, true },
	{ "tgkill of the parent", signal_thread_of_parent, true, true, true },
	{ "mount", mount_nothing, true, true, true },
	{ "unshare", unshare_uts, true, true, true },
	{ "setns", enter_namespace, true, true, true },
	{ "chroot", change_root, true, true, true },
	{ "ioctl TIOCSTI", type_on_terminal, true, true, true },
	{ "ioctl DM_REMOVE_ALL", remove_all_disks, true, true, true },
	{ "keyctl", look_at_keys, true, true, true },
	{ "bpf", load_bpf, true, true, true },
	{ "process_vm_readv", read_other_memory, true, true, true },
	{ "open_by_handle_at", open_by_handle, true, true, true },
	{ "io_uring_setup", make_uring, true, true, true },
	{ "init_module", load_module, true, true, true },
	{ "setrlimit", raise_limit, true, true, true },
	{ "prctl PR_SET_DUMPABLE", become_dumpable, true, true, true },
	{ "prctl PR_SET_NAME", rename_thread, true, true, false },
	{ "personality", change_personality, true, true, true },
	{ "clock_settime", set_clock, true, true, true },
	{ "accept4", accept_nobody, false, true, true },
	{ "epoll_create1", make_loop, false, true, false },
	{ "recvmsg", take_descriptor, false, true, false },
	{ "sendmsg", hand_descriptor_on, false, true, false },
	{ "getsockopt", ask_for_peer, false, true, true },
};

static void
test_forbidden(void)
{
	static const struct {
		enum who who;
		const char *name;
	} roles[] = { { FRONT, "front" }, { COURIER, "courier" },
	    { CORE, "core" } };

	for (size_t i = 0; i < sizeof(forbidden) / sizeof(forbidden[0]); i++) {
		int status = in_child(NOBODY, forbidden[i].try);

		/* Stopped: PTRACE_TRACEME's child does not get that far. */
		(void)ok(WIFEXITED(status), "control: %s lets an unconfined "
		    "process live (%#x)", forbidden[i].name, status);
		for (int r = 0; r < 3; r++) {
			const bool dies[] = { forbidden[i].front,
			    forbidden[i].courier, forbidden[i].core };

			if (!dies[r])
				continue;
			status = in_child(roles[r].who, forbidden[i].try);
			(void)ok(WIFSIGNALED(status) &&
			    WTERMSIG(status) == SIGSYS, "%s dies of %s (%#x)",
			    roles[r].name, forbidden[i].name, status);
		}
	}
}

int
main(void)
{
	if (ok(geteuid() == 0, "root runs this test: who is not cannot give "
	    "up its rights"))
		test_forbidden();
	return tap_done();
}
