/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * fake_host_tool: makes a host of fakes, shows what is held there, and does
 * to it what others than the service do.  Test code only.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fake/fake_host.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_world.h"

#define HOST_PAGES (1u << 20)
#define TEMPLATES_MAX 8

static const char usage_text[] =
"usage: fake_host_tool COMMAND DIR ...\n"
"  init DIR [--pages N] [--silent] [--answer-ms N] [--template NAME]...\n"
"      a fresh host, and DIR/dvm as its state directory (template t)\n"
"  held DIR              what a fresh host has not, a line each, sorted\n"
"  add-domain DIR UUID   a paused domain of somebody's; prints its domid\n"
"  destroy DIR DOMID     as xl destroy does: nodes and dm devices stay\n"
"  shutdown DIR DOMID    the guest powers off\n";

static int
usage(void)
{
	(void)fputs(usage_text, stderr);
	return 2;
}

static int
failed(const struct err *e)
{
	(void)fprintf(stderr, "fake_host_tool: %s\n", e->msg);
	return 1;
}

static int
init(const char *dir, int argc, char **argv)
{
	struct fake_heap_config config = { .host_pages = HOST_PAGES };
	const char *names[TEMPLATES_MAX] = { "t" };
	char state_dir[PATH_MAX];
	size_t nr_names = 0;
	struct env env;
	struct err e;

	for (int i = 0; i < argc; i++) {
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "--silent") == 0)
			config.silent = true;
		else if (more && strcmp(argv[i], "--pages") == 0)
			config.host_pages = strtoul(argv[++i], NULL, 10);
		else if (more && strcmp(argv[i], "--answer-ms") == 0)
			config.answer_ms = (uint32_t)strtoul(argv[++i], NULL,
			    10);
		else if (more && strcmp(argv[i], "--template") == 0 &&
		    nr_names < TEMPLATES_MAX)
			names[nr_names++] = argv[++i];
		else
			return usage();
	}
	if (nr_names == 0)
		nr_names = 1;
	if (fake_host_make(dir, &config, &e) != 0 ||
	    fake_host_open(dir, NULL, &env, &e) != 0)
		return failed(&e);
	(void)snprintf(state_dir, sizeof(state_dir), "%s/dvm", dir);
	(void)mkdir(state_dir, 0700);
	for (size_t i = 0; i < nr_names; i++)
		(void)fake_world_add(state_dir, names[i], env.hv);
	env_close(&env);
	return 0;
}

static bool
parse_uuid(const char *text, uint8_t uuid[HV_UUID_BYTES])
{
	for (int i = 0; i < HV_UUID_BYTES; i++) {
		int used = 0;

		text += *text == '-';
		if (sscanf(text, "%2hhx%n", &uuid[i], &used) != 1 || used != 2)
			return false;
		text += used;
	}
	return *text == '\0';
}

static int
act(const char *command, const char *arg, const struct env *env)
{
	uint8_t uuid[HV_UUID_BYTES];
	uint32_t domid = (uint32_t)strtoul(arg, NULL, 10);
	struct hv_domain_info info;
	struct err e;

	if (strcmp(command, "add-domain") == 0) {
		if (!parse_uuid(arg, uuid))
			return usage();
		(void)printf("%u\n", fake_hv_add(env->hv, uuid, 1));
		return 0;
	}
	if (env->hv->ops->info(env->hv, domid, &info, &e) != 1) {
		(void)err_set(&e, ERR_USAGE, 0, "no domain %s", arg);
		return failed(&e);
	}
	if (strcmp(command, "shutdown") == 0)
		fake_hv_power_off(env->hv, domid);
	else if (strcmp(command, "destroy") != 0)
		return usage();
	else if (env->hv->ops->destroy(env->hv, domid, &e) != 0)
		return failed(&e);
	return 0;
}

int
main(int argc, char **argv)
{
	struct env env;
	struct err e;
	int status;

	if (argc < 3)
		return usage();
	if (strcmp(argv[1], "init") == 0)
		return init(argv[2], argc - 3, argv + 3);
	if (fake_host_open(argv[2], NULL, &env, &e) != 0)
		return failed(&e);
	if (strcmp(argv[1], "held") == 0 && argc == 3) {
		(void)fake_host_print_held(&env, stdout);
		status = fflush(stdout) == 0 ? 0 : 1;
	} else {
		status = argc == 4 ? act(argv[1], argv[3], &env) : usage();
	}
	env_close(&env);
	return status;
}
