/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Core's side of a cold boot, with the other one played by a thread: honest,
 * refusing, silent, dying, or lying.  However it ends, and whichever call
 * fails, core holds nothing after.  SHOWN names the file for the campaign's
 * line.
 */
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "include/clock.h"
#include "include/ident.h"
#include "include/wire/cold_proto.h"
#include "restore/core/cold.h"
#include "restore/launch/names.h"
#include "restore/launch/tag.h"
#include "tests/fake/fake_fault.h"
#include "tests/fake/fake_host.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"
#include "tests/unit/tap.h"

enum act { HONEST, REFUSES, SILENT, DIES, HANGS_UP, LIES, NAMES_OTHER, GARBAGE,
    ANSWERS_LATE, NOTHING_THERE, ACTS };

struct host {
	char dir[64], socket[96];
	struct fake_fault fault;
	struct env env, theirs;	/* core's, and the other side's */
	int listen_fd, stop_fd;
	pthread_t thread;
	enum act act;
	struct cold_proto_request asked;
	bool was_taken_back;
	uint32_t other;		/* a domain of somebody else's */
};

static void
make_domain(struct host *h, const struct cold_proto_request *r, uint32_t *domid)
{
	char name[DISK_NAME_MAX], text[RS_UUID_TEXT_BYTES], path[96], vm[64];
	struct disk_dev dev;
	struct err e;

	*domid = fake_hv_add(h->theirs.hv, r->uuid, 2);
	rs_launch_uuid_text(r->uuid, text);
	(void)snprintf(name, sizeof(name), IDENT_DM_DISP "%s-xvda", text);
	if (h->theirs.disk->ops->make_cow_of(h->theirs.disk, name, "/origin",
	    r->store_bytes, &dev, &e) != 0)
		abort();
	(void)snprintf(path, sizeof(path), "/vm/%s/uuid", text);
	fake_store_put(h->theirs.store, path, text);
	(void)snprintf(vm, sizeof(vm), "/vm/%s", text);
	(void)snprintf(path, sizeof(path), "/local/domain/%u/vm", *domid);
	fake_store_put(h->theirs.store, path, vm);
	(void)snprintf(path, sizeof(path), "/local/domain/%u/name", *domid);
	fake_store_put(h->theirs.store, path, r->name);
	(void)snprintf(path, sizeof(path), "/local/domain/0/backend/console/"
	    "%u/0/state", *domid);
	fake_store_put(h->theirs.store, path, "1");
}

/* Until core takes it back. */
static void
wait_end(struct host *h, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

	h->was_taken_back = poll(&p, 1, 30000) == 1;
}

static void
act(struct host *h, int fd)
{
	uint8_t wire[COLD_PROTO_REQUEST_BYTES], out[COLD_PROTO_ANSWER_BYTES];
	struct cold_proto_answer a = { .code = 0 };
	struct err e;

	if (recv(fd, wire, sizeof(wire), 0) != sizeof(wire) ||
	    cold_proto_decode_request(wire, sizeof(wire), &h->asked, &e) != 0)
		return;
	if (h->act == REFUSES)
		a = (struct cold_proto_answer){ .code = 5,
		    .text = "its disk is being written" };
	else if (h->act != NOTHING_THERE)
		make_domain(h, &h->asked, &a.domid);
	if (h->act == NOTHING_THERE)
		a.domid = 7;
	if (h->act == LIES)
		a.domid++;
	if (h->act == NAMES_OTHER)
		a.domid = h->other = fake_hv_add(h->theirs.hv,
		    (const uint8_t *)"somebody else's", 1);
	if (h->act == DIES)
		(void)h->theirs.hv->ops->destroy(h->theirs.hv, a.domid, &e);
	if (h->act == HANGS_UP)
		return;
	if (h->act == SILENT || h->act == ANSWERS_LATE)
		wait_end(h, fd);
	if (h->act == SILENT)
		return;
	cold_proto_encode_answer(&a, out);
	if (h->act == GARBAGE)
		memset(out, 0xff, sizeof(out));
	(void)send(fd, out, sizeof(out), MSG_NOSIGNAL);
}

static void *
serve(void *arg)
{
	struct host *h = arg;
	struct pollfd p[2] = { { .fd = h->listen_fd, .events = POLLIN },
	    { .fd = h->stop_fd, .events = POLLIN } };
	int fd;

	while (poll(p, 2, -1) >= 0 && p[1].revents == 0) {
		fd = accept(h->listen_fd, NULL, NULL);
		if (fd < 0)
			continue;
		act(h, fd);
		(void)close(fd);
	}
	return NULL;
}

