/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault plan: see fake_fault.h.  Test code only.
 */
#include "tests/fake/fake_fault.h"

#include <stddef.h>

bool
fake_fault_hit(struct fake_fault *f)
{
	return f != NULL && __atomic_add_fetch(&f->nr_calls, 1,
	    __ATOMIC_RELAXED) == f->fail_at;
}
