/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-restored: launches disposables in the foreground (--once).  Runs as root
 * in dom0.  What it is given on the command line is its user's, who is root;
 * what it loads was signed by dvm-prepare.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "ident.h"
#include "rs_host.h"
#include "rs_once.h"

static const char usage_text[] =
"usage: dvm-restored --once TEMPLATE [options]\n"
"Launches disposables from TEMPLATE (a name, or the path of its xl.cfg) and\n"
"keeps them until they end, or until it is interrupted.\n"
"\n"
"  -n, --count N            launch N, one after the other (default 1)\n"
"  -d, --destroy-after S    destroy each S seconds after it answered\n"
"  -t, --timings            print the stages of each launch\n"
"  -j, --json               print one JSON object a launch instead\n"
"  -r, --resident           decode the image into memory once, ahead\n"
"  -w, --workers N          threads that load memory (default: CPUs, max 4)\n"
"  -a, --answer-timeout S   destroy it if its agent has not taken on its\n"
"                           identity S seconds after its start (default 60)\n"
"  -m, --store-max MIB      RAM for each disk's writes (default 1024)\n"
"  -s, --state-dir DIR      where generations are (default\n"
"                           " IDENT_STATE_DIR ")\n"
"  -h, --help               this text\n"
"  -V, --version            the version\n";

static int
number(const char *text, unsigned long min, unsigned long max,
    const char *what, unsigned long *value, struct err *e)
{
	char *end;

	errno = 0;
	*value = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end != '\0' || errno != 0 ||
	    *value < min || *value > max)
		return err_set(e, ERR_USAGE, 0, "%s: \"%s\" is not a number "
		    "from %lu to %lu", what, text, min, max);
	return 0;
}

/* 0 to go on, 1 if all is done, -1. */
static int
parse(int argc, char **argv, struct rs_once_params *p, struct err *e)
{
	static const struct option options[] = {
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
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 }
	};
	unsigned long v;
	int c;

	while ((c = getopt_long(argc, argv, "n:d:tjrw:a:m:s:hV", options,
	    NULL)) != -1) {
		switch (c) {
		case 'o':
			p->template_arg = optarg;
			break;
		case 'n':
			if (number(optarg, 0, 1000000, "--count", &v, e) != 0)
				return -1;
			p->count = (unsigned)v;
			break;
		case 'd':
			if (number(optarg, 0, 86400, "--destroy-after", &v,
			    e) != 0)
				return -1;
			p->destroy_after_s = (int)v;
			break;
		case 't':
			p->output = RS_ONCE_TIMINGS;
			break;
		case 'j':
			p->output = RS_ONCE_JSON;
			break;
		case 'r':
			p->resident = true;
			break;
		case 'w':
			if (number(optarg, 1, RS_LOAD_WORKERS_MAX, "--workers",
			    &v, e) != 0)
				return -1;
			p->launch.nr_workers = (unsigned)v;
			break;
		case 'a':
			if (number(optarg, 1, 3600, "--answer-timeout", &v,
			    e) != 0)
				return -1;
			p->answer_timeout_s = (unsigned)v;
			break;
		case 'm':
			if (number(optarg, 1, 1u << 24, "--store-max", &v,
			    e) != 0)
				return -1;
			p->launch.store_bytes = (uint64_t)v << 20;
			break;
		case 's':
			p->state_dir = optarg;
			break;
		case 'h':
			(void)fputs(usage_text, stdout);
			return 1;
		case 'V':
			(void)printf("dvm-restored %s\n", DVM_VERSION);
			return 1;
		default:
			return err_set(e, ERR_USAGE, 0, "see dvm-restored "
			    "--help");
		}
	}
	if (optind < argc && p->template_arg == NULL)
		return err_set(e, ERR_USAGE, 0, "\"%s\": say --once to launch "
		    "in the foreground; see dvm-restored --help",
		    argv[optind]);
	if (optind < argc || p->template_arg == NULL)
		return err_set(e, ERR_USAGE, 0, "%s; see dvm-restored --help",
		    optind < argc ? "one TEMPLATE at a time" :
		    "which TEMPLATE? (--once TEMPLATE)");
	return 0;
}

static int
run(const struct rs_once_params *p, struct err *e)
{
	struct rs_env env;
	int rc;

	if (rs_host_open(p->state_dir, &env, e) != 0)
		return -1;
	rc = rs_once(p, &env, e);
	rs_host_close(&env);
	return rc;
}

int
main(int argc, char **argv)
{
	const char *dir = getenv("DVM_STATE_DIR");
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	struct rs_once_params p = {
		.state_dir = dir != NULL ? dir : IDENT_STATE_DIR,
		.count = 1,
		.destroy_after_s = -1,
		.answer_timeout_s = 60,
		.launch = {
			.nr_workers = cpus < 1 ? 1 : cpus > 4 ? 4 :
			    (unsigned)cpus,
			.store_bytes = 1ull << 30,
			.backend_timeout_ms = 10000,
		},
	};
	struct err e = { .code = ERR_NONE };
	int rc;

	rc = parse(argc, argv, &p, &e);
	if (rc == 0)
		rc = run(&p, &e);
	if (rc >= 0 && fflush(stdout) != 0)
		rc = err_set(&e, ERR_SYS, errno, "standard output");
	if (rc >= 0)
		return 0;
	(void)fprintf(stderr, "dvm-restored: %s\n", e.msg);
	return err_exit_status(e.code);
}
