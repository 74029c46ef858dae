/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-agent: runs as root in the guest, from the end of its boot on.  In a
 * guest that is being prepared it lets all come to rest, freezes everything
 * but itself and asks to be recorded.  In each disposable that is launched
 * from the recording it takes on the identity that dom0 put into the launch
 * page, acknowledges, and only then lets the guest go on; then a process that
 * it forks serves the channel (ag_serve).  In a disposable that was booted for
 * want of a recording dom0 says in xenstore who it is.  In any other guest it
 * does nothing.
 *
 * It trusts dom0, whose xenstore and launch page it reads.  After the guest is
 * held it allocates nothing and waits for no disk.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/launch_page.h"
#include "prep/agent/ag_file.h"
#include "prep/agent/ag_freeze.h"
#include "prep/agent/ag_identity.h"
#include "prep/agent/ag_serve.h"
#include "prep/agent/ag_settle.h"
#include "prep/agent/ag_vchan.h"
#include "prep/agent/ag_xenbus.h"

#define FIRST_UID 1000u

struct agent {
	struct ag_xenbus xenbus;
	struct ag_freeze freeze;
	uint8_t *page;			/* the launch page */
	int resume_fd;			/* readable after a resume */
	uint64_t waiting_ns;		/* since when, to be recorded */
	char domid[16];			/* of the domain it last woke in */
	struct ag_settings settings;
};

static int
get_domid(struct agent *a, char domid[16])
{
	if (ag_xenbus_read(&a->xenbus, "domid") != 1)
		return -1;
	(void)snprintf(domid, 16, "%.15s", a->xenbus.payload);
	return 0;
}

/* The kernel cancels the timer when it sets the clock, which it does early in
 * a resume; the watch comes when all devices are back. */
static int
make_resume_fd(void)
{
	const struct itimerspec never = { .it_value.tv_sec = INT32_MAX };
	int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || timerfd_settime(fd, TFD_TIMER_ABSTIME |
	    TFD_TIMER_CANCEL_ON_SET, &never, NULL) != 0)
		return -1;
	return fd;
}

