/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * From a member to the struct that it stands in.
 */
#ifndef CONTAINER_OF_H
#define CONTAINER_OF_H

#include <stddef.h>

#define container_of(member_ptr, type, member) \
	((type *)(void *)((char *)(member_ptr) - offsetof(type, member)))

#endif
