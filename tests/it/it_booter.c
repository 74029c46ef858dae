/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The real service of cold boots on a host of fakes: what it does itself is
 * real, xl is not.  The file boot-mode in the host's directory says what
 * becomes of the next boots:
 *	good		the agent answers
 *	later		... after two seconds
 *	silent		it does not
 *	wrong		it answers with something else
 *	slow		xl takes a minute, if it is not interrupted
 *	fails		xl fails half way
 *	dies		the guest ends at once
 *	killed		we are killed half way
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <sodium.h>

#include "include/ident.h"
#include "include/wire/launch_page.h"
#include "prep/pr_clock.h"
#include "prep/pr_cold_serve.h"
#include "prep/pr_domain.h"
#include "tests/fake/fake_host.h"
#include "tests/fake/fake_hv.h"
#include "tests/fake/fake_store.h"

#define SLOW_MS 60000
#define ANSWER_MS 50
#define LATER_MS 2000

static struct env host;

static void
read_mode(char mode[16])
{
	char path[PATH_MAX];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/boot-mode",
	    getenv(FAKE_HOST_ENV));
	f = fopen(path, "r");
	if (f == NULL || fscanf(f, "%15s", mode) != 1)
		(void)snprintf(mode, 16, "good");
	if (f != NULL)
		(void)fclose(f);
}

static void
put(const char *above, uint32_t domid, const char *below, const char *value)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%u/%s", above, domid, below);
	fake_store_put(host.store, path, value);
}

/* What xl writes, and core would not. */
static void
put_nodes(const struct pr_start *s, uint32_t domid)
{
	char text[PR_DOMAIN_UUID_TEXT], vm[64];

	pr_domain_uuid_text(s->uuid, text);
	(void)snprintf(vm, sizeof(vm), "/vm/%s", text);
	fake_store_put(host.store, vm, "");
	put("/local/domain", domid, "name", s->name);
	put("/local/domain", domid, "vm", vm);
	put("/local/domain", domid, "device/vbd/51712/state", "4");
	/* It closes as soon as it is told to. */
	put("/local/domain/0/backend/vbd", domid, "51712/state", "6");
	put("/local/domain/0/backend/console", domid, "0/state", "1");
	put("/libxl", domid, "device/vbd/51712/frontend", "");
}

static void
agent(const struct pr_start *s, uint32_t domid, const char *mode)
{
	char path[96], id[LAUNCH_PAGE_ID_TEXT];

	launch_page_id_text(launch_page_id(s->uuid), id);
	(void)snprintf(path, sizeof(path), "/local/domain/%u/"
	    IDENT_AGENT_ANSWER, domid);
	if (strcmp(mode, "silent") != 0)
		fake_store_put_later(host.store, path, strcmp(mode, "wrong") ==
		    0 ? "0123456789abcdef" : id, strcmp(mode, "later") == 0 ?
		    LATER_MS : ANSWER_MS);
}

/* In xl's place. */
static int
start(void *ctx, const struct pr_start *s, struct err *e)
{
	uint32_t domid = fake_hv_add(host.hv, s->uuid, s->config->nr_vcpus);
	char mode[16];

	(void)ctx;
	read_mode(mode);
	put_nodes(s, domid);
	if (strcmp(mode, "killed") == 0)
		(void)raise(SIGKILL);
	if (strcmp(mode, "fails") == 0)
		return err_set(e, ERR_XEN, 0, "xl create failed: fake");
	if (strcmp(mode, "slow") == 0 &&
	    pr_clock_pause(s->interrupt_fd, SLOW_MS, e) != 0)
		return -1;
	if (strcmp(mode, "dies") == 0)
		(void)host.hv->ops->destroy(host.hv, domid, e);
	agent(s, domid, mode);
	return 0;
}

static void
tidy(void *ctx, uint32_t domid, const char *uuid_text)
{
	(void)ctx;
	(void)domid;
	(void)uuid_text;
}

static const struct pr_domain_ops domain_ops = { start, tidy };

static int
open_host(struct pr_seams *s, struct err *e)
{
	if (fake_host_open(getenv(FAKE_HOST_ENV), NULL, &host, e) != 0)
		return -1;
	s->hv = host.hv;
	s->store = host.store;
	s->disk = host.disk;
	s->domain = &domain_ops;
	return 0;
}

static void
close_host(struct pr_seams *s)
{
	(void)s;
	env_close(&host);
}

static void
sweep(void)
{
}

int
main(int argc, char **argv)
{
	struct pr_cold_serve_params p = { .open = open_host,
	    .close = close_host, .sweep = sweep };
	struct err e = { .msg = "" };
	sigset_t stop;

	if (argc != 3 || getenv(FAKE_HOST_ENV) == NULL || sodium_init() < 0)
		return 2;
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	p.stop_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	p.state_dir = argv[1];
	p.socket_path = argv[2];
	if (pr_cold_serve(&p, &e) == 0)
		return 0;
	(void)fprintf(stderr, "it_booter: %s\n", e.msg);
	return 1;
}
