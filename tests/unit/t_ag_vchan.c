/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The agent's end of the channel over the real libxenvchan, between two
 * processes: what is below that, grants, event channels and xenstore, is shared
 * memory and two eventfds here.  An event that is waited for and never comes
 * would stop these conversations.
 */
#include <errno.h>
#include <libxenvchan.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <xenstore.h>

#include "include/ident.h"
#include "prep/agent/ag_serve.h"
#include "prep/agent/ag_vchan.h"
#include "tests/unit/t_ag_client.h"

#define PAGE 4096u
#define NR_PAGES 256u
#define NR_NODES 4u
#define PORT 5

/* What both processes share. */
struct shared {
	uint8_t pages[NR_PAGES][PAGE];
	unsigned nr_pages;
	char nodes[NR_NODES][2][64];	/* path, value */
	int events[2];			/* the server's, and the client's */
};
static struct shared *shared;
static int own;				/* which of the two is ours */

static void *
handle(void)
{
	static char something;

	return &something;
}

xengntshr_handle *
xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	(void)logger, (void)open_flags;
	return handle();
}

int
xengntshr_close(xengntshr_handle *xgs)
{
	(void)xgs;
	return 0;
}

void *
xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count,
    uint32_t *refs, int writable)
{
	unsigned first = shared->nr_pages;

	(void)xgs, (void)domid, (void)writable;
	for (int i = 0; i < count; i++)
		refs[i] = shared->nr_pages++;
	return shared->nr_pages <= NR_PAGES ? shared->pages[first] : NULL;
}

void *
xengntshr_share_page_notify(xengntshr_handle *xgs, uint32_t domid,
    uint32_t *ref, int writable, uint32_t notify_offset,
    evtchn_port_t notify_port)
{
	(void)notify_offset, (void)notify_port;
	return xengntshr_share_pages(xgs, domid, 1, ref, writable);
}

int
xengntshr_unshare(xengntshr_handle *xgs, void *start, uint32_t count)
{
	(void)xgs, (void)start, (void)count;
	return 0;
}

xengnttab_handle *
xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags)
{
	(void)logger, (void)open_flags;
	return handle();
}

int
xengnttab_close(xengnttab_handle *xgt)
{
	(void)xgt;
	return 0;
}

void *
xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count,
    uint32_t domid, uint32_t *refs, int prot)
{
	(void)xgt, (void)count, (void)domid, (void)prot;
	return shared->pages[refs[0]];
}

void *
xengnttab_map_grant_ref_notify(xengnttab_handle *xgt, uint32_t domid,
    uint32_t ref, int prot, uint32_t notify_offset, evtchn_port_t notify_port)
{
	(void)notify_offset, (void)notify_port;
	return xengnttab_map_domain_grant_refs(xgt, 1, domid, &ref, prot);
}

int
xengnttab_unmap(xengnttab_handle *xgt, void *start, uint32_t count)
{
	(void)xgt, (void)start, (void)count;
	return 0;
}

xenevtchn_handle *
xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
	(void)logger, (void)flags;
	return handle();
}

int
xenevtchn_close(xenevtchn_handle *xce)
{
	(void)xce;
	return 0;
}

int
xenevtchn_fd(xenevtchn_handle *xce)
{
	(void)xce;
	return shared->events[own];
}

int
xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce;
	return port == PORT ? eventfd_write(shared->events[1 - own], 1) : -1;
}

xenevtchn_port_or_error_t
xenevtchn_bind_unbound_port(xenevtchn_handle *xce, uint32_t domid)
{
	(void)xce, (void)domid;
	return PORT;
}

xenevtchn_port_or_error_t
xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domid,
    evtchn_port_t remote_port)
{
	(void)xce, (void)domid;
	return (xenevtchn_port_or_error_t)remote_port;
}

int
xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce, (void)port;
	return 0;
}

xenevtchn_port_or_error_t
xenevtchn_pending(xenevtchn_handle *xce)
{
	eventfd_t value;

	(void)xce;
	return eventfd_read(shared->events[own], &value) == 0 ? PORT : -1;
}

int
xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
	(void)xce, (void)port;
	return 0;
}

struct xs_handle *
xs_open(unsigned long flags)
{
	(void)flags;
	return handle();
}

void
xs_close(struct xs_handle *xsh)
{
	(void)xsh;
}

static char *
node(const char *path, bool make)
{
	for (unsigned i = 0; i < NR_NODES; i++) {
		if (strcmp(shared->nodes[i][0], path) == 0)
			return shared->nodes[i][1];
		if (shared->nodes[i][0][0] != '\0' || !make)
			continue;
		(void)snprintf(shared->nodes[i][0], 64, "%s", path);
		return shared->nodes[i][1];
	}
	return NULL;
}

void *
xs_read(struct xs_handle *h, xs_transaction_t t, const char *path,
    unsigned int *len)
{
	const char *value = strcmp(path, "domid") == 0 ? "7" :
	    node(path, false);

	(void)h, (void)t;
	if (value == NULL)
		return NULL;
	if (len != NULL)
		*len = (unsigned)strlen(value);
	return strdup(value);
}

bool
xs_write(struct xs_handle *h, xs_transaction_t t, const char *path,
    const void *data, unsigned int len)
{
	char *value = node(path, true);

	(void)h, (void)t;
	if (value == NULL || len > 63)
		return false;
	(void)snprintf(value, 64, "%.*s", (int)len, (const char *)data);
	return true;
}

