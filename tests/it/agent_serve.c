/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The agent's end of the channel on a socket, for tests without a guest.
 *
 *   agent_serve [--fd N] [--root DIR] [--user NAME] [--hostile NAME]
 *   agent_serve --hostiles
 *
 * Serves one session on descriptor N (3), a connected stream socket.  What it
 * starts runs as NAME, else as who runs it, with $HOME as home.  DIR stands
 * before /etc/dvm-rpc, /etc/dvm/open, /usr/share and the like ("").  Which
 * hostile agents it can be hostile.h says; the program or file "hostile:NAME"
 * does the same, and --hostiles lists them.  Exit status 0: the session is over
 * in order; 1: it is not, and stderr says why; 2: usage.
 */
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "prep/agent/ag_serve.h"
#include "tests/fake/hostile.h"

static int
find_user(const char *name, struct ag_run_user *user)
{
	const char *home = getenv("HOME");

	if (name != NULL)
		return ag_run_user(name, user);
	if (ag_run_user_by_uid(geteuid(), user) != 0)
		return -1;
	if (home != NULL)
		(void)snprintf(user->home, sizeof(user->home), "%s", home);
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "fd", required_argument, NULL, 'f' },
		{ "root", required_argument, NULL, 'r' },
		{ "user", required_argument, NULL, 'u' },
		{ "hostile", required_argument, NULL, 'h' },
		{ "hostiles", no_argument, NULL, 'l' },
		{ 0 }
	};
	static struct ag_run_user user;
	struct ag_serve_params p = { .user = &user, .root = "",
	    .cgroup_fd = -1 };
	struct chan_io io = chan_io_socket(3);
	const char *name = NULL;
	struct err e;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'f')
			io.fd = (int)strtol(optarg, NULL, 10);
		else if (c == 'r')
			p.root = optarg;
		else if (c == 'u')
			name = optarg;
		else if (c == 'l')
			hostile_list(stdout);
		else if (c != 'h' || !hostile_set(optarg))
			return 2;
		if (c == 'l')
			return 0;
	}
	if (find_user(name, &user) != 0 ||
	    fcntl(io.fd, F_SETFD, FD_CLOEXEC) != 0) {
		perror("agent_serve");
		return 2;
	}
	if (ag_serve(&io, &p, &e) == 0)
		return 0;
	(void)fprintf(stderr, "agent_serve: %s\n", e.msg);
	return 1;
}
