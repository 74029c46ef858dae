/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Starts and ends a real xenstore daemon under fakexen.so, which is looked for
 * beside the test program.  Test code only.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fake/fake_dom0.h"

#define START_TRIES 500		/* of 10 ms */

static int
find_program(const char *program, char *path, size_t cap)
{
	char pattern[64];
	glob_t found = { 0 };
	int rc = -1;

	(void)snprintf(pattern, sizeof(pattern), "/usr/lib/xen-*/bin/%s",
	    program);
	if (glob(pattern, 0, NULL, &found) == 0 && found.gl_pathc > 0)
		rc = snprintf(path, cap, "%s",
		    found.gl_pathv[found.gl_pathc - 1]) < (int)cap ? 0 : -1;
	globfree(&found);
	return rc;
}

static int
find_shim(char *path, size_t cap)
{
	char exe[PATH_MAX];
	ssize_t len;
	char *slash;

	len = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (len < 0)
		return -1;
	exe[len] = '\0';
	slash = strrchr(exe, '/');
	if (slash == NULL)
		return -1;
	*slash = '\0';
	if (snprintf(path, cap, "%s/fakexen.so", exe) >= (int)cap)
		return -1;
	return access(path, R_OK);
}

static int
put_file(const char *dir, const char *name, const char *text, off_t len)
{
	char path[PATH_MAX];
	FILE *f;
	int rc;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	if (f == NULL)
		return -1;
	rc = fputs(text, f) < 0 ? -1 : 0;
	if (fclose(f) != 0)
		rc = -1;
	if (rc == 0 && len > 0)
		rc = truncate(path, len);
	return rc;
}

static int
fill_dir(const char *dir)
{
	char config[1024];

	(void)snprintf(config, sizeof(config),
	    "pid-file = %s/pid\n"
	    "xenstored-kva = %s/xsd_kva\n"
	    "xenstored-port = %s/xsd_port\n"
	    "xenstored-log-file = %s/log\n"
	    "access-log-file = %s/access-log\n"
	    "persistent = false\n", dir, dir, dir, dir, dir);
	/* What Linux shows in /proc/xen: dom0's ring page, its port. */
	if (put_file(dir, "xsd_kva", "", 4096) != 0 ||
	    put_file(dir, "xsd_port", "1", 0) != 0)
		return -1;
	return put_file(dir, "oxenstored.conf", config, 0);
}

__attribute__((noreturn))
static void
become(const char *program, const char *path, const char *shim,
    const char *dir)
{
	char conf[PATH_MAX], pid_file[PATH_MAX];
	int null;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setenv("FAKEXEN_DIR", dir, 1);
	(void)setenv("LD_PRELOAD", shim, 1);
	null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		(void)dup2(null, STDIN_FILENO);
		(void)dup2(null, STDOUT_FILENO);
		(void)dup2(null, STDERR_FILENO);
	}
	(void)snprintf(conf, sizeof(conf), "%s/oxenstored.conf", dir);
	(void)snprintf(pid_file, sizeof(pid_file), "--pid-file=%s/pid", dir);
	if (strcmp(program, "oxenstored") == 0)
		(void)execl(path, program, "--no-fork", "--config-file", conf,
		    (char *)NULL);
	else
		(void)execl(path, program, "--no-fork", pid_file,
		    (char *)NULL);
	_exit(127);
}

static int
answers(const struct fake_dom0 *r)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, rc;

	memcpy(addr.sun_path, r->socket, sizeof(r->socket));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	rc = connect(fd, (const struct sockaddr *)&addr, sizeof(addr));
	(void)close(fd);
	return rc == 0;
}

int
fake_dom0_start(struct fake_dom0 *r, const char *program,
    const char **why)
{
	const struct timespec ten_ms = { .tv_nsec = 10000000 };
	char path[PATH_MAX], shim[PATH_MAX];
	int i;

	*r = (struct fake_dom0){ .pid = -1 };
	if (find_program(program, path, sizeof(path)) != 0) {
		*why = "not installed";
		return 1;
	}
	*why = "fakexen.so is not beside the test";
	if (find_shim(shim, sizeof(shim)) != 0)
		return -1;
	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/dvm-store-XXXXXX");
	*why = "no directory for it";
	if (mkdtemp(r->dir) == NULL) {
		r->dir[0] = '\0';
		return -1;
	}
	(void)snprintf(r->socket, sizeof(r->socket), "%s/socket", r->dir);
	if (fill_dir(r->dir) != 0)
		goto failed;
	r->pid = fork();
	if (r->pid == 0)
		become(program, path, shim, r->dir);
	*why = "it did not start";
	for (i = 0; r->pid > 0 && i < START_TRIES; i++) {
		if (answers(r))
			return 0;
		(void)nanosleep(&ten_ms, NULL);
	}
failed:
	fake_dom0_stop(r);
	return -1;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
fake_dom0_stop(struct fake_dom0 *r)
{
	if (r->pid > 0) {
		(void)kill(r->pid, SIGKILL);
		(void)waitpid(r->pid, NULL, 0);
	}
	if (r->dir[0] != '\0')
		(void)nftw(r->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	*r = (struct fake_dom0){ .pid = -1 };
}
