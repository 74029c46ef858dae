/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The guest's door to xenstore: its wire protocol, spoken with the kernel.
 * Functions return -1 after saying why on stderr.
 */
#ifndef AG_XENBUS_H
#define AG_XENBUS_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

struct ag_xenbus {
	int fd;
	bool event;	/* of a watch, not yet waited for */
	char payload[XENSTORE_PAYLOAD_MAX + 1];	/* of the last reply */
};

int ag_xenbus_open(struct ag_xenbus *x);
/* 1 and the value in x->payload, 0 if there is no such node. */
int ag_xenbus_read(struct ag_xenbus *x, const char *path);
int ag_xenbus_write(struct ag_xenbus *x, const char *path, const char *value);
/* Every watch sends one event when it is new, and again when the kernel
 * registers it anew in a new domain: so a process learns of a resume without
 * a timer. */
int ag_xenbus_watch(struct ag_xenbus *x, const char *path);
/* Until an event of any watch. */
int ag_xenbus_wait(struct ag_xenbus *x);

#endif
