/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The launch page's bytes.  dom0 trusts a template's page only to say that it
 * waits; the agent trusts dom0, but checks what it goes on to use as a name.
 */
#include <endian.h>
#include <stdio.h>
#include <string.h>

#include "include/wire/launch_page.h"

enum offset {
	AT_MAGIC = 0,
	AT_VERSION = 32,
	AT_STATE = 36,
	AT_LAUNCH_ID = 40,
	AT_UUID = 48,
	AT_SEED = 64,
	AT_WALL_CLOCK = 128,
	AT_NAME = 136,
	AT_HOST_NAME = 200,
	AT_RESERVED = 264
};

static void
put_u32(uint8_t *at, uint32_t v)
{
	v = htole32(v);
	memcpy(at, &v, sizeof(v));
}

static uint32_t
get_u32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return le32toh(v);
}

static void
put_u64(uint8_t *at, uint64_t v)
{
	v = htole64(v);
	memcpy(at, &v, sizeof(v));
}

static uint64_t
get_u64(const uint8_t *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return le64toh(v);
}

void
launch_page_make(uint8_t *page, const uint8_t *magic)
{
	memset(page, 0, LAUNCH_PAGE_BYTES);
	memcpy(page + AT_MAGIC, magic, LAUNCH_PAGE_MAGIC_BYTES);
	put_u32(page + AT_VERSION, LAUNCH_PAGE_VERSION);
	put_u32(page + AT_STATE, LAUNCH_PAGE_WAITING);
}

bool
launch_page_is_waiting(const uint8_t *page)
{
	if (get_u32(page + AT_VERSION) != LAUNCH_PAGE_VERSION ||
	    get_u32(page + AT_STATE) != LAUNCH_PAGE_WAITING)
		return false;
	for (size_t i = AT_LAUNCH_ID; i < LAUNCH_PAGE_BYTES; i++)
		if (page[i] != 0)
			return false;
	return true;
}

void
launch_page_fill(uint8_t *page, const struct launch_page *p)
{
	put_u64(page + AT_LAUNCH_ID, p->launch_id);
	memcpy(page + AT_UUID, p->uuid, sizeof(p->uuid));
	memcpy(page + AT_SEED, p->seed, sizeof(p->seed));
	put_u64(page + AT_WALL_CLOCK, p->wall_clock_ns);
	memcpy(page + AT_NAME, p->name, sizeof(p->name));
	memcpy(page + AT_HOST_NAME, p->host_name, sizeof(p->host_name));
	put_u32(page + AT_STATE, LAUNCH_PAGE_FILLED);
}

static bool
is_name(const char *untrusted_name)
{
	size_t len = strnlen(untrusted_name, LAUNCH_PAGE_NAME_BYTES);

	if (len == 0 || len == LAUNCH_PAGE_NAME_BYTES)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = untrusted_name[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9') && c != '-')
			return false;
	}
	return true;
}

int
launch_page_take(uint8_t *page, struct launch_page *p)
{
	if (launch_page_is_waiting(page))
		return 0;
	if (get_u32(page + AT_VERSION) != LAUNCH_PAGE_VERSION ||
	    get_u32(page + AT_STATE) != LAUNCH_PAGE_FILLED)
		return -1;
	p->launch_id = get_u64(page + AT_LAUNCH_ID);
	memcpy(p->uuid, page + AT_UUID, sizeof(p->uuid));
	memcpy(p->seed, page + AT_SEED, sizeof(p->seed));
	p->wall_clock_ns = get_u64(page + AT_WALL_CLOCK);
	memcpy(p->name, page + AT_NAME, sizeof(p->name));
	memcpy(p->host_name, page + AT_HOST_NAME, sizeof(p->host_name));
	explicit_bzero(page + AT_LAUNCH_ID, AT_RESERVED - AT_LAUNCH_ID);
	put_u32(page + AT_STATE, LAUNCH_PAGE_TAKEN);
	if (is_name(p->name) && is_name(p->host_name))
		return 1;
	explicit_bzero(p, sizeof(*p));
	return -1;
}

uint64_t
launch_page_id(const uint8_t uuid[LAUNCH_PAGE_UUID_BYTES])
{
	uint64_t id;

	memcpy(&id, uuid + LAUNCH_PAGE_UUID_BYTES - sizeof(id), sizeof(id));
	return be64toh(id);
}

void
launch_page_id_text(uint64_t id, char text[LAUNCH_PAGE_ID_TEXT])
{
	(void)snprintf(text, LAUNCH_PAGE_ID_TEXT, "%016llx",
	    (unsigned long long)id);
}
