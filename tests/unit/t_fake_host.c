/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A host of fakes is as a real one: what a killed process made is there for
 * the next, what one does others see, and no death blocks or breaks it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/launch_page.h"
#include "restore/launch/ack.h"
#include "restore/launch/reconcile.h"
#include "tests/fake/fake_host.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"
#include "tests/fake/fake_world.h"
#include "tests/unit/tap.h"

#define NR_KILLS 60
#define NR_DOMAINS 300

struct fixture {
	char dir[64], state_dir[80];
	uint64_t launch_gfn;
	struct env env;	/* of the test itself */
};

static const struct rs_launch_params launch_params = { .nr_workers = 2,
    .store_bytes = 1 << 20, .backend_timeout_ms = 1000 };

static void
make(struct fixture *x, const struct fake_heap_config *config)
{
	struct err e;

	(void)snprintf(x->dir, sizeof(x->dir), "/tmp/t_fake_host.XXXXXX");
	if (mkdtemp(x->dir) == NULL)
		abort();
	(void)snprintf(x->state_dir, sizeof(x->state_dir), "%s/dvm", x->dir);
	(void)mkdir(x->state_dir, 0700);
	(void)setenv(FAKE_HOST_ENV, x->dir, 1);
	if (fake_host_make(x->dir, config, &e) != 0 ||
	    rs_host_open(x->state_dir, &x->env, &e) != 0) {
		(void)printf("# %s\n", e.msg);
		abort();
	}
	x->launch_gfn = fake_world_add(x->state_dir, "t", x->env.hv);
}

static void
drop(struct fixture *x)
{
	static const char *const files[] = { "state", "memory", "" };
	char path[96];

	env_close(&x->env);
	fake_world_remove(x->state_dir, "t");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", x->dir, files[i]);
		(void)remove(path);
	}
}

/* What is held, as text; the caller frees. */
static char *
held(const struct fixture *x)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		abort();
	(void)fake_host_print_held(&x->env, f);
	(void)fclose(f);
	return text;
}

static bool
holds_nothing(const struct fixture *x)
{
	char *text = held(x);
	bool nothing = *text == '\0';

	if (!nothing)
		(void)printf("# held:\n%s", text);
	free(text);
	return nothing && fake_hv_held(x->env.hv) == 0;
}

/* Launches one and, if it says so, destroys it and closes all; the error's
 * code. */
static int
launch(const struct fixture *x, bool destroy, struct rs_domain *d)
{
	const struct rs_template_params p = { .state_dir = x->state_dir,
	    .template_name = "t" };
	struct env env;
	struct rs_template t;
	struct rs_timings timings;
	struct err e = { .code = ERR_NONE }, later;

	if (rs_host_open(x->state_dir, &env, &e) != 0)
		return (int)e.code;
	if (rs_template_open(&p, env.hv, env.disk, &t, &e) != 0)
		goto out;
	if (rs_launch(&env, &t, &launch_params, d, &timings, &e) == 0) {
		(void)rs_ack_wait(&env, d, 2, -1, &timings, &e);
		rs_launch_finish(d);
		if (!destroy)
			return (int)e.code;
		(void)rs_launch_destroy(&env, d, 1000, &later);
	}
	(void)rs_template_close(&t, env.disk, &later);
out:
	env_close(&env);
	return (int)e.code;
}

static int
end_of(pid_t pid)
{
	int status = -1;

	(void)waitpid(pid, &status, 0);
	return status;
}

