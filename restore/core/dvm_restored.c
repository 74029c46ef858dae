/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-restored: the service, its roles, and launching in the foreground
 * (--once).  Runs as root in dom0.  What it is given on the command line is
 * its user's, who is root; what it loads was signed by dvm-prepare.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/ident.h"
#include "include/wire/dvm_proto.h"
#include "restore/core/core.h"
#include "restore/courier/courier.h"
#include "restore/front/front.h"
#include "restore/launch/host.h"
#include "restore/launch/once.h"
#include "restore/role/parent.h"
#include "restore/role/unit.h"

static const char usage_text[] =
"usage: dvm-restored [options]\n"
"       dvm-restored --once TEMPLATE [options]\n"
"Runs the service that launches disposables for dvm(1); or, with --once,\n"
"launches them from TEMPLATE (a name, or the path of its xl.cfg) and keeps\n"
"them until they end, or until it is interrupted.\n"
"\n"
"  -s, --state-dir DIR      where generations are (default\n"
"                           " IDENT_STATE_DIR ")\n"
"  -w, --workers N          threads that load memory (default: CPUs, max 4)\n"
"  -a, --answer-timeout S   destroy it if its agent has not taken on its\n"
"                           identity S seconds after its start (default 60)\n"
"  -m, --store-max MIB      RAM for each disk's writes (default 1024)\n"
"  -h, --help               this text\n"
"  -V, --version            the version\n"
"The service:\n"
"  -p, --parallel N         launches at once (default: CPUs, max 4)\n"
"  -R, --resident-max MIB   RAM for images decoded ahead (default 0)\n"
"  -g, --grace S            after a crash clients have S seconds to come\n"
"                           back for what they hold (default 60)\n"
"  -k, --socket PATH        for clients (default\n"
"                           " DVM_PROTO_SOCKET ")\n"
"  -G, --group NAME         who may use it (default dvm)\n"
"  -u, --user NAME          what talks to clients runs as (default\n"
"                           dvm-front)\n"
"  -b, --boot-socket PATH   whom to ask for cold boots (default\n"
"                           " IDENT_BOOT_SOCKET ")\n"
"  -l, --lock PATH          one launcher a host (default\n"
"                           " IDENT_LAUNCH_LOCK ")\n"
"--once:\n"
"  -n, --count N            launch N, one after the other (default 1)\n"
"  -d, --destroy-after S    destroy each S seconds after it answered\n"
"  -t, --timings            print the stages of each launch\n"
"  -j, --json               print one JSON object a launch instead\n"
"  -r, --resident           decode the image into memory once, ahead\n";

struct options {
	const char *role;	/* NULL: the service's parent, or --once */
	const char *unit;	/* a role, as systemd's unit */
	const char *ids;
	unsigned parent, resident_max_mib, store_max_mib, destroy_after_s;
	bool destroys;
	struct rs_once_params once;
	struct rs_core_params core;
	struct rs_front_params front;
	struct rs_parent_params service;
};

/* Options that are numbers: where they go. */
static const struct {
	char letter;
	const char *name;
	unsigned long min, max;
	size_t offset;		/* of an unsigned */
} numbers[] = {
#define AT(field) offsetof(struct options, field)
	{ 'n', "--count", 0, 1000000, AT(once.count) },
	{ 'd', "--destroy-after", 0, 86400, AT(destroy_after_s) },
	{ 'w', "--workers", 1, RS_LOAD_WORKERS_MAX,
	    AT(once.launch.nr_workers) },
	{ 'a', "--answer-timeout", 1, 3600, AT(once.answer_timeout_s) },
	{ 'm', "--store-max", 1, 1u << 24, AT(store_max_mib) },
	{ 'p', "--parallel", 1, RS_CORE_BUILDERS_MAX, AT(core.nr_builders) },
	{ 'R', "--resident-max", 0, 1u << 24, AT(resident_max_mib) },
	{ 'g', "--grace", 0, 86400, AT(core.grace_s) },
	{ 'P', "--parent", 1, 1u << 30, AT(parent) },
#undef AT
};

