/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A host of fakes that outlives the processes that use it, in a directory:
 * the file `state` (fake_heap.h), the file `memory` (its domains' frames) and,
 * by fake_world.h, a state directory.  It also is restore/launch/host.h:
 * rs_host_open() takes the directory from DVM_FAKE_HOST, and, if it is set,
 * DVM_FAKE_FAIL=N makes the Nth call of a seam fail, counted over all handles
 * and threads of this process since it began.
 *
 * It does no system call that core may not (rs_confine_rules.c): openat of
 * files that exist, fstat, mmap, madvise, munmap, futex, poll.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <stdio.h>

#include "include/err.h"
#include "restore/launch/host.h"
#include "tests/fake/fake_fault.h"
#include "tests/fake/fake_heap.h"

#define FAKE_HOST_ENV "DVM_FAKE_HOST"
#define FAKE_HOST_FAIL_ENV "DVM_FAKE_FAIL"

/* Makes the directory, if need be, and a fresh host in it. */
int fake_host_make(const char *dir, const struct fake_heap_config *config,
    struct err *e);
/* As rs_host_open(), but without names (names_fd is -1); fault may be NULL.
 * Closed by env_close(). */
int fake_host_open(const char *dir, struct fake_fault *fault,
    struct env *env, struct err *e);

/* What is there and was not on the fresh host, a line each, sorted:
 *	disk NAME
 *	domain DOMID UUID paused|running|shutdown
 *	node PATH
 * Their number. */
size_t fake_host_print_held(const struct env *env, FILE *out);

#endif
