/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The launch page: the bytes are those of its header's table, and what the
 * agent takes is checked.
 */
#include <string.h>

#include "include/wire/launch_page.h"
#include "tests/unit/tap.h"

static void
fill_all(struct launch_page *p)
{
	*p = (struct launch_page){ .launch_id = 0x0102030405060708,
	    .wall_clock_ns = 0x1112131415161718, .name = "disp0001",
	    .host_name = "host-1" };
	memset(p->uuid, 'u', sizeof(p->uuid));
	memset(p->seed, 's', sizeof(p->seed));
}

static bool
all(const uint8_t *at, size_t len, uint8_t byte)
{
	for (size_t i = 0; i < len; i++)
		if (at[i] != byte)
			return false;
	return true;
}

static void
test_bytes(void)
{
	uint8_t page[LAUNCH_PAGE_BYTES], magic[LAUNCH_PAGE_MAGIC_BYTES];
	struct launch_page p;

	memset(magic, 'm', sizeof(magic));
	memset(page, 0xff, sizeof(page));
	launch_page_make(page, magic);
	ok(all(page, 32, 'm') && memcmp(page + 32, "\1\0\0\0\1\0\0\0", 8) == 0
	    && all(page + 40, 4056, 0) && launch_page_is_waiting(page),
	    "a new page waits");
	fill_all(&p);
	launch_page_fill(page, &p);
	ok(memcmp(page + 36, "\2\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01", 12) ==
	    0 && all(page + 48, 16, 'u') && all(page + 64, 64, 's') &&
	    page[128] == 0x18 && page[135] == 0x11 &&
	    strcmp((char *)page + 136, "disp0001") == 0 &&
	    strcmp((char *)page + 200, "host-1") == 0 &&
	    all(page + 264, 3832, 0), "every field has its place");
	ok(!launch_page_is_waiting(page), "a filled page does not wait");
}

static void
test_take(void)
{
	uint8_t page[LAUNCH_PAGE_BYTES], magic[LAUNCH_PAGE_MAGIC_BYTES];
	struct launch_page p, back;

	memset(magic, 'm', sizeof(magic));
	launch_page_make(page, magic);
	ok(launch_page_take(page, &back) == 0, "nothing to take yet");
	fill_all(&p);
	launch_page_fill(page, &p);
	memset(&back, 0, sizeof(back));
	ok(launch_page_take(page, &back) == 1 &&
	    memcmp(&p, &back, sizeof(p)) == 0, "what was put in comes out");
	ok(all(page + 40, 4056, 0), "the page is wiped");
	ok(launch_page_take(page, &back) == -1, "there is nothing twice");
}

/* What must not be used as a name. */
static void
test_names(void)
{
	static const char *const bad[] = { "", "a b", "a/b", "a\nb", "a.b",
	    "\xc3\xa4", "a;b" };
	uint8_t page[LAUNCH_PAGE_BYTES];
	struct launch_page p, back;

	for (size_t i = 0; i <= sizeof(bad) / sizeof(bad[0]); i++) {
		bool full = i == sizeof(bad) / sizeof(bad[0]);

		launch_page_make(page, (const uint8_t[32]){ 1 });
		fill_all(&p);
		if (full)
			memset(p.host_name, 'a', sizeof(p.host_name));
		else
			memcpy(p.host_name, bad[i], strlen(bad[i]) + 1);
		launch_page_fill(page, &p);
		ok(launch_page_take(page, &back) == -1 &&
		    all((const uint8_t *)&back, sizeof(back), 0),
		    "bad host name %zu is refused", i);
	}
}

static void
test_versions(void)
{
	uint8_t page[LAUNCH_PAGE_BYTES];
	struct launch_page p;

	launch_page_make(page, (const uint8_t[32]){ 1 });
	page[32] = 2;
	ok(!launch_page_is_waiting(page) && launch_page_take(page, &p) == -1,
	    "another version is refused");
	launch_page_make(page, (const uint8_t[32]){ 1 });
	page[4095] = 1;
	ok(!launch_page_is_waiting(page), "so is a page that is not empty");
}

static void
test_id(void)
{
	static const uint8_t uuid[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 0xab, 0, 0,
	    0, 0, 0, 0, 0xcd };
	char text[LAUNCH_PAGE_ID_TEXT];

	launch_page_id_text(launch_page_id(uuid), text);
	ok(strcmp(text, "ab000000000000cd") == 0, "the id is in the UUID");
}

int
main(void)
{
	test_bytes();
	test_take();
	test_names();
	test_versions();
	test_id();
	return tap_done();
}
