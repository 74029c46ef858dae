/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What dvm prints for what the service answers, to people and as JSON, and
 * its exit status.
 */
#include "tests/unit/t_dvm_play.h"

static const struct dvm_proto records[] = {
	{ .type = DVM_PROTO_RECORD, .launch_id = 0xabcd, .domid = 17,
	    .name = "disp7000", .template = "debian-with-a-long-name",
	    .uid = 4000000000u, .state = DVM_PROTO_STATE_ENDING,
	    .value = { 7300 * CLOCK_SECOND, 1536ull << 20, 30 },
	    .text = "64766d31-0000-4000-8000-000000000002" },
	{ .type = DVM_PROTO_RECORD, .launch_id = UINT64_MAX, .domid = 16,
	    .name = "disp0042", .template = "debian",
	    .state = DVM_PROTO_STATE_RUNNING,
	    .value = { 1234567890, 256ull << 20, 0, 1 },
	    .text = "64766d31-0000-4000-8000-000000000001" },
	{ .type = DVM_PROTO_RECORD, .launch_id = 3, .template = "debian",
	    .state = DVM_PROTO_STATE_QUEUED, .value = { 5 } },
	{ .type = DVM_PROTO_DONE },
};
static const struct dvm_proto done = { .type = DVM_PROTO_DONE };

#define LS_TABLE \
"NAME      DOMID  TEMPLATE                 STATE          AGE      MEMORY  " \
"USER\n" \
"-             -  debian                   queued       0.0 s       0 KiB  " \
"root\n" \
"disp0042     16  debian                   running      1.2 s     256 MiB  " \
"root\n" \
"disp7000     17  debian-with-a-long-name  ending         2 h    1536 MiB  " \
"4000000000\n"

#define LS_JSON "[" \
"{\"name\":\"\",\"domid\":0,\"uuid\":\"\"," \
"\"launch_id\":\"0000000000000003\",\"template\":\"debian\"," \
"\"state\":\"queued\",\"age_s\":0.000000,\"memory_bytes\":0,\"left_s\":0," \
"\"cold\":false,\"uid\":0,\"user\":\"root\"}," \
"{\"name\":\"disp0042\",\"domid\":16," \
"\"uuid\":\"64766d31-0000-4000-8000-000000000001\"," \
"\"launch_id\":\"ffffffffffffffff\",\"template\":\"debian\"," \
"\"state\":\"running\",\"age_s\":1.234567,\"memory_bytes\":268435456," \
"\"left_s\":0,\"cold\":true,\"uid\":0,\"user\":\"root\"}," \
"{\"name\":\"disp7000\",\"domid\":17," \
"\"uuid\":\"64766d31-0000-4000-8000-000000000002\"," \
"\"launch_id\":\"000000000000abcd\"," \
"\"template\":\"debian-with-a-long-name\",\"state\":\"ending\"," \
"\"age_s\":7300.000000,\"memory_bytes\":1610612736,\"left_s\":30," \
"\"cold\":false,\"uid\":4000000000}]\n"

static void
test_ls(void)
{
	ok(play_all("ls", records, PLAY_NR(records)) == 0 &&
	    OUT_IS(LS_TABLE) && ERR_IS(""), "ls: a table, by name");
	ok(play_all("ls -j", records, PLAY_NR(records)) == 0 &&
	    OUT_IS(LS_JSON) && ERR_IS(""), "ls --json: an array, by name");
	ok(play_all("ls", &done, 1) == 0 && OUT_IS("") &&
	    ERR_IS("no disposables\n"), "ls: none is said, and no error");
	ok(play_all("ls --json", &done, 1) == 0 && OUT_IS("[]\n") &&
	    ERR_IS(""), "ls --json: none is an empty array");
}

static void
test_watch(void)
{
	play_start("ls --watch --json");
	(void)play_serve(records, PLAY_NR(records));
	(void)play_serve(&done, 1);
	(void)play_serve(NULL, 0);
	(void)play_serve(NULL, 0);
	(void)play_serve(&done, 1);
	(void)play_serve(NULL, 0);
	(void)play_sees("out", "[]\n[]\n");
	(void)kill(play.pid, SIGINT);
	ok(play_finish() == PLAY_SIGNALLED + SIGINT &&
	    OUT_IS(LS_JSON "[]\n[]\n"),
	    "ls --watch: every second, over the service's restart");
	ok(ERR_HAS("the service went away") && ERR_HAS("waiting for it"),
	    "... which it says");
}

