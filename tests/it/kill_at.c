/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * kill_at PID N [VICTIM]: kills VICTIM (PID itself if none is named) at the
 * Nth system call of PID from now on, counted over all its threads, before
 * that call is done; PID is to die of that too.  Says "ready" when it begins
 * to count, then
 *	killed N CALL	and exits 0;
 *	counted N	after SIGTERM, or if PID ended by itself: exits 1.
 * A minute is its end.  For root: the service's roles are nobody else's to
 * trace.  Test code only.
 */
#include <dirent.h>
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_MAX 60

static int
trace_threads(pid_t pid)
{
	char path[64];
	struct dirent *entry;
	int nr = 0;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		/* Stopped once, so that it can be told to stop at calls. */
		if (tid <= 0)
			continue;
		if (ptrace(PTRACE_SEIZE, tid, NULL, PTRACE_O_TRACECLONE |
		    PTRACE_O_TRACESYSGOOD) != 0 ||
		    ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0) {
			perror("kill_at: ptrace");
			nr = -1;
			break;
		}
		nr++;
	}
	if (dir != NULL)
		(void)closedir(dir);
	return nr > 0 ? 0 : -1;
}

/* Is a thread at the beginning of a call?  *call is which. */
static bool
at_entry(pid_t tid, int status, int *call)
{
	struct __ptrace_syscall_info info = { .op = 0 };

	if (WSTOPSIG(status) != (SIGTRAP | 0x80) ||
	    ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY)
		return false;
	*call = (int)info.entry.nr;
	return true;
}

/* The signal that the stop is about, to be delivered; 0 for ptrace's own. */
static int
signal_of(int status)
{
	int sig = WSTOPSIG(status);

	return status >> 16 != 0 || sig == (SIGTRAP | 0x80) ? 0 : sig;
}

/* With the call still not done: PID dies of itself or with VICTIM. */
static int
kill_now(pid_t pid, pid_t victim, unsigned long at, int call)
{
	char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, call);
	int status;
	pid_t tid;

	if (kill(victim, SIGKILL) != 0) {
		perror("kill_at: kill");
		return 2;
	}
	(void)printf("killed %lu %s\n", at, name != NULL ? name : "?");
	(void)fflush(stdout);
	free(name);
	do
		tid = waitpid(-1, &status, __WALL);
	while (tid > 0 && (tid != pid || WIFSTOPPED(status)));
	return 0;
}

/* Takes all news; the exit status when it is over, else -1. */
static int
take_news(pid_t pid, pid_t victim, unsigned long at, unsigned long *nr)
{
	int status, call;
	pid_t tid;

	while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
		if (!WIFSTOPPED(status)) {
			if (tid != pid)
				continue;
			return 1;
		}
		if (at_entry(tid, status, &call) && ++*nr == at)
			return kill_now(pid, victim, at, call);
		/* It may have been killed meanwhile: then there is more. */
		(void)ptrace(PTRACE_SYSCALL, tid, NULL, signal_of(status));
	}
	return tid < 0 && errno == ECHILD ? 1 : -1;
}

int
main(int argc, char **argv)
{
	pid_t pid = argc > 2 ? (pid_t)strtol(argv[1], NULL, 10) : 0;
	unsigned long at = argc > 2 ? strtoul(argv[2], NULL, 10) : 0, nr = 0;
	pid_t victim = argc > 3 ? (pid_t)strtol(argv[3], NULL, 10) : pid;
	int sig, rc = -1;
	sigset_t set;

	if (pid <= 0 || at == 0 || victim <= 0) {
		(void)fputs("usage: kill_at PID N [VICTIM]\n", stderr);
		return 2;
	}
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGCHLD);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)alarm(SECONDS_MAX);
	if (trace_threads(pid) != 0)
		return 2;
	(void)puts("ready");
	(void)fflush(stdout);
	while (rc < 0 && sigwait(&set, &sig) == 0) {
		rc = take_news(pid, victim, at, &nr);
		if (rc < 0 && sig == SIGTERM)
			rc = 1;
	}
	/* Who is traced goes on when its tracer ends. */
	if (rc == 1)
		(void)printf("counted %lu\n", nr);
	return rc;
}
