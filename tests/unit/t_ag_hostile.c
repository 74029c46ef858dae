/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hostile agents do what hostile.h says of them: who checks the channel's
 * rules refuses just those that break them, and none can put more before a
 * client than a window.
 */
#include "tests/unit/t_ag_client.h"

static bool
does(const char *name, const char *expected, bool file)
{
	char words[64];
	size_t len;

	client.hostile = strncmp(name, "hello", 5) == 0 ||
	    strcmp(name, "mute") == 0 ? name : NULL;
	client_begin();
	len = (size_t)snprintf(words, sizeof(words), "hostile:%s", name) + 1;
	if (file) {
		client_put(words, "old", 3);
		client_start(CHAN_OPEN, 0, "", 0, 0, 0);
	} else {
		client_start(CHAN_PROGRAM, 0, words, len, 0, 0);
	}
	if (strcmp(name, "back-10g") == 0)
		client_wait_len(&client.file[0].len, CHAN_WINDOW + 1);
	else
		client_wait(strcmp(expected, "endless") == 0 ? 150 :
		    CLIENT_LIMIT_MS);
	if (client_end() < 0)
		return false;
	if (strcmp(expected, "broken") == 0)
		return client.broken;
	if (strcmp(expected, "cut") == 0)
		return client.closed;
	if (strcmp(expected, "endless") == 0)
		return !client_over();
	if (strcmp(name, "back-10g") == 0)
		return !client_over() && client.file[0].size > 9999999999 &&
		    client.file[0].len > CHAN_WINDOW;
	/* What dvm must not take: there is no file, or not what was said. */
	if (strcmp(expected, "refused") == 0)
		return client.exited && !(client.file[0].complete &&
		    client.file[0].hash_is_right);
	return client.exited || client.has_failed;
}

int
main(int argc, char **argv)
{
	char home[] = "/tmp/t_ag_hostile.XXXXXX", command[4200];
	char name[32], expected[16], needs[16];
	unsigned nr = 0;
	FILE *list;

	(void)argc;
	client_init(argv[0]);
	if (mkdtemp(home) == NULL)
		return 1;
	(void)setenv("HOME", home, 1);
	(void)snprintf(command, sizeof(command), "%s --hostiles >%s/list",
	    client_serve, home);
	(void)client_shell(command);
	(void)snprintf(command, sizeof(command), "%s/list", home);
	list = fopen(command, "r");
	while (list != NULL && fscanf(list, "%31s %15s %15s", name, expected,
	    needs) == 3) {
		client.stalled = strcmp(needs, "stalled") == 0;
		nr += ok(does(name, expected, strcmp(needs, "file") == 0),
		    "%s: %s", name, expected);
		if (strcmp(name, "failed-text") == 0)
			ok(strcspn(client.text, "\033\n\r\a") ==
			    strlen(client.text), "its text, for a terminal");
		if (strcmp(name, "tiny") == 0)
			ok(client.out_len == 1000000, "all of its frames");
		client.hostile = NULL;
	}
	ok(nr > 50 && list != NULL && fclose(list) == 0, "%u of them", nr);
	(void)snprintf(command, sizeof(command), "rm -r %s", home);
	return client_shell(command) == 0 ? tap_done() : 1;
}
