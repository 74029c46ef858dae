/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Small files, whole, without allocation; and sleeping.
 */
#ifndef AG_FILE_H
#define AG_FILE_H

#include <stdint.h>
#include <sys/types.h>

void ag_file_sleep_ms(unsigned ms);

/* At most cap - 1 bytes, NUL-terminated; how many, or -1. */
ssize_t ag_file_read(const char *path, char *buf, size_t cap);
/* Over what is there; makes the file if `mode` is not 0. */
int ag_file_write(const char *path, const char *text, mode_t mode);
/* The number after `key` in a text such as /proc/meminfo; 0 without one. */
uint64_t ag_file_number(const char *text, const char *key);

#endif
