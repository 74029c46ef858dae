/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What goes wrong in the agent of a test, linked around its functions
 * (--wrap).  The node /dvm-fault in xenstore, looked at after each event, says
 * which.
 *   noreseed	the random numbers stay as recorded: the control.  All these
 *		agents reseed just before the recording, so that the kernel's
 *		own next time, half an uptime later, is far
 *   silent	it never answers
 *   die	it is killed between resume and answer
 *   twice	it answers twice
 *   garbage	it answers with something else
 *   refuse	it cannot take on the identity
 *   nocgroup	there is no cgroup v2
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <linux/random.h>

#include "include/ident.h"
#include "prep/agent/ag_freeze.h"
#include "prep/agent/ag_identity.h"
#include "prep/agent/ag_xenbus.h"

int __real_ag_identity_become(const struct launch_page *p,
    uint64_t elapsed_ns);
int __wrap_ag_identity_become(const struct launch_page *p,
    uint64_t elapsed_ns);
int __real_ag_xenbus_write(struct ag_xenbus *x, const char *path,
    const char *value);
int __wrap_ag_xenbus_write(struct ag_xenbus *x, const char *path,
    const char *value);
int __real_ag_xenbus_wait(struct ag_xenbus *x);
int __wrap_ag_xenbus_wait(struct ag_xenbus *x);
int __real_ag_freeze_hold(struct ag_freeze *f, unsigned limit_s);
int __wrap_ag_freeze_hold(struct ag_freeze *f, unsigned limit_s);
int __real_launch_page_take(uint8_t *page, struct launch_page *p);
int __wrap_launch_page_take(uint8_t *page, struct launch_page *p);
int __real_statfs(const char *path, struct statfs *fs);
int __wrap_statfs(const char *path, struct statfs *fs);

static char fault[32];

static bool
fault_is(const char *name)
{
	return strcmp(fault, name) == 0;
}

static struct ag_xenbus *xenbus;

static void
read_fault(void)
{
	fault[0] = '\0';
	if (ag_xenbus_read(xenbus, "/dvm-fault") == 1)
		(void)snprintf(fault, sizeof(fault), "%.31s",
		    xenbus->payload);
}

int
__wrap_ag_xenbus_wait(struct ag_xenbus *x)
{
	xenbus = x;
	if (__real_ag_xenbus_wait(x) != 0)
		return -1;
	read_fault();
	return 0;
}

int
__wrap_ag_freeze_hold(struct ag_freeze *f, unsigned limit_s)
{
	int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	char byte;

	/* Blocks until there are random numbers at all. */
	if (fd < 0 || getrandom(&byte, 1, 0) != 1 ||
	    ioctl(fd, RNDRESEEDCRNG, 0) != 0)
		return -1;
	(void)close(fd);
	return __real_ag_freeze_hold(f, limit_s);
}

int
__wrap_launch_page_take(uint8_t *page, struct launch_page *p)
{
	read_fault();
	return __real_launch_page_take(page, p);
}

int
__wrap_ag_identity_become(const struct launch_page *p, uint64_t elapsed_ns)
{
	while (fault_is("silent"))
		(void)pause();
	if (fault_is("die"))
		(void)raise(SIGKILL);
	if (fault_is("noreseed"))
		return ag_identity_set_clock(p->wall_clock_ns,
		    elapsed_ns) == 0 ? ag_identity_set_names(p) : -1;
	return fault_is("refuse") ? -1 : __real_ag_identity_become(p,
	    elapsed_ns);
}

int
__wrap_ag_xenbus_write(struct ag_xenbus *x, const char *path,
    const char *value)
{
	if (strcmp(path, IDENT_AGENT_ANSWER) == 0 && fault_is("garbage"))
		value = "\001\033[2J0123456789abcdef0123456789abcdef%s%n";
	if (strcmp(path, IDENT_AGENT_ANSWER) == 0 && fault_is("twice"))
		(void)__real_ag_xenbus_write(x, path, value);
	return __real_ag_xenbus_write(x, path, value);
}

int
__wrap_statfs(const char *path, struct statfs *fs)
{
	return fault_is("nocgroup") ? -1 : __real_statfs(path, fs);
}
