/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The other names.  Runs in dvm; the command line is the user's own.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "restore/client/dvm_names.h"

/* What makes a single word a command line for a shell. */
#define SHELL " \t\n|&;<>()$`\\\"'*?[#~!{}"
#define WORDS_MORE 8

/* A constant in an argv: getopt_long() only moves such words. */
static char *
word(const char *constant)
{
	char *w;

	memcpy(&w, &constant, sizeof(w));
	return w;
}

static void
say(struct dvm_names *n, const char *text)
{
	n->words[n->nr++] = word(text);
}

/* "@dispvm" and "@dispvm:NAME", once written with '$'; *template is "" for
 * the default one. */
static int
template_of(const char *vm, const char **template, struct err *e)
{
	if ((vm[0] == '@' || vm[0] == '$') &&
	    strncmp(vm + 1, "dispvm", 6) == 0) {
		*template = vm + 7;
		if (**template == '\0')
			return 0;
		if (**template == ':' && *++*template != '\0' &&
		    **template != '-')
			return 0;
	}
	return err_set(e, ERR_USAGE, 0, "\"%.64s\" is not a disposable: say "
	    "@dispvm or @dispvm:TEMPLATE", vm);
}

static int
next_option(int argc, char **argv, const struct option *options,
    struct err *e)
{
	int letter;

	opterr = 0;
	letter = getopt_long(argc, argv, "+:pqh", options, NULL);
	if (letter == ':' || letter == '?')
		return err_set(e, ERR_USAGE, 0, "%.64s is no option here, or "
		    "wants a value: see dvm(1), OTHER NAMES",
		    argv[optind - 1]) - 1;
	return letter;
}

/* qvm-run [--dispvm[=NAME]] [--service] [@dispvm[:NAME]] WORD ... */
static int
run(struct dvm_names *n, int argc, char **argv, struct err *e)
{
	static const struct option options[] = {
		{ "dispvm", optional_argument, NULL, 'd' },
		{ "service", no_argument, NULL, 's' },
		{ "pass-io", no_argument, NULL, 'p' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *template = NULL;
	bool service = false;
	int letter;

	say(n, "run");
	while ((letter = next_option(argc, argv, options, e)) != -1) {
		if (letter < -1)
			return -1;
		if (letter == 'd')
			template = optarg != NULL ? optarg : "";
		service = service || letter == 's';
		if (letter == 'q' || letter == 'h')
			say(n, letter == 'q' ? "--quiet" : "--help");
	}
	if (template == NULL && optind < argc &&
	    template_of(argv[optind++], &template, e) != 0)
		return -1;
	if (n->nr > 1 && strcmp(n->words[n->nr - 1], "--help") == 0)
		return 1;
	if (optind >= argc || (service && optind + 1 < argc))
		return err_set(e, ERR_USAGE, 0, service ? "one service is to "
		    "be named: NAME or NAME+ARGUMENT" : "what is to be run?  "
		    "See dvm(1), OTHER NAMES");
	if (*template == '-')
		return err_set(e, ERR_USAGE, 0, "\"%.64s\" is no template's "
		    "name", template);
	if (service) {
		say(n, "--service");
		say(n, argv[optind]);
	}
	if (*template != '\0')
		say(n, template);
	if (service)
		return 1;
	say(n, "--");
	if (optind + 1 == argc && strpbrk(argv[optind], SHELL) != NULL) {
		say(n, "sh");
		say(n, "-c");
	}
	while (optind < argc)
		say(n, argv[optind++]);
	return 1;
}

/* qvm-open-in-dvm [--view-only] WHAT ...; qvm-open-in-vm has @dispvm[:NAME]
 * before WHAT. */
static int
open_in(struct dvm_names *n, bool vm, int argc, char **argv, struct err *e)
{
	static const struct option options[] = {
		{ "view-only", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *template = "";
	int letter;

	say(n, "open");
	while ((letter = next_option(argc, argv, options, e)) != -1) {
		if (letter < -1)
			return -1;
		if (letter == 'v' || letter == 'h')
			say(n, letter == 'v' ? "--view-only" : "--help");
	}
	if (vm && optind < argc &&
	    template_of(argv[optind++], &template, e) != 0)
		return -1;
	if (*template != '\0') {
		say(n, "--template");
		say(n, template);
	}
	say(n, "--");
	while (optind < argc)
		say(n, argv[optind++]);
	return 1;
}

int
dvm_names_translate(struct dvm_names *n, int argc, char **argv, struct err *e)
{
	const char *slash = argc > 0 ? strrchr(argv[0], '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : argc > 0 ? argv[0] : "";
	bool is_run = strcmp(name, "qvm-run") == 0;
	bool is_vm = strcmp(name, "qvm-open-in-vm") == 0;
	int rc;

	if (!is_run && !is_vm && strcmp(name, "qvm-open-in-dvm") != 0)
		return 0;
	n->words = calloc((size_t)argc * 2 + WORDS_MORE, sizeof(*n->words));
	if (n->words == NULL)
		return err_set(e, ERR_NOMEM, errno, "the command line");
	rc = is_run ? run(n, argc, argv, e) : open_in(n, is_vm, argc, argv, e);
	/* dvm_cli_parse() begins anew. */
	optind = 0;
	return rc;
}
