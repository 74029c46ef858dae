/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The hand-over of an identity, in dvm-agent.  Runs while all else is frozen.
 *
 * The files that hold an identity are covered by files of a tmpfs (as
 * containers do it) that are mapped: to write the real ones could wait for a
 * disk that is still being connected, and each system call costs.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/random.h>

#include "include/clock.h"
#include "prep/agent/ag_file.h"
#include "prep/agent/ag_identity.h"
#include "prep/agent/ag_run.h"

#define HOSTS_BYTES 16384
#define CLOCK_SLACK_NS INT64_C(20000000)

enum file { HOSTNAME, HOSTS, MACHINE_ID, BOOT_ID, FILES };

/* Each covers what is at `paths` and is mapped, at its full size, so that to
 * write it is a copy.  `make` also if there is nothing there. */
static struct cover {
	const char *file, *paths[2];
	bool make;
	int fd;
	char *text;		/* mapped */
	size_t len;		/* of the file */
} covers[FILES] = {
	[HOSTNAME] = { .file = AG_RUN_DIR "/hostname", .make = true,
	    .paths = { "/etc/hostname" }, .len = LAUNCH_PAGE_NAME_BYTES },
	[HOSTS] = { .file = AG_RUN_DIR "/hosts", .make = true,
	    .paths = { "/etc/hosts" } },
	[MACHINE_ID] = { .file = AG_RUN_DIR "/machine-id", .make = true,
	    .paths = { "/etc/machine-id", "/var/lib/dbus/machine-id" },
	    .len = 33 },
	[BOOT_ID] = { .file = AG_RUN_DIR "/boot_id", .make = false,
	    .paths = { "/proc/sys/kernel/random/boot_id" }, .len = 37 },
};

static int urandom_fd = -1, note_fd = -1;

/* All but the line of this host, as Debian has it, 127.0.1.1; that comes last,
 * with room for any name. */
static size_t
make_hosts(char hosts[HOSTS_BYTES])
{
	char *from = hosts, *to = hosts;

	if (ag_file_read("/etc/hosts", hosts, HOSTS_BYTES -
	    2 * LAUNCH_PAGE_NAME_BYTES) <= 0)
		(void)snprintf(hosts, HOSTS_BYTES, "127.0.0.1\tlocalhost\n"
		    "::1\tlocalhost ip6-localhost ip6-loopback\n");
	while (*from != '\0') {
		size_t len = strcspn(from, "\n");

		if (from[len] == '\n')
			len++;
		if (strncmp(from, "127.0.1.1", 9) != 0) {
			memmove(to, from, len);
			to += len;
		}
		from += len;
	}
	if (to > hosts && to[-1] != '\n')
		*to++ = '\n';
	to = stpcpy(to, "127.0.1.1\t");
	memset(to, '\n', LAUNCH_PAGE_NAME_BYTES);
	return (size_t)(to - hosts) + LAUNCH_PAGE_NAME_BYTES;
}

static int
cover(struct cover *c, const char *text)
{
	struct stat st;

	c->fd = open(c->file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (c->fd < 0 || ftruncate(c->fd, (off_t)c->len) != 0)
		return -1;
	c->text = mmap(NULL, c->len, PROT_READ | PROT_WRITE, MAP_SHARED,
	    c->fd, 0);
	if (c->text == MAP_FAILED)
		return -1;
	memcpy(c->text, text, c->len);
	for (int i = 0; i < 2 && c->paths[i] != NULL; i++) {
		const char *path = c->paths[i];

		if (lstat(path, &st) != 0 && c->make && i == 0)
			(void)ag_file_write(path, "", 0644);
		/* A link leads to what is covered itself. */
		if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    mount(c->file, path, NULL, MS_BIND, NULL) != 0)
			return -1;
	}
	return 0;
}

int
ag_identity_open(void)
{
	static char text[HOSTS_BYTES];

	urandom_fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);
	note_fd = open(AG_RUN_DIR "/launch", O_WRONLY | O_CREAT | O_CLOEXEC,
	    0644);
	if (urandom_fd < 0 || note_fd < 0)
		return -1;
	covers[HOSTS].len = make_hosts(text);
	if (cover(&covers[HOSTS], text) != 0)
		return -1;
	for (int i = 0; i < FILES; i++) {
		if (i == HOSTS)
			continue;
		memset(text, 0, sizeof(text));
		(void)ag_file_read(covers[i].paths[0], text, sizeof(text));
		if (cover(&covers[i], text) != 0)
			return -1;
	}
	return 0;
}

