/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The life of the domain that dvm-prepare records, up to its suspension
 * (pr_domain_end.c has its end).  The guest is trusted with nothing: it can
 * only be late, or end.
 */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "include/clock.h"
#include "include/ident.h"
#include "prep/pr_clock.h"
#include "prep/pr_domain.h"

#define SUSPEND_SECONDS 60u	/* libxl's limit as well */
#define SUSPEND_POLL_MS 20u
#define SHUTDOWN_SUSPEND 2u	/* xen/include/public/sched.h */
#define PATH_BYTES 128

void
pr_domain_new_uuid(uint8_t uuid[HV_UUID_BYTES])
{
	randombytes_buf(uuid, HV_UUID_BYTES);
	memcpy(uuid, IDENT_UUID_PREP, 4);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);	/* version 4 */
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);	/* RFC 4122 variant */
}

void
pr_domain_id_text(const uint8_t uuid[HV_UUID_BYTES],
    char id[PR_DOMAIN_ID_TEXT])
{
	(void)sodium_bin2hex(id, PR_DOMAIN_ID_TEXT, uuid, HV_UUID_BYTES);
}

void
pr_domain_uuid_text(const uint8_t uuid[HV_UUID_BYTES],
    char text[PR_DOMAIN_UUID_TEXT])
{
	char id[PR_DOMAIN_ID_TEXT];

	pr_domain_id_text(uuid, id);
	(void)snprintf(text, PR_DOMAIN_UUID_TEXT, "%.8s-%.4s-%.4s-%.4s-%.12s",
	    id, id + 8, id + 12, id + 16, id + 20);
}

int
pr_domain_parse_id(const char *untrusted_id, uint8_t uuid[HV_UUID_BYTES],
    struct err *e)
{
	size_t len;

	if (strlen(untrusted_id) != PR_DOMAIN_ID_TEXT - 1 ||
	    sodium_hex2bin(uuid, HV_UUID_BYTES, untrusted_id,
	    PR_DOMAIN_ID_TEXT - 1, NULL, &len, NULL) != 0 ||
	    len != HV_UUID_BYTES || memcmp(uuid, IDENT_UUID_PREP, 4) != 0)
		return err_set(e, ERR_INPUT, 0, "'%.64s' is not the id of a "
		    "preparation", untrusted_id);
	return 0;
}

/* 1 when it is suspended, 0 when it is not yet. */
static int
is_suspended(const struct pr_seams *s, uint32_t domid, struct err *e)
{
	struct hv_domain_info info;
	int found = s->hv->ops->info(s->hv, domid, &info, e);

	if (found < 0)
		return -1;
	if (found == 0 || info.dying)
		return err_set(e, ERR_INPUT, 0, "the guest is gone instead of "
		    "suspended");
	if (!info.shutdown)
		return 0;
	if (info.shutdown_reason != SHUTDOWN_SUSPEND)
		return err_set(e, ERR_INPUT, 0, "the guest ended (reason %u) "
		    "instead of suspending itself", info.shutdown_reason);
	return 1;
}

int
pr_domain_suspend(const struct pr_seams *s, uint32_t domid, struct err *e)
{
	uint64_t deadline = clock_now_ns() +
	    SUSPEND_SECONDS * CLOCK_SECOND;
	char path[PATH_BYTES];
	const struct store_node node = {
		.path = path,
		.value = "suspend",
		.owner = STORE_NO_PERMS,	/* it is the guest's */
		.reader = STORE_NOBODY
	};
	int suspended;

	(void)snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown",
	    domid);
	if (s->store->ops->write(s->store, &node, 1, e) != 0)
		return -1;
	while ((suspended = is_suspended(s, domid, e)) == 0) {
		if (clock_now_ns() >= deadline)
			return err_set(e, ERR_TIMEOUT, 0, "the guest has not "
			    "suspended itself within %u seconds: does its "
			    "kernel have CONFIG_XEN_SAVE_RESTORE?",
			    SUSPEND_SECONDS);
		if (pr_clock_pause(s->interrupt_fd, SUSPEND_POLL_MS, e) != 0)
			return -1;
	}
	return suspended < 0 ? -1 : 0;
}
