/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The shape of dvm's commands: the one table of them, in dvm.c, gives
 * dispatch, the check of options, usage, help and (through help) completion.
 */
#ifndef DVM_CLI_H
#define DVM_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "include/err.h"

#define DVM_CLI_OPTIONS 6

struct dvm_option {
	char letter;		/* 0 ends the list */
	const char *name;
	const char *value;	/* what it takes; NULL: nothing */
	const char *what;
};

/* What was said on the command line. */
struct dvm_args {
	const char *given[128];	/* by letter: "" or its value; NULL: not */
	char **operands;
	int nr_operands;
	bool ended;		/* by "--", before the first operand */
};

struct dvm_command {
	const char *name;
	const char *operands;	/* as usage shows them */
	int min, max;		/* how many; max -1: any number */
	bool first_ends;	/* the first one ends the options */
	const char *what;	/* it does, in a line without a dot */
	struct dvm_option options[DVM_CLI_OPTIONS];
	/* 0 or -1, or an exit status; an empty message: all has been said. */
	int (*run)(const struct dvm_args *args, struct err *e);
};

/* argv[0] is the command's name.  1: its help was asked for; ERR_USAGE. */
int dvm_cli_parse(const struct dvm_command *c, int argc, char **argv,
    struct dvm_args *args, struct err *e);

void dvm_cli_help(const struct dvm_command *c, FILE *to);

/* Is the option given? */
bool dvm_cli_has(const struct dvm_args *args, char letter);

/* A decimal number, or ERR_USAGE. */
int dvm_cli_number(const char *text, unsigned long min, unsigned long max,
    const char *what, unsigned long *value, struct err *e);

/* Copies an operand into a message's field, or ERR_USAGE: too long, or
 * empty, which would mean something else. */
int dvm_cli_put(char *field, size_t cap, const char *text, const char *what,
    struct err *e);

/* The commands, each in the file of its name. */
int dvm_run(const struct dvm_args *args, struct err *e);
int dvm_ls(const struct dvm_args *args, struct err *e);
int dvm_kill(const struct dvm_args *args, struct err *e);
int dvm_status(const struct dvm_args *args, struct err *e);
int dvm_log(const struct dvm_args *args, struct err *e);
int dvm_open(const struct dvm_args *args, struct err *e);

#endif
