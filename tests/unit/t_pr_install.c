/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Installing the agent into a template's root: what it puts where, and that a
 * hostile root cannot lead it out.
 */
#include <unistd.h>

#include "prep/pr_install.h"
#include "tests/unit/t_pr_files.h"
#include "tests/unit/tap.h"

static char top[64], root[80], agent[96];

static void
at(char path[160], const char *below)
{
	(void)snprintf(path, 160, "%s/%s", root, below);
}

static void
make(const char *below)
{
	char path[160];

	at(path, below);
	if (mkdir(path, 0755) != 0)
		abort();
}

static bool
holds(const char *below, const char *want)
{
	char path[160], got[64] = "";
	int fd;
	bool same;

	at(path, below);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	same = fd >= 0 && read(fd, got, sizeof(got) - 1) >= 0 &&
	    strcmp(got, want) == 0;
	if (fd >= 0)
		(void)close(fd);
	return same;
}

static void
test_plain(void)
{
	struct err e = { .msg = "" };
	struct stat st;
	char path[160];
	bool unit = true;

	ok(pr_install_agent(root, agent, &unit, &e) == 0 && !unit &&
	    holds("usr/local/sbin/dvm-agent", "agent"),
	    "into a root without systemd %s", e.msg);
	at(path, "usr/local/sbin/dvm-agent");
	ok(stat(path, &st) == 0 && (st.st_mode & 07777) == 0755,
	    "it can be run");
	make("etc");
	make("etc/systemd");
	t_pr_write(agent, "newer");
	ok(pr_install_agent(root, agent, &unit, &e) == 0 && unit &&
	    holds("usr/local/sbin/dvm-agent", "newer") &&
	    holds("etc/systemd/system/dvm-agent.service", "unit") &&
	    holds("etc/systemd/system/multi-user.target.wants/"
	    "dvm-agent.service", "unit"),
	    "into one with systemd, over an older one %s", e.msg);
	ok(pr_install_agent(root, agent, &unit, &e) == 0, "once more %s",
	    e.msg);
}

static void
test_hostile(void)
{
	char path[160], outside[96], to[160];
	struct err e = { .msg = "" };
	struct stat st;
	bool unit;

	/* Absolute, and up and out: both mean the template's own. */
	t_pr_remove_tree(root);
	if (mkdir(root, 0755) != 0)
		abort();
	make("usr");
	at(path, "usr/local");
	(void)snprintf(outside, sizeof(outside), "%s/outside", top);
	if (mkdir(outside, 0755) != 0 || symlink(outside, path) != 0)
		abort();
	ok(pr_install_agent(root, agent, &unit, &e) == -1,
	    "a link out of the root leads nowhere: %s", e.msg);
	(void)snprintf(to, sizeof(to), "%s/sbin", outside);
	ok(stat(to, &st) != 0, "nothing is made outside");
	if (unlink(path) != 0 || symlink("../../../../../../srv", path) != 0)
		abort();
	make("srv");
	ok(pr_install_agent(root, agent, &unit, &e) == 0 &&
	    holds("srv/sbin/dvm-agent", "newer"),
	    "one that climbs ends at the root %s", e.msg);
	/* The file itself is a link: it is replaced, not followed. */
	(void)snprintf(outside, sizeof(outside), "%s/victim", top);
	t_pr_write(outside, "untouched");
	at(path, "srv/sbin/dvm-agent");
	at(to, "srv/sbin/dvm-agent.new");
	if (unlink(path) != 0 || symlink(outside, path) != 0 ||
	    symlink(outside, to) != 0)
		abort();
	ok(pr_install_agent(root, agent, &unit, &e) == 0 &&
	    lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    stat(outside, &st) == 0 && st.st_size == 9,
	    "a link in the agent's place is replaced %s", e.msg);
}

static void
test_refused(void)
{
	struct err e;
	bool unit;

	ok(pr_install_agent("/", agent, &unit, &e) == -1 &&
	    strstr(e.msg, "own root") != NULL, "dom0's own: %s", e.msg);
	ok(pr_install_agent("/nowhere", agent, &unit, &e) == -1 &&
	    e.code == ERR_INPUT, "no directory: %s", e.msg);
	ok(pr_install_agent(root, "/nowhere/agent", &unit, &e) == -1 &&
	    e.code == ERR_INPUT && strstr(e.msg, "/nowhere/agent") != NULL,
	    "no agent: %s", e.msg);
}

int
main(void)
{
	char path[96];

	(void)snprintf(top, sizeof(top), "/tmp/t_pr_install.XXXXXX");
	if (mkdtemp(top) == NULL)
		abort();
	(void)snprintf(root, sizeof(root), "%s/root", top);
	(void)snprintf(agent, sizeof(agent), "%s/dvm-agent", top);
	(void)snprintf(path, sizeof(path), "%s/dvm-agent.service", top);
	t_pr_write(agent, "agent");
	t_pr_write(path, "unit");
	if (mkdir(root, 0755) != 0)
		abort();
	test_plain();
	test_hostile();
	test_refused();
	t_pr_remove_tree(top);
	return tap_done();
}
