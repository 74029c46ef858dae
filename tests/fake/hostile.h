/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * An agent that behaves until START has come, and then does as one of these
 * names says.  It is linked around ag_serve's calls (--wrap=chan_next,
 * --wrap=chan_send_hello).  Which one: hostile_set(); else, with a program,
 * argv[0] "hostile:NAME"; else, with a file, the first one's name
 * "hostile:NAME".  Other sessions are as of the real agent.
 *
 * What is to come of it:
 *   broken	it breaks the channel's rules: whoever checks them says so
 *   refused	the rules hold, but dvm must not take it
 *   cut	the channel ends before EXIT
 *   endless	it goes on until it is ended
 *   legal	it ends in order
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stdio.h>

/* false: no such name. */
bool hostile_set(const char *name);
/* "NAME EXPECTED NEEDS" a line.  NEEDS is "file": one was sent; "vchan": on a
 * socket it does nothing; "stalled": nobody reads its stdout, else it is
 * endless; or "-". */
void hostile_list(FILE *to);

#endif
