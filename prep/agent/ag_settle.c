/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Settling, in dvm-agent.  What each disposable must not share with the others
 * is removed or stopped here, or renewed by ag_identity; dvm-agent(8) has the
 * whole list and what becomes of each.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/ident.h"
#include "prep/agent/ag_file.h"
#include "prep/agent/ag_identity.h"
#include "prep/agent/ag_run.h"
#include "prep/agent/ag_settle.h"
#include "prep/agent/ag_vchan.h"

#define CLEAN_LIMIT_S 60u
#define MEMORY_LIMIT_S 120u
#define FREEZE_LIMIT_S 10u
#define SAID_BYTES 700

enum step { STEP_BOOT, STEP_PRERUN, STEP_QUIET, STEP_CLEAN, STEP_MEMORY,
    STEP_FREEZE, STEPS };

static const char *const step_names[STEPS] = { "boot", "prerun", "quiet",
    "clean", "memory", "freeze" };

struct settle {
	const struct ag_settings *settings;
	struct ag_freeze *freeze;
	char *why;
};

/* Services whose state or whose next deed would be every disposable's; timers
 * would all be due at once after a launch.  Patterns that match nothing are
 * no error. */
static const char *const stop_units[] = { "systemctl", "stop", "--",
    "*.timer", "apt-daily*.service", "unattended-upgrades*", "packagekit*",
    "systemd-timesyncd*", "chron*", "ntp*", "openntpd*", "haveged*", "rng*",
    "jitterentropy*", "cron*", "anacron*", "atd*", "ssh.s*", "sshd*",
    "ssh@*", NULL };

static const char *const remove_files[] = { "/bin/sh", "-c",
    "rm -f /var/lib/systemd/random-seed /var/lib/urandom/random-seed"
    " /var/lib/systemd/timesync/clock /var/lib/chrony/*"
    " /var/lib/ntp/*drift* /var/lib/ntpsec/*drift*"
    " /var/lib/dhcp/*lease* /var/lib/dhcpcd/*lease*"
    " /var/lib/NetworkManager/*lease* /var/lib/NetworkManager/secret_key"
    " /var/lib/NetworkManager/seen-bssids /var/lib/NetworkManager/timestamps"
    " /run/systemd/netif/leases/*"
    " /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub", NULL };

static int
fail(struct settle *s, const char *what)
{
	(void)snprintf(s->why, AG_SETTLE_WHY_BYTES, "%s: %s", what,
	    strerror(errno));
	return -1;
}

/* A program of the guest, with what it said if it failed. */
static int
run(struct settle *s, const struct ag_run *r, const char *what)
{
	char said[SAID_BYTES];
	int status = ag_run(r);

	if (status == 0)
		return 0;
	ag_run_said(said, sizeof(said));
	if (status > 0)
		(void)snprintf(s->why, AG_SETTLE_WHY_BYTES, "%.200s failed "
		    "with status %d, and said: %s", what, status, said);
	else if (errno == ETIMEDOUT)
		(void)snprintf(s->why, AG_SETTLE_WHY_BYTES, "%.200s has not "
		    "ended within %u s, and said: %s", what, r->limit_s, said);
	else
		return fail(s, what);
	return -1;
}

static bool
has_systemd(void)
{
	return access("/run/systemd/system", F_OK) == 0;
}

/* Where init is not systemd, the start of the agent is the sign. */
static int
step_boot(struct settle *s)
{
	static const char *const argv[] = { "systemctl", "is-system-running",
	    "--wait", NULL };
	const struct ag_run r = { .argv = argv,
	    .limit_s = s->settings->boot_limit_s, .cgroup_fd = -1 };
	char said[32];
	int status;

	if (!has_systemd())
		return 0;
	status = ag_run(&r);
	ag_run_said(said, sizeof(said));
	/* "degraded": booted, and some unit failed, as on many machines. */
	if (status == 0 || (status > 0 && strncmp(said, "degraded", 8) == 0))
		return 0;
	if (status < 0 && errno == ETIMEDOUT)
		(void)snprintf(s->why, AG_SETTLE_WHY_BYTES, "the boot has not "
		    "finished within %u s ('systemctl list-jobs' in the guest "
		    "says what it waits for)", r.limit_s);
	else
		(void)snprintf(s->why, AG_SETTLE_WHY_BYTES, "systemctl "
		    "is-system-running says: %s", said);
	return -1;
}