static const struct option long_options[] = {
	{ "once", required_argument, NULL, 'o' },
	{ "count", required_argument, NULL, 'n' },
	{ "destroy-after", required_argument, NULL, 'd' },
	{ "timings", no_argument, NULL, 't' },
	{ "json", no_argument, NULL, 'j' },
	{ "resident", no_argument, NULL, 'r' },
	{ "workers", required_argument, NULL, 'w' },
	{ "answer-timeout", required_argument, NULL, 'a' },
	{ "store-max", required_argument, NULL, 'm' },
	{ "state-dir", required_argument, NULL, 's' },
	{ "parallel", required_argument, NULL, 'p' },
	{ "resident-max", required_argument, NULL, 'R' },
	{ "grace", required_argument, NULL, 'g' },
	{ "socket", required_argument, NULL, 'k' },
	{ "group", required_argument, NULL, 'G' },
	{ "user", required_argument, NULL, 'u' },
	{ "boot-socket", required_argument, NULL, 'b' },
	{ "lock", required_argument, NULL, 'l' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	/* The parent's words to its roles. */
	{ "role", required_argument, NULL, 'O' },
	{ "ids", required_argument, NULL, 'I' },
	{ "parent", required_argument, NULL, 'P' },
	/* What systemd's units say. */
	{ "unit", required_argument, NULL, 'U' },
	{ NULL, 0, NULL, 0 }
};

static int
number(struct options *o, int letter, const char *text, struct err *e)
{
	unsigned long value;
	size_t i = 0;
	char *end;

	while (i < sizeof(numbers) / sizeof(numbers[0]) &&
	    numbers[i].letter != letter)
		i++;
	if (i == sizeof(numbers) / sizeof(numbers[0]))
		return err_set(e, ERR_USAGE, 0, "see dvm-restored --help");
	errno = 0;
	value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 ||
	    value < numbers[i].min || value > numbers[i].max)
		return err_set(e, ERR_USAGE, 0, "%s: \"%s\" is not a number "
		    "from %lu to %lu", numbers[i].name, text, numbers[i].min,
		    numbers[i].max);
	*(unsigned *)(void *)((char *)o + numbers[i].offset) =
	    (unsigned)value;
	o->destroys = o->destroys || letter == 'd';
	return 0;
}

static int
check(struct options *o, int argc, char **argv, struct err *e)
{
	struct rs_once_params *p = &o->once;

	if (optind < argc)
		return err_set(e, ERR_USAGE, 0, p->template_arg != NULL ?
		    "\"%s\": one TEMPLATE at a time; see dvm-restored --help" :
		    "\"%s\": say --once to launch in the foreground; see "
		    "dvm-restored --help", argv[optind]);
	p->launch.store_bytes = (uint64_t)o->store_max_mib << 20;
	if (o->destroys)
		p->destroy_after_s = (int)o->destroy_after_s;
	o->core.state_dir = p->state_dir;
	o->core.launch = p->launch;
	o->core.answer_timeout_s = p->answer_timeout_s;
	o->core.resident_max = (uint64_t)o->resident_max_mib << 20;
	o->core.parent = o->front.parent = (pid_t)o->parent;
	return 0;
}

/* 0 to go on, 1 if all is done, -1. */
static int
parse(int argc, char **argv, struct options *o, struct err *e)
{
	int c;

	while ((c = getopt_long(argc, argv, "n:d:tjrw:a:m:s:p:R:g:k:G:u:b:l:hV",
	    long_options, NULL)) != -1) {
		switch (c) {
		case 'o':
			o->once.template_arg = optarg;
			break;
		case 't':
			o->once.output = RS_ONCE_TIMINGS;
			break;
		case 'j':
			o->once.output = RS_ONCE_JSON;
			break;
		case 'r':
			o->once.resident = true;
			break;
		case 's':
			o->once.state_dir = optarg;
			break;
		case 'k':
			o->service.socket_path = optarg;
			break;
		case 'G':
			o->service.group = optarg;
			break;
		case 'u':
			o->service.user = optarg;
			break;
		case 'b':
			o->core.boot_socket = optarg;
			break;
		case 'l':
			o->service.lock_path = o->once.lock_path = optarg;
			break;
		case 'O':
			o->role = optarg;
			break;
		case 'I':
			o->ids = optarg;
			break;
		case 'U':
			o->unit = optarg;
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			return 1;
		case 'V':
			(void)printf("dvm-restored %s\n", DVM_VERSION);
			return 1;
		default:
			if (number(o, c, optarg, e) != 0)
				return -1;
			break;
		}
	}
	return check(o, argc, argv, e);
}

