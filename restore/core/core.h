/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The role `core`: the only one with Xen handles.  Its main thread owns all
 * that stands here; what takes time is done by workers, one job for each
 * disposable or template at a time.
 */
#ifndef RS_CORE_H
#define RS_CORE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "include/wire/dvm_proto.h"
#include "restore/core/report.h"
#include "restore/core/work.h"
#include "restore/launch/launch.h"
#include "restore/launch/reconcile.h"

#define RS_CORE_BUILDERS_MAX 16u
#define RS_CORE_BOOTERS 2u	/* cold boots at once */

struct event_base;
struct event;
struct rs_queries_check;
struct rs_channels;
struct rs_link;

struct rs_core_params {
	const char *state_dir;
	const char *boot_socket;	/* whom to ask for cold boots */
	struct rs_launch_params launch;
	unsigned answer_timeout_s;
	unsigned nr_builders;	/* launches at once */
	unsigned grace_s;	/* for clients to come back after our death */
	uint64_t resident_max;	/* bytes of images decoded ahead, in all */
	pid_t parent;
	int link_fd;		/* to front */
	int stock_fd;		/* to the stock of couriers: rs_stock.h */
	int ready_fd;		/* gets "READY=1" when core is ready */
};

/* A generation that is held open. */
struct rs_image {
	TAILQ_ENTRY(rs_image) entry;
	struct rs_job job;		/* opening or closing it */
	struct rs_core *core;
	bool busy;			/* the job is in flight */
	bool is_open, is_current;
	unsigned nr_users;		/* disposables, and jobs that look */
	uint64_t checked_ns, nr_launches, resident_max;
	char name[GEN_NAME_MAX + 1];
	struct rs_template t;
};

/* A disposable, from its request to its end. */
struct rs_slot {
	TAILQ_ENTRY(rs_slot) entry;
	struct rs_job job;
	struct rs_core *core;
	bool busy;			/* the job is in flight: then these */
	struct rs_domain domain;	/* four are the worker's */
	struct rs_timings timings;
	struct rs_tag built;
	bool is_stale;
	bool check_due;
	bool is_cold;			/* it is booted, for want of an image */
	enum dvm_proto_state state;
	uint32_t client;		/* who holds it; 0 nobody */
	struct rs_tag note;		/* name is "" until it runs */
	uint64_t limit_ns;		/* of its life, 0 none */
	struct rs_image *held;		/* NULL if it was adopted */
	uint64_t asked_ns, end_ns, retry_ns, grace_ns;
	int cancel_fd;			/* while it is built; else -1 */
	int channel_fd;			/* its client's end, until a courier
					 * has it; else -1 */
	uint32_t courier;		/* its number; 0 none */
	char why[96];			/* it is to end; "" if not */
	uint32_t code;			/* then: 0 if that is as wished */
	unsigned nr_tries;
};

/* A request to kill that waits for the end of those it is about. */
struct rs_kill {
	TAILQ_ENTRY(rs_kill) entry;
	uint32_t client, uid;
	char name[RS_NAME_BYTES];	/* "" for all of uid's */
	uint64_t asked_ns, nr;
};

struct rs_core {
	const struct rs_core_params *p;
	struct event_base *base;
	struct rs_link *link;
	struct rs_channels *couriers;
	struct event *tick;
	struct env env;		/* the main thread's; hv only: the */
					/* others may make it wait */
	/* lookers: one thread, so that a check and a status, which opens
	 * things, do not meet. */
	struct rs_work *builders, *booters, *enders, *lookers;
	TAILQ_HEAD(, rs_slot) slots;	/* in the order of their requests */
	TAILQ_HEAD(, rs_image) held;
	TAILQ_HEAD(, rs_kill) kills;
	struct rs_survivors survivors;
	struct rs_job sweep;		/* removes survivors' bases */
	bool sweeping, sweep_again, draining, low_memory;
	unsigned nr_building, nr_booting, nr_slots;
	unsigned nr_status;		/* requests of that kind */
	struct rs_queries_check *check;	/* while one waits or runs */
	bool checking;			/* then nothing may begin */
	uint64_t nr_requests, nr_answers;	/* final ones */
	uint64_t resident_bytes;
	unsigned nr_files;		/* open when nothing is held */
	struct rs_report report;
};

/* Serves until SIGTERM, SIGINT, or the end of front or of the stock; 0 after a
 * signal, with nothing left.  After a failure its threads may still run:
 * _exit(). */
int rs_core_run(const struct rs_core_params *p, struct err *e);

/* Sends an answer to `client`, 0 being nobody; fills version and client. */
void rs_core_answer(struct rs_core *c, uint32_t client, struct dvm_proto *m);
/* The message's text: "what: why", or why alone, in printable ASCII. */
void rs_core_text(struct dvm_proto *m, const char *what, const char *why);
void rs_core_fail(struct rs_core *c, uint32_t client, const struct err *e);
/* Without front there are no clients, and without the stock no couriers: begin
 * anew, together; but what is ending is ended first. */
void rs_core_lost(struct rs_core *c, const char *who, const char *why);
/* The number of open descriptors, or 0. */
unsigned rs_core_count_files(void);

#endif