/* Neither alone would do: added entropy is used at the next reseed, up to a
 * minute later, and a reseed alone mixes in next to nothing that clones do not
 * share. */
static int
reseed(const uint8_t seed[LAUNCH_PAGE_SEED_BYTES])
{
	/* struct rand_pool_info: bits of entropy, bytes, and the bytes */
	uint32_t pool[2 + LAUNCH_PAGE_SEED_BYTES / 4] = {
	    8 * LAUNCH_PAGE_SEED_BYTES, LAUNCH_PAGE_SEED_BYTES };
	int rc = 0;

	memcpy(&pool[2], seed, LAUNCH_PAGE_SEED_BYTES);
	if (ioctl(urandom_fd, RNDADDENTROPY, pool) != 0 ||
	    ioctl(urandom_fd, RNDRESEEDCRNG, 0) != 0)
		rc = -1;
	explicit_bzero(pool, sizeof(pool));
	return rc;
}

/* Xen gave the guest its own clock on resume.  If that lies between dom0's at
 * the unpause and the latest that it can be now it is the better one, since
 * nobody knows how long the resume took. */
int
ag_identity_set_clock(uint64_t dom0_ns, uint64_t elapsed_ns)
{
	struct timespec t;
	int64_t off;

	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return -1;
	off = (int64_t)t.tv_sec * (int64_t)CLOCK_SECOND + t.tv_nsec -
	    (int64_t)dom0_ns;
	if (off >= -CLOCK_SLACK_NS &&
	    off <= (int64_t)elapsed_ns + CLOCK_SLACK_NS)
		return 0;
	dom0_ns += elapsed_ns / 2;
	t.tv_sec = (time_t)(dom0_ns / CLOCK_SECOND);
	t.tv_nsec = (long)(dom0_ns % CLOCK_SECOND);
	return clock_settime(CLOCK_REALTIME, &t);
}

/* A version 4 UUID, as the kernel and systemd write it: with dashes and
 * without. */
static int
make_id(char *text, bool dashes)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t id[16];

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return -1;
	id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
	id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(id); i++) {
		if (dashes && (i == 4 || i == 6 || i == 8 || i == 10))
			*text++ = '-';
		*text++ = digits[id[i] >> 4];
		*text++ = digits[id[i] & 15];
	}
	*text = '\n';
	return 0;
}

int
ag_identity_set_names(const struct launch_page *p)
{
	size_t len = strlen(p->host_name);
	struct cover *name = &covers[HOSTNAME];

	if (sethostname(p->host_name, len) != 0)
		return -1;
	memcpy(name->text, p->host_name, len);
	name->text[len] = '\n';
	memcpy(covers[HOSTS].text + covers[HOSTS].len -
	    LAUNCH_PAGE_NAME_BYTES, p->host_name, len);
	if (ftruncate(name->fd, (off_t)len + 1) != 0)
		return -1;
	return make_id(covers[MACHINE_ID].text, false) == 0 &&
	    make_id(covers[BOOT_ID].text, true) == 0 ? 0 : -1;
}

int
ag_identity_become(const struct launch_page *p, uint64_t elapsed_ns)
{
	if (reseed(p->seed) != 0 ||
	    ag_identity_set_clock(p->wall_clock_ns, elapsed_ns) != 0)
		return -1;
	return ag_identity_set_names(p);
}

int
ag_identity_note(const struct launch_page *p, uint64_t resumed_ns,
    uint64_t acknowledged_ns)
{
	char id[LAUNCH_PAGE_ID_TEXT], text[512], uuid[37];
	const uint8_t *u = p->uuid;

	launch_page_id_text(p->launch_id, id);
	(void)snprintf(uuid, sizeof(uuid), "%02x%02x%02x%02x-%02x%02x-"
	    "%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2],
	    u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
	    u[13], u[14], u[15]);
	(void)snprintf(text, sizeof(text), "id=%s\nname=%s\nhostname=%s\n"
	    "uuid=%s\nresumed_ns=%llu\nacknowledged_ns=%llu\n", id, p->name,
	    p->host_name, uuid, (unsigned long long)resumed_ns,
	    (unsigned long long)acknowledged_ns);
	return pwrite(note_fd, text, strlen(text), 0) ==
	    (ssize_t)strlen(text) ? 0 : -1;
}