static void
test_kill(void)
{
	static const struct dvm_proto answers[] = {
		{ .type = DVM_PROTO_FAILED, .code = 5,
		    .text = "it is somebody else's" },
		{ .type = DVM_PROTO_DONE, .value = { 1 } },
		{ .type = DVM_PROTO_FAILED, .code = 1, .text = "no such" },
		{ .type = DVM_PROTO_DONE, .value = { 3 } },
	};
	struct dvm_proto r;
	bool asked = true;

	play_start("kill disp0001 disp0002 disp0003");
	for (size_t i = 0; i < 3; i++) {
		static const char *const names[] = { "disp0001", "disp0002",
		    "disp0003" };
		int fd = play_accept(&r);

		asked = asked && r.type == DVM_PROTO_KILL &&
		    strcmp(r.name, names[i]) == 0;
		play_answer(fd, answers[i]);
		(void)close(fd);
	}
	ok(play_finish() == 5 && asked && OUT_IS("disp0002: gone\n") &&
	    ERR_IS("dvm: disp0001: it is somebody else's\n"
	    "dvm: disp0003: no such\n"),
	    "kill: all are tried, the first failure counts");
	ok(play_all("kill --all", &answers[3], 1) == 0 &&
	    OUT_IS("3 gone\n"), "kill --all: says how many");
	ok(play_all("kill --all", &done, 1) == 0 && OUT_IS("") &&
	    ERR_IS("no disposables\n"), "kill --all: none is no error");
}

static const struct dvm_proto status[] = {
	{ .type = DVM_PROTO_TEMPLATE, .template = "debian",
	    .text = "20261122-1", .value = { 2, 17, 140u << 20, 0 } },
	{ .type = DVM_PROTO_TEMPLATE, .template = "fedora", .code = 4,
	    .text = "its disk has changed: dvm-prepare fedora" },
	{ .type = DVM_PROTO_TEMPLATE, .template = "suse", .code = 4,
	    .value = { 1, 0, 0, 0, 1 }, .text = "it has no generation" },
	{ .type = DVM_PROTO_STAGE, .name = "create",
	    .value = { 1250000, 30000000, 17 } },
	{ .type = DVM_PROTO_STAGE, .name = "answer" },
	{ .type = DVM_PROTO_COUNTERS, .value = { 17, 1, 15, 2, 3, 4, 5,
	    90 * CLOCK_SECOND, 20ull << 30, 6 } },
	{ .type = DVM_PROTO_DONE },
};

#define STATUS_TEXT \
"TEMPLATE  DISPOSABLES  LAUNCHES       DATA    DECODED  GENERATION\n" \
"debian              2        17    140 MiB      0 KiB  20261122-1\n" \
"fedora              0         0      0 KiB      0 KiB  cannot be " \
"launched: its disk has changed: dvm-prepare fedora\n" \
"suse                1         0      0 KiB      0 KiB  boots cold: it has " \
"no generation\n" \
"\n" \
"live 2, waiting 3, zombies 4; launched 17 (6 cold), failed 1, destroyed " \
"15, found at start 5\n" \
"up 90 s, free in Xen 20.0 GiB\n" \
"\n" \
"STAGE               P50          P99   COUNT\n" \
"create           1.2 ms      30.0 ms      17\n"

#define STATUS_JSON "{\"templates\":[" \
"{\"name\":\"debian\",\"launchable\":true,\"boots_cold\":false," \
"\"generation\":\"20261122-1\"," \
"\"disposables\":2,\"launches\":17,\"data_bytes\":146800640," \
"\"decoded_bytes\":0}," \
"{\"name\":\"fedora\",\"launchable\":false,\"boots_cold\":false," \
"\"reason\":\"its disk has changed: dvm-prepare fedora\"," \
"\"disposables\":0,\"launches\":0,\"data_bytes\":0,\"decoded_bytes\":0}," \
"{\"name\":\"suse\",\"launchable\":false,\"boots_cold\":true," \
"\"reason\":\"it has no generation\"," \
"\"disposables\":1,\"launches\":0,\"data_bytes\":0,\"decoded_bytes\":0}]," \
"\"stages\":[{\"name\":\"create\",\"p50_s\":0.001250,\"p99_s\":0.030000," \
"\"count\":17},{\"name\":\"answer\",\"p50_s\":0.000000," \
"\"p99_s\":0.000000,\"count\":0}]," \
"\"counters\":{\"launched\":17,\"launch_failed\":1,\"destroyed\":15," \
"\"live\":2,\"waiting\":3,\"zombies\":4,\"adopted\":5," \
"\"uptime_s\":90.000000,\"free_bytes\":21474836480," \
"\"booted_cold\":6}}\n"

