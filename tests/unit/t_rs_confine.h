/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A child that is confined and then tries something; for t_rs_confine*.c.
 */
#ifndef T_RS_CONFINE_H
#define T_RS_CONFINE_H

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restore/role/confine.h"

#define OTHER_ID 65534		/* nobody: there may be no dvm-front here */
#define NR_FILES 64

enum who {
	FRONT = RS_CONFINE_FRONT, COURIER = RS_CONFINE_COURIER,
	CORE = RS_CONFINE_CORE, NOBODY
};

static inline struct rs_confine_params
params(enum who who)
{
	return (struct rs_confine_params){
		.role = who == NOBODY ? RS_CONFINE_CORE :
		    (enum rs_confine_role)who,
		.uid = OTHER_ID,
		.gid = OTHER_ID,
		.parent = getppid(),
		.nr_files = NR_FILES,
	};
}

/* The wait status of a child that did it; its exit status is the try's. */
static inline int
in_child(enum who who, int (*try)(void))
{
	struct rs_confine_params p;
	struct err e;
	int status = -1;
	pid_t pid;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		(void)alarm(60);	/* of a try that hangs */
		p = params(who);
		if (who != NOBODY && rs_confine(&p, &e) != 0) {
			(void)fprintf(stderr, "# %s\n", e.msg);
			_exit(99);
		}
		_exit(try());
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -1;
	return status;
}

#endif
