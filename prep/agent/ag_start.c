/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Programs, services, files and addresses become an argv, for ag_serve.  START
 * is dom0's word; names of files and of services are checked all the same,
 * since they become parts of paths.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "prep/agent/ag_desktop.h"
#include "prep/agent/ag_start.h"

#define NR(array) (sizeof(array) / sizeof((array)[0]))

/* xdg-open takes one file.  What sh starts in the background ignores ^C, which
 * env takes back (coreutils 8.31 and later); sh itself then waits on for what
 * they make of it.  The last one that failed gives the status. */
#define OPEN_EACH "env='env --default-signal=INT,QUIT';" \
    " if $env true 2>/dev/null; then trap '' INT QUIT; else env=; fi;" \
    " for f; do $env xdg-open \"$f\" & all=\"$all $!\"; done;" \
    " status=0; for p in $all; do wait $p || status=$?; done; exit $status"

/* Of FAILED, with what err_set() has set. */
static int
failed(int status, int set)
{
	return set == 0 ? 0 : status;
}

/* Is there such a program in the PATH that it will have? */
static bool
has_program(const char *name)
{
	char path[512], dirs[] = AG_RUN_PATH, *at = dirs, *dir;

	while ((dir = strsep(&at, ":")) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
		if (access(path, X_OK) == 0)
			return true;
	}
	return false;
}

static bool
has_rule(const struct ag_start *w, struct ag_command *c, const char *name)
{
	(void)snprintf(c->path, sizeof(c->path), "%s/etc/dvm/%s", w->root,
	    name);
	return access(c->path, F_OK) == 0;
}

static void
add_files(const struct ag_start *w, struct ag_command *c, size_t nr)
{
	for (unsigned i = 0; i < w->files->nr; i++)
		c->argv[nr++] = w->files->file[i].path;
	c->argv[nr] = NULL;
}

static int
open_files(const struct ag_start *w, struct ag_command *c, struct err *e)
{
	static const char *const each[] = { "/bin/sh", "-c", OPEN_EACH,
	    "dvm-open" };
	size_t nr = 1;

	c->to_the_last = true;
	if (has_rule(w, c, "open")) {
		c->argv[0] = c->path;
	} else if (has_program("xdg-open") && w->files->nr == 1) {
		c->argv[0] = "xdg-open";
	} else if (has_program("xdg-open")) {
		memcpy(c->argv, each, sizeof(each));
		nr = NR(each);
	} else if (has_program("run-mailcap")) {
		c->argv[0] = "run-mailcap";
	} else {
		return failed(127, err_set(e, ERR_INPUT, 0, "nothing in the "
		    "guest opens files: install xdg-utils or mailcap in the "
		    "template, or make /etc/dvm/open"));
	}
	add_files(w, c, nr);
	return 0;
}

/* A scheme, as RFC 3986 has it: so that it cannot be an option. */
static bool
is_url(const char *text)
{
	size_t len = strcspn(text, ":");

	if (text[len] != ':' || strchr("+-.0123456789", text[0]) != NULL)
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.") == len;
}

static int
open_url(const struct ag_start *w, struct ag_command *c, struct err *e)
{
	static const char *const usual[] = { "xdg-open", "x-www-browser",
	    "firefox-esr", "firefox", "chromium", "google-chrome",
	    "www-browser", "links", "lynx", "w3m" };

	c->to_the_last = true;
	c->argv[1] = c->text;
	c->argv[2] = NULL;
	if (!is_url(c->text))
		return failed(125, err_set(e, ERR_INPUT, 0, "\"%.200s\" is no "
		    "address: one begins with \"https:\" or the like",
		    c->text));
	if (has_rule(w, c, "open-url")) {
		c->argv[0] = c->path;
		return 0;
	}
	for (size_t i = 0; i < NR(usual); i++) {
		if (!has_program(usual[i]))
			continue;
		c->argv[0] = usual[i];
		return 0;
	}
	return failed(127, err_set(e, ERR_INPUT, 0, "the guest has no browser: "
	    "install one in the template, or make /etc/dvm/open-url"));
}

