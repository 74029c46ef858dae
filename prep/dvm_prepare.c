/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm-prepare: records a template as a generation that disposables are
 * launched from.  Runs as root in dom0: Xen's and xenstore's handles, device
 * mapper and loop devices, and the state directory need it.  Trusts its
 * arguments and the template's configuration, not the guest.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "include/ident.h"
#include "include/stop_signals.h"
#include "prep/pr_cfg.h"
#include "prep/pr_cold_serve.h"
#include "prep/pr_install.h"
#include "prep/pr_prepare.h"
#include "prep/pr_watch.h"
#include "prep/pr_xl.h"
#include "restore/host/disk_dm.h"
#include "restore/host/hv_xen.h"
#include "restore/host/store_xen.h"

#ifndef DVM_VERSION
#define DVM_VERSION "unreleased"
#endif

#ifndef DVM_LIBEXECDIR
#define DVM_LIBEXECDIR "/usr/local/libexec/dvm"
#endif
#define DEFAULT_AGENT DVM_LIBEXECDIR "/dvm-agent"
#define SETTLE_TIMEOUT_SECONDS 300u
#define SECONDS_MAX 86400u
#define KEEP_MAX 1000u

static const char usage[] =
    "usage: dvm-prepare [options] TEMPLATE.cfg\n"
    "       dvm-prepare --install-agent ROOT [--agent FILE]\n"
    "       dvm-prepare --serve-cold-boots [--boot-socket PATH]\n"
    "Boots the template, waits until it has settled, records it and makes the\n"
    "recording the one that disposables are launched from.\n"
    "\n"
    "  --force                 also if the present recording is up to date\n"
    "  --default               disposables are of this template where none is\n"
    "                          named\n"
    "  --keep N                old recordings to keep (default 1)\n"
    "  --settle-after SECONDS  settled after so long; without it the guest's\n"
    "                          dvm-agent says when\n"
    "  --settle-timeout SECONDS  how long to wait for the agent's first "
    "word\n"
    "                          (default 300; then its steps have their own)\n"
    "  --codec raw|lz4         how memory is stored (default lz4)\n"
    "  --delta-max BYTES       what the boot may write to each disk, with K,\n"
    "                          M or G (default: all of the disk)\n"
    "  --state-dir DIR         default " IDENT_STATE_DIR
    " or $DVM_STATE_DIR\n"
    "  --json                  the summary as one JSON object\n"
    "  --quiet                 no progress and no summary\n"
    "  --install-agent ROOT    puts dvm-agent into the template whose root "
    "file\n"
    "                          system is mounted on ROOT; that is all it does\n"
    "  --agent FILE            the agent (default " DEFAULT_AGENT ")\n"
    "  --serve-cold-boots      boots disposables for dvm-restored where there "
    "is no\n"
    "                          valid recording, until interrupted\n"
    "  --boot-socket PATH      where it is asked, if systemd gives no socket\n"
    "                          (default " IDENT_BOOT_SOCKET ")\n"
    "  --help, --version\n";

struct options {
	struct pr_params params;
	const char *cfg_path;
	const char *install_root;	/* --install-agent: that alone */
	const char *agent, *boot_socket;
	unsigned settle_after, settle_timeout;
	bool json, quiet, makes_default;
	bool serves;		/* --serve-cold-boots: that alone */
	bool done;		/* --help or --version was all */
};

/* A number with an optional K, M or G if `units`. */
static int
parse_number(const char *option, const char *text, uint64_t max, bool units,
    uint64_t *value, struct err *e)
{
	static const char suffixes[] = "KMG";
	const char *suffix;
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || errno != 0 || *value > max)
		goto bad;
	if (units && *end != '\0') {
		suffix = strchr(suffixes, *end++);
		if (suffix == NULL || *value == 0)
			goto bad;
		for (long i = 0; i <= suffix - suffixes; i++)
			if (__builtin_mul_overflow(*value, 1024, value))
				goto bad;
	}
	if (*end == '\0' && *value <= max)
		return 0;
bad:
	return err_set(e, ERR_USAGE, 0, "--%s: '%s' is not a number up to "
	    "%llu", option, text, (unsigned long long)max);
}

static int
parse_unsigned(const char *option, const char *text, unsigned max,
    unsigned *value, struct err *e)
{
	uint64_t number;

	if (parse_number(option, text, max, false, &number, e) != 0)
		return -1;
	*value = (unsigned)number;
	return 0;
}