static bool
was_killed(pid_t pid)
{
	int status = end_of(pid);

	return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static void
test_survives(struct fixture *x)
{
	struct rs_domain d;
	struct hv_domain_info info;
	struct launch_page page;
	struct err e = { .msg = "" };
	uint8_t bytes[LAUNCH_PAGE_BYTES];
	char *text, line[128];
	unsigned nr;
	int fds[2];
	pid_t pid;

	ok(holds_nothing(x), "a fresh host holds nothing");
	if (pipe(fds) != 0)
		abort();
	pid = fork();
	if (pid == 0) {
		if (launch(x, false, &d) != 0 ||
		    write(fds[1], &d, sizeof(d)) != sizeof(d))
			_exit(1);
		(void)raise(SIGKILL);
	}
	ok(was_killed(pid) && read(fds[0], &d, sizeof(d)) == sizeof(d),
	    "a process launches one, is answered and killed");
	(void)close(fds[0]);
	(void)close(fds[1]);
	ok(x->env.hv->ops->info(x->env.hv, d.domid, &info, &e) == 1 &&
	    memcmp(info.uuid, d.uuid, sizeof(d.uuid)) == 0 &&
	    fake_hv_is_running(x->env.hv, d.domid), "its domain runs on");
	ok(fake_hv_read(x->env.hv, d.domid, x->launch_gfn, bytes) &&
	    launch_page_take(bytes, &page) == 1 &&
	    strcmp(page.name, d.name) == 0, "with the memory it was given");
	text = held(x);
	(void)snprintf(line, sizeof(line), "domain %u %s running\n", d.domid,
	    d.uuid_text);
	ok(strstr(text, line) != NULL && strstr(text, "disk dvm-g-") != NULL,
	    "it is listed, and its disk's base");
	(void)snprintf(line, sizeof(line), "disk dvm-d-%s-xvda\n",
	    d.uuid_text);
	ok(strstr(text, line) != NULL, "and its disk");
	(void)snprintf(line, sizeof(line), "node /local/domain/%u/"
	    IDENT_AGENT_ANSWER "\n", d.domid);
	ok(strstr(text, line) != NULL, "and its nodes");
	free(text);
	fake_hv_power_off(x->env.hv, d.domid);
	ok(x->env.hv->ops->info(x->env.hv, d.domid, &info, &e) == 1 &&
	    info.shutdown && info.shutdown_reason == 0, "it powers off");
	ok(rs_reconcile(&x->env, NULL, &nr, &e) == 0 && holds_nothing(x),
	    "once it is removed nothing is held %s", e.msg);
}

static void
test_sees(struct fixture *x)
{
	static const uint8_t uuid[HV_UUID_BYTES] = "somebody else's";
	const char *const path = "/tool/from-parent", *const go = "go";
	const char *const back = "/tool/from-child";
	const uint64_t one = 1;
	struct hv_domain_info info;
	struct err e = { .msg = "" };
	uint64_t start;
	uint32_t first, second;
	int interrupt_fd = eventfd(0, EFD_CLOEXEC);
	pid_t pid = fork();

	if (pid == 0) {
		struct env env;

		if (rs_host_open(x->state_dir, &env, &e) != 0 ||
		    env.store->ops->wait(env.store, &path, &go, 1,
		    clock_now_ns() + 10 * CLOCK_SECOND, -1, &e) != 0)
			_exit(1);
		fake_store_put(env.store, back, "seen");
		_exit(0);
	}
	fake_store_put(x->env.store, path, "go");
	ok(x->env.store->ops->wait(x->env.store, &back, NULL, 1,
	    clock_now_ns() + 10 * CLOCK_SECOND, interrupt_fd, &e) == 0 &&
	    end_of(pid) == 0, "two processes wait for each other's nodes %s",
	    e.msg);
	start = clock_now_ns();
	ok(x->env.store->ops->wait(x->env.store, &path, &back, 1,
	    start + 50 * CLOCK_MS, interrupt_fd, &e) == -1 &&
	    e.code == ERR_TIMEOUT && clock_now_ns() - start >= 50 * CLOCK_MS,
	    "a wait ends at its deadline");
	ok(write(interrupt_fd, &one, sizeof(one)) == sizeof(one) &&
	    x->env.store->ops->wait(x->env.store, &path, &back, 1,
	    start + 60 * CLOCK_SECOND, interrupt_fd, &e) == -1 &&
	    e.code == ERR_INTERRUPTED, "or when it is interrupted");
	(void)close(interrupt_fd);
	(void)x->env.store->ops->remove(x->env.store,
	    (const char *const[]){ "/tool" }, 1, &e);
	first = fake_hv_add(x->env.hv, uuid, 1);
	(void)x->env.hv->ops->destroy(x->env.hv, first, &e);
	second = fake_hv_add(x->env.hv, uuid, 1);
	ok(second == first + 1 && x->env.hv->ops->list(x->env.hv, 0, &info, 1,
	    &e) == 1 && info.domid == second, "a domid is not used again");
	(void)x->env.hv->ops->destroy(x->env.hv, second, &e);
	ok(holds_nothing(x), "nothing is held");
}

/* Killed in the middle of a change. */
static void
test_holder_dies(struct fixture *x)
{
	char path[96];
	struct fake_heap *heap;
	struct err e = { .msg = "" };
	uint64_t *place;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "%s/state", x->dir);
	heap = fake_heap_open(path, &e);
	if (!ok(heap != NULL, "the state opens %s", e.msg))
		return;
	place = fake_heap_part(heap, FAKE_HEAP_DISK);
	pid = fork();
	if (pid == 0) {
		fake_heap_lock(heap);
		fake_heap_lock(heap);
		for (uint64_t i = 1; i < 100; i++)
			FAKE_SET(heap, place[i % 20], i);
		fake_heap_unlock(heap);
		(void)raise(SIGKILL);
	}
	ok(was_killed(pid) && place[19] == 99,
	    "a holder of the lock is killed, its changes half made");
	fake_heap_lock(heap);
	ok(place[1] == 0 && place[19] == 0,
	    "the next one gets the lock, and all is as before");
	FAKE_SET(heap, place[0], 0);
	fake_heap_unlock(heap);
	fake_heap_close(heap);
	ok(holds_nothing(x), "and the host holds nothing");
}

