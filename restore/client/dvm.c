/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm: the client of the restore service.  Run by any user in group dvm; has
 * no privilege and links nothing of Xen.
 */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restore/client/dvm_cli.h"
#include "restore/client/dvm_link.h"
#include "restore/client/dvm_names.h"
#include "restore/client/dvm_out.h"

#ifndef DVM_VERSION
#define DVM_VERSION "0.1"
#endif

#define JSON { 'j', "json", NULL, "print JSON instead" }

static int help(const struct dvm_args *args, struct err *e);

static const struct dvm_command commands[] = {
	{ "run", "[TEMPLATE] [--] [PROGRAM [ARG ...]]", 0, -1, true,
	    "run a program in a disposable, or hold one until interrupted", {
		{ 'f', "for", "SECONDS", "end it after so long" },
		JSON,
		{ 'q', "quiet", NULL, "print nothing but errors" },
		{ 's', "service", "NAME[+ARG]", "run this service of the "
		    "guest's, no program" },
		{ 'T', "timings", NULL, "print the stages of the launch" },
		{ 't', "tty", NULL, "give the program your terminal" },
	    }, dvm_run },
	{ "open", "FILE ... | URL", 1, -1, false,
	    "open files or an address in a disposable", {
		{ 'f', "for", "SECONDS", "end it after so long" },
		{ 'm', "max-size", "BYTES", "of a file, with K, M or G; else "
		    "1G" },
		{ 'T', "template", "TEMPLATE", "instead of the default one" },
		{ 'v', "view-only", NULL, "no change comes back" },
		{ 'q', "quiet", NULL, "print nothing but errors" },
	    }, dvm_open },
	{ "ls", "", 0, 0, false, "list the disposables", {
		JSON,
		{ 'w', "watch", NULL, "every second, until interrupted" },
	    }, dvm_ls },
	{ "kill", "[NAME ...]", 0, -1, false,
	    "end disposables and wait until they are gone", {
		{ 'a', "all", NULL, "all of your own; root's being all" },
	    }, dvm_kill },
	{ "status", "", 0, 0, false,
	    "say what the service has and how it does", {
		{ 'c', "check", NULL, "look for leftovers; exit 1 if any" },
		JSON,
	    }, dvm_status },
	{ "log", "", 0, 0, false, "print the service's last events", {
		{ 'f', "follow", NULL, "go on with new ones" },
		JSON,
	    }, dvm_log },
	{ "help", "[COMMAND]", 0, 1, false, "explain dvm or a command of it",
	    { { 0, NULL, NULL, NULL } }, help },
};
#define NR_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct dvm_command *
find_command(const char *name, struct err *e)
{
	for (size_t i = 0; i < NR_COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	(void)err_set(e, ERR_USAGE, 0, "there is no command \"%.64s\"; see "
	    "dvm help", name);
	return NULL;
}

static void
usage(FILE *to)
{
	(void)fputs("usage: dvm COMMAND [options]\n"
	    "       dvm --version\n\n", to);
	for (size_t i = 0; i < NR_COMMANDS; i++)
		(void)fprintf(to, "  %-8s  %s\n", commands[i].name,
		    commands[i].what);
	(void)fputs("\ndvm COMMAND --help tells its options.\n", to);
}

static int
help(const struct dvm_args *args, struct err *e)
{
	const struct dvm_command *c;

	if (args->nr_operands == 0) {
		usage(stdout);
		return 0;
	}
	c = find_command(args->operands[0], e);
	if (c == NULL)
		return -1;
	dvm_cli_help(c, stdout);
	return 0;
}

static int
dispatch(int argc, char **argv, struct err *e)
{
	const struct dvm_command *c;
	struct dvm_args args;
	int rc;

	if (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[0], "--version") == 0 || strcmp(argv[0], "-V") == 0) {
		(void)puts("dvm " DVM_VERSION);
		return 0;
	}
	c = find_command(argv[0], e);
	if (c == NULL || dvm_link_check_timeout(e) != 0)
		return -1;
	rc = dvm_cli_parse(c, argc, argv, &args, e);
	if (rc < 0)
		return -1;
	if (rc == 0)
		return c->run(&args, e);
	dvm_cli_help(c, stdout);
	return 0;
}

/* No descriptor of ours may be taken for one of these. */
static void
open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

int
main(int argc, char **argv)
{
	struct err e = { .code = ERR_NONE }, later;
	struct dvm_names names = { .nr = 0 };
	int rc;

	open_standard();
	(void)setlocale(LC_CTYPE, "");
	/* A reader that goes away is an error of the next write. */
	(void)signal(SIGPIPE, SIG_IGN);
	rc = dvm_names_translate(&names, argc, argv, &e);
	if (rc == 0 && argc < 2) {
		usage(stderr);
		return err_exit_status(ERR_USAGE);
	}
	if (rc == 0)
		rc = dispatch(argc - 1, argv + 1, &e);
	else if (rc > 0)
		rc = dispatch(names.nr, names.words, &e);
	free(names.words);
	if (dvm_out_flush(&later) != 0 && rc == 0) {
		e = later;
		rc = -1;
	}
	if (rc != 0 && e.msg[0] != '\0')
		(void)fprintf(stderr, "dvm: %s\n", e.msg);
	return rc < 0 ? err_exit_status(e.code) : rc;
}
