/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The watchdog: it cleans up after a process that is killed, and only then.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "prep/pr_watch.h"
#include "tests/unit/t_pr_files.h"
#include "tests/unit/tap.h"

enum ending { KILLED, EXITED, DONE };

static void
clean(void *ctx)
{
	t_pr_write(ctx, "cleaned");
}

/* A process with a watchdog that ends like this; the watchdog is reaped when
 * it returns. */
static void
end_one(enum ending how, char *mark)
{
	struct pr_watch w;
	struct err e;
	pid_t pid = fork();

	if (pid == 0) {
		if (pr_watch_start(clean, mark, &w, &e) != 0)
			_exit(1);
		if (how == DONE)
			pr_watch_done(&w);
		if (how == KILLED)
			(void)kill(getpid(), SIGKILL);
		_exit(0);
	}
	/* As our orphan the watchdog becomes our child: then all are. */
	while (wait(NULL) > 0)
		continue;
}

int
main(void)
{
	static const struct {
		enum ending how;
		const char *claim;
		bool cleans;
	} cases[] = {
		{ KILLED, "a killed process is cleaned up after", true },
		{ EXITED, "so is one that forgets to say that it is done",
		    true },
		{ DONE, "one that says so is left alone", false },
	};
	struct t_pr_files files;
	char mark[96];

	if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
		abort();
	t_pr_files_make(&files);
	(void)snprintf(mark, sizeof(mark), "%s/mark", files.dir);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		(void)unlink(mark);
		end_one(cases[i].how, mark);
		ok((access(mark, F_OK) == 0) == cases[i].cleans, "%s",
		    cases[i].claim);
	}
	t_pr_remove_tree(files.dir);
	return tap_done();
}
