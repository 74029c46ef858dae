/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A host of fakes in a directory: see fake_host.h.  Test code only.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore/launch/names.h"
#include "tests/fake/fake_disk.h"
#include "tests/fake/fake_host.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"

#define DOMAINS_BATCH 64
#define NAMES_BYTES (1u << 18)

/* As a toolstack leaves them after the boot. */
static const char *const fresh_nodes[] = { "/libxl", "/local",
    "/local/domain", "/local/domain/0", "/local/domain/0/backend",
    "/local/domain/0/backend/vbd", "/local/domain/0/backend/console",
    "/vm" };

#define FRESH_NODES (sizeof(fresh_nodes) / sizeof(fresh_nodes[0]))

static const char *
path_of(const char *dir, const char *file, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/%s", dir, file);
	return path;
}

int
fake_host_make(const char *dir, const struct fake_heap_config *config,
    struct err *e)
{
	char path[PATH_MAX];
	struct env env;
	int fd;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return err_set(e, ERR_SYS, errno, "%s", dir);
	fd = open(path_of(dir, "memory", path), O_RDWR | O_CREAT | O_EXCL |
	    O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(e, ERR_SYS, errno, "%s", path);
	(void)close(fd);
	if (fake_heap_make(path_of(dir, "state", path), config, e) != 0 ||
	    fake_host_open(dir, NULL, &env, e) != 0)
		return -1;
	for (size_t i = 0; i < FRESH_NODES; i++)
		fake_store_put(env.store, fresh_nodes[i], "");
	env_close(&env);
	return 0;
}

int
fake_host_open(const char *dir, struct fake_fault *fault, struct env *env,
    struct err *e)
{
	static const struct fake_store_reaction backend = {
	    .react = fake_store_vbd_backend };
	struct fake_hv_params hp = { .fault = fault, .scrubbed = true };
	struct fake_heap *heap;
	char path[PATH_MAX];
	int fd;

	*env = (struct env){ .names_fd = -1 };
	heap = fake_heap_open(path_of(dir, "state", path), e);
	if (heap == NULL)
		return -1;
	fd = open(path_of(dir, "memory", path), O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		fake_heap_close(heap);
		return err_set(e, ERR_SYS, errno, "%s", path);
	}
	env->store = fake_store_attach(fault, &backend, heap);
	env->disk = fake_disk_attach(fault, heap);
	hp.host_pages = fake_heap_config(heap)->host_pages;
	hp.agents = env->store;
	env->hv = fake_hv_attach(&hp, heap, fd);
	fake_heap_close(heap);
	return 0;
}

/* Of this process; each opening sets the same. */
static struct fake_fault process_fault;

int
rs_host_open(const char *state_dir, struct env *env, struct err *e)
{
	const char *dir = getenv(FAKE_HOST_ENV);
	const char *fail = getenv(FAKE_HOST_FAIL_ENV);

	*env = (struct env){ .names_fd = -1 };
	if (dir == NULL)
		return err_set(e, ERR_USAGE, 0, FAKE_HOST_ENV " is not set");
	__atomic_store_n(&process_fault.fail_at, fail == NULL ? 0 :
	    (unsigned)strtoul(fail, NULL, 10), __ATOMIC_RELAXED);
	if (fake_host_open(dir, &process_fault, env, e) != 0)
		return -1;
	env->names_fd = rs_names_open(state_dir, e);
	if (env->names_fd >= 0)
		return 0;
	env_close(env);
	return -1;
}

/* Lines, to be sorted. */
struct lines {
	char **text;
	size_t nr;
};

static void
add_line(struct lines *l, char *text)
{
	l->text = realloc(l->text, (l->nr + 1) * sizeof(*l->text));
	if (l->text == NULL || text == NULL)
		abort();
	l->text[l->nr++] = text;
}

static void
add_node(void *arg, const char *path)
{
	char *text;

	for (size_t i = 0; i < FRESH_NODES; i++)
		if (strcmp(path, fresh_nodes[i]) == 0)
			return;
	if (asprintf(&text, "node %s", path) < 0)
		abort();
	add_line(arg, text);
}

static void
add_domains(struct lines *l, const struct env *env)
{
	struct hv_domain_info infos[DOMAINS_BATCH];
	uint32_t first = 0;
	struct err e;
	char *text;
	int nr;

	do {
		nr = env->hv->ops->list(env->hv, first, infos, DOMAINS_BATCH,
		    &e);
		for (int i = 0; i < nr; i++) {
			const uint8_t *u = infos[i].uuid;

			first = infos[i].domid + 1;
			if (asprintf(&text, "domain %u %02x%02x%02x%02x-"
			    "%02x%02x-%02x%02x-%02x%02x-"
			    "%02x%02x%02x%02x%02x%02x %s", infos[i].domid,
			    u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7],
			    u[8], u[9], u[10], u[11], u[12], u[13], u[14],
			    u[15], infos[i].shutdown ? "shutdown" :
			    fake_hv_is_running(env->hv, infos[i].domid) ?
			    "running" : "paused") < 0)
				abort();
			add_line(l, text);
		}
	} while (nr == DOMAINS_BATCH);
}

static void
add_disks(struct lines *l, const struct env *env)
{
	char *names = malloc(NAMES_BYTES), *at = names, *text;
	struct err e;
	int nr;

	if (names == NULL)
		abort();
	nr = env->disk->ops->list(env->disk, "", names, NAMES_BYTES, &e);
	for (int i = 0; i < nr; i++, at += strlen(at) + 1) {
		if (asprintf(&text, "disk %s", at) < 0)
			abort();
		add_line(l, text);
	}
	free(names);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

size_t
fake_host_print_held(const struct env *env, FILE *out)
{
	struct lines l = { .nr = 0 };

	add_domains(&l, env);
	add_disks(&l, env);
	fake_store_visit(env->store, add_node, &l);
	if (l.nr > 0)
		qsort(l.text, l.nr, sizeof(*l.text), by_text);
	for (size_t i = 0; i < l.nr; i++) {
		(void)fprintf(out, "%s\n", l.text[i]);
		free(l.text[i]);
	}
	free(l.text);
	return l.nr;
}
