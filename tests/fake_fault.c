/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The fault plan: see fake_fault.h.  Test code only.
 */
#include "fake_fault.h"

#include <stddef.h>

bool
fake_fault_hit(struct fake_fault *f)
{
	return f != NULL && ++f->nr_calls == f->fail_at;
}
