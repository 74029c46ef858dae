/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the real host does by system calls the fakes do in memory.  Here each
 * of their operations is one too, for kill_at to stop at (linked with
 * --wrap=fake_fault_hit).  Test code only.
 */
#include <sched.h>

#include "tests/fake/fake_fault.h"

bool __real_fake_fault_hit(struct fake_fault *f);
bool __wrap_fake_fault_hit(struct fake_fault *f);

bool
__wrap_fake_fault_hit(struct fake_fault *f)
{
	(void)sched_yield();
	return __real_fake_fault_hit(f);
}
