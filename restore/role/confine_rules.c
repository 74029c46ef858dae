/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The rules: a table of system calls for each need of a module, and which
 * tables make up a role.  A call that is in none kills the process.
 *
 * To find what a change needs: log_only of struct rs_confine_params, or
 * strace; then add it to the table of the module that needs it, with the
 * narrowest condition that says something.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "restore/role/confine_rules.h"

struct rule {
	int call;
	unsigned arg;		/* allowed if argument `arg` & mask == value */
	uint32_t mask;		/* 0: always allowed */
	uint32_t value;
};

#define ALL_BITS 0xffffffffu
#define CALL(name) { .call = SCMP_SYS(name) }
#define CALL_IF(name, n, bits, is) { .call = SCMP_SYS(name), .arg = (n), \
    .mask = (bits), .value = (is) }
/* By type and number: what else is in a request is the size of its struct. */
#define IOCTL(request) CALL_IF(ioctl, 1, _IOC_TYPEMASK << _IOC_TYPESHIFT | \
    _IOC_NRMASK << _IOC_NRSHIFT, (request) & 0xffff)

/* libc: memory, time, signals, the end. */
static const struct rule base[] = {
	CALL(brk), CALL(munmap), CALL(mremap), CALL(madvise),
	/* Nothing that is written is ever run. */
	CALL_IF(mmap, 2, PROT_EXEC, 0), CALL_IF(mprotect, 2, PROT_EXEC, 0),
	CALL(read), CALL(write), CALL(writev), CALL(close), CALL(lseek),
	CALL(fstat), CALL_IF(newfstatat, 3, AT_EMPTY_PATH, AT_EMPTY_PATH),
	CALL_IF(fcntl, 1, ALL_BITS, F_GETFD),
	CALL_IF(fcntl, 1, ALL_BITS, F_SETFD),
	CALL_IF(fcntl, 1, ALL_BITS, F_GETFL),
	CALL_IF(fcntl, 1, ALL_BITS, F_SETFL),
	CALL(futex), CALL(sched_yield), CALL(sched_getaffinity), CALL(getcpu),
	CALL(clock_gettime), CALL(clock_getres), CALL(gettimeofday),
	CALL(time), CALL(nanosleep), CALL(clock_nanosleep),
	CALL(getrandom), CALL(sysinfo), CALL(getpid), CALL(gettid),
	CALL(getppid), CALL(getuid), CALL(geteuid), CALL(getgid),
	CALL(getegid),
	CALL(rt_sigaction), CALL(rt_sigprocmask), CALL(rt_sigreturn),
	CALL(sigaltstack), CALL(restart_syscall),
	CALL(exit), CALL(exit_group),
};

/* An event loop over descriptors (libevent; poll). */
static const struct rule loop[] = {
	CALL(epoll_create1), CALL(epoll_ctl), CALL(epoll_wait),
	CALL(epoll_pwait), CALL(poll), CALL(ppoll), CALL(eventfd2),
	CALL(pipe2),
};

/* Messages over sockets that are connected (rs_link, store_link). */
static const struct rule messages[] = {
	CALL(recvfrom), CALL_IF(sendto, 4, ALL_BITS, 0), CALL(shutdown),
};

/* ... with descriptors: clients' channels on their way to a courier. */
static const struct rule descriptors[] = {
	CALL(recvmsg), CALL(sendmsg),
};

/* Waiting without an event loop; libxenvchan, connected (chan_xen). */
static const struct rule channel[] = {
	CALL(poll), CALL(ppoll),
	IOCTL(_IO('E', 4)),	/* IOCTL_EVTCHN_NOTIFY */
};

/* front's clients. */
static const struct rule clients[] = {
	CALL(accept4),
	CALL_IF(getsockopt, 1, ALL_BITS, SOL_SOCKET),	/* SO_PEERCRED */
};

/* pthread_create() (rs_load, rs_work). */
static const struct rule threads[] = {
	/* glibc's flags; and clone3()'s cannot be seen here. */
	CALL_IF(clone, 0, ALL_BITS, CLONE_VM | CLONE_FS | CLONE_FILES |
	    CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
	    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID),
	CALL(set_robust_list), CALL(rseq),
	CALL_IF(prctl, 0, ALL_BITS, PR_SET_NAME),
};

/* Files that are there: generations, templates' disks and kernels
 * (rs_template, gen, gen_key, sf_reader), names that were used (rs_names). */
static const struct rule files[] = {
	CALL_IF(openat, 2, O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY), 0),
	CALL(newfstatat), CALL(readlink), CALL(getdents64), CALL(access),
	CALL(faccessat), CALL(faccessat2), CALL(getcwd),
	CALL(pread64), CALL(pwrite64), CALL(flock), CALL(fadvise64),
	CALL_IF(fcntl, 1, ALL_BITS, F_DUPFD_CLOEXEC),
	IOCTL(TCGETS),		/* stdio, of a character device */
};

