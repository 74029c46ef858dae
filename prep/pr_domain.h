/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The domain that a template is prepared in: found by its UUID, suspended.
 */
#ifndef PR_DOMAIN_H
#define PR_DOMAIN_H

#include <stdbool.h>

#include "prep/pr_seams.h"

#define PR_DOMAIN_UUID_TEXT 37
#define PR_DOMAIN_ID_TEXT (2 * HV_UUID_BYTES + 1)

/* A new one, with our prefix. */
void pr_domain_new_uuid(uint8_t uuid[HV_UUID_BYTES]);
/* 64766d70-xxxx-..., and 64766d70xxxx... for names of files and devices. */
void pr_domain_uuid_text(const uint8_t uuid[HV_UUID_BYTES],
    char text[PR_DOMAIN_UUID_TEXT]);
void pr_domain_id_text(const uint8_t uuid[HV_UUID_BYTES],
    char id[PR_DOMAIN_ID_TEXT]);
/* From an id; ERR_INPUT if it is none of ours. */
int pr_domain_parse_id(const char *untrusted_id, uint8_t uuid[HV_UUID_BYTES],
    struct err *e);


/* Asks the guest to suspend itself and waits until it has. */
int pr_domain_suspend(const struct pr_seams *s, uint32_t domid,
    struct err *e);

#endif
