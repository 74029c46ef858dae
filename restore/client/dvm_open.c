/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm open: files or an address, shown by what the template has for them.
 * Runs in dvm, as the files' user.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "include/cleanup.h"
#include "restore/client/dvm_cli.h"
#include "restore/client/dvm_session.h"

#define SIZE_MAX_DEFAULT (UINT64_C(1) << 30)
#define URL_MAX 8192

/* Is it an address?  "a:b" may be a file, "a://b" is none. */
static bool
is_url(const char *text)
{
	size_t len = strcspn(text, ":");
	struct stat st;

	if (text[len] == '\0' || !isalpha((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) &&
		    strchr("+-.", text[i]) == NULL)
			return false;
	return strncmp(text + len, "://", 3) == 0 || lstat(text, &st) != 0;
}

static int
check_url(const char *url, struct err *e)
{
	size_t len = strlen(url);

	for (size_t i = 0; i < len; i++)
		if (url[i] <= ' ' || url[i] > '~')
			return err_set(e, ERR_USAGE, 0, "open: an address has "
			    "only printable ASCII: write other bytes as %%XX");
	if (len > URL_MAX)
		return err_set(e, ERR_USAGE, 0, "open: an address of %zu "
		    "bytes, over %u", len, URL_MAX);
	if (strncasecmp(url, "file:", 5) == 0)
		return err_set(e, ERR_USAGE, 0, "open: a file: address would "
		    "be one of the disposable's files: say the file's path");
	return 0;
}

/* "500", "64K", "20M", "2G". */
static int
parse_size(const char *text, uint64_t *size, struct err *e)
{
	static const char units[] = "KMG";
	const char *unit;
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	unit = *end != '\0' ? strchr(units, *end) : NULL;
	if (*text < '0' || *text > '9' || errno != 0 ||
	    (*end != '\0' && (unit == NULL || end[1] != '\0')) ||
	    __builtin_mul_overflow(value, unit == NULL ? 1ull :
	    1024ull << 10 * (unit - units), size) || *size == 0 ||
	    *size > INT64_MAX)
		return err_set(e, ERR_USAGE, 0, "--max-size: \"%.64s\" is no "
		    "number of bytes, with K, M or G behind it or not", text);
	return 0;
}

static int
open_files(const struct dvm_args *args, struct dvm_session *p, struct err *e)
{
	AUTO_FREE struct dvm_files *files = calloc(1, sizeof(*files));
	bool view_only = dvm_cli_has(args, 'v');
	int rc = 0;

	if (files == NULL)
		return err_set(e, ERR_NOMEM, errno, "the files");
	p->kind = CHAN_OPEN;
	p->files = files;
	for (int i = 0; i < args->nr_operands && rc == 0; i++)
		rc = dvm_files_add(files, args->operands[i], view_only,
		    p->back_max, e);
	if (rc != 0 && e->code != ERR_USAGE)
		rc = DVM_SESSION_FAILED;
	if (rc == 0)
		rc = dvm_session_run(p, e);
	dvm_files_close(files);
	return rc;
}

int
dvm_open(const struct dvm_args *args, struct err *e)
{
	struct dvm_session p = { .template = "",
	    .back_max = SIZE_MAX_DEFAULT, .quiet = dvm_cli_has(args, 'q') };
	char template[sizeof(((struct dvm_proto *)0)->template)];
	unsigned long limit_s = 0;
	bool url = false;

	if ((args->given['f'] != NULL && dvm_cli_number(args->given['f'], 1,
	    365 * 86400ul, "--for", &limit_s, e) != 0) ||
	    (args->given['m'] != NULL &&
	    parse_size(args->given['m'], &p.back_max, e) != 0))
		return -1;
	p.limit_s = (unsigned)limit_s;
	if (args->given['T'] != NULL) {
		if (dvm_cli_put(template, sizeof(template), args->given['T'],
		    "template's name", e) != 0)
			return -1;
		p.template = template;
	}
	for (int i = 0; i < args->nr_operands; i++)
		url = url || is_url(args->operands[i]);
	if (!url)
		return open_files(args, &p, e);
	if (args->nr_operands > 1)
		return err_set(e, ERR_USAGE, 0, "open: one address, or files; "
		    "see dvm open --help");
	if (check_url(args->operands[0], e) != 0)
		return -1;
	p.kind = CHAN_URL;
	p.args = args->operands;
	p.nr_args = 1;
	return dvm_session_run(&p, e);
}
