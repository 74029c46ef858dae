/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Generations on disk: names, the host key, publishing, pruning, and what is
 * seen at each point of a publication that is cut short.
 */
#include <signal.h>
#include <sys/wait.h>

#include "prep/pr_dir.h"
#include "tests/unit/t_pr_files.h"
#include "tests/unit/tap.h"

static char state[64];

static void
test_names(void)
{
	static const struct {
		const char *arg, *name;
	} good[] = {
		{ "tiny", "tiny" }, { "tiny.cfg", "tiny" },
		{ "/a/b.c/Debian_12-x.cfg", "Debian_12-x" },
		{ "a.cfg.cfg", "a.cfg" },
		{ "12345678901234567890123456789012",
		    "12345678901234567890123456789012" },
	};
	static const char *const bad[] = { "", ".cfg", "a/", "..", ".x", "-x",
	    "a b", "a\nb", "123456789012345678901234567890123", "\xc3\xa4" };
	char name[GEN_NAME_MAX + 1];
	struct err e;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ok(gen_template_name(good[i].arg, name, sizeof(name), &e)
		    == 0 && strcmp(name, good[i].name) == 0,
		    "'%s' is template '%s'", good[i].arg, good[i].name);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ok(gen_template_name(bad[i], name, sizeof(name), &e) == -1
		    && e.code == ERR_USAGE, "bad name %zu is refused", i);
}

static void
test_host_key(void)
{
	uint8_t one[SF_KEY_BYTES], two[SF_KEY_BYTES] = { 0 };
	char path[128];
	struct stat st;
	struct err e = { .code = ERR_NONE };

	ok(gen_host_key(state, 0, one, &e) == -1 && e.code == ERR_STALE,
	    "no host key yet");
	ok(gen_host_key(state, 1, one, &e) == 0 &&
	    gen_host_key(state, 1, two, &e) == 0 &&
	    memcmp(one, two, sizeof(one)) == 0, "it is made once (%s)", e.msg);
	(void)snprintf(path, sizeof(path), "%s/host.key", state);
	ok(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600 &&
	    t_pr_count(state, "") == 1, "it is 0600, and nothing lies about");
	(void)chmod(path, 0644);
	ok(gen_host_key(state, 1, two, &e) == -1 && e.code == ERR_AUTH,
	    "one that others may read is refused");
	(void)chmod(path, 0600);
	ok(truncate(path, 31) == 0, "the key is cut short");
	ok(gen_host_key(state, 1, two, &e) == -1 && e.code == ERR_AUTH,
	    "a short one is refused");
	(void)unlink(path);
}

/* tmp-ID with a savefile that contains the id. */
static bool
make_tmp(const struct pr_dir *d, const char *id)
{
	char path[PATH_MAX + 64];
	struct err e;

	if (pr_dir_make_tmp(d, id, &e) != 0)
		return false;
	(void)snprintf(path, sizeof(path), "%s/tmp-%s/savefile", d->path, id);
	t_pr_write(path, id);
	return pr_dir_sync_tmp(d, id, &e) == 0;
}

static bool
current_is(const char *id)
{
	char text[64] = "";
	struct gen gen;
	struct err e;
	ssize_t n;

	if (gen_open_current(state, "tiny", &gen, &e) != 0)
		return id == NULL && e.code == ERR_STALE;
	n = read(gen.savefile_fd, text, sizeof(text) - 1);
	gen_close(&gen);
	return n > 0 && id != NULL && strcmp(text, id) == 0;
}

static void
test_publish(struct pr_dir *d)
{
	struct err e = { .code = ERR_NONE };
	struct gen gen;

	ok(current_is(NULL), "no generation is stale");
	ok(make_tmp(d, "a") && current_is(NULL), "one being made is not seen");
	ok(pr_dir_publish(d, "a", &e) == 0 && current_is("a"),
	    "a published one is current (%s)", e.msg);
	ok(make_tmp(d, "b") && pr_dir_publish(d, "b", &e) == 0 &&
	    current_is("b") && t_pr_count(d->path, "gen-") == 2,
	    "the next replaces it, and it stays");
	ok(gen_open_current(state, "tiny", &gen, &e) == 0 &&
	    make_tmp(d, "c") && pr_dir_publish(d, "c", &e) == 0 &&
	    pr_dir_prune(d, 0, &e) == 0 && t_pr_count(d->path, "gen-") == 1 &&
	    t_pr_count(d->path, "tmp-") == 0, "none but the current is kept");
	ok(lseek(gen.savefile_fd, 0, SEEK_END) == 1,
	    "who had an older one open still reads it");
	gen_close(&gen);
}

