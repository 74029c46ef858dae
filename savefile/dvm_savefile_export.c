/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-savefile export: the file as a Xen migration stream.  What it writes
 * holds a guest's memory, so it is readable by its owner only, and it has its
 * name only once it is whole.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "savefile/dvm_savefile.h"
#include "savefile/sf_export.h"

/* Into a new file beside `out`, which it then replaces. */
static int
export_renamed(const struct sf_reader *r, bool xl_envelope, const char *out,
    struct err *e)
{
	char temp[PATH_MAX];
	AUTO_FD fd = -1;
	int n;

	n = snprintf(temp, sizeof(temp), "%s.XXXXXX", out);
	if (n < 0 || (size_t)n >= sizeof(temp))
		return err_set(e, ERR_USAGE, ENAMETOOLONG, "%s", out);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd == -1)
		return err_set(e, ERR_SYS, errno, "%s", temp);
	if (sf_export(r, fd, xl_envelope, e) == -1) {
		(void)err_prefix(e, "%s", out);
		goto fail;
	}
	if (fsync(fd) == -1 || rename(temp, out) == -1) {
		(void)err_set(e, ERR_SYS, errno, "%s", out);
		goto fail;
	}
	return 0;
fail:
	(void)unlink(temp);
	return -1;
}

/* Into something that exists and is no regular file: a device or a pipe. */
static int
export_special(const struct sf_reader *r, bool xl_envelope, const char *out,
    struct err *e)
{
	AUTO_FD fd = -1;

	fd = open(out, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd == -1)
		return err_set(e, ERR_SYS, errno, "%s", out);
	if (sf_export(r, fd, xl_envelope, e) == -1)
		return err_prefix(e, "%s", out);
	return 0;
}

static int
export_to(const struct sf_reader *r, bool xl_envelope, const char *out,
    struct err *e)
{
	struct stat st;

	if (strcmp(out, "-") == 0) {
		if (isatty(STDOUT_FILENO))
			return err_set(e, ERR_USAGE, 0, "a memory image is not "
			    "for a terminal: name a file, or redirect");
		return sf_export(r, STDOUT_FILENO, xl_envelope, e);
	}
	if (stat(out, &st) == 0 && !S_ISREG(st.st_mode))
		return export_special(r, xl_envelope, out, e);
	return export_renamed(r, xl_envelope, out, e);
}

int
cmd_export(int argc, char **argv)
{
	static const struct option options[] = {
		{ "xl", no_argument, NULL, 'x' }, { 0 }
	};
	bool xl_envelope = false;
	struct sf_reader *r;
	struct err e;
	int opt, rc;

	while ((opt = getopt_long(argc, argv, "x", options, NULL)) != -1) {
		if (opt != 'x')
			return -1;
		xl_envelope = true;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return -1;
	r = savefile_open(argv[optind], NULL, &e);
	if (r == NULL)
		return savefile_fail(&e);
	rc = export_to(r, xl_envelope,
	    argc - optind == 2 ? argv[optind + 1] : "-", &e);
	sf_reader_close(r);
	return rc == -1 ? savefile_fail(&e) : 0;
}