enum option_id {
	OPT_FORCE = 1, OPT_DEFAULT, OPT_KEEP, OPT_SETTLE_AFTER,
	OPT_SETTLE_TIMEOUT, OPT_CODEC, OPT_DELTA_MAX, OPT_STATE_DIR,
	OPT_JSON, OPT_QUIET,
	OPT_INSTALL_AGENT, OPT_AGENT,
	OPT_SERVE_COLD_BOOTS, OPT_BOOT_SOCKET,
	OPT_HELP, OPT_VERSION
};

static const struct option long_options[] = {
	{ "force", no_argument, NULL, OPT_FORCE },
	{ "default", no_argument, NULL, OPT_DEFAULT },
	{ "keep", required_argument, NULL, OPT_KEEP },
	{ "settle-after", required_argument, NULL, OPT_SETTLE_AFTER },
	{ "settle-timeout", required_argument, NULL, OPT_SETTLE_TIMEOUT },
	{ "codec", required_argument, NULL, OPT_CODEC },
	{ "delta-max", required_argument, NULL, OPT_DELTA_MAX },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "install-agent", required_argument, NULL, OPT_INSTALL_AGENT },
	{ "agent", required_argument, NULL, OPT_AGENT },
	{ "serve-cold-boots", no_argument, NULL, OPT_SERVE_COLD_BOOTS },
	{ "boot-socket", required_argument, NULL, OPT_BOOT_SOCKET },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 }
};

static int
parse_codec(const char *text, enum sf_codec *codec, struct err *e)
{
	if (strcmp(text, "raw") == 0)
		*codec = SF_CODEC_RAW;
	else if (strcmp(text, "lz4") == 0)
		*codec = SF_CODEC_LZ4;
	else
		return err_set(e, ERR_USAGE, 0, "--codec: '%s' is neither raw "
		    "nor lz4", text);
	return 0;
}

static int
parse_option(int id, const char *value, struct options *o, struct err *e)
{
	switch (id) {
	case OPT_FORCE:
		o->params.force = true;
		return 0;
	case OPT_DEFAULT:
		o->makes_default = true;
		return 0;
	case OPT_KEEP:
		return parse_unsigned("keep", value, KEEP_MAX, &o->params.keep,
		    e);
	case OPT_SETTLE_AFTER:
		o->params.by_agent = false;
		return parse_unsigned("settle-after", value, SECONDS_MAX,
		    &o->settle_after, e);
	case OPT_SETTLE_TIMEOUT:
		return parse_unsigned("settle-timeout", value, SECONDS_MAX,
		    &o->settle_timeout, e);
	case OPT_CODEC:
		return parse_codec(value, &o->params.codec, e);
	case OPT_DELTA_MAX:
		return parse_number("delta-max", value, UINT64_C(1) << 50,
		    true, &o->params.delta_max, e);
	case OPT_STATE_DIR:
		o->params.state_dir = value;
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_QUIET:
		o->quiet = true;
		return 0;
	case OPT_INSTALL_AGENT:
		o->install_root = value;
		return 0;
	case OPT_AGENT:
		o->agent = value;
		return 0;
	case OPT_SERVE_COLD_BOOTS:
		o->serves = true;
		return 0;
	case OPT_BOOT_SOCKET:
		o->boot_socket = value;
		return 0;
	case OPT_HELP:
	case OPT_VERSION:
		o->done = true;
		(void)fputs(id == OPT_HELP ? usage :
		    "dvm-prepare " DVM_VERSION "\n", stdout);
		return 0;
	default:
		return err_set(e, ERR_USAGE, 0, "see dvm-prepare --help");
	}
}

static int
parse_options(int argc, char **argv, struct options *o, struct err *e)
{
	const char *state_dir = getenv("DVM_STATE_DIR");
	int id;

	*o = (struct options){
		.params = {
			.state_dir = state_dir != NULL && state_dir[0] != '\0'
			    ? state_dir : IDENT_STATE_DIR,
			.keep = 1,
			.codec = SF_CODEC_LZ4,
			.by_agent = true
		},
		.agent = DEFAULT_AGENT,
		.boot_socket = IDENT_BOOT_SOCKET,
		.settle_timeout = SETTLE_TIMEOUT_SECONDS
	};
	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1)
		if (parse_option(id, optarg, o, e) != 0 || o->done)
			return o->done ? 0 : -1;
	if ((o->install_root != NULL || o->serves) && optind == argc)
		return 0;
	if (optind + 1 != argc)
		return err_set(e, ERR_USAGE, 0, "%s: see dvm-prepare --help",
		    optind == argc ? "no template is named" :
		    "one template at a time");
	o->cfg_path = argv[optind];
	o->params.settle_seconds = o->params.by_agent ? o->settle_timeout :
	    o->settle_after;
	return 0;
}