bool
xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
	char *value = node(path, false);

	(void)h, (void)t;
	if (value != NULL)
		value[0] = '\0';
	return true;
}

bool
xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
    struct xs_permissions *perms, unsigned int num_perms)
{
	(void)h, (void)t, (void)path, (void)perms, (void)num_perms;
	return true;
}

xs_transaction_t
xs_transaction_start(struct xs_handle *h)
{
	(void)h;
	return 1;
}

bool
xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abandon)
{
	(void)h, (void)t, (void)abandon;
	return true;
}

static int
serve(void)
{
	static struct ag_run_user user;
	const struct ag_serve_params p = { .user = &user, .root = "",
	    .cgroup_fd = -1 };
	struct chan_io io;
	struct err e;
	int rc;

	if (ag_run_user_by_uid(geteuid(), &user) != 0 ||
	    ag_vchan_open(&io, &e) != 0)
		return 3;
	rc = ag_serve(&io, &p, &e);
	ag_vchan_close(&io);
	return rc == 0 ? 0 : 1;
}

static ssize_t
result(int n)
{
	errno = 0;
	return n;
}

static ssize_t
read_vchan(void *arg, void *buf, size_t len)
{
	return result(libxenvchan_read(arg, buf, len));
}

static ssize_t
write_vchan(void *arg, const void *buf, size_t len)
{
	return result(libxenvchan_write(arg, buf, len));
}

static void
woken(void *arg)
{
	(void)libxenvchan_wait(arg);
}

static struct libxenvchan *
begin(void)
{
	const char *node_path = IDENT_AGENT_CHANNEL "/event-channel";
	struct libxenvchan *v;
	struct chan_io io;

	/* Of the last one libxenvchan has unmapped parts. */
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		exit(1);
	shared->nr_pages = 1;		/* libxenvchan takes 0 for none */
	own = 0;
	for (int i = 0; i < 2; i++)
		shared->events[i] = eventfd(0, EFD_CLOEXEC);
	(void)fflush(stdout);
	client.pid = fork();
	if (client.pid == 0)
		_exit(serve());
	own = 1;
	while (node(node_path, false) == NULL ||
	    node(node_path, false)[0] == '\0')
		(void)poll(NULL, 0, 1);
	v = libxenvchan_client_init(NULL, 7, IDENT_AGENT_CHANNEL);
	if (v == NULL)
		exit(1);
	v->blocking = 0;
	io = (struct chan_io){ .arg = v, .fd = libxenvchan_fd_for_select(v),
	    .read = read_vchan, .write = write_vchan, .woken = woken };
	client_hello(&io);
	return v;
}

static int
end(struct libxenvchan *v)
{
	client_wait(CLIENT_LIMIT_MS);
	libxenvchan_close(v);
	client.chan.io.fd = -1;
	for (int i = 0; i < 2; i++)
		(void)close(shared->events[i]);
	return client_end();
}

static void
test_both_ways(void)
{
	const size_t many = 10u << 20;
	uint8_t *all = calloc(1, many);
	struct libxenvchan *v;

	if (all == NULL)
		return;
	for (size_t i = 0; i < many; i++)
		all[i] = (uint8_t)(i * 31 ^ i >> 11);
	v = begin();
	client.in = all;
	client.in_len = many;
	client.in_eof = true;
	CLIENT_START(CHAN_PROGRAM, 0, "cat");
	ok(end(v) == 0 && client_exited(0) && client.out_len == many &&
	    memcmp(client.out, all, many) == 0, "10 MB through cat come back "
	    "the same");
	free(all);
}

static void
test_small(void)
{
	struct libxenvchan *v = begin();

	CLIENT_SH("while read x; do echo got $x; done; sleep 0.1; exit 5");
	for (unsigned i = 0; i < 200; i++) {
		client.out_len = 0;
		client.in = (const uint8_t *)"line\n";
		client.in_len = 5;
		if (!client_sees("got line\n"))
			break;
	}
	client.in_eof = true;
	ok(end(v) == 0 && client_exited(5), "200 lines, each for itself");
}

/* It goes on only by CREDIT, which nothing else wakes the server to send. */
static void
test_credit(void)
{
	static const uint8_t zeros[1u << 20];
	struct libxenvchan *v = begin();

	client.in = zeros;
	client.in_len = sizeof(zeros);
	client.in_eof = true;
	CLIENT_SH("sleep 0.2; cat >/dev/null; exit 3");
	ok(end(v) == 0 && client_exited(3), "1 MB to a program that says "
	    "nothing");
}

/* The client reads nothing for a while: the ring is full, and then not. */
static void
test_stalled(void)
{
	struct libxenvchan *v = begin();

	CLIENT_SH("head -c 1000000 /dev/zero; exit 6");
	(void)chan_move(&client.chan, 0, &(struct err){ 0 });
	(void)poll(NULL, 0, 300);
	ok(end(v) == 0 && client_exited(6) && client.out_len == 1000000,
	    "what waited for a full ring comes when it is read");
}

static void
test_closed(void)
{
	struct libxenvchan *v = begin();

	CLIENT_SH("echo up; sleep 1000; :");
	ok(client_sees("up\n"), "a program runs");
	client.closed = true;
	ok(end(v) == 0, "and the server ends when the client closes");
}

int
main(void)
{
	test_both_ways();
	test_small();
	test_credit();
	test_stalled();
	test_closed();
	return tap_done();
}
