/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Desktop entries, for ag_serve.  The files are the guest's own; what is wrong
 * in one is said and not guessed at.  Runs in a terminal or not as dvm says,
 * so Terminal is not looked at; neither is TryExec: what is not there cannot
 * be executed.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "prep/agent/ag_desktop.h"
#include "prep/agent/ag_file.h"

#define ENTRY_BYTES 65536

struct entry {
	char *type, *name, *exec, *icon, *hidden;
	const char *path;
};

/* Words as they grow. */
struct words {
	struct ag_desktop *d;
	size_t nr, len;
	bool in_word;
	bool full;
};

/* The value's escapes: \s \n \t \r \\. */
static void
unescape(char *value)
{
	static const char letters[] = "sntr\\", means[] = " \n\t\r\\";
	const char *from = value, *letter;

	for (; *from != '\0'; from++) {
		letter = from[0] == '\\' && from[1] != '\0' ?
		    strchr(letters, from[1]) : NULL;
		if (letter != NULL)
			from++;
		*value++ = letter != NULL ? means[letter - letters] : *from;
	}
	*value = '\0';
}

static void
take_key(struct entry *n, const char *key, char *value)
{
	const struct {
		const char *key;
		char **to;
	} keys[] = { { "Type", &n->type }, { "Name", &n->name },
	    { "Exec", &n->exec }, { "Icon", &n->icon },
	    { "Hidden", &n->hidden } };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (*keys[i].to == NULL && strcmp(key, keys[i].key) == 0) {
			unescape(value);
			*keys[i].to = value;
		}
}

/* The keys of the group "Desktop Entry", which is the first. */
static void
read_entry(char *text, struct entry *n)
{
	bool ours = false;
	char *line, *value;

	while ((line = strsep(&text, "\n")) != NULL) {
		if (line[0] == '[')
			ours = strncmp(line, "[Desktop Entry]", 15) == 0;
		value = strchr(line, '=');
		if (!ours || line[0] == '#' || value == NULL)
			continue;
		for (char *end = value; end > line && end[-1] == ' '; end--)
			end[-1] = '\0';
		*value++ = '\0';
		value += strspn(value, " ");
		value[strcspn(value, "\r")] = '\0';
		take_key(n, line, value);
	}
}

static void
begin_word(struct words *w)
{
	if (!w->in_word && w->nr + 1 < w->d->nr_max)
		w->d->argv[w->nr++] = w->d->text + w->len;
	else if (!w->in_word)
		w->full = true;
	w->in_word = true;
}

static void
put(struct words *w, char c)
{
	begin_word(w);
	if (w->len + 1 < w->d->cap)
		w->d->text[w->len++] = c;
	else
		w->full = true;
}

static void
put_text(struct words *w, const char *text)
{
	for (; *text != '\0'; text++)
		put(w, *text);
}

static void
end_word(struct words *w)
{
	if (!w->in_word)
		return;
	w->in_word = false;
	w->d->text[w->len] = '\0';
	if (w->len + 1 < w->d->cap)
		w->len++;
	else
		w->full = true;
}

/* 0, or -1 if there is no such field code. */
static int
put_code(struct words *w, char code, const struct entry *n)
{
	switch (code) {
	case '%':
		put(w, '%');
		return 0;
	case 'c':
		put_text(w, n->name != NULL ? n->name : "");
		return 0;
	case 'k':
		put_text(w, n->path);
		return 0;
	case 'i':
		if (n->icon == NULL || n->icon[0] == '\0')
			return 0;
		end_word(w);
		put_text(w, "--icon");
		end_word(w);
		put_text(w, n->icon);
		end_word(w);
		return 0;
	default:
		/* Files and addresses, of which there are none; and what is
		 * deprecated and "to be removed". */
		return code != '\0' && strchr("fFuUdDnNvm", code) != NULL ?
		    0 : -1;
	}
}

/* A quoted argument, which may be empty; *at is behind its first quote and
 * then at its last. */
static int
put_quoted(struct words *w, const char **at, const struct entry *n)
{
	const char *from = *at;

	/* So that "" is a word too. */
	begin_word(w);
	for (; *from != '"'; from++) {
		if (*from == '\0')
			return -1;
		if (*from == '\\' && from[1] != '\0' &&
		    strchr("\"`$\\", from[1]) != NULL)
			put(w, *++from);
		else if (*from != '%')
			put(w, *from);
		else if (put_code(w, *++from, n) != 0)
			return -1;
	}
	*at = from;
	return 0;
}

static int
split(struct words *w, const struct entry *n)
{
	for (const char *at = n->exec; *at != '\0'; at++) {
		if (*at == ' ' || *at == '\t' || *at == '\n') {
			end_word(w);
		} else if (*at == '"') {
			at++;
			if (put_quoted(w, &at, n) != 0)
				return -1;
		} else if (*at != '%') {
			put(w, *at);
		} else if (put_code(w, *++at, n) != 0) {
			return -1;
		}
	}
	end_word(w);
	w->d->argv[w->nr] = NULL;
	return 0;
}

int
ag_desktop_words(struct ag_desktop *d, char *entry, const char *path,
    struct err *e)
{
	struct entry n = { .path = path };
	struct words w = { .d = d };

	read_entry(entry, &n);
	if (n.type == NULL || strcmp(n.type, "Application") != 0)
		return err_set(e, ERR_INPUT, 0, "%s in the guest is not of an "
		    "application", path);
	if (n.exec == NULL)
		return err_set(e, ERR_INPUT, 0, "%s in the guest has no line "
		    "Exec=, so it does not say what to run", path);
	if (split(&w, &n) != 0 || w.full || w.nr == 0 ||
	    d->argv[0][0] == '\0')
		return err_set(e, ERR_INPUT, 0, "the line Exec= of %s in the "
		    "guest makes no sense: %.200s", path, n.exec);
	/* Hidden is as if it had been removed. */
	return n.hidden != NULL && strcmp(n.hidden, "true") == 0 ? 0 : 1;
}

int
ag_desktop_find(struct ag_desktop *d, const char *name, struct err *e)
{
	static const char *const dirs[] = { "/.local/share", "/usr/local/share",
	    "/usr/share" };
	static char text[ENTRY_BYTES];
	char path[768];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		(void)snprintf(path, sizeof(path),
		    "%s%s/applications/%.255s.desktop",
		    i == 0 ? d->home : d->root, dirs[i], name);
		if (ag_file_read(path, text, sizeof(text)) >= 0)
			return ag_desktop_words(d, text, path, e);
		if (errno != ENOENT && errno != ENOTDIR)
			return err_set(e, ERR_SYS, errno, "%s in the guest",
			    path);
	}
	return 0;
}
