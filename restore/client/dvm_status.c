/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm status: templates, stages and counters; with --check the invariants
 * that do not hold.
 */
#include <inttypes.h>
#include <string.h>

#include "restore/client/dvm_ask.h"
#include "restore/client/dvm_out.h"

/* The JSON keys, by enum dvm_proto_counter; the next two have units. */
static const char *const counter_names[] = { "launched", "launch_failed",
    "destroyed", "live", "waiting", "zombies", "adopted" };
#define NR_COUNTERS (sizeof(counter_names) / sizeof(counter_names[0]))

static void
add_template(struct json_object *list, const struct dvm_proto *m)
{
	struct json_object *o = json_object_new_object();

	dvm_out_add_text(o, "name", m->template);
	(void)json_object_object_add(o, "launchable",
	    json_object_new_boolean(m->code == 0));
	(void)json_object_object_add(o, "boots_cold",
	    json_object_new_boolean(m->value[4] != 0));
	dvm_out_add_text(o, m->code == 0 ? "generation" : "reason", m->text);
	dvm_out_add_number(o, "disposables", m->value[0]);
	dvm_out_add_number(o, "launches", m->value[1]);
	dvm_out_add_number(o, "data_bytes", m->value[2]);
	dvm_out_add_number(o, "decoded_bytes", m->value[3]);
	(void)json_object_array_add(list, o);
}

static void
add_stage(struct json_object *list, const struct dvm_proto *m)
{
	struct json_object *o = json_object_new_object();

	dvm_out_add_text(o, "name", m->name);
	dvm_out_add_seconds(o, "p50_s", m->value[0]);
	dvm_out_add_seconds(o, "p99_s", m->value[1]);
	dvm_out_add_number(o, "count", m->value[2]);
	(void)json_object_array_add(list, o);
}

static void
add_counters(struct json_object *o, const struct dvm_proto *m)
{
	for (size_t i = 0; i < NR_COUNTERS; i++)
		dvm_out_add_number(o, counter_names[i], m->value[i]);
	dvm_out_add_seconds(o, "uptime_s", m->value[DVM_PROTO_UPTIME_NS]);
	dvm_out_add_number(o, "free_bytes", m->value[DVM_PROTO_FREE_BYTES]);
	dvm_out_add_number(o, "booted_cold", m->value[DVM_PROTO_COLD]);
}

static void
print_json(const struct dvm_answers *a)
{
	struct json_object *o = json_object_new_object();
	struct json_object *templates = json_object_new_array();
	struct json_object *stages = json_object_new_array();
	struct json_object *counters = json_object_new_object();

	for (size_t i = 0; i < a->nr; i++) {
		if (a->all[i].type == DVM_PROTO_TEMPLATE)
			add_template(templates, &a->all[i]);
		else if (a->all[i].type == DVM_PROTO_STAGE)
			add_stage(stages, &a->all[i]);
		else
			add_counters(counters, &a->all[i]);
	}
	(void)json_object_object_add(o, "templates", templates);
	(void)json_object_object_add(o, "stages", stages);
	(void)json_object_object_add(o, "counters", counters);
	dvm_out_line(o);
}

static void
print_template(const struct dvm_proto *m, int width)
{
	char data[DVM_OUT_MAX], decoded[DVM_OUT_MAX];

	(void)printf("%-*s  %11" PRIu64 "  %8" PRIu64 "  %9s  %9s  %s%s\n",
	    width, m->template, m->value[0], m->value[1],
	    dvm_out_size(m->value[2], data),
	    dvm_out_size(m->value[3], decoded),
	    m->code == 0 ? "" : m->value[4] != 0 ? "boots cold: " :
	    "cannot be launched: ", m->text);
}