static void
open_host(struct host *h)
{
	const struct fake_heap_config config = { .host_pages = 1 << 20 };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct err e;

	memset(h, 0, sizeof(*h));
	(void)snprintf(h->dir, sizeof(h->dir), "/tmp/t_rs_cold.XXXXXX");
	if (mkdtemp(h->dir) == NULL || fake_host_make(h->dir, &config, &e) !=
	    0 || fake_host_open(h->dir, &h->fault, &h->env, &e) != 0 ||
	    fake_host_open(h->dir, NULL, &h->theirs, &e) != 0)
		abort();
	h->env.names_fd = rs_names_open(h->dir, &e);
	(void)snprintf(h->socket, sizeof(h->socket), "%s/boot", h->dir);
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", h->socket);
	h->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	h->stop_fd = eventfd(0, 0);
	if (bind(h->listen_fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    listen(h->listen_fd, 4) != 0 ||
	    pthread_create(&h->thread, NULL, serve, h) != 0)
		abort();
}

static void
close_host(struct host *h)
{
	static const char *const files[] = { "state", "memory", "names",
	    "boot", "." };
	char path[128];

	(void)eventfd_write(h->stop_fd, 1);
	(void)pthread_join(h->thread, NULL);
	(void)close(h->listen_fd);
	(void)close(h->stop_fd);
	env_close(&h->env);
	env_close(&h->theirs);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", h->dir, files[i]);
		(void)remove(path);
	}
}

static int
boot(struct host *h, int interrupt_fd, struct rs_domain *d, struct err *e)
{
	/* Only a limit that is to be met is short. */
	bool is_met = interrupt_fd < 0 &&
	    (h->act == SILENT || h->act == ANSWERS_LATE);
	const struct rs_cold_params p = { .socket_path = h->socket,
	    .template_name = "debian", .store_bytes = 4096,
	    .boot_s = is_met ? 1 : 60, .undo_s = 60,
	    .interrupt_fd = interrupt_fd };
	struct rs_timings timings;
	int rc;

	*e = (struct err){ .code = ERR_NONE };
	rc = rs_cold_boot(&h->env, &p, d, &timings, e);
	return rc == 0 && timings.end_ns[RS_STAGE_UNPAUSE] == 0 ? -2 : rc;
}

/* Nothing of a disposable; somebody else's domain is not ours to end. */
static bool
is_empty(struct host *h)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	size_t nr = fake_host_print_held(&h->theirs, f);
	bool others;
	struct err e;

	(void)fclose(f);
	others = h->act == NAMES_OTHER && nr == 1 &&
	    strstr(text, " 736f6d65-") != NULL &&
	    h->theirs.hv->ops->destroy(h->theirs.hv, h->other, &e) == 0;
	if (nr != 0 && !others)
		printf("# left: %s", text);
	free(text);
	return nr == 0 || others;
}

static void
test_honest(struct host *h)
{
	struct rs_tag note = { .name = "disp0001", .template_name = "t",
	    .uid = 5, .is_cold = true, .started_ns = 6, .until_ns = 7 }, read;
	struct rs_domain d;
	struct err e;

	h->act = HONEST;
	ok(rs_cold_is_allowed(h->socket) && !rs_cold_is_allowed(h->dir) &&
	    !rs_cold_is_allowed("/nonexistent"), "it is allowed where there "
	    "is a socket");
	ok(boot(h, -1, &d, &e) == 0, "it is booted (%s)", e.msg);
	ok(strcmp(h->asked.template, "debian") == 0 &&
	    strcmp(h->asked.name, d.name) == 0 &&
	    h->asked.store_bytes == 4096, "as core has asked");
	ok(d.created && d.in_store && d.nr_vcpus == 2 && d.nr_vbds == 1 &&
	    memcmp(d.uuid, h->asked.uuid, sizeof(d.uuid)) == 0,
	    "what core knows of it is what there is");
	ok(rs_tag_write(&h->env, d.domid, &note, &e) == 0 &&
	    rs_tag_read(&h->env, d.domid, &read, &e) == 1 && read.is_cold &&
	    read.until_ns == 7, "a note says that it was booted");
	note.is_cold = false;
	ok(rs_tag_write(&h->env, d.domid, &note, &e) == 0 &&
	    rs_tag_read(&h->env, d.domid, &read, &e) == 1 && !read.is_cold,
	    "or does not");
	ok(rs_launch_destroy(&h->env, &d, 1000, &e) == 0 && is_empty(h),
	    "it ends as any other, with all that xl wrote (%s)", e.msg);
}

