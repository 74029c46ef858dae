/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A fault plan that the fakes of one test share: the Nth operation, counted
 * over all of them and all threads, fails.  Tests raise N until nothing fails
 * any more.
 */
#ifndef FAKE_FAULT_H
#define FAKE_FAULT_H

#include <stdbool.h>

struct fake_fault {
	unsigned fail_at;	/* 1 is the first operation; 0 is never */
	unsigned nr_calls;	/* so far */
};

/* Called once at the start of every operation that can fail; true if this
 * one is to.  NULL never fails. */
bool fake_fault_hit(struct fake_fault *f);

#endif
