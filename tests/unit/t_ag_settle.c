/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What dvm-prepare tells the agent arrives in it: both sides of one text.
 */
#include <string.h>

#include "include/ident.h"
#include "prep/agent/ag_file.h"
#include "prep/agent/ag_settle.h"
#include "prep/pr_cold.h"
#include "tests/unit/tap.h"

static const struct pr_config_settle given = { .prerun = "/usr/bin/warm",
    .user = "user", .drop_caches = true, .boot_limit = 1, .prerun_limit = 2,
    .quiet_limit = 3, .quiet_cpu = 4, .quiet_disk = 5, .quiet_seconds = 6 };

static void
test_round_trip(void)
{
	char text[2048];
	struct gen_text t = { .buf = text, .cap = sizeof(text) };
	struct ag_settings s;
	struct err e;

	ok(pr_config_settle_text(&given, &t, &e) == 0 &&
	    ag_settle_parse(text, &s) == 0, "the agent reads the settings");
	ok(strcmp(s.prerun, given.prerun) == 0 &&
	    strcmp(s.user, given.user) == 0 && s.drop_caches &&
	    s.boot_limit_s == 1 && s.prerun_limit_s == 2 &&
	    s.quiet.limit_s == 3 && s.quiet.cpu_percent == 4 &&
	    s.quiet.disk_kib == 5 && s.quiet.seconds == 6, "as they are");
}

/* Each line left out in turn. */
static void
test_missing(void)
{
	char text[2048], cut[2048];
	struct gen_text t = { .buf = text, .cap = sizeof(text) };
	struct ag_settings s;
	struct err e;
	unsigned nr = 0, taken = 0;

	if (pr_config_settle_text(&given, &t, &e) != 0)
		return;
	for (char *line = text, *end; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		(void)snprintf(cut, sizeof(cut), "%.*s%s",
		    (int)(line - text), text, end + 1);
		taken += ag_settle_parse(cut, &s) == 0;
		nr++;
	}
	ok(nr == 9 && taken == 0, "settings without one of the %u lines are "
	    "refused", nr);
	ok(ag_settle_parse("", &s) == -1, "so are none");
	(void)snprintf(cut, sizeof(cut), "prerun=/%0300d\n%s", 0,
	    strchr(text, '\n') + 1);
	ok(ag_settle_parse(cut, &s) == -1, "and a value that does not fit");
}

/* What a disposable is told that is booted. */
static void
test_cold(void)
{
	static const struct cold_proto_request r = { .name = "disp0042",
	    .uuid = IDENT_UUID_DISP "\x01\x02\x43\xff\x85zyxwvut" };
	static const char *const bad[] = { "uuid=64766d31-0102-43ff-857a-"
	    "7978777675", "uuid=64766d31", "uuid=",
	    "uuid=64766d31-0102-43ff-857a-79787776757x", "name=", "name=debian",
	    "name=../disp", "no=line" };
	char text[2048], wrong[2048];
	struct gen_text t = { .buf = text, .cap = sizeof(text) };
	struct launch_page p;
	struct ag_settings s;
	struct err e;
	unsigned taken = 0;

	ok(pr_cold_text(&r, &given, &t, &e) == 0 &&
	    ag_settle_parse_cold(text, &s, &p) == 0 &&
	    memcmp(p.uuid, r.uuid, sizeof(p.uuid)) == 0 &&
	    p.launch_id == launch_page_id(r.uuid) &&
	    strcmp(p.name, "disp0042") == 0 &&
	    strcmp(p.host_name, "disp0042") == 0 &&
	    strcmp(s.user, given.user) == 0, "a disposable that is booted "
	    "hears who it is, and its template's settings");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		/* In the place of the line that has this name. */
		const char *name = bad[i][0] == 'u' ? "uuid=" : "name=";
		char *line = strstr(text, name), *end = strchr(line, '\n');

		(void)snprintf(wrong, sizeof(wrong), "%.*s%s%s",
		    (int)(line - text), text, bad[i], end);
		taken += ag_settle_parse_cold(wrong, &s, &p) == 0;
	}
	ok(taken == 0, "other names and UUIDs are none");
	ok(ag_settle_parse_cold(strstr(text, "prerun="), &s, &p) == -1,
	    "nor is what is meant for a preparation");
}

static void
test_numbers(void)
{
	static const char meminfo[] = "MemTotal:  1234 kB\nMemFree: 56 kB\n";

	ok(ag_file_number(meminfo, "MemFree:") == 56 &&
	    ag_file_number(meminfo, "SwapFree:") == 0, "numbers of /proc");
}

int
main(void)
{
	test_round_trip();
	test_missing();
	test_cold();
	test_numbers();
	return tap_done();
}