static void
test_others(struct host *h)
{
	static const struct {
		enum act act;
		enum err_code code;
		const char *says;
	} cases[] = {
		{ REFUSES, ERR_BUSY, "its disk is being written" },
		{ SILENT, ERR_TIMEOUT, "within 1 s" },
		{ ANSWERS_LATE, ERR_TIMEOUT, "within 1 s" },
		{ DIES, ERR_XEN, "ended as soon" },
		{ HANGS_UP, ERR_SYS, "has died" },
		{ LIES, ERR_INPUT, "was said to be it" },
		{ NAMES_OTHER, ERR_INPUT, "was said to be it" },
		{ GARBAGE, ERR_INPUT, "version" },
		{ NOTHING_THERE, ERR_XEN, "ended as soon" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct rs_domain d;
		struct err e;
		int rc;

		h->act = cases[i].act;
		h->was_taken_back = false;
		rc = boot(h, -1, &d, &e);
		ok(rc == -1 && e.code == cases[i].code &&
		    strstr(e.msg, cases[i].says) != NULL && is_empty(h),
		    "refused, and nothing is left: %s", e.msg);
		ok((cases[i].code == ERR_TIMEOUT) == h->was_taken_back,
		    "... taken back if it takes too long");
	}
}

static void
test_interrupt(struct host *h)
{
	int fd = eventfd(1, EFD_CLOEXEC);
	uint64_t began = clock_now_ns();
	struct rs_domain d;
	struct err e;

	h->act = SILENT;
	ok(boot(h, fd, &d, &e) == -1 && e.code == ERR_INTERRUPTED &&
	    h->was_taken_back && is_empty(h) &&
	    clock_now_ns() - began < 10 * CLOCK_SECOND, "its client goes away: "
	    "it is taken back at once");
	(void)close(fd);
}

static void
test_faults(struct host *h)
{
	unsigned n, lost = 0, failed = 0, tried, all_lost;

	h->act = HONEST;
	for (n = 1; n < 100; n++) {
		struct rs_domain d;
		struct err e;
		int rc;

		h->fault = (struct fake_fault){ .fail_at = n };
		rc = boot(h, -1, &d, &e);
		if (h->fault.nr_calls < n) {
			h->fault = (struct fake_fault){ .fail_at = 0 };
			(void)rs_launch_destroy(&h->env, &d, 1000, &e);
			break;
		}
		h->fault = (struct fake_fault){ .fail_at = 0 };
		failed += rc != 0;
		if (rs_launch_destroy(&h->env, &d, 1000, &e) != 0 ||
		    !is_empty(h))
			lost++;
	}
	ok(n > 2 && n < 100 && lost == 0 && is_empty(h), "each of %u calls "
	    "fails once, %u of them the boot: none is lost", n - 1, failed);
	tried = n - 1;
	all_lost = lost;
	/* The other side dies, and leaves everything. */
	h->act = HANGS_UP;
	for (n = 1, lost = 0; n < 100; n++) {
		struct rs_domain d;
		struct err e;

		h->fault = (struct fake_fault){ .fail_at = n };
		lost += boot(h, -1, &d, &e) == 0 || e.msg[0] == '\0';
		if (h->fault.nr_calls < n)
			break;
		h->fault = (struct fake_fault){ .fail_at = 0 };
		lost += rs_launch_destroy(&h->env, &d, 1000, &e) != 0 ||
		    !is_empty(h);
	}
	h->fault = (struct fake_fault){ .fail_at = 0 };
	ok(n > 8 && n < 100 && lost == 0 && is_empty(h), "nor after its death, "
	    "when each of %u calls fails once", n - 1);
	tap_shown("fault_cold_native", tried + n - 1, all_lost + lost);
}

static void
test_nobody(struct host *h)
{
	struct rs_domain d;
	struct err e;

	(void)shutdown(h->listen_fd, SHUT_RDWR);
	(void)eventfd_write(h->stop_fd, 1);
	ok(boot(h, -1, &d, &e) == -1 && strstr(e.msg, "dvm-cold-boot.socket") !=
	    NULL && is_empty(h) && d.name[0] == '\0', "nobody listens: no name "
	    "is used up (%s)", e.msg);
}

static void
test_cures(void)
{
	static const enum err_code yes[] = { ERR_STALE, ERR_AUTH, ERR_INPUT },
	    no[] = { ERR_NOMEM, ERR_XEN, ERR_STORE, ERR_DISK, ERR_SYS,
	    ERR_BUSY, ERR_TIMEOUT, ERR_INTERRUPTED, ERR_USAGE };
	unsigned wrong = 0;
	struct err e;

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		e.code = yes[i];
		wrong += !rs_cold_cures(&e);
	}
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
		e.code = no[i];
		wrong += rs_cold_cures(&e);
	}
	ok(wrong == 0, "it cures what is the image's fault, and nothing else");
}

int
main(void)
{
	static struct host h;

	open_host(&h);
	test_cures();
	test_honest(&h);
	test_others(&h);
	test_interrupt(&h);
	test_faults(&h);
	test_nobody(&h);
	close_host(&h);
	return tap_done();
}
