/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Options, usage and help of dvm's commands, from their table.  Trusts the
 * table; the command line is the user's own.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "restore/client/dvm_cli.h"

static const struct dvm_option help_option = { 'h', "help", NULL,
    "this text" };

bool
dvm_cli_has(const struct dvm_args *args, char letter)
{
	return args->given[letter & 127] != NULL;
}

/* Fills what getopt_long() wants; returns how many options there are. */
static size_t
getopt_tables(const struct dvm_command *c, char *letters,
    struct option *names)
{
	size_t nr = 0;

	if (c->first_ends)
		*letters++ = '+';
	/* ":" first: a missing value is told from an unknown option. */
	*letters++ = ':';
	for (;; nr++) {
		const struct dvm_option *o = nr < DVM_CLI_OPTIONS &&
		    c->options[nr].letter != 0 ? &c->options[nr] :
		    &help_option;

		names[nr] = (struct option){ o->name, o->value != NULL ?
		    required_argument : no_argument, NULL, o->letter };
		*letters++ = o->letter;
		if (o->value != NULL)
			*letters++ = ':';
		if (o == &help_option)
			break;
	}
	*letters = '\0';
	return nr + 1;
}

int
dvm_cli_parse(const struct dvm_command *c, int argc, char **argv,
    struct dvm_args *args, struct err *e)
{
	char letters[2 * (DVM_CLI_OPTIONS + 1) + 3];
	struct option names[DVM_CLI_OPTIONS + 2];
	size_t nr = getopt_tables(c, letters, names);
	int letter;

	names[nr] = (struct option){ NULL, 0, NULL, 0 };
	memset(args, 0, sizeof(*args));
	opterr = 0;
	while ((letter = getopt_long(argc, argv, letters, names,
	    NULL)) != -1) {
		if (letter == 'h')
			return 1;
		if (letter == ':')
			return err_set(e, ERR_USAGE, 0, "%s: %.64s wants a "
			    "value; see dvm %s --help", c->name,
			    argv[optind - 1], c->name);
		/* An unknown letter can stand in a word that goes on. */
		if (letter == '?' && optopt > ' ')
			return err_set(e, ERR_USAGE, 0, "%s has no option "
			    "-%c; see dvm %s --help", c->name, optopt,
			    c->name);
		if (letter == '?')
			return err_set(e, ERR_USAGE, 0, "%s has no option "
			    "%.64s; see dvm %s --help", c->name,
			    argv[optind - 1], c->name);
		args->given[letter & 127] = optarg != NULL ? optarg : "";
	}
	args->ended = optind > 1 && strcmp(argv[optind - 1], "--") == 0;
	args->operands = argv + optind;
	args->nr_operands = argc - optind;
	if (args->nr_operands < c->min)
		return err_set(e, ERR_USAGE, 0, "%s: %s is missing; see dvm "
		    "%s --help", c->name, c->operands, c->name);
	if (c->max >= 0 && args->nr_operands > c->max)
		return err_set(e, ERR_USAGE, 0, "%s: \"%.64s\" is too much; "
		    "see dvm %s --help", c->name, args->operands[c->max],
		    c->name);
	return 0;
}

static void
print_option(const struct dvm_option *o, FILE *to)
{
	char names[40];

	(void)snprintf(names, sizeof(names), "-%c, --%s%s%s", o->letter,
	    o->name, o->value != NULL ? " " : "",
	    o->value != NULL ? o->value : "");
	(void)fprintf(to, "  %-20s  %s\n", names, o->what);
}

void
dvm_cli_help(const struct dvm_command *c, FILE *to)
{
	size_t nr = 0;

	(void)fprintf(to, "usage: dvm %s [-", c->name);
	for (; nr < DVM_CLI_OPTIONS && c->options[nr].letter != 0; nr++)
		if (c->options[nr].value == NULL)
			(void)fputc(c->options[nr].letter, to);
	(void)fputs("h]", to);
	for (size_t i = 0; i < nr; i++)
		if (c->options[i].value != NULL)
			(void)fprintf(to, " [-%c %s]", c->options[i].letter,
			    c->options[i].value);
	(void)fprintf(to, "%s%s\n%c%s.\n\n", *c->operands != '\0' ? " " : "",
	    c->operands, toupper((unsigned char)c->what[0]), c->what + 1);
	for (size_t i = 0; i < nr; i++)
		print_option(&c->options[i], to);
	print_option(&help_option, to);
}

int
dvm_cli_number(const char *text, unsigned long min, unsigned long max,
    const char *what, unsigned long *value, struct err *e)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 ||
	    *value < min || *value > max)
		return err_set(e, ERR_USAGE, 0, "%s: \"%.64s\" is not a "
		    "number from %lu to %lu", what, text, min, max);
	return 0;
}

int
dvm_cli_put(char *field, size_t cap, const char *text, const char *what,
    struct err *e)
{
	size_t len = strlen(text);

	if (len == 0 || len >= cap)
		return err_set(e, ERR_USAGE, 0, "\"%.64s\" is no %s", text,
		    what);
	memcpy(field, text, len + 1);
	return 0;
}