static int
make_page(struct agent *a, char hex[2 * LAUNCH_PAGE_MAGIC_BYTES + 1])
{
	/* Before the kernel's own threads, which have much to do after a
	 * resume. */
	const struct sched_param first = { .sched_priority = 1 };
	uint8_t magic[LAUNCH_PAGE_MAGIC_BYTES];

	a->page = mmap(NULL, LAUNCH_PAGE_BYTES, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (a->page == MAP_FAILED ||
	    getrandom(magic, sizeof(magic), 0) != sizeof(magic))
		return -1;
	launch_page_make(a->page, magic);
	a->waiting_ns = clock_now_ns();
	a->resume_fd = make_resume_fd();
	if (a->resume_fd < 0 ||
	    sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK,
	    &first) != 0)
		return -1;
	for (size_t i = 0; i < sizeof(magic); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", magic[i]);
	return mlockall(MCL_CURRENT | MCL_FUTURE);
}

/* Whose programs run: the template's user, or who is the first of those that
 * are people. */
static int
find_user(const char *name, struct ag_run_user *user)
{
	if (name[0] != '\0')
		return ag_run_user(name, user);
	if (ag_run_user_by_uid(FIRST_UID, user) == 0)
		return 0;
	return ag_run_user_by_uid(0, user);
}

/* In a process of its own, which may wait and allocate. */
static int
serve_channel(const struct agent *a)
{
	static struct ag_run_user user;
	const struct ag_serve_params p = { .user = &user, .root = "",
	    .cgroup_fd = a->freeze.guest_procs_fd };
	struct chan_io io;
	struct err e;
	int rc;

	(void)close(a->xenbus.fd);
	if (find_user(a->settings.user, &user) != 0)
		rc = err_set(&e, ERR_SYS, 0, "the guest has no user '%s' "
		    "(dvm_user in the configuration)", a->settings.user);
	else if ((rc = ag_vchan_open(&io, &e)) == 0) {
		rc = ag_serve(&io, &p, &e);
		ag_vchan_close(&io);
	}
	if (rc != 0)
		(void)fprintf(stderr, "dvm-agent: %s\n", e.msg);
	return rc == 0 ? 0 : 1;
}

/* Programs are all that fails with it. */
static void
start_server(const struct agent *a)
{
	pid_t pid;

	/* From here on nobody waits for children: the kernel reaps it. */
	(void)signal(SIGCHLD, SIG_IGN);
	pid = fork();
	if (pid == 0)
		_exit(serve_channel(a));
	if (pid < 0)
		perror("dvm-agent: fork");
}

/* From the resume to the thaw. */
static int
take_identity(struct agent *a, struct launch_page *p, uint64_t resumed_ns)
{
	const struct sched_param ordinary = { .sched_priority = 0 };
	char id[LAUNCH_PAGE_ID_TEXT];

	/* The clock that counts here stood still while it was recorded. */
	if (ag_identity_become(p, resumed_ns - a->waiting_ns) != 0)
		return -1;
	explicit_bzero(p->seed, sizeof(p->seed));
	launch_page_id_text(p->launch_id, id);
	if (ag_xenbus_write(&a->xenbus, IDENT_AGENT_ANSWER, id) != 0 ||
	    ag_identity_note(p, resumed_ns, clock_now_ns()) != 0)
		return -1;
	ag_freeze_release(&a->freeze);
	(void)sched_setscheduler(0, SCHED_OTHER, &ordinary);
	return 0;
}

/* Until something may have happened to the domain. */
static int
wait_resume(struct agent *a)
{
	struct pollfd p[2] = {
		{ .fd = a->resume_fd, .events = POLLIN },
		{ .fd = a->xenbus.fd, .events = POLLIN }
	};
	uint64_t ticks;

	if (!a->xenbus.event && poll(p, 2, -1) < 0)
		return errno == EINTR ? 0 : -1;
	if (p[0].revents != 0)
		return read(a->resume_fd, &ticks, sizeof(ticks)) < 0 &&
		    errno != ECANCELED && errno != EAGAIN ? -1 : 0;
	return ag_xenbus_wait(&a->xenbus);
}

/* Waits, recorded or not, until dom0 has filled the page.  If that fails the
 * guest stays held, also when the agent has ended: a guest without an identity
 * of its own is handed to nobody. */
static int
hold(struct agent *a)
{
	struct launch_page p;
	uint64_t resumed_ns;
	char domid[16];
	int taken;

	for (;;) {
		if (wait_resume(a) != 0)
			return -1;
		resumed_ns = clock_now_ns();
		taken = launch_page_take(a->page, &p);
		if (taken == 1 && take_identity(a, &p, resumed_ns) == 0) {
			start_server(a);
			return 0;
		}
		explicit_bzero(&p, sizeof(p));
		/* The same domain: its suspend was cancelled. */
		if (taken == 0 && (get_domid(a, domid) != 0 ||
		    strcmp(domid, a->domid) == 0)) {
			a->waiting_ns = resumed_ns;
			continue;
		}
		(void)ag_xenbus_write(&a->xenbus, IDENT_AGENT_FAILED,
		    taken == 0 ? "resumed without a launch page: start it "
		    "with dvm-restored" : taken < 0 ? "the launch page makes "
		    "no sense" : "cannot take on the new identity");
		return -1;
	}
}

/* 0 also if it cannot settle: dom0 was told, and ends this guest. */
static int
prepare(struct agent *a)
{
	static char why[AG_SETTLE_WHY_BYTES];
	char magic[2 * LAUNCH_PAGE_MAGIC_BYTES + 1];

	if (ag_settle_parse(a->xenbus.payload, &a->settings) != 0)
		(void)snprintf(why, sizeof(why), "dvm-prepare is of another "
		    "version than the guest's dvm-agent: install the agent "
		    "again");
	else if (ag_settle(&a->xenbus, &a->settings, &a->freeze, why) == 0) {
		if (make_page(a, magic) == 0 && get_domid(a, a->domid) == 0 &&
		    ag_xenbus_write(&a->xenbus, IDENT_AGENT_SETTLED,
		    magic) == 0)
			return hold(a);
		(void)snprintf(why, sizeof(why), "launch page: %s",
		    strerror(errno));
		ag_freeze_release(&a->freeze);
	}
	return ag_xenbus_write(&a->xenbus, IDENT_AGENT_FAILED, why);
}

static int
make_seed(struct launch_page *p)
{
	struct timespec now;

	/* Its own: it has booted, and is nobody's twin. */
	if (getrandom(p->seed, sizeof(p->seed), 0) != sizeof(p->seed) ||
	    clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	p->wall_clock_ns = (uint64_t)now.tv_sec * CLOCK_SECOND +
	    (uint64_t)now.tv_nsec;
	return 0;
}

/* 0 also if it cannot be handed out: dom0 was told, and ends this guest. */
static int
go_cold(struct agent *a)
{
	static char why[AG_SETTLE_WHY_BYTES];
	struct launch_page p;

	if (ag_settle_parse_cold(a->xenbus.payload, &a->settings, &p) != 0) {
		(void)snprintf(why, sizeof(why), "dvm-prepare is of another "
		    "version than the guest's dvm-agent: install the agent "
		    "again");
	} else if (ag_settle_cold(&a->xenbus, &a->settings, &a->freeze,
	    why) == 0) {
		a->waiting_ns = clock_now_ns();
		if (make_seed(&p) == 0 &&
		    take_identity(a, &p, a->waiting_ns) == 0) {
			start_server(a);
			return 0;
		}
		(void)snprintf(why, sizeof(why), "cannot take on its "
		    "identity: %s", strerror(errno));
		explicit_bzero(&p, sizeof(p));
	}
	return ag_xenbus_write(&a->xenbus, IDENT_AGENT_FAILED, why);
}

static int
serve(struct agent *a)
{
	static const struct {
		const char *node;
		int (*act)(struct agent *a);
	} calls[] = { { IDENT_PREPARE, prepare }, { IDENT_COLD, go_cold } };
	bool called = false;
	int found;

	/* Of nodes that are absent in all guests but one being prepared, or
	 * booted as a disposable; their events also tell of a resume. */
	for (size_t i = 0; i < 2; i++)
		if (ag_xenbus_watch(&a->xenbus, calls[i].node) != 0)
			return -1;
	for (;;) {
		if (ag_xenbus_wait(&a->xenbus) != 0 ||
		    ag_xenbus_write(&a->xenbus, IDENT_AGENT_UP, "1") != 0)
			return -1;
		for (size_t i = 0; i < 2 && !called; i++) {
			found = ag_xenbus_read(&a->xenbus, calls[i].node);
			if (found < 0)
				return -1;
			called = found == 1;
			if (called && calls[i].act(a) != 0)
				return -1;
		}
	}
}

int
main(int argc, char **argv)
{
	static struct agent a;

	(void)argv;
	if (argc != 1) {
		(void)fprintf(stderr, "usage: dvm-agent\n"
		    "It takes no arguments and runs until it is killed.\n");
		return 2;
	}
	if (ag_xenbus_open(&a.xenbus) == 0)
		(void)serve(&a);
	return 1;
}
