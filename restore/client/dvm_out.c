/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Numbers and JSON on standard output, in dvm.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "include/clock.h"
#include "restore/client/dvm_out.h"

const char *
dvm_out_time(uint64_t ns, char to[DVM_OUT_MAX])
{
	uint64_t s = ns / CLOCK_SECOND;

	if (s < 10)
		(void)snprintf(to, DVM_OUT_MAX, "%.1f s", (double)ns / 1e9);
	else if (s < 120)
		(void)snprintf(to, DVM_OUT_MAX, "%" PRIu64 " s", s);
	else if (s < 7200)
		(void)snprintf(to, DVM_OUT_MAX, "%" PRIu64 " min", s / 60);
	else if (s < 48 * 3600)
		(void)snprintf(to, DVM_OUT_MAX, "%" PRIu64 " h", s / 3600);
	else
		(void)snprintf(to, DVM_OUT_MAX, "%" PRIu64 " d", s / 86400);
	return to;
}

const char *
dvm_out_size(uint64_t bytes, char to[DVM_OUT_MAX])
{
	if (bytes < 1u << 20)
		(void)snprintf(to, DVM_OUT_MAX, "%" PRIu64 " KiB",
		    bytes >> 10);
	else if (bytes < 10ull << 30)
		(void)snprintf(to, DVM_OUT_MAX, "%" PRIu64 " MiB",
		    bytes >> 20);
	else
		(void)snprintf(to, DVM_OUT_MAX, "%.1f GiB",
		    (double)bytes / (1ull << 30));
	return to;
}

void
dvm_out_add_text(struct json_object *object, const char *key,
    const char *value)
{
	(void)json_object_object_add(object, key,
	    json_object_new_string(value));
}

void
dvm_out_add_number(struct json_object *object, const char *key,
    uint64_t value)
{
	(void)json_object_object_add(object, key,
	    json_object_new_uint64(value));
}

void
dvm_out_add_seconds(struct json_object *object, const char *key, uint64_t ns)
{
	char text[DVM_OUT_MAX];

	/* As text too, since 1.7e18 ns do not fit a double. */
	(void)snprintf(text, sizeof(text), "%" PRIu64 ".%06" PRIu64,
	    ns / CLOCK_SECOND, ns % CLOCK_SECOND / 1000);
	(void)json_object_object_add(object, key,
	    json_object_new_double_s((double)ns / 1e9, text));
}

void
dvm_out_line_to(struct json_object *object, FILE *to)
{
	(void)fprintf(to, "%s\n", json_object_to_json_string_ext(object,
	    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)json_object_put(object);
}

void
dvm_out_line(struct json_object *object)
{
	dvm_out_line_to(object, stdout);
}

int
dvm_out_flush(struct err *e)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return 0;
	return err_set(e, ERR_SYS, errno, "cannot write the output");
}