static void
test_prune(struct pr_dir *d)
{
	char id[2] = "d";
	struct err e = { .code = ERR_NONE };

	for (; id[0] < 'h'; id[0]++)
		if (!make_tmp(d, id) || pr_dir_publish(d, id, &e) != 0)
			abort();
	ok(pr_dir_prune(d, 2, &e) == 0 && t_pr_count(d->path, "gen-") == 3 &&
	    t_pr_count(d->path, "gen-c") == 0 &&
	    t_pr_count(d->path, "gen-f") == 1 && current_is("g"),
	    "the oldest are pruned, two are kept");
	ok(pr_dir_prune(d, 5, &e) == 0 && t_pr_count(d->path, "gen-") == 3,
	    "fewer than to be kept is no error");
}

/* The states on the way, made by hand, and what undoing makes of them. */
static void
test_cut_short(struct pr_dir *d)
{
	struct err e = { .code = ERR_NONE };

	if (!make_tmp(d, "x") ||
	    symlinkat("gen-x", d->fd, "current.new") != 0)
		abort();
	ok(current_is("g") && pr_dir_undo_publish(d, &e) == 0 &&
	    t_pr_count(d->path, "current.new") == 0 && current_is("g"),
	    "cut short before the rename: the old one is current");
	if (renameat(d->fd, "tmp-x", d->fd, "gen-x") != 0 ||
	    symlinkat("gen-x", d->fd, "current.new") != 0)
		abort();
	ok(current_is("g") && pr_dir_undo_publish(d, &e) == 0 &&
	    t_pr_count(d->path, "gen-x") == 0 &&
	    t_pr_count(d->path, "current.new") == 0 && current_is("g"),
	    "cut short after it: the new one is taken back");
	if (symlinkat("gen-g", d->fd, "current.new") != 0)
		abort();
	ok(pr_dir_undo_publish(d, &e) == 0 && current_is("g"),
	    "the current one is never taken back");
}

static void
test_lock(struct pr_dir *d)
{
	struct pr_dir other = { .fd = -1, .lock_fd = -1 };
	struct err e = { .code = ERR_NONE };
	pid_t child;

	ok(pr_dir_lock(d, false, &e) == 0 &&
	    pr_dir_open(state, "tiny", &other, &e) == 0 &&
	    pr_dir_lock(&other, false, &e) == -1 && e.code == ERR_BUSY,
	    "a second preparation is told so: %s", e.msg);
	/* As xl inherits it: the lock lives on in the child. */
	child = fork();
	if (child == 0) {
		(void)pause();
		_exit(0);
	}
	(void)close(d->lock_fd);
	d->lock_fd = -1;
	ok(pr_dir_lock(&other, false, &e) == -1 && e.code == ERR_BUSY,
	    "a child that holds the lock keeps it");
	(void)kill(child, SIGKILL);
	ok(pr_dir_lock(&other, true, &e) == 0,
	    "it is free when the child is gone");
	(void)waitpid(child, NULL, 0);
	pr_dir_close(&other);
}

static void
test_bad_links(struct pr_dir *d)
{
	static const char *const bad[] = { "../tiny/gen-g", "/etc", "tmp-x",
	    "gen-/../../x" };
	struct gen gen;
	struct err e = { .code = ERR_NONE };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)unlinkat(d->fd, "current", 0);
		if (symlinkat(bad[i], d->fd, "current") != 0)
			abort();
		ok(gen_open_current(state, "tiny", &gen, &e) == -1 &&
		    e.code == ERR_INPUT && gen.savefile_fd == -1,
		    "current -> %s is refused", bad[i]);
	}
	(void)unlinkat(d->fd, "current", 0);
	if (symlinkat("gen-none", d->fd, "current") != 0)
		abort();
	ok(gen_open_current(state, "tiny", &gen, &e) == -1 &&
	    e.code == ERR_STALE, "a generation that is gone is stale");
}

int
main(void)
{
	struct pr_dir d;
	struct err e;

	(void)snprintf(state, sizeof(state), "/tmp/t_pr.XXXXXX");
	if (mkdtemp(state) == NULL)
		abort();
	test_names();
	test_host_key();
	if (!ok(pr_dir_open(state, "tiny", &d, &e) == 0, "a directory"))
		return tap_done();
	test_publish(&d);
	test_prune(&d);
	test_cut_short(&d);
	test_lock(&d);
	test_bad_links(&d);
	pr_dir_close(&d);
	(void)chmod(state, 0700);
	t_pr_remove_tree(state);
	return tap_done();
}