static int
open_seams(struct pr_seams *s, struct err *e)
{
	s->hv = hv_xen_open(e);
	if (s->hv != NULL)
		s->store = store_xen_open(NULL, STORE_XEN_TIMEOUT_MS, e);
	if (s->store != NULL)
		s->disk = disk_dm_open(e);
	return s->disk != NULL ? 0 : -1;
}

static void
close_seams(struct pr_seams *s)
{
	if (s->disk != NULL)
		s->disk->ops->close(s->disk);
	if (s->store != NULL)
		s->store->ops->close(s->store);
	if (s->hv != NULL)
		s->hv->ops->close(s->hv);
}

/* In the watchdog, which has handles of its own and nobody to report to. */
static void
clean(void *ctx)
{
	const struct options *o = ctx;
	struct pr_seams s = { .domain = &pr_xl_ops, .interrupt_fd = -1 };
	char name[GEN_NAME_MAX + 1];
	struct err e;

	if (gen_template_name(o->cfg_path, name, sizeof(name), &e) == 0 &&
	    open_seams(&s, &e) == 0)
		(void)pr_prepare_clean(o->params.state_dir, name, &s, &e);
	close_seams(&s);
}

static int
install_agent(const struct options *o, struct err *e)
{
	bool with_unit;

	if (pr_install_agent(o->install_root, o->agent, &with_unit, e) != 0)
		return -1;
	if (!o->quiet)
		(void)printf("%s is in '%s'%s\n", PR_INSTALL_AGENT,
		    o->install_root, with_unit ? " and starts with its boot" :
		    ": let its init start it as its last step (dvm-agent(8))");
	return 0;
}

static int
open_boot_seams(struct pr_seams *s, struct err *e)
{
	s->domain = &pr_xl_ops;
	return open_seams(s, e);
}

static int
serve(const struct options *o, struct err *e)
{
	struct pr_cold_serve_params p = {
		.state_dir = o->params.state_dir,
		.socket_path = o->boot_socket,
		.stop_fd = stop_signals(0, e),
		.open = open_boot_seams,
		.close = close_seams,
		.sweep = pr_xl_sweep
	};

	return p.stop_fd < 0 ? -1 : pr_cold_serve(&p, e);
}

static int
run(struct options *o, int stop_fd, struct err *e)
{
	struct pr_seams s = { .domain = &pr_xl_ops, .interrupt_fd = stop_fd };
	struct pr_report report = { .out = o->quiet ? NULL : stderr };
	struct pr_result result;
	struct pr_config config;
	int rc;

	report.live = isatty(STDERR_FILENO) == 1;
	if (pr_cfg_read(o->cfg_path, &config, e) != 0)
		return -1;
	o->params.config = &config;
	rc = open_seams(&s, e);
	if (rc == 0)
		rc = pr_prepare_run(&o->params, &s, &report, &result, e);
	close_seams(&s);
	if (rc == 0 && o->makes_default)
		rc = gen_set_default(o->params.state_dir, config.name, e);
	if (rc == 0 && o->json)
		pr_report_json(&report, config.name, &result, stdout);
	else if (rc == 0 && !o->quiet)
		pr_report_text(&report, config.name, &result, stdout);
	return rc;
}

int
main(int argc, char **argv)
{
	struct err e = { .code = ERR_NONE };
	struct pr_watch watch;
	struct options o;
	int stop_fd, rc;

	rc = parse_options(argc, argv, &o, &e);
	if (rc == 0 && o.done)
		return 0;
	if (rc == 0 && sodium_init() < 0)
		rc = err_set(&e, ERR_SYS, 0, "libsodium does not start");
	if (rc == 0 && geteuid() != 0)
		rc = err_set(&e, ERR_USAGE, 0, "must be run as root in dom0");
	if (rc == 0 && o.install_root != NULL)
		rc = install_agent(&o, &e);
	else if (rc == 0 && o.serves)
		rc = serve(&o, &e);
	else if (rc == 0 && (stop_fd = stop_signals(0, &e)) >= 0 &&
	    pr_watch_start(clean, &o, &watch, &e) == 0) {
		rc = run(&o, stop_fd, &e);
		pr_watch_done(&watch);
	} else {
		rc = -1;
	}
	if (rc == 0 && fflush(stdout) != 0)
		rc = err_set(&e, ERR_SYS, errno, "standard output");
	if (rc == 0)
		return 0;
	(void)fprintf(stderr, "dvm-prepare: %s\n", e.msg);
	return err_exit_status(e.code);
}