static void
print_counters(const struct dvm_proto *m)
{
	const uint64_t *v = m->value;
	char up[DVM_OUT_MAX], memory[DVM_OUT_MAX];

	(void)printf("\nlive %" PRIu64 ", waiting %" PRIu64 ", zombies %"
	    PRIu64 "; launched %" PRIu64 " (%" PRIu64 " cold), failed %"
	    PRIu64 ", destroyed %" PRIu64 ", found at start %" PRIu64
	    "\nup %s, free in Xen %s\n",
	    v[DVM_PROTO_LIVE], v[DVM_PROTO_WAITING], v[DVM_PROTO_ZOMBIES],
	    v[DVM_PROTO_LAUNCHED], v[DVM_PROTO_COLD],
	    v[DVM_PROTO_LAUNCH_FAILED], v[DVM_PROTO_DESTROYED],
	    v[DVM_PROTO_ADOPTED],
	    dvm_out_time(v[DVM_PROTO_UPTIME_NS], up),
	    dvm_out_size(v[DVM_PROTO_FREE_BYTES], memory));
}

/* All of one type, in the order in which they came. */
static void
print_part(const struct dvm_answers *a, uint16_t type, int width)
{
	bool first = true;

	for (size_t i = 0; i < a->nr; i++) {
		const struct dvm_proto *m = &a->all[i];

		if (m->type != type)
			continue;
		if (type == DVM_PROTO_TEMPLATE)
			print_template(m, width);
		else if (type == DVM_PROTO_COUNTERS)
			print_counters(m);
		else if (m->value[2] != 0)
			(void)printf("%s%-10s  %8.1f ms  %8.1f ms  %6" PRIu64
			    "\n", first ? "\nSTAGE               P50          "
			    "P99   COUNT\n" : "", m->name,
			    (double)m->value[0] / 1e6,
			    (double)m->value[1] / 1e6, m->value[2]);
		first = first && (type != DVM_PROTO_STAGE ||
		    m->value[2] == 0);
	}
}

static int
show(const struct dvm_args *args, const struct dvm_answers *now,
    const struct dvm_answers *before, struct err *e)
{
	int width = (int)strlen("TEMPLATE");

	(void)before;
	(void)e;
	if (dvm_cli_has(args, 'j')) {
		print_json(now);
		return 0;
	}
	for (size_t i = 0; i < now->nr; i++)
		if ((int)strlen(now->all[i].template) > width)
			width = (int)strlen(now->all[i].template);
	(void)printf("%-*s  %11s  %8s  %9s  %9s  GENERATION\n", width,
	    "TEMPLATE", "DISPOSABLES", "LAUNCHES", "DATA", "DECODED");
	print_part(now, DVM_PROTO_TEMPLATE, width);
	print_part(now, DVM_PROTO_COUNTERS, width);
	print_part(now, DVM_PROTO_STAGE, width);
	return 0;
}

static int
show_check(const struct dvm_args *args, const struct dvm_answers *now,
    const struct dvm_answers *before, struct err *e)
{
	bool json = dvm_cli_has(args, 'j');
	struct json_object *o, *findings = json_object_new_array();

	(void)before;
	for (size_t i = 0; i < now->nr; i++) {
		if (json)
			(void)json_object_array_add(findings,
			    json_object_new_string(now->all[i].text));
		else
			(void)puts(now->all[i].text);
	}
	if (json) {
		o = json_object_new_object();
		(void)json_object_object_add(o, "findings", findings);
		dvm_out_add_number(o, "hold", now->done.value[0]);
		dvm_out_add_number(o, "do_not", now->done.value[1]);
		dvm_out_line(o);
	} else {
		(void)json_object_put(findings);
		(void)printf("%" PRIu64 " invariants hold, %" PRIu64 " do "
		    "not\n", now->done.value[0], now->done.value[1]);
	}
	if (now->nr == 0 && now->done.value[1] == 0)
		return 0;
	/* All has been said. */
	(void)err_set(e, ERR_SYS, 0, "%s", "");
	return -1;
}

int
dvm_status(const struct dvm_args *args, struct err *e)
{
	if (dvm_cli_has(args, 'c'))
		return dvm_ask_show(DVM_PROTO_CHECK, false, show_check, args,
		    e);
	return dvm_ask_show(DVM_PROTO_STATUS, false, show, args, e);
}