/* Xen: linux/include/uapi/xen/privcmd.h; dm_op and restrict are not here. */
static const struct rule hv[] = {
	IOCTL(_IO('P', 0)),	/* hypercall */
	IOCTL(_IO('P', 3)),	/* mmapbatch */
	IOCTL(_IO('P', 4)),	/* mmapbatch_v2 */
	IOCTL(_IO('P', 7)),	/* mmap_resource */
};

/* Another connection to xenstore (store_link), or to who boots disposables
 * (rs_cold). */
static const struct rule store[] = {
	CALL_IF(socket, 0, ALL_BITS, AF_UNIX), CALL(connect),
	CALL_IF(setsockopt, 1, ALL_BITS, SOL_SOCKET),	/* SO_SNDTIMEO */
};

/* disk_loop, disk_map, disk_dm. */
static const struct rule disk[] = {
	IOCTL(LOOP_CTL_GET_FREE), IOCTL(LOOP_CONFIGURE), IOCTL(BLKGETSIZE64),
	IOCTL(DM_VERSION), IOCTL(DM_LIST_DEVICES), IOCTL(DM_DEV_CREATE),
	IOCTL(DM_DEV_REMOVE), IOCTL(DM_DEV_SUSPEND), IOCTL(DM_DEV_STATUS),
	IOCTL(DM_TABLE_LOAD), IOCTL(DM_TABLE_STATUS),
	CALL(memfd_create), CALL(ftruncate),
};

#ifdef __SANITIZE_ADDRESS__
/* LeakSanitizer's exit: a process that shares our memory stops our threads and
 * reads their registers. */
static const struct rule leak_check[] = {
	CALL_IF(clone, 0, CLONE_THREAD | CLONE_VM, CLONE_VM),
	CALL(ptrace), CALL(wait4), CALL(prctl), CALL(openat), CALL(open),
	CALL(readlink), CALL(getdents), CALL(getdents64), CALL(prlimit64),
	CALL(newfstatat), CALL(kill), CALL(tgkill),
};
#endif

static const struct {
	const struct rule *rules;
	size_t nr;
	bool front, courier, core;
} tables[] = {
#define TABLE(name) .rules = name, .nr = sizeof(name) / sizeof((name)[0])
	{ TABLE(base), .front = true, .courier = true, .core = true },
	{ TABLE(loop), .front = true, .core = true },
	{ TABLE(messages), .front = true, .courier = true, .core = true },
	{ TABLE(descriptors), .front = true, .core = true },
	{ TABLE(channel), .courier = true },
	{ TABLE(clients), .front = true },
	{ TABLE(threads), .core = true },
	{ TABLE(files), .core = true },
	{ TABLE(hv), .core = true },
	{ TABLE(store), .core = true },
	{ TABLE(disk), .core = true },
};

static int
allow(scmp_filter_ctx filter, const struct rule *r)
{
	const struct scmp_arg_cmp condition = {
		.arg = r->arg,
		.op = SCMP_CMP_MASKED_EQ,
		.datum_a = r->mask,
		.datum_b = r->value,
	};
	int rc;

	rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, r->call,
	    r->mask != 0, &condition);
	return rc == -EEXIST ? 0 : rc;	/* two tables have it */
}

static int
allow_all(scmp_filter_ctx filter, const struct rule *rules, size_t nr)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < nr; i++)
		rc = allow(filter, &rules[i]);
	return rc;
}

static int
add_rules(scmp_filter_ctx filter, const struct rs_confine_params *p)
{
	bool core = p->role == RS_CONFINE_CORE;
	struct rule abort_rule = CALL_IF(tgkill, 0, ALL_BITS,
	    (uint32_t)getpid());
	int rc;

	/* abort(), and no other process's end. */
	rc = allow(filter, &abort_rule);
	/* glibc then takes clone(), whose flags can be looked at. */
	if (rc == 0 && core)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS),
		    SCMP_SYS(clone3), 0);
	for (size_t i = 0; rc == 0 &&
	    i < sizeof(tables) / sizeof(tables[0]); i++)
		if (core ? tables[i].core : p->role == RS_CONFINE_COURIER ?
		    tables[i].courier : tables[i].front)
			rc = allow_all(filter, tables[i].rules, tables[i].nr);
#ifdef __SANITIZE_ADDRESS__
	if (rc == 0 && p->leak_check)
		rc = allow_all(filter, leak_check,
		    sizeof(leak_check) / sizeof(leak_check[0]));
#endif
	return rc;
}

int
rs_confine_rules_load(const struct rs_confine_params *p, struct err *e)
{
	scmp_filter_ctx filter;
	int rc;

	filter = seccomp_init(p->log_only ? SCMP_ACT_LOG :
	    SCMP_ACT_KILL_PROCESS);
	if (filter == NULL)
		return err_set(e, ERR_NOMEM, 0, "system call rules");
	/* The native architecture alone is in a new filter. */
	rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH,
	    SCMP_ACT_KILL_PROCESS);
	if (rc == 0)
		rc = add_rules(filter, p);
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc != 0)
		return err_set(e, ERR_SYS, -rc, "system call rules");
	return 0;
}