static int
run_once(const struct rs_once_params *p, struct err *e)
{
	struct env env;
	int rc;

	if (rs_host_open(p->state_dir, &env, e) != 0)
		return -1;
	rc = rs_once(p, &env, e);
	env_close(&env);
	return rc;
}

static int
run_role(struct options *o, struct err *e)
{
	if (strcmp(o->role, "core") == 0) {
		o->core.link_fd = RS_PARENT_LINK_FD;
		o->core.ready_fd = RS_PARENT_OTHER_FD;
		o->core.stock_fd = RS_PARENT_STOCK_FD;
		return rs_core_run(&o->core, e);
	}
	if (o->ids == NULL || sscanf(o->ids, "%u:%u", &o->front.uid,
	    &o->front.gid) != 2)
		return err_set(e, ERR_USAGE, 0, "--role is for dvm-restored "
		    "itself");
	if (strcmp(o->role, "courier") == 0)
		return rs_courier_run(&(struct rs_courier_params){
		    .uid = o->front.uid, .gid = o->front.gid,
		    .parent = o->front.parent,
		    .link_fd = RS_PARENT_LINK_FD,
		    .board_fd = RS_PARENT_OTHER_FD }, e);
	o->front.link_fd = RS_PARENT_LINK_FD;
	o->front.listen_fd = RS_PARENT_OTHER_FD;
	return rs_front_run(&o->front, e);
}

static int
run_unit(struct options *o, struct err *e)
{
	if (strcmp(o->unit, "core") == 0)
		return rs_unit_core(&o->core, o->service.lock_path, e);
	if (strcmp(o->unit, "front") == 0)
		return rs_unit_front(&o->front, e);
	if (strcmp(o->unit, "couriers") == 0)
		return rs_unit_couriers(o->service.argv, e);
	return err_set(e, ERR_USAGE, 0, "--unit: core, front or couriers");
}

static int
run(struct options *o, struct err *e)
{
	if (o->role != NULL)
		return run_role(o, e);
	if (o->unit != NULL)
		return run_unit(o, e);
	if (o->once.template_arg != NULL)
		return run_once(&o->once, e);
	if (geteuid() != 0)
		return err_set(e, ERR_USAGE, 0, "only root in dom0 can run the "
		    "service");
	return rs_parent_run(&o->service, e);
}

int
main(int argc, char **argv)
{
	const char *dir = getenv("DVM_STATE_DIR");
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned nr_cpus = cpus < 1 ? 1 : cpus > 4 ? 4 : (unsigned)cpus;
	struct options o = {
		.store_max_mib = 1024,
		.once = {
			.state_dir = dir != NULL ? dir : IDENT_STATE_DIR,
			.lock_path = IDENT_LAUNCH_LOCK,
			.count = 1,
			.destroy_after_s = -1,
			.answer_timeout_s = 60,
			.launch = {
				.nr_workers = nr_cpus,
				.backend_timeout_ms = 10000,
			},
		},
		.core = { .nr_builders = nr_cpus, .grace_s = 60,
		    .boot_socket = IDENT_BOOT_SOCKET },
		.service = {
			.socket_path = DVM_PROTO_SOCKET,
			.lock_path = IDENT_LAUNCH_LOCK,
			.user = "dvm-front",
			.group = "dvm",
			.argv = argv,
		},
	};
	struct err e = { .code = ERR_NONE };
	int rc;

	rc = parse(argc, argv, &o, &e);
	if (rc == 0)
		rc = run(&o, &e);
	if (rc >= 0 && fflush(stdout) != 0)
		rc = err_set(&e, ERR_SYS, errno, "standard output");
	if (rc >= 0)
		return 0;
	(void)fprintf(stderr, "dvm-restored: %s\n", e.msg);
	/* A role that failed may have threads at work. */
	if (o.role != NULL || o.unit != NULL)
		_exit(err_exit_status(e.code));
	return err_exit_status(e.code);
}
