/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The frame around making a generation: one at a time, leftovers first, only
 * if it is needed, and all or nothing.  Runs as root in dvm-prepare.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "prep/pr_make.h"
#include "prep/pr_prepare.h"
#include "prep/pr_undo.h"
#include "prep/pr_verify.h"
#include "savefile/gen/gen_key.h"

struct prepare {
	struct pr_make make;
	struct pr_dir dir;
	struct hv_host host;
	char config_text[PR_CONFIG_TEXT_MAX];
	char key_text[GEN_KEY_BYTES_MAX];
};

/* The two texts, of the template as it is now. */
static int
describe(struct prepare *p, struct err *e)
{
	const struct pr_params *params = p->make.params;
	struct gen_text t = { .buf = p->config_text,
	    .cap = sizeof(p->config_text) };

	if (pr_config_text(params->config, params->by_agent, &t, e) != 0)
		return -1;
	p->make.config_text = gen_text_blob(&t);
	if (gen_key_build(&p->make.config_text, &p->host, p->key_text,
	    sizeof(p->key_text), e) != 0)
		return -1;
	p->make.key_text = (struct sf_blob){ (const uint8_t *)p->key_text,
	    strlen(p->key_text) };
	return 0;
}

/* Makes the generation or leaves nothing of it. */
static int
make(struct prepare *p, struct err *e)
{
	struct pr_make *m = &p->make;
	struct err undo_err;

	pr_domain_new_uuid(m->uuid);
	pr_domain_id_text(m->uuid, m->id);
	(void)snprintf(m->tmp, sizeof(m->tmp), "%s/%s%s", p->dir.path,
	    PR_DIR_TMP, m->id);
	if (pr_dir_make_tmp(&p->dir, m->id, e) == 0 && pr_make(m, e) == 0)
		return 0;
	pr_dir_explain_full(&p->dir, m->params->config->memory_kb << 10, e);
	pr_report_end(m->report, false);
	pr_report_step(m->report, "undo");
	if (pr_undo(m->seams, &p->dir, m->id, &undo_err) == 0 &&
	    pr_dir_undo_publish(&p->dir, &undo_err) == 0) {
		pr_report_end(m->report, true);
		return -1;
	}
	return err_prefix(e, "something is left and will be removed by the "
	    "next run (%.160s)", undo_err.msg);
}

static int
prepare(struct prepare *p, struct err *e)
{
	const struct pr_params *params = p->make.params;
	const struct pr_seams *s = p->make.seams;
	struct pr_result *result = p->make.result;

	if (pr_dir_open(params->state_dir, params->config->name, &p->dir,
	    e) != 0 || pr_dir_lock(&p->dir, false, e) != 0)
		return -1;
	if (pr_undo_all(s, &p->dir, &result->nr_undone, e) != 0)
		return -1;
	/* Also if nothing comes of it: a cold boot goes by it. */
	if (gen_set_cfg(params->state_dir, params->config->name,
	    params->config->cfg, e) != 0)
		return -1;
	if (gen_host_key(params->state_dir, 1, p->make.host_key, e) != 0 ||
	    s->hv->ops->host(s->hv, &p->host, e) != 0 || describe(p, e) != 0)
		return -1;
	if (!params->force && pr_verify_current(params, &p->host,
	    p->make.host_key, result->id)) {
		result->up_to_date = true;
		return pr_dir_prune(&p->dir, params->keep, e);
	}
	if (make(p, e) != 0)
		return -1;
	/* The new one stays whatever happens to the old ones. */
	if (pr_dir_prune(&p->dir, params->keep, e) != 0)
		return err_prefix(e, "the new generation is ready, but");
	return 0;
}

int
pr_prepare_run(const struct pr_params *params, const struct pr_seams *s,
    struct pr_report *report, struct pr_result *result, struct err *e)
{
	struct prepare *p = calloc(1, sizeof(*p));
	int rc;

	*result = (struct pr_result){ .up_to_date = false };
	if (p == NULL)
		return err_set(e, ERR_NOMEM, 0, "no memory");
	p->dir = (struct pr_dir){ .fd = -1, .lock_fd = -1 };
	p->make.params = params;
	p->make.seams = s;
	p->make.report = report;
	p->make.result = result;
	p->make.dir = &p->dir;
	p->make.host = &p->host;
	rc = prepare(p, e);
	pr_report_end(report, rc == 0);
	pr_dir_close(&p->dir);
	sodium_memzero(p->make.host_key, sizeof(p->make.host_key));
	free(p);
	return rc;
}

int
pr_prepare_clean(const char *state_dir, const char *template_name,
    const struct pr_seams *s, struct err *e)
{
	struct pr_dir dir;
	unsigned nr;
	int rc;

	if (pr_dir_open(state_dir, template_name, &dir, e) != 0)
		return -1;
	rc = pr_dir_lock(&dir, true, e);
	if (rc == 0)
		rc = pr_undo_all(s, &dir, &nr, e);
	pr_dir_close(&dir);
	return rc;
}