/* Some live through launch and destroy while others are killed anywhere. */
static void
test_kills(struct fixture *x)
{
	unsigned lost = 0, nr, killed = 0, left = 0;
	struct rs_domain d;
	struct err e = { .msg = "" };

	for (unsigned i = 0; i < NR_KILLS; i++) {
		const struct timespec pause = {
		    .tv_nsec = (i * 7919 % NR_KILLS + 1) * 500000 };
		pid_t pid = fork();

		if (pid == 0) {
			while (launch(x, true, &d) == 0)
				;
			_exit(1);
		}
		(void)nanosleep(&pause, NULL);
		(void)kill(pid, SIGKILL);
		killed += was_killed(pid);
		left += fake_hv_held(x->env.hv) != 0;
		lost += rs_reconcile(&x->env, NULL, &nr, &e) != 0 ||
		    !holds_nothing(x);
	}
	ok(killed == NR_KILLS && lost == 0, "after each of %u kills all is "
	    "found and removed %s", killed, e.msg);
	ok(left > 3, "control: %u of them left something", left);
	ok(launch(x, true, &d) == 0 && holds_nothing(x), "it works on");
}

static void
test_many(struct fixture *x)
{
	static const uint8_t uuid[HV_UUID_BYTES] = "dvm1 one of many";
	const uint64_t gfns[2] = { 0, 0xfeffc };
	struct hv *hv = x->env.hv;
	uint32_t first = 0, last = 0, domid;
	unsigned good = 0;
	size_t done;
	void *at;
	struct err e;

	for (unsigned i = 0; i < NR_DOMAINS; i++) {
		struct hv_domain_params p = { .nr_pages = 513 };
		struct hv_channels channels;

		memcpy(p.uuid, uuid, sizeof(uuid));
		if (hv->ops->create(hv, &p, &domid, &channels, &e) != 0 ||
		    hv->ops->populate(hv, domid, 9, gfns, 1, &done, &e) != 0 ||
		    hv->ops->populate(hv, domid, 0, gfns + 1, 1, &done,
		    &e) != 0 ||
		    hv->ops->map(hv, domid, gfns, 2, &at, &e) != 0)
			break;
		good += *(uint8_t *)at == 0;
		memset(at, 0xff, 2 * LAUNCH_PAGE_BYTES);
		hv->ops->unmap(hv, at, 2);
		first = first == 0 ? domid : first;
		last = domid;
	}
	ok(good == NR_DOMAINS && last == first + NR_DOMAINS - 1 &&
	    fake_hv_held(hv) == NR_DOMAINS * 514, "%u domains at once, each "
	    "with memory of its own", good);
	for (domid = first; domid <= last; domid++)
		(void)hv->ops->destroy(hv, domid, &e);
	ok(holds_nothing(x), "and all is given back");
}

/* Run by test_fails: four calls with two handles; which one failed. */
static int
call_four(const char *state_dir)
{
	struct env env[2];
	struct hv_domain_info info;
	struct err e;
	int failed = 0;

	if (rs_host_open(state_dir, &env[0], &e) != 0 ||
	    rs_host_open(state_dir, &env[1], &e) != 0)
		return 100;
	for (int i = 0; i < 4; i++)
		if (env[i % 2].hv->ops->list(env[i % 2].hv, 0, &info, 1,
		    &e) != 0)
			failed = failed * 10 + i + 1;
	env_close(&env[0]);
	env_close(&env[1]);
	return failed;
}

static void
test_fails(struct fixture *x, const char *self)
{
	static const char *const fail_at[] = { "3", "2", "9" };
	static const int want[] = { 3, 2, 0 };

	for (int i = 0; i < 3; i++) {
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			(void)setenv(FAKE_HOST_FAIL_ENV, fail_at[i], 1);
			(void)execl(self, self, x->state_dir, (char *)NULL);
			_exit(127);
		}
		status = end_of(pid);
		ok(WIFEXITED(status) && WEXITSTATUS(status) == want[i],
		    "to fail call %s of a process", fail_at[i]);
	}
}

static void
test_agents(void)
{
	static const struct fake_heap_config slow = { .host_pages = 1 << 20,
	    .answer_ms = 300 }, silent = { .host_pages = 1 << 20,
	    .silent = true };
	uint64_t start;
	struct fixture x;
	struct rs_domain d;

	make(&x, &slow);
	start = clock_now_ns();
	ok(launch(&x, true, &d) == 0 &&
	    clock_now_ns() - start >= 300 * CLOCK_MS,
	    "agents answer as late as they are told to");
	ok(holds_nothing(&x), "nothing is held");
	drop(&x);
	make(&x, &silent);
	ok(launch(&x, true, &d) == ERR_TIMEOUT, "or not at all");
	ok(holds_nothing(&x), "nothing is held");
	drop(&x);
}

int
main(int argc, char **argv)
{
	static const struct fake_heap_config config = {
	    .host_pages = 1 << 20 };
	struct fixture x;

	if (argc == 2)
		return call_four(argv[1]);
	make(&x, &config);
	test_survives(&x);
	test_sees(&x);
	test_holder_dies(&x);
	test_kills(&x);
	test_many(&x);
	test_fails(&x, argv[0]);
	drop(&x);
	test_agents();
	return tap_done();
}
