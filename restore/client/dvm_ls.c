/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm ls: the disposables that there are.
 */
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restore/client/dvm_ask.h"
#include "restore/client/dvm_out.h"

static int
by_name(const void *a, const void *b)
{
	const struct dvm_proto *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	/* Those that wait have no name yet: as they came. */
	return order != 0 ? order : (x->launch_id > y->launch_id) -
	    (x->launch_id < y->launch_id);
}

/* NULL if the user has no name. */
static const char *
user_name(uint32_t uid)
{
	const struct passwd *p = getpwuid(uid);

	return p != NULL ? p->pw_name : NULL;
}

static void
print_json(const struct dvm_answers *records)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < records->nr; i++) {
		const struct dvm_proto *m = &records->all[i];
		struct json_object *o = json_object_new_object();
		const char *user = user_name(m->uid);
		char id[17];

		(void)snprintf(id, sizeof(id), "%016" PRIx64, m->launch_id);
		dvm_out_add_text(o, "name", m->name);
		dvm_out_add_number(o, "domid", m->domid);
		dvm_out_add_text(o, "uuid", m->text);
		dvm_out_add_text(o, "launch_id", id);
		dvm_out_add_text(o, "template", m->template);
		dvm_out_add_text(o, "state", dvm_proto_state_name(m->state));
		dvm_out_add_seconds(o, "age_s", m->value[0]);
		dvm_out_add_number(o, "memory_bytes", m->value[1]);
		dvm_out_add_number(o, "left_s", m->value[2]);
		(void)json_object_object_add(o, "cold",
		    json_object_new_boolean(m->value[3] != 0));
		dvm_out_add_number(o, "uid", m->uid);
		if (user != NULL)
			dvm_out_add_text(o, "user", user);
		(void)json_object_array_add(list, o);
	}
	dvm_out_line(list);
}

static void
print_table(const struct dvm_answers *records)
{
	int width = (int)strlen("TEMPLATE");

	for (size_t i = 0; i < records->nr; i++)
		if ((int)strlen(records->all[i].template) > width)
			width = (int)strlen(records->all[i].template);
	(void)printf("%-8s  %5s  %-*s  %-8s  %8s  %10s  USER\n", "NAME",
	    "DOMID", width, "TEMPLATE", "STATE", "AGE", "MEMORY");
	for (size_t i = 0; i < records->nr; i++) {
		const struct dvm_proto *m = &records->all[i];
		const char *user = user_name(m->uid);
		char domid[12] = "-", uid[12];
		char age[DVM_OUT_MAX], memory[DVM_OUT_MAX];

		if (m->domid != 0)
			(void)snprintf(domid, sizeof(domid), "%" PRIu32,
			    m->domid);
		(void)snprintf(uid, sizeof(uid), "%" PRIu32, m->uid);
		(void)printf("%-8s  %5s  %-*s  %-8s  %8s  %10s  %s\n",
		    m->name[0] != '\0' ? m->name : "-", domid, width,
		    m->template, dvm_proto_state_name(m->state),
		    dvm_out_time(m->value[0], age),
		    dvm_out_size(m->value[1], memory),
		    user != NULL ? user : uid);
	}
}

static int
show(const struct dvm_args *args, const struct dvm_answers *now,
    const struct dvm_answers *before, struct err *e)
{
	(void)before;
	(void)e;
	if (now->nr > 0)
		qsort(now->all, now->nr, sizeof(*now->all), by_name);
	if (dvm_cli_has(args, 'j')) {
		print_json(now);
		return 0;
	}
	if (dvm_cli_has(args, 'w') && isatty(STDOUT_FILENO))
		(void)fputs("\033[H\033[2J", stdout);
	if (now->nr > 0) {
		print_table(now);
		return 0;
	}
	(void)fflush(stdout);
	(void)fputs("no disposables\n", stderr);
	return 0;
}

int
dvm_ls(const struct dvm_args *args, struct err *e)
{
	return dvm_ask_show(DVM_PROTO_LIST, dvm_cli_has(args, 'w'), show,
	    args, e);
}
