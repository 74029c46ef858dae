/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Giving up privileges, in each of the service's roles: they come here as root,
 * or as what a unit of systemd's has made of them already.  Trusts the kernel
 * no further than it can be asked: what was dropped is read back.
 */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/securebits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore/role/confine.h"
#include "restore/role/confine_rules.h"

/* What a front takes if 1024 clients let their answers queue, 1.4 GiB
 * (rs_front), and some more. */
#define FRONT_BYTES_MAX (2ul << 30)

static const unsigned core_capabilities[] = {
	CAP_SYS_ADMIN,		/* the device mapper's ioctls (disk_map) */
	CAP_DAC_READ_SEARCH,	/* templates' disks, kernels and configurations
				 * may be other users' (disk_loop, gen_key) */
};
/* Not among them, and why: /dev/xen, /dev/mapper/control, the loop devices,
 * xenstore's socket and our state are root's, and core's uid is root's; the
 * ioctls of privcmd and of loop devices ask for none; hypercall buffers come
 * from /dev/xen/hypercall, and without it (Linux before 4.18) libxencall's few
 * locked pages stay below RLIMIT_MEMLOCK; the kernel loads dm-snapshot by
 * itself. */

#define SECURE_BITS (SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | \
    SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED | \
    SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE | \
    SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED)

static bool
is_kept(const struct rs_confine_params *p, unsigned capability)
{
	size_t nr = sizeof(core_capabilities) / sizeof(core_capabilities[0]);

	for (size_t i = 0; p->role == RS_CONFINE_CORE && i < nr; i++)
		if (core_capabilities[i] == capability)
			return true;
	return false;
}

/* Capabilities and filters are a thread's: another one would keep its own. */
static int
check_start(const struct rs_confine_params *p, struct err *e)
{
	struct stat st;

	if (p->role != RS_CONFINE_CORE && (p->uid == 0 || p->gid == 0))
		return err_set(e, ERR_USAGE, 0, "a role that talks to others "
		    "cannot run as root: is there a user dvm-front?");
	if (stat("/proc/self/task", &st) != 0)
		return err_set(e, ERR_SYS, errno, "/proc/self/task");
	/* "." and ".." and one for each thread. */
	if (st.st_nlink != 3)
		return err_set(e, ERR_USAGE, 0, "%lu threads run already, "
		    "too late to give up privileges",
		    (unsigned long)st.st_nlink - 2);
	return 0;
}

static const char *const role_names[] = {
	[RS_CONFINE_FRONT] = "front", [RS_CONFINE_COURIER] = "courier",
	[RS_CONFINE_CORE] = "core",
};

static int
limit(int resource, rlim_t max, const char *what, struct err *e)
{
	const struct rlimit r = { .rlim_cur = max, .rlim_max = max };

	if (setrlimit((__rlimit_resource_t)resource, &r) == 0)
		return 0;
	return err_set(e, ERR_SYS, errno, "cannot limit %s to %llu", what,
	    (unsigned long long)max);
}

static int
limit_all(const struct rs_confine_params *p, struct err *e)
{
	struct stat st;

	(void)umask(077);
	if (limit(RLIMIT_CORE, 0, "core dumps", e) != 0 ||
	    limit(RLIMIT_NOFILE, p->nr_files, "descriptors", e) != 0)
		return -1;
	if (p->role == RS_CONFINE_CORE)
		return 0;
	/* Its log may be a file. */
	if ((fstat(STDERR_FILENO, &st) != 0 || !S_ISREG(st.st_mode)) &&
	    limit(RLIMIT_FSIZE, 0, "file sizes", e) != 0)
		return -1;
#ifdef __SANITIZE_ADDRESS__
	/* Shadow memory is terabytes, and the leak check a process. */
	return 0;
#else
	if (limit(RLIMIT_NPROC, 0, "processes", e) != 0)
		return -1;
	return limit(RLIMIT_AS, FRONT_BYTES_MAX, "memory", e);
#endif
}