static bool
is_service(const char *name)
{
	return name[0] != '\0' && name[0] != '.' && strspn(name,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	    "._-") == strlen(name);
}

/* The program of a name's entry; or, where there is none, as with Debian's
 * xterm, the program of that name. */
static int
start_app(const struct ag_start *w, struct ag_command *c, struct err *e)
{
	const char *name = c->argument;
	struct ag_desktop d = { .root = w->root, .home = w->user->home,
	    .text = c->text, .cap = sizeof(c->text), .argv = c->argv,
	    .nr_max = NR(c->argv) };
	int found;

	c->to_the_last = true;
	if (name == NULL || !is_service(name))
		return failed(125, err_set(e, ERR_INPUT, 0, "StartApp+NAME: "
		    "\"%.200s\" cannot be an application's name",
		    name == NULL ? "" : name));
	(void)snprintf(c->path, sizeof(c->path), "%.255s", name);
	c->argument = NULL;
	found = ag_desktop_find(&d, c->path, e);
	if (found < 0)
		return 126;
	if (found == 1)
		return 0;
	if (!has_program(c->path))
		return failed(127, err_set(e, ERR_INPUT, 0, "the guest has no "
		    "application \"%s\"", c->path));
	c->argv[0] = c->path;
	c->argv[1] = NULL;
	return 0;
}

static bool
is_start_app(const char *name)
{
	static const char app[] = ".StartApp";
	size_t len = strlen(name);

	return len >= sizeof(app) &&
	    strcmp(name + len - (sizeof(app) - 1), app) == 0;
}

/* c->text is "NAME" or "NAME+ARGUMENT". */
static int
start_service(const struct ag_start *w, struct ag_command *c, struct err *e)
{
	static const char *const dirs[] = { "/etc/dvm-rpc", "/etc/PedOS-rpc",
	    "/etc/qubes-rpc" };
	char *plus = strchr(c->text, '+');

	if (plus != NULL) {
		*plus = '\0';
		c->argument = plus + 1;
	}
	if (!is_service(c->text))
		return failed(125, err_set(e, ERR_INPUT, 0, "\"%.200s\" "
		    "cannot be a service's name", c->text));
	for (size_t i = 0; i < NR(dirs); i++) {
		(void)snprintf(c->path, sizeof(c->path), "%s%s/%.255s",
		    w->root, dirs[i], c->text);
		if (access(c->path, F_OK) != 0)
			continue;
		c->argv[0] = c->path;
		c->argv[1] = c->argument;
		c->argv[2] = NULL;
		return 0;
	}
	if (is_start_app(c->text))
		return start_app(w, c, e);
	return failed(127, err_set(e, ERR_INPUT, 0, "the guest has no service "
	    "\"%.200s\": it would be in /etc/dvm-rpc", c->text));
}

static void
split_args(const struct chan_start *s, struct ag_command *c)
{
	unsigned nr = 0;

	/* The channel's rules have checked the last NUL and the count. */
	memcpy(c->text, s->args, s->args_len);
	for (size_t at = 0; at < s->args_len; at += strlen(c->text + at) + 1)
		c->argv[nr++] = c->text + at;
	c->argv[nr] = NULL;
}

int
ag_start(const struct ag_start *w, const struct chan_start *s,
    struct ag_command *c, struct err *e)
{
	c->argument = NULL;
	c->to_the_last = false;
	split_args(s, c);
	switch ((enum chan_kind)s->kind) {
	case CHAN_PROGRAM:
		return 0;
	case CHAN_SERVICE:
		return start_service(w, c, e);
	case CHAN_OPEN:
		return open_files(w, c, e);
	case CHAN_URL:
		return open_url(w, c, e);
	}
	return failed(125, err_set(e, ERR_INPUT, 0, "the agent does not know "
	    "what to start"));
}
