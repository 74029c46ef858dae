/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Names: each once in seven days, across openings; and no user but root gets
 * more than his share.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restore/launch/names.h"
#include "tests/unit/tap.h"

#define NOW 1800000000

static bool seen[RS_NAMES_MAX + 1];

/* How many are drawn until there is none; *twice if one came again. */
static unsigned
draw_all(int fd, uint32_t uid, int64_t now, bool *twice, struct err *e)
{
	char name[RS_NAME_BYTES];
	unsigned nr = 0;
	long n;

	*twice = false;
	while (rs_names_draw(fd, uid, now, name, e) == 0) {
		n = strtol(name + strlen("disp"), NULL, 10);
		if (strlen(name) != strlen("disp0000") || n < 1 ||
		    n > RS_NAMES_MAX || seen[n])
			*twice = true;
		else
			seen[n] = true;
		nr++;
	}
	return nr;
}

int
main(void)
{
	char dir[] = "/tmp/t_rs_names.XXXXXX", path[64];
	bool twice;
	struct err e;
	unsigned nr;
	int fd;

	if (mkdtemp(dir) == NULL || (fd = rs_names_open(dir, &e)) < 0)
		return 1;
	nr = draw_all(fd, 1000, NOW, &twice, &e);
	ok(nr == RS_NAMES_PER_UID && !twice && e.code == ERR_BUSY &&
	    strstr(e.msg, "user 1000") != NULL, "a user gets %u, each once: "
	    "%s", nr, e.msg);
	(void)close(fd);
	fd = rs_names_open(dir, &e);
	nr = draw_all(fd, 1000, NOW + RS_NAMES_HOLD_S - 1, &twice, &e);
	ok(nr == 0, "and no more in seven days, also after a restart");
	nr = draw_all(fd, 0, NOW, &twice, &e);
	ok(nr == RS_NAMES_MAX - RS_NAMES_PER_UID && !twice &&
	    e.code == ERR_BUSY && strstr(e.msg, "all 9999") != NULL,
	    "root gets all others, %u: %s", nr, e.msg);
	nr = draw_all(fd, 1001, NOW, &twice, &e);
	ok(nr == 0 && strstr(e.msg, "all 9999") != NULL, "then there is none");
	memset(seen, 0, sizeof(seen));
	nr = draw_all(fd, 1000, NOW + RS_NAMES_HOLD_S, &twice, &e);
	ok(nr == RS_NAMES_PER_UID && !twice, "after seven days there are some");
	nr = draw_all(fd, 1001, NOW, &twice, &e);
	ok(nr == 0, "one of the future counts as used");
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/names", dir);
	(void)unlink(path);
	(void)rmdir(dir);
	return tap_done();
}
