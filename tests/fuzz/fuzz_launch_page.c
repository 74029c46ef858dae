/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * libFuzzer: the launch page.  What is taken from any bytes must be usable as
 * names, and be gone from the page.
 */
#include <stdlib.h>
#include <string.h>

#include "include/wire/launch_page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Apart, so that a byte too many is seen. */
	uint8_t *page = calloc(1, LAUNCH_PAGE_BYTES);
	struct launch_page p, again;
	bool waiting;
	int taken;

	if (page == NULL)
		return 0;
	memcpy(page, data, size < LAUNCH_PAGE_BYTES ? size :
	    LAUNCH_PAGE_BYTES);
	waiting = launch_page_is_waiting(page);
	taken = launch_page_take(page, &p);
	if (waiting != (taken == 0))
		abort();
	if (taken == 1 && (strnlen(p.name, sizeof(p.name)) >=
	    sizeof(p.name) || p.host_name[0] == '\0' ||
	    launch_page_take(page, &again) != -1))
		abort();
	free(page);
	return 0;
}
