/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the files of the dvm-savefile program share.
 */
#ifndef DVM_SAVEFILE_H
#define DVM_SAVEFILE_H

#include "savefile/sf_reader.h"

/* One of the program's commands; the table of them gives dispatch, help and
 * usage.  run() gets argv[0] = the command's name and returns the exit
 * status; -1 means that it was called wrongly. */
struct command {
	const char *name;
	const char *args;
	const char *help;
	int (*run)(int argc, char **argv);
};

int cmd_info(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_export(int argc, char **argv);

/* Opens a savefile with Ctrl-C and progress attached; path must outlive the
 * reader.  The message of a failure names the path. */
struct sf_reader *savefile_open(const char *path, const uint8_t *host_key,
    struct err *e);

/* Prints the error once; returns the exit status that it stands for. */
int savefile_fail(const struct err *e);

/* Flushes stdout: 0, or -1 if something that was printed did not get out. */
int savefile_flush(struct err *e);

#endif
