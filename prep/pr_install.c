/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Installing the agent, in dvm-prepare.  Whoever was root in the template may
 * have made its file system, so every path is resolved inside of it
 * (openat2(2), RESOLVE_IN_ROOT): a link to /etc is the template's.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "prep/pr_install.h"

#define UNIT "dvm-agent.service"
#define UNIT_DIR "etc/systemd/system"
#define WANTS_DIR UNIT_DIR "/multi-user.target.wants"

static int
open_dir(int root_fd, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
	};

	return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

/* The directory, made if need be. */
static int
make_dir(int root_fd, const char *path)
{
	char part[PATH_MAX];
	int fd = open_dir(root_fd, ".");

	for (size_t len = 0; fd >= 0 && path[len] != '\0';) {
		AUTO_FD parent = fd;
		const char *name = path + len;
		size_t name_len = strcspn(name, "/");

		len += name_len + (name[name_len] == '/' ? 1 : 0);
		(void)snprintf(part, sizeof(part), "%.*s", (int)name_len,
		    name);
		if (mkdirat(parent, part, 0755) != 0 && errno != EEXIST)
			return -1;
		(void)snprintf(part, sizeof(part), "%.*s", (int)len, path);
		fd = open_dir(root_fd, part);
	}
	return fd;
}

/* Copies the file `from` into the directory, under a temporary name first. */
static int
copy(const char *from, int dir_fd, const char *name, mode_t mode,
    struct err *e)
{
	AUTO_FD in = open(from, O_RDONLY | O_CLOEXEC);
	AUTO_FD out = -1;
	char tmp[64];
	struct stat st;
	off_t at = 0;

	if (in < 0 || fstat(in, &st) != 0)
		return err_set(e, ERR_INPUT, errno, "cannot read '%s'", from);
	(void)snprintf(tmp, sizeof(tmp), "%s.new", name);
	(void)unlinkat(dir_fd, tmp, 0);
	out = openat(dir_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_CLOEXEC, mode);
	if (out < 0)
		goto fail;
	while (at < st.st_size)
		if (sendfile(out, in, &at, (size_t)(st.st_size - at)) <= 0)
			goto fail;
	if (fchmod(out, mode) != 0 || fsync(out) != 0 ||
	    renameat(dir_fd, tmp, dir_fd, name) != 0)
		goto fail;
	return 0;
fail:
	(void)err_set(e, ERR_SYS, errno, "cannot write '%s' in the template",
	    name);
	(void)unlinkat(dir_fd, tmp, 0);
	return -1;
}

static int
install_unit(int root_fd, const char *agent, bool *with_unit, struct err *e)
{
	AUTO_FREE char *copied = strdup(agent);
	AUTO_FD systemd = open_dir(root_fd, "etc/systemd");
	AUTO_FD units = -1, wants = -1;
	char unit[PATH_MAX];

	*with_unit = systemd >= 0;
	if (systemd < 0)
		return 0;
	units = make_dir(root_fd, UNIT_DIR);
	wants = make_dir(root_fd, WANTS_DIR);
	if (units < 0 || wants < 0 || copied == NULL)
		return err_set(e, ERR_SYS, errno, "cannot open " UNIT_DIR
		    " in the template");
	if (snprintf(unit, sizeof(unit), "%s/" UNIT, dirname(copied)) >=
	    (int)sizeof(unit))
		return err_set(e, ERR_INPUT, ENAMETOOLONG, "'%s'", agent);
	if (copy(unit, units, UNIT, 0644, e) != 0)
		return -1;
	if (symlinkat("../" UNIT, wants, UNIT) != 0 && errno != EEXIST)
		return err_set(e, ERR_SYS, errno, "cannot enable " UNIT
		    " in the template");
	return 0;
}

int
pr_install_agent(const char *root, const char *agent, bool *with_unit,
    struct err *e)
{
	AUTO_FD root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	AUTO_FD sbin = -1;
	struct stat here, ours;

	if (root_fd < 0 || fstat(root_fd, &here) != 0 || stat("/", &ours) != 0)
		return err_set(e, ERR_INPUT, errno, "'%s'", root);
	if (here.st_dev == ours.st_dev && here.st_ino == ours.st_ino)
		return err_set(e, ERR_INPUT, 0, "'%s' is dom0's own root: "
		    "mount the template's and name where", root);
	sbin = make_dir(root_fd, "usr/local/sbin");
	if (sbin < 0)
		return err_set(e, ERR_SYS, errno, "cannot open "
		    "/usr/local/sbin in '%s'", root);
	if (copy(agent, sbin, "dvm-agent", 0755, e) != 0)
		return -1;
	return install_unit(root_fd, agent, with_unit, e);
}