static int
step_prerun(struct settle *s)
{
	const char *argv[2] = { s->settings->prerun, NULL };
	const char *name = s->settings->user[0] != '\0' ? s->settings->user :
	    "root";
	static struct ag_run_user user;
	const struct ag_run r = { .argv = argv, .user = &user,
	    .limit_s = s->settings->prerun_limit_s,
	    .cgroup_fd = s->freeze->guest_procs_fd };

	if (argv[0][0] == '\0')
		return 0;
	if (ag_run_user(name, &user) != 0) {
		(void)snprintf(s->why, AG_SETTLE_WHY_BYTES, "the guest has no "
		    "user '%s' (dvm_user in the configuration)", name);
		return -1;
	}
	return run(s, &r, argv[0]);
}

static int
step_quiet(struct settle *s)
{
	return ag_quiet_wait(&s->settings->quiet, s->why, AG_SETTLE_WHY_BYTES);
}

static int
step_clean(struct settle *s)
{
	struct ag_run r = { .argv = stop_units, .limit_s = CLEAN_LIMIT_S,
	    .cgroup_fd = -1 };

	if (has_systemd() && run(s, &r, "systemctl stop") != 0)
		return -1;
	r.argv = remove_files;
	if (run(s, &r, "rm") != 0)
		return -1;
	return ag_identity_open() == 0 ? 0 : fail(s, "cannot cover the files "
	    "that name this host");
}

static int
step_memory(struct settle *s)
{
	sync();
	if (s->settings->drop_caches &&
	    ag_file_write("/proc/sys/vm/drop_caches", "3", 0) != 0)
		return fail(s, "/proc/sys/vm/drop_caches");
	if (ag_quiet_zero_free_memory(MEMORY_LIMIT_S) == 0)
		return 0;
	return fail(s, "cannot zero the free memory");
}

static int
step_freeze(struct settle *s)
{
	if (ag_freeze_hold(s->freeze, FREEZE_LIMIT_S) != 0)
		return fail(s, "cannot freeze all other processes");
	/* What was written is to be in the recorded disk, not in flight. */
	sync();
	return 0;
}

static int
report(struct ag_xenbus *x, const unsigned ms[STEPS])
{
	static char text[16384];
	char line[512];
	int len = 0;

	for (int i = 0; i < STEPS; i++)
		len += snprintf(line + len, sizeof(line) - (size_t)len,
		    "%s_ms=%u ", step_names[i], ms[i]);
	if (ag_file_read("/proc/meminfo", text, sizeof(text)) < 0)
		text[0] = '\0';
	(void)snprintf(line + len, sizeof(line) - (size_t)len,
	    "total_kb=%llu free_kb=%llu cached_kb=%llu",
	    (unsigned long long)ag_file_number(text, "MemTotal:"),
	    (unsigned long long)ag_file_number(text, "MemFree:"),
	    (unsigned long long)(ag_file_number(text, "\nCached:") +
	    ag_file_number(text, "Buffers:")));
	return ag_xenbus_write(x, IDENT_AGENT_REPORT, line);
}

static int
begin(struct ag_freeze *f, char why[AG_SETTLE_WHY_BYTES])
{
	(void)mkdir(AG_RUN_DIR, 0755);
	if (mount("dvm", AG_RUN_DIR, "tmpfs", MS_NOSUID | MS_NODEV,
	    "size=1m,mode=755") != 0) {
		(void)snprintf(why, AG_SETTLE_WHY_BYTES, "cannot mount a tmpfs "
		    "on " AG_RUN_DIR ": %s", strerror(errno));
		return -1;
	}
	ag_freeze_open(f);
	ag_vchan_prepare();
	return 0;
}

static int
take_step(struct settle *s, struct ag_xenbus *x, enum step step,
    char why[AG_SETTLE_WHY_BYTES])
{
	static int (*const steps[STEPS])(struct settle *) = { step_boot,
	    step_prerun, step_quiet, step_clean, step_memory, step_freeze };
	char reason[AG_SETTLE_WHY_BYTES] = "";

	s->why = reason;
	if (ag_xenbus_write(x, IDENT_AGENT_STEP, step_names[step]) == 0 &&
	    steps[step](s) == 0)
		return 0;
	(void)snprintf(why, AG_SETTLE_WHY_BYTES, "%s: %.*s", step_names[step],
	    AG_SETTLE_WHY_BYTES - 16, reason);
	return -1;
}

