/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Core's side of a cold boot, in a worker of its own kind: neither fork nor
 * exec, one message of a fixed size each way.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "include/cleanup.h"
#include "include/clock.h"
#include "include/wire/cold_proto.h"
#include "restore/core/cold.h"
#include "restore/launch/find.h"
#include "restore/launch/names.h"

#define CONNECT_S 10
#define DESTROY_MS 30000
/* A call that fails once is no reason to lose sight of a domain. */
#define FIND_TRIES 3

bool
rs_cold_is_allowed(const char *socket_path)
{
	struct stat st;

	return stat(socket_path, &st) == 0 && S_ISSOCK(st.st_mode);
}

bool
rs_cold_cures(const struct err *e)
{
	return e->code == ERR_STALE || e->code == ERR_AUTH ||
	    e->code == ERR_INPUT;
}

static int
open_link(const char *path, struct err *e)
{
	const struct timeval most = { .tv_sec = CONNECT_S };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(addr.sun_path))
		return err_set(e, ERR_USAGE, 0, "--boot-socket: '%s' is too "
		    "long", path);
	memcpy(addr.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most,
	    sizeof(most)) == 0 && connect(fd, (const struct sockaddr *)&addr,
	    sizeof(addr)) == 0)
		return fd;
	(void)err_set(e, ERR_SYS, errno, "cannot ask for a cold boot at %s: "
	    "see systemctl status dvm-cold-boot.socket", path);
	cleanup_fd(&fd);
	return -1;
}

static int
ask(int fd, const struct rs_cold_params *p, const struct rs_domain *d,
    struct err *e)
{
	struct cold_proto_request r = { .store_bytes = p->store_bytes };
	uint8_t wire[COLD_PROTO_REQUEST_BYTES];

	memcpy(r.uuid, d->uuid, sizeof(r.uuid));
	memcpy(r.name, d->name, sizeof(d->name));
	(void)snprintf(r.template, sizeof(r.template), "%s",
	    p->template_name);
	cold_proto_encode_request(&r, wire);
	if (send(fd, wire, sizeof(wire), MSG_NOSIGNAL) == sizeof(wire))
		return 0;
	return err_set(e, ERR_SYS, errno, "cannot ask for a cold boot");
}

/* Until it has something to say. */
static int
wait_readable(int fd, int interrupt_fd, unsigned seconds, struct err *e)
{
	uint64_t now = clock_now_ns(), deadline = now + seconds * CLOCK_SECOND;

	for (; now < deadline; now = clock_now_ns()) {
		struct pollfd fds[2] = { { .fd = fd, .events = POLLIN },
		    { .fd = interrupt_fd, .events = POLLIN } };

		if (poll(fds, 2, (int)((deadline - now) / CLOCK_MS) + 1) < 0 &&
		    errno != EINTR)
			return err_set(e, ERR_SYS, errno, "poll");
		if (fds[1].revents != 0)
			return err_set(e, ERR_INTERRUPTED, 0, "interrupted");
		if (fds[0].revents != 0)
			return 0;
	}
	return err_set(e, ERR_TIMEOUT, 0, "its cold boot has not come to an "
	    "end within %u s", seconds);
}

/* The domain's number; or -1, and nobody works on it any more, or does not say
 * so in time. */
static int
await(int fd, const struct rs_cold_params *p, struct err *e)
{
	uint8_t untrusted_wire[COLD_PROTO_ANSWER_BYTES + 1];
	struct cold_proto_answer a;
	struct err ignored;
	ssize_t n;

	if (wait_readable(fd, p->interrupt_fd, p->boot_s, e) != 0) {
		(void)shutdown(fd, SHUT_WR);
		(void)wait_readable(fd, -1, p->undo_s, &ignored);
		return -1;
	}
	n = recv(fd, untrusted_wire, sizeof(untrusted_wire), MSG_DONTWAIT);
	if (n <= 0)
		return err_set(e, ERR_SYS, n < 0 ? errno : 0, "who was to boot "
		    "it has died: see systemctl status dvm-cold-boot");
	if (cold_proto_decode_answer(untrusted_wire, (size_t)n, &a, e) != 0)
		return -1;
	if (a.code != 0)
		return err_set(e, err_from_exit_status(a.code), 0,
		    "it cannot be booted cold: %.400s", a.text);
	return (int)a.domid;
}

static int
find(const struct env *env, struct rs_domain *d, struct err *e)
{
	int rc = -1;

	for (int i = 0; rc < 0 && i < FIND_TRIES; i++)
		rc = rs_find(env, d, e);
	return rc;
}

static int
boot(const struct env *env, const struct rs_cold_params *p,
    struct rs_domain *d, struct err *e)
{
	AUTO_FD fd = open_link(p->socket_path, e);
	int domid, found;

	/* A name is used up by a week: not before there is who would use
	 * it. */
	if (fd < 0 || rs_names_draw(env->names_fd, p->uid,
	    (int64_t)time(NULL), d->name, e) != 0 || ask(fd, p, d, e) != 0)
		return -1;
	domid = await(fd, p, e);
	if (domid < 0)
		return -1;
	found = find(env, d, e);
	if (found < 0)
		return -1;
	if (found == 0)
		return err_set(e, ERR_XEN, 0, "it ended as soon as it was "
		    "booted");
	if (d->domid != (uint32_t)domid)
		return err_set(e, ERR_INPUT, 0, "domain %d was said to be it, "
		    "which domain %u is", domid, d->domid);
	return 0;
}

int
rs_cold_boot(const struct env *env, const struct rs_cold_params *p,
    struct rs_domain *d, struct rs_timings *timings, struct err *e)
{
	struct err undo;

	memset(d, 0, sizeof(*d));
	memset(timings, 0, sizeof(*timings));
	timings->start_ns = clock_now_ns();
	if (rs_launch_make_uuid(d, e) != 0)
		return -1;
	if (boot(env, p, d, e) == 0) {
		timings->end_ns[RS_STAGE_CREATE] =
		    timings->end_ns[RS_STAGE_UNPAUSE] = clock_now_ns() -
		    timings->start_ns;
		return 0;
	}
	(void)err_prefix(e, "template %s", p->template_name);
	if (find(env, d, &undo) >= 0 && rs_launch_destroy(env, d, DESTROY_MS,
	    &undo) == 0)
		return -1;
	e->code = ERR_BUSY;
	return err_prefix(e, "%s is left behind (%.160s) after", d->name,
	    undo.msg);
}
