/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Desktop entries: which words their line Exec= becomes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prep/agent/ag_desktop.h"
#include "prep/agent/ag_file.h"
#include "tests/unit/tap.h"

#define PATH "/usr/share/applications/x.desktop"
#define ENTRY "[Desktop Entry]\nType=Application\nName=The App\n" \
    "Name[de]=Die App\nIcon=an icon\n"

static char text[256];
static const char *argv[8];
static char words[512];
static struct err e;

static int
read_entry(const char *entry)
{
	struct ag_desktop d = { .root = "", .home = "", .text = text,
	    .cap = sizeof(text), .argv = argv,
	    .nr_max = sizeof(argv) / sizeof(argv[0]) };
	char copy[1024];
	int rc, len = 0;

	(void)snprintf(copy, sizeof(copy), "%s", entry);
	memset(argv, 0, sizeof(argv));
	rc = ag_desktop_words(&d, copy, PATH, &e);
	words[0] = '\0';
	for (size_t i = 0; rc == 1 && argv[i] != NULL; i++)
		len += snprintf(words + len, sizeof(words) - (size_t)len,
		    "<%s>", argv[i]);
	return rc;
}

static void
is(const char *exec, const char *expected)
{
	char entry[512];

	(void)snprintf(entry, sizeof(entry), ENTRY "Exec=%s\n", exec);
	if (!ok(read_entry(entry) == 1 && strcmp(words, expected) == 0,
	    "%s is %s", exec, expected))
		printf("# it is %s\n", words);
}

static void
is_none(const char *exec)
{
	char entry[512];

	(void)snprintf(entry, sizeof(entry), ENTRY "Exec=%s\n", exec);
	ok(read_entry(entry) == -1 && strstr(e.msg, PATH) != NULL,
	    "'%s' is refused", exec);
}

static void
test_words(void)
{
	is("app", "<app>");
	is("app  one\ttwo ", "<app><one><two>");
	is("app \"one two\" three", "<app><one two><three>");
	is("app \"\" end", "<app><><end>");
	is("app a\"b c\"d", "<app><ab cd>");
	/* The value's own escapes come first. */
	is("app \"\\\\\"x\\\\\" \\\\$a \\\\`b \\\\\\\\\"",
	    "<app><\"x\" $a `b \\>");
	is("app \"\\\\n\"", "<app><\\n>");
	is("app a\\sb", "<app><a><b>");
	is("app \"a\\tb\"", "<app><a\tb>");
	is("app $HOME ; rm *", "<app><$HOME><;><rm><*>");
}

static void
test_codes(void)
{
	is("app %f", "<app>");
	is("app %F %u %U end", "<app><end>");
	is("app --file=%f", "<app><--file=>");
	is("app %d%D%n%N%v%m", "<app>");
	is("app 100%%", "<app><100%>");
	is("app %c", "<app><The App>");
	is("app -n%c", "<app><-nThe App>");
	is("app %i end", "<app><--icon><an icon><end>");
	is("app %k", "<app><" PATH ">");
	is("app \"%c %%\"", "<app><The App %>");
}

static void
test_refused(void)
{
	is_none("");
	is_none("%f");
	is_none("\"\"");
	is_none("app \"open");
	is_none("app %z");
	is_none("app %");
	is_none("app \"%");
	is_none("app 1 2 3 4 5 6 7");
	is_none("app xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
	    "xxxxxxxxxxxxxxxxxxxx");
	is("app 1 2 3 4 5 6", "<app><1><2><3><4><5><6>");
}

static void
test_entries(void)
{
	ok(read_entry("Exec=no\n[Desktop Action new]\nExec=no\n"
	    "[Desktop Entry]\r\n# Exec=no\nType = Application\r\n"
	    "Exec = yes 1\r\nTryExec=/none\nTerminal=true\n"
	    "[Desktop Action other]\nExec=no\n") == 1 &&
	    strcmp(words, "<yes><1>") == 0, "only the entry's own group");
	ok(read_entry("[Desktop Entry]\nType=Link\nURL=x\nExec=no\n") == -1 &&
	    strstr(e.msg, "not of an application") != NULL, "a link is none");
	ok(read_entry("[Desktop Entry]\nExec=no\n") == -1, "nor is one "
	    "without a type");
	ok(read_entry("[Desktop Entry]\nType=Application\n") == -1 &&
	    strstr(e.msg, "Exec=") != NULL, "nor one without Exec");
	ok(read_entry("") == -1, "nor nothing");
	ok(read_entry("[Desktop Entry]\nType=Application\nExec=a %i%c\n") ==
	    1 && strcmp(words, "<a>") == 0, "without Name and Icon");
	ok(read_entry(ENTRY "Exec=app\nHidden=true\n") == 0, "a hidden one is "
	    "as if it were not there");
	ok(read_entry(ENTRY "Exec=app\nHidden=false\nNoDisplay=true\n") == 1,
	    "one that no menu shows is there");
}

static void
test_find(void)
{
	char root[] = "/tmp/t_ag_desktop.XXXXXX", path[96];
	struct ag_desktop d = { .text = text, .cap = sizeof(text),
	    .argv = argv, .nr_max = sizeof(argv) / sizeof(argv[0]) };
	static const char *const dirs[] = { "", "/usr", "/usr/share",
	    "/usr/share/applications", "/.local", "/.local/share",
	    "/.local/share/applications" };

	d.root = d.home = mkdtemp(root);
	for (size_t i = 1; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s%s", root, dirs[i]);
		(void)mkdir(path, 0755);
	}
	(void)snprintf(path, sizeof(path), "%s%s/app.desktop", root, dirs[3]);
	ok(ag_desktop_find(&d, "app", &e) == 0, "no entry");
	ok(ag_file_write(path, ENTRY "Exec=system\n", 0644) == 0 &&
	    ag_desktop_find(&d, "app", &e) == 1 &&
	    strcmp(argv[0], "system") == 0, "the system's");
	(void)snprintf(path, sizeof(path), "%s%s/app.desktop", root, dirs[6]);
	ok(ag_file_write(path, ENTRY "Exec=own\n", 0644) == 0 &&
	    ag_desktop_find(&d, "app", &e) == 1 &&
	    strcmp(argv[0], "own") == 0, "the user's before the system's");
	ok(ag_file_write(path, ENTRY "Exec=own\nHidden=true\n", 0644) == 0 &&
	    ag_desktop_find(&d, "app", &e) == 0, "which can hide the "
	    "system's");
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s%s/app.desktop", root, dirs[3]);
	(void)unlink(path);
	for (size_t i = sizeof(dirs) / sizeof(dirs[0]); i-- > 0;) {
		(void)snprintf(path, sizeof(path), "%s%s", root, dirs[i]);
		(void)rmdir(path);
	}
}

int
main(void)
{
	test_words();
	test_codes();
	test_refused();
	test_entries();
	test_find();
	return tap_done();
}
