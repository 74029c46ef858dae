/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The two things that may be released by leaving a scope: a descriptor and
 * heap memory.  Domains, mappings and disks are undone explicitly.
 */
#ifndef CLEANUP_H
#define CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void
cleanup_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void
cleanup_heap(void *heap)
{
	free(*(void **)heap);
}

#define AUTO_FD __attribute__((cleanup(cleanup_fd))) int
#define AUTO_FREE __attribute__((cleanup(cleanup_heap)))

#endif