static void
test_status(void)
{
	static const struct dvm_proto findings[] = {
		{ .type = DVM_PROTO_FINDING, .text = "a loop \"0\" is left" },
		{ .type = DVM_PROTO_FINDING, .text = "a node is left" },
		{ .type = DVM_PROTO_DONE, .value = { 6, 2 } },
	}, clean = { .type = DVM_PROTO_DONE, .value = { 8 } };

	ok(play_all("status", status, PLAY_NR(status)) == 0 &&
	    OUT_IS(STATUS_TEXT) && ERR_IS(""), "status: three tables");
	ok(play_all("status -j", status, PLAY_NR(status)) == 0 &&
	    OUT_IS(STATUS_JSON) && ERR_IS(""), "status --json");
	ok(play_all("status --check", findings, 3) == 1 &&
	    OUT_IS("a loop \"0\" is left\na node is left\n"
	    "6 invariants hold, 2 do not\n") && ERR_IS(""),
	    "status --check: findings, exit 1");
	ok(play_all("status -cj", findings, 3) == 1 &&
	    OUT_IS("{\"findings\":[\"a loop \\\"0\\\" is left\","
	    "\"a node is left\"],\"hold\":6,\"do_not\":2}\n"),
	    "status --check --json");
	ok(play_all("status --check", &clean, 1) == 0 &&
	    OUT_IS("8 invariants hold, 0 do not\n"),
	    "status --check: all hold, exit 0");
}

static void
test_log(void)
{
	static const struct dvm_proto events[] = {
		{ .type = DVM_PROTO_EVENT,
		    .value = { 1700000000123456789 }, .text = "one" },
		{ .type = DVM_PROTO_EVENT,
		    .value = { 1700000001000000000 }, .text = "two" },
		{ .type = DVM_PROTO_DONE },
	}, later[] = {
		events[1],
		{ .type = DVM_PROTO_EVENT,
		    .value = { 1700000001000000000 }, .text = "three" },
		{ .type = DVM_PROTO_DONE },
	};

	ok(play_all("log", events, 3) == 0 &&
	    OUT_IS("2023-11-14 22:13:20.123  one\n"
	    "2023-11-14 22:13:21.000  two\n"), "log: with its time");
	ok(play_all("log --json", events, 3) == 0 &&
	    OUT_IS("{\"time_s\":1700000000.123456,\"text\":\"one\"}\n"
	    "{\"time_s\":1700000001.000000,\"text\":\"two\"}\n"),
	    "log --json: an object a line");
	play_start("log -f");
	(void)play_serve(events, 3);
	(void)play_serve(later, 3);
	(void)play_serve(later, 3);
	(void)play_serve(NULL, 0);
	(void)kill(play.pid, SIGINT);
	ok(play_finish() == PLAY_SIGNALLED + SIGINT &&
	    OUT_IS("2023-11-14 22:13:20.123  one\n"
	    "2023-11-14 22:13:21.000  two\n"
	    "2023-11-14 22:13:21.000  three\n"),
	    "log --follow: each event once");
}

static void
test_usage(void)
{
	static const char *const wrong[] = { "", "frob", "run", "run -t a",
	    "run a --", "run --", "run -s a b c", "run -t a b", "open",
	    "open file:///x", "open http://a b",
	    "open -m 1T /dev/null", "open /dev/null", "open http://a http://b",
	    "run --frob a", "run -z a", "run -f", "run -f 0 a", "run -f 1x a",
	    "run -f 99999999999 a", "run ../a", "run ''", "ls a", "kill",
	    "kill ''", "kill -a disp0001", "kill disp1", "kill dom0",
	    "kill disp00001", "kill disp0001aaaaaaaaaaaaaaaaaaaa",
	    "status x", "log -q", "help frob", "--frob" };
	static const char *const right[] = { "help", "--help", "-h", "help run",
	    "run --help", "ls -h", "--version", "-V" };

	for (size_t i = 0; i < PLAY_NR(wrong); i++) {
		play_start(wrong[i]);
		ok(play_finish() == 2 && OUT_IS("") && play.err[0] != '\0',
		    "usage: \"dvm %s\" is none", wrong[i]);
	}
	for (size_t i = 0; i < PLAY_NR(right); i++) {
		play_start(right[i]);
		ok(play_finish() == 0 && play.out[0] != '\0' && ERR_IS(""),
		    "usage: \"dvm %s\" explains", right[i]);
	}
	(void)setenv("DVM_TIMEOUT", "1x", 1);
	play_start("ls");
	ok(play_finish() == 2 && ERR_HAS("DVM_TIMEOUT"),
	    "usage: DVM_TIMEOUT is a number");
	(void)unsetenv("DVM_TIMEOUT");
	play.stdout_path = "/dev/full";
	ok(play_all("ls", records, PLAY_NR(records)) == 1 &&
	    ERR_HAS("cannot write the output"),
	    "output that is lost is an error");
	play.stdout_path = NULL;
}

int
main(int argc, char **argv)
{
	(void)argc;
	play_begin(argv[0]);
	test_ls();
	test_kill();
	test_status();
	test_log();
	test_watch();
	test_usage();
	ok(play.nr_unasked == 0, "every request was one");
	return play_done();
}
