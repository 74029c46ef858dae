/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm log: the service's last events.
 */
#include <string.h>
#include <time.h>

#include "include/clock.h"
#include "restore/client/dvm_ask.h"
#include "restore/client/dvm_out.h"

static bool
is_in(const struct dvm_answers *events, const struct dvm_proto *m)
{
	for (size_t i = 0; i < events->nr; i++)
		if (events->all[i].value[0] == m->value[0] &&
		    strcmp(events->all[i].text, m->text) == 0)
			return true;
	return false;
}

static void
print_event(const struct dvm_proto *m)
{
	time_t s = (time_t)(m->value[0] / CLOCK_SECOND);
	char date[32] = "?";
	struct tm t;

	if (localtime_r(&s, &t) != NULL)
		(void)strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &t);
	(void)printf("%s.%03u  %s\n", date,
	    (unsigned)(m->value[0] % CLOCK_SECOND / CLOCK_MS), m->text);
}

static int
show(const struct dvm_args *args, const struct dvm_answers *now,
    const struct dvm_answers *before, struct err *e)
{
	(void)e;
	for (size_t i = 0; i < now->nr; i++) {
		struct json_object *o;

		if (is_in(before, &now->all[i]))
			continue;
		if (!dvm_cli_has(args, 'j')) {
			print_event(&now->all[i]);
			continue;
		}
		o = json_object_new_object();
		dvm_out_add_seconds(o, "time_s", now->all[i].value[0]);
		dvm_out_add_text(o, "text", now->all[i].text);
		dvm_out_line(o);
	}
	return 0;
}

int
dvm_log(const struct dvm_args *args, struct err *e)
{
	return dvm_ask_show(DVM_PROTO_LOG, dvm_cli_has(args, 'f'), show, args,
	    e);
}
