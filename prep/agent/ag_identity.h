/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What makes a disposable nobody's twin.
 */
#ifndef AG_IDENTITY_H
#define AG_IDENTITY_H

#include <stdint.h>

#include "include/wire/launch_page.h"

/* Before the guest is held: opens what become() needs, and puts files of a
 * tmpfs over those that hold an identity, so that nothing waits for a disk. */
int ag_identity_open(void);

/* New random numbers, clock, host name, machine-id, boot-id.  No more than
 * elapsed_ns have passed since dom0 filled the page.  -1 if the random numbers
 * or a name could not be renewed: then it must not go on. */
int ag_identity_become(const struct launch_page *p, uint64_t elapsed_ns);

/* Parts of it, for the test that leaves one out. */
int ag_identity_set_clock(uint64_t dom0_ns, uint64_t elapsed_ns);
int ag_identity_set_names(const struct launch_page *p);

/* /run/dvm/launch: what a program in the guest may know of its launch. */
int ag_identity_note(const struct launch_page *p, uint64_t resumed_ns,
    uint64_t acknowledged_ns);

#endif