static int
drop(const struct rs_confine_params *p, struct err *e)
{
	bool ok = true;

	/* There is nothing to drop with then, and nothing to be dropped:
	 * verify() sees to it.  What securebits would add, no_new_privs and
	 * the bounding set have. */
	if (capng_get_caps_process() == 0 &&
	    !capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		return 0;
	if (setgroups(0, NULL) != 0)
		return err_set(e, ERR_SYS, errno, "cannot drop groups");
	/* Before the ids, as it takes CAP_SETPCAP; from then on capabilities
	 * do not follow the ids, they are set by themselves below. */
	if (prctl(PR_SET_SECUREBITS, SECURE_BITS, 0, 0, 0) != 0)
		return err_set(e, ERR_SYS, errno, "cannot set securebits");
	if (p->role != RS_CONFINE_CORE &&
	    (setresgid(p->gid, p->gid, p->gid) != 0 ||
	    setresuid(p->uid, p->uid, p->uid) != 0))
		return err_set(e, ERR_SYS, errno, "cannot become user %u, "
		    "group %u", (unsigned)p->uid, (unsigned)p->gid);
	capng_clear(CAPNG_SELECT_ALL);
	for (unsigned c = 0; ok && c <= CAP_LAST_CAP; c++)
		if (is_kept(p, c))
			ok = capng_update(CAPNG_ADD, (capng_type_t)
			    (CAPNG_EFFECTIVE | CAPNG_PERMITTED), c) == 0;
	/* The bounding set first: libcap-ng sees to the order. */
	if (!ok || capng_apply(CAPNG_SELECT_ALL) != 0)
		return err_set(e, ERR_SYS, errno, "cannot drop capabilities");
	return 0;
}

static bool
capabilities_hold(const struct rs_confine_params *p)
{
	if (capng_get_caps_process() != 0 ||
	    capng_have_capabilities(CAPNG_SELECT_AMBIENT) != CAPNG_NONE)
		return false;
	for (unsigned c = 0; c <= CAP_LAST_CAP; c++)
		if (capng_have_capability(CAPNG_EFFECTIVE, c) !=
		    is_kept(p, c) ||
		    capng_have_capability(CAPNG_PERMITTED, c) !=
		    is_kept(p, c) ||
		    capng_have_capability(CAPNG_BOUNDING_SET, c) >
		    is_kept(p, c) ||
		    capng_have_capability(CAPNG_INHERITABLE, c) != 0)
			return false;
	return true;
}

static bool
ids_hold(uid_t uid, gid_t gid)
{
	uid_t u[3];
	gid_t g[3], other;
	int nr = getgroups(1, &other);

	/* systemd gives a user's first group as one of the others too. */
	if (nr < 0 || (nr == 1 && other != gid) ||
	    getresuid(&u[0], &u[1], &u[2]) != 0 ||
	    getresgid(&g[0], &g[1], &g[2]) != 0)
		return false;
	for (int i = 0; i < 3; i++)
		if (u[i] != uid || g[i] != gid)
			return false;
	return true;
}

static int
verify(const struct rs_confine_params *p, struct err *e)
{
	bool other = p->role != RS_CONFINE_CORE;

	if (!capabilities_hold(p))
		return err_set(e, ERR_SYS, 0, "capabilities were to be dropped "
		    "and are not");
	if (!ids_hold(other ? p->uid : 0, other ? p->gid : 0))
		return err_set(e, ERR_SYS, 0, "user and groups are not those "
		    "that they were set to");
	if (other && (setuid(0) == 0 || setgid(0) == 0 ||
	    setgroups(0, NULL) == 0))
		return err_set(e, ERR_SYS, 0, "the way back to root is open");
	return 0;
}

/* After the ids: their change resets both of the first two. */
static int
seal(const struct rs_confine_params *p, struct err *e)
{
	unsigned long dumpable = 0;

#ifdef __SANITIZE_ADDRESS__
	dumpable = p->leak_check;
#endif
	if (prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0) != 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return err_set(e, ERR_SYS, errno, "prctl");
	/* It may have died before it could take us with it. */
	if (getppid() != p->parent)
		return err_set(e, ERR_INTERRUPTED, 0, "the process that "
		    "supervises this one is gone");
	return 0;
}

int
rs_confine(const struct rs_confine_params *p, struct err *e)
{
	if (check_start(p, e) != 0 || limit_all(p, e) != 0 ||
	    drop(p, e) != 0 || verify(p, e) != 0 || seal(p, e) != 0 ||
	    rs_confine_rules_load(p, e) != 0)
		return err_prefix(e, "cannot confine %s",
		    role_names[p->role]);
	return 0;
}
