/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * How dvm prints numbers, for people and as JSON.
 */
#ifndef DVM_OUT_H
#define DVM_OUT_H

#include <stdint.h>
#include <stdio.h>

#include <json-c/json.h>

#include "include/err.h"

#define DVM_OUT_MAX 32

/* "3.4 s", "12 min", "5 h", "8 d"; returns to. */
const char *dvm_out_time(uint64_t ns, char to[DVM_OUT_MAX]);

/* "512 KiB", "1.5 GiB"; returns to. */
const char *dvm_out_size(uint64_t bytes, char to[DVM_OUT_MAX]);

/* object[key] = value. */
void dvm_out_add_text(struct json_object *object, const char *key,
    const char *value);
void dvm_out_add_number(struct json_object *object, const char *key,
    uint64_t value);
/* In seconds with six decimals, exact also for a date. */
void dvm_out_add_seconds(struct json_object *object, const char *key,
    uint64_t ns);

/* Prints it on a line of its own and frees it; on standard output, or
 * elsewhere. */
void dvm_out_line(struct json_object *object);
void dvm_out_line_to(struct json_object *object, FILE *to);

/* -1: something of standard output did not get out. */
int dvm_out_flush(struct err *e);

#endif
