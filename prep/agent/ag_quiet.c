/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Rest is measured by what the kernel counts for the whole guest: CPU time
 * that is not idle (/proc/stat) and blocks moved (/proc/vmstat, pgpgin and
 * pgpgout, KiB).  Load average would lag by a minute, and pressure stalls say
 * nothing while there is only one busy process.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "include/clock.h"
#include "prep/agent/ag_file.h"
#include "prep/agent/ag_quiet.h"

#define PROC_BYTES 16384
#define STEP_BYTES (2u << 20)

struct counters {
	uint64_t busy, total;	/* ticks */
	uint64_t disk_kib;
};

static int
count(struct counters *c)
{
	/* user nice system idle iowait irq softirq; steal is not ours */
	enum { IDLE = 3, IOWAIT = 4, FIELDS = 7 };
	static char text[PROC_BYTES];
	char *at = text;

	*c = (struct counters){ 0 };
	if (ag_file_read("/proc/stat", text, sizeof(text)) < 0)
		return -1;
	at += strcspn(at, " ");
	for (int i = 0; i < FIELDS; i++) {
		uint64_t ticks = strtoull(at, &at, 10);

		c->total += ticks;
		if (i != IDLE && i != IOWAIT)
			c->busy += ticks;
	}
	if (ag_file_read("/proc/vmstat", text, sizeof(text)) < 0)
		return -1;
	c->disk_kib = ag_file_number(text, "\npgpgin ") +
	    ag_file_number(text, "\npgpgout ");
	return 0;
}

int
ag_quiet_wait(const struct ag_quiet *q, char *why, size_t cap)
{
	uint64_t deadline = clock_now_ns() + q->limit_s * CLOCK_SECOND;
	struct counters was, is;
	unsigned quiet = 0, cpu = 0;
	uint64_t disk = 0;

	if (count(&was) != 0)
		goto no_proc;
	while (quiet < q->seconds) {
		if (clock_now_ns() > deadline) {
			(void)snprintf(why, cap, "CPU %u%% busy, disk %llu "
			    "KiB/s after %u s; at most %u%% and %u KiB/s for "
			    "%u s is quiet", cpu, (unsigned long long)disk,
			    q->limit_s, q->cpu_percent, q->disk_kib,
			    q->seconds);
			return -1;
		}
		ag_file_sleep_ms(1000);
		if (count(&is) != 0)
			goto no_proc;
		cpu = is.total == was.total ? 0 : (unsigned)((is.busy -
		    was.busy) * 100 / (is.total - was.total));
		disk = is.disk_kib - was.disk_kib;
		was = is;
		quiet = cpu <= q->cpu_percent && disk <= q->disk_kib ?
		    quiet + 1 : 0;
	}
	return 0;
no_proc:
	(void)snprintf(why, cap, "cannot read /proc: %s", strerror(errno));
	return -1;
}

static uint64_t
free_bytes(void)
{
	static char text[PROC_BYTES];

	if (ag_file_read("/proc/meminfo", text, sizeof(text)) < 0)
		return 0;
	return ag_file_number(text, "MemFree:") << 10;
}

/* What stays: below the kernel's low watermark it would begin to drop the page
 * cache that the template was warmed for. */
static uint64_t
reserve_bytes(void)
{
	char text[32];

	if (ag_file_read("/proc/sys/vm/min_free_kbytes", text,
	    sizeof(text)) < 0)
		return 32u << 20;
	return (strtoull(text, NULL, 10) << 11) + (4u << 20);
}

/* In a child, which the kernel is to kill first if memory runs out after
 * all. */
static void
take(void)
{
	uint64_t reserve = reserve_bytes(), size = free_bytes(), at;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	volatile char *memory;

	(void)ag_file_write("/proc/self/oom_score_adj", "1000", 0);
	if (size <= reserve)
		_exit(0);
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		_exit(1);
	for (at = 0; at + STEP_BYTES <= size; at += STEP_BYTES) {
		if (free_bytes() < reserve + STEP_BYTES)
			break;
		for (size_t i = 0; i < STEP_BYTES; i += page)
			memory[at + i] = 0;
	}
	_exit(0);
}

int
ag_quiet_zero_free_memory(unsigned limit_s)
{
	uint64_t deadline = clock_now_ns() + limit_s * CLOCK_SECOND;
	pid_t pid = fork(), done;
	int status = 0;

	if (pid < 0)
		return -1;
	if (pid == 0)
		take();
	while ((done = waitpid(pid, &status, WNOHANG)) == 0) {
		if (clock_now_ns() > deadline) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			errno = ETIMEDOUT;
			return -1;
		}
		ag_file_sleep_ms(10);
	}
	return done == pid ? 0 : -1;
}
