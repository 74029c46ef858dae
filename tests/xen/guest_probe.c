/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Runs in a guest as its prerun program, and goes on in the background: looks
 * at the clock without a pause, so that it knows when it was held, and after
 * the launch says in xenstore (data/probe) what each clone must have for
 * itself.  Then it answers data/probe/ping with the guest's time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/tcp.h>

#include "include/clock.h"
#include "prep/agent/ag_file.h"
#include "prep/agent/ag_run.h"
#include "prep/agent/ag_xenbus.h"

#define LAUNCH "/run/dvm/launch"
#define NR_STAMPS 65536u
#define LOOKS 256u		/* at the clock, between two for the launch */

static uint64_t stamps[NR_STAMPS];
static char launch[1024];

/* Until there has been a launch. */
static void
watch_the_clock(void)
{
	for (unsigned n = 0;; n++) {
		stamps[n % NR_STAMPS] = clock_now_ns();
		if (n % LOOKS == 0 &&
		    ag_file_read(LAUNCH, launch, sizeof(launch)) > 0) {
			stamps[(n + 1) % NR_STAMPS] = clock_now_ns();
			return;
		}
	}
}

/* How many looks at the clock were before the resume, between it and the
 * acknowledgement (none, or it was not held), and after. */
static void
count_looks(unsigned looks[3])
{
	uint64_t from = ag_file_number(launch, "resumed_ns=");
	uint64_t to = ag_file_number(launch, "acknowledged_ns=");

	memset(looks, 0, 3 * sizeof(looks[0]));
	for (unsigned i = 0; i < NR_STAMPS; i++)
		if (stamps[i] != 0)
			looks[stamps[i] < from ? 0 : stamps[i] < to ? 1 : 2]++;
}

/* Of the first TCP connection since the boot. */
static uint32_t
tcp_sequence(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int server = socket(AF_INET, SOCK_STREAM, 0);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1, queue = TCP_SEND_QUEUE;
	uint32_t seq = 0;

	if (bind(server, (struct sockaddr *)&sin, len) != 0 ||
	    listen(server, 1) != 0 ||
	    getsockname(server, (struct sockaddr *)&sin, &len) != 0 ||
	    connect(client, (struct sockaddr *)&sin, len) != 0 ||
	    setsockopt(client, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) != 0 ||
	    setsockopt(client, IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue,
	    sizeof(queue)) != 0)
		return 0;
	len = sizeof(seq);
	(void)getsockopt(client, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, &len);
	on = TCP_REPAIR_OFF;
	(void)setsockopt(client, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on));
	(void)close(client);
	(void)close(server);
	return seq - 1;
}

/* The public key of a new host key, where there is an ssh-keygen: in tiny on
 * its disk, with its libraries. */
static void
ssh_key(char *key, size_t cap)
{
	static const char *const make[] = { "/bin/sh", "-c", "D=/mnt/ssh;"
	    " K=/tmp/probe-key; rm -f $K $K.pub; G=ssh-keygen; [ ! -d $D ] ||"
	    " G=\"$D/ld.so --library-path $D $D/ssh-keygen\";"
	    " $G -q -t ed25519 -N '' -C '' -f $K", NULL };
	const struct ag_run r = { .argv = make, .limit_s = 60,
	    .cgroup_fd = -1 };
	char line[512] = "";

	(void)snprintf(key, cap, "none");
	if (ag_run(&r) == 0 &&
	    ag_file_read("/tmp/probe-key.pub", line, sizeof(line)) > 0)
		(void)sscanf(line, "ssh-ed25519 %199s", key);
}

static void
line_of(const char *path, char *line, size_t cap)
{
	if (ag_file_read(path, line, cap) < 0)
		(void)snprintf(line, cap, "none");
	line[strcspn(line, "\n")] = '\0';
}

static int
tell(struct ag_xenbus *x)
{
	static const char *const files[][2] = {
		{ "random_uuid", "/proc/sys/kernel/random/uuid" },
		{ "boot_id", "/proc/sys/kernel/random/boot_id" },
		{ "machine_id", "/etc/machine-id" },
		{ "hosts_name", "/etc/hostname" },
		{ "domain_uuid", "/sys/hypervisor/uuid" },
	};
	char text[2048], line[200], hex[129];
	uint8_t random[64];
	unsigned looks[3];
	int len = 0;

	/* First of all: the earlier, the more alike. */
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -1;
	count_looks(looks);
	for (size_t i = 0; i < sizeof(random); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", random[i]);
	len += snprintf(text, sizeof(text), "random=%s\n", hex);
	len += snprintf(text + len, sizeof(text) - (size_t)len, "tcp=%u\n",
	    tcp_sequence());
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		line_of(files[i][1], line, sizeof(line));
		len += snprintf(text + len, sizeof(text) - (size_t)len,
		    "%s=%s\n", files[i][0], line);
	}
	(void)gethostname(line, sizeof(line));
	len += snprintf(text + len, sizeof(text) - (size_t)len,
	    "hostname=%s\n", line);
	ssh_key(line, sizeof(line));
	(void)snprintf(text + len, sizeof(text) - (size_t)len, "ssh_key=%s\n"
	    "looks_before=%u\nlooks_held=%u\nlooks_after=%u\n%s", line,
	    looks[0], looks[1], looks[2], launch);
	return ag_xenbus_write(x, "data/probe/values", text);
}

static int
answer_pings(struct ag_xenbus *x)
{
	char pong[128];
	struct timespec t;

	if (ag_xenbus_watch(x, "data/probe/ping") != 0)
		return -1;
	for (;;) {
		if (ag_xenbus_wait(x) != 0)
			return -1;
		(void)clock_gettime(CLOCK_REALTIME, &t);
		if (ag_xenbus_read(x, "data/probe/ping") != 1)
			continue;
		(void)snprintf(pong, sizeof(pong), "%.40s %lld.%09ld",
		    x->payload, (long long)t.tv_sec, t.tv_nsec);
		if (ag_xenbus_write(x, "data/probe/pong", pong) != 0)
			return -1;
	}
}

int
main(void)
{
	static struct ag_xenbus x;

	if (daemon(1, 1) != 0 || ag_xenbus_open(&x) != 0)
		return 1;
	watch_the_clock();
	if (tell(&x) != 0)
		return 1;
	return answer_pings(&x) == 0 ? 0 : 1;
}