int
ag_settle(struct ag_xenbus *x, const struct ag_settings *settings,
    struct ag_freeze *f, char why[AG_SETTLE_WHY_BYTES])
{
	struct settle s = { .settings = settings, .freeze = f };
	unsigned ms[STEPS];

	if (begin(f, why) != 0)
		return -1;
	for (enum step i = 0; i < STEPS; i++) {
		uint64_t start = clock_now_ns();

		if (take_step(&s, x, i, why) != 0) {
			ag_freeze_release(f);
			return -1;
		}
		ms[i] = (unsigned)((clock_now_ns() - start) / 1000000);
	}
	return report(x, ms);
}

int
ag_settle_cold(struct ag_xenbus *x, const struct ag_settings *settings,
    struct ag_freeze *f, char why[AG_SETTLE_WHY_BYTES])
{
	/* Quiet, free memory and stillness are for a recording. */
	static const enum step steps[] = { STEP_BOOT, STEP_PRERUN,
	    STEP_CLEAN };
	struct settle s = { .settings = settings, .freeze = f };

	if (begin(f, why) != 0)
		return -1;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (take_step(&s, x, steps[i], why) != 0)
			return -1;
	return 0;
}

/* The value of `name`, which is its line's rest; NULL if there is none. */
static const char *
value_of(const char *text, const char *name, size_t *len)
{
	size_t name_len = strlen(name);

	for (; *text != '\0'; text += strcspn(text, "\n"),
	    text += *text == '\n') {
		if (strncmp(text, name, name_len) != 0 ||
		    text[name_len] != '=')
			continue;
		text += name_len + 1;
		*len = strcspn(text, "\n");
		return text;
	}
	return NULL;
}

static int
get_text(const char *text, const char *name, char *value, size_t cap)
{
	size_t len = 0;
	const char *at = value_of(text, name, &len);

	if (at == NULL || len >= cap)
		return -1;
	(void)snprintf(value, cap, "%.*s", (int)len, at);
	return 0;
}

static int
get_number(const char *text, const char *name, unsigned *value)
{
	size_t len;
	const char *at = value_of(text, name, &len);

	return at != NULL && sscanf(at, "%9u", value) == 1 ? 0 : -1;
}

int
ag_settle_parse(const char *text, struct ag_settings *s)
{
	char caches[8];

	if (get_text(text, "prerun", s->prerun, sizeof(s->prerun)) != 0 ||
	    get_text(text, "user", s->user, sizeof(s->user)) != 0 ||
	    get_text(text, "caches", caches, sizeof(caches)) != 0 ||
	    get_number(text, "boot_limit", &s->boot_limit_s) != 0 ||
	    get_number(text, "prerun_limit", &s->prerun_limit_s) != 0 ||
	    get_number(text, "quiet_cpu", &s->quiet.cpu_percent) != 0 ||
	    get_number(text, "quiet_disk", &s->quiet.disk_kib) != 0 ||
	    get_number(text, "quiet_seconds", &s->quiet.seconds) != 0 ||
	    get_number(text, "quiet_limit", &s->quiet.limit_s) != 0)
		return -1;
	s->drop_caches = strcmp(caches, "drop") == 0;
	return 0;
}

static int
parse_uuid(const char *text, uint8_t uuid[LAUNCH_PAGE_UUID_BYTES])
{
	for (unsigned i = 0; i < LAUNCH_PAGE_UUID_BYTES; i++) {
		text += *text == '-';
		if (strspn(text, "0123456789abcdef") < 2 ||
		    sscanf(text, "%2hhx", &uuid[i]) != 1)
			return -1;
		text += 2;
	}
	return *text == '\0' ? 0 : -1;
}

int
ag_settle_parse_cold(const char *text, struct ag_settings *s,
    struct launch_page *p)
{
	char uuid[37];

	memset(p, 0, sizeof(*p));
	if (ag_settle_parse(text, s) != 0 ||
	    get_text(text, "uuid", uuid, sizeof(uuid)) != 0 ||
	    parse_uuid(uuid, p->uuid) != 0 ||
	    get_text(text, "name", p->name, sizeof(p->name)) != 0 ||
	    !ident_is_disposable(p->name))
		return -1;
	p->launch_id = launch_page_id(p->uuid);
	memcpy(p->host_name, p->name, sizeof(p->host_name));
	return 0;
}
