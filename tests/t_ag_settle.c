/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What dvm-prepare tells the agent arrives in it: both sides of one text.
 */
#include <string.h>

#include "ag_file.h"
#include "ag_settle.h"
#include "pr_config.h"
#include "tap.h"

static const struct pr_config_settle given = { .prerun = "/usr/bin/warm",
    .user = "user", .drop_caches = true, .boot_limit = 1, .prerun_limit = 2,
    .quiet_limit = 3, .quiet_cpu = 4, .quiet_disk = 5, .quiet_seconds = 6 };

static void
test_round_trip(void)
{
	char text[2048];
	struct pr_text t = { .buf = text, .cap = sizeof(text) };
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
	struct pr_text t = { .buf = text, .cap = sizeof(text) };
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
	test_numbers();
	return tap_done();
}
