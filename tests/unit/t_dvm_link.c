/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * dvm against a service that is not there, fails, talks nonsense, says
 * nothing, or dies while a disposable runs: an error, in time, and the right
 * exit status.
 */
#include "tests/unit/t_dvm_play.h"

#define UUID "64766d31-0000-4000-8000-000000000001"
#define LAUNCH_ID 0x0123456789abcdefull
#define NR_RANDOM 150

static const struct dvm_proto running = { .type = DVM_PROTO_RUNNING,
    .launch_id = LAUNCH_ID, .domid = 9, .name = "disp0042",
    .template = "debian", .state = DVM_PROTO_STATE_RUNNING, .text = UUID,
    .value = { 1000000, 3000000, 4000000, 5000000, 50000000, 51000000,
    52000000, 53000000, 412000000 } };
static const struct dvm_proto ended = { .type = DVM_PROTO_ENDED,
    .text = "its time is over" };

static void
test_connect(void)
{
	int fds[8], nr = 0;

	play_deaf();
	play_start("ls");
	ok(play_finish() == 1 && ERR_HAS("the service does not run (/tmp") &&
	    ERR_HAS("systemctl start dvm-restored"),
	    "connect: nobody listens");
	(void)unlink(play.socket.sun_path);
	play_start("run debian");
	ok(play_finish() == 1 && ERR_HAS("systemctl start dvm-restored"),
	    "connect: no socket");
	play_listen(0);
	(void)chmod(play.socket.sun_path, 0);
	play_start("ls");
	ok(play_finish() == 1 && ERR_HAS("you must be in group dvm"),
	    "connect: not allowed");
	(void)chmod(play.socket.sun_path, 0600);
	for (; nr < 8; nr++) {
		fds[nr] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC |
		    SOCK_NONBLOCK, 0);
		if (connect(fds[nr], (const struct sockaddr *)&play.socket,
		    sizeof(play.socket)) != 0)
			break;
	}
	(void)setenv("DVM_TIMEOUT", "1", 1);
	play_start("ls");
	ok(nr < 8 && play_finish() == 7 && ERR_HAS("accepts nobody"),
	    "connect: a full backlog is waited for in vain");
	(void)unsetenv("DVM_TIMEOUT");
	for (int i = 0; i <= nr && i < 8; i++)
		(void)close(fds[i]);
	play_deaf();
	play_listen(16);
}

static void
test_failed(void)
{
	static const struct {
		const char *line, *text, *want;
		uint32_t code;
		int status;
	} cases[] = {
		{ "run debian", "there is no generation", "dvm: there is no "
		    "generation\n", 4, 4 },
		{ "run debian", "too little memory", NULL, 6, 6 },
		{ "ls", "busy", "dvm: busy\n", 5, 5 },
		{ "status", "it took too long", NULL, 7, 7 },
		{ "status -c", "xenstore", NULL, 1, 1 },
		{ "log", "no code", "dvm: no code\n", 0, 1 },
		{ "ls", "unknown code", NULL, 77, 1 },
		{ "ls", "", NULL, UINT32_MAX, 1 },
		{ "kill disp0001", "no", "dvm: disp0001: no\n", 3, 3 },
	};

	for (size_t i = 0; i < PLAY_NR(cases); i++) {
		struct dvm_proto m = { .type = DVM_PROTO_FAILED,
		    .code = cases[i].code };

		(void)snprintf(m.text, sizeof(m.text), "%s", cases[i].text);
		ok(play_all(cases[i].line, &m, 1) == cases[i].status &&
		    OUT_IS("") && ERR_HAS(cases[i].text) &&
		    (cases[i].want == NULL || ERR_IS(cases[i].want)),
		    "failed: %s with code %u exits %d", cases[i].line,
		    cases[i].code, cases[i].status);
	}
}

static int
play_bytes(const char *line, const void *bytes, size_t len)
{
	struct dvm_proto request;
	int fd;

	play_start(line);
	fd = play_accept(&request);
	(void)send(fd, bytes, len, MSG_NOSIGNAL);
	(void)close(fd);
	return play_finish();
}

static void
test_garbage(void)
{
	static const struct dvm_proto other = { .type = DVM_PROTO_TEMPLATE },
	    request = { .type = DVM_PROTO_LIST };
	uint8_t wire[DVM_PROTO_BYTES * 2] = { 0 };
	struct dvm_proto m = { .version = 2, .type = DVM_PROTO_DONE };

	ok(play_bytes("ls", wire, 7) == 3 && ERR_HAS("7 bytes"),
	    "garbage: a short message");
	dvm_proto_encode(&m, wire);
	ok(play_bytes("ls", wire, DVM_PROTO_BYTES) == 3 &&
	    ERR_HAS("version 2"), "garbage: another version");
	m.version = DVM_PROTO_VERSION;
	dvm_proto_encode(&m, wire);
	ok(play_bytes("ls", wire, sizeof(wire)) == 3 && ERR_HAS("1408 bytes"),
	    "garbage: a long message");
	ok(play_bytes("ls", wire, DVM_PROTO_BYTES) == 0,
	    "... and the same of the right size");
	wire[DVM_PROTO_BYTES - 1] = 'x';
	ok(play_bytes("ls", wire, DVM_PROTO_BYTES) == 3,
	    "garbage: text without its end");
	ok(play_all("ls", &other, 1) == 3, "garbage: another's answer");
	ok(play_all("run debian", &request, 1) == 3, "garbage: a request");
	ok(play_bytes("status", wire, 0) == 1 && ERR_HAS("went away"),
	    "garbage: nothing, and the end");
	ok(play_bytes("run debian", wire, 0) == 1 && ERR_HAS("went away"),
	    "garbage: no run, and the end");
}

static void
test_endless(void)
{
	static const struct dvm_proto record = { .type = DVM_PROTO_RECORD,
	    .name = "disp0001" }, queued = { .type = DVM_PROTO_QUEUED };
	struct dvm_proto request;
	struct pollfd p = { .events = POLLIN };

	play_start("ls");
	p.fd = play_accept(&request);
	/* It hangs up: what was sent is an error then. */
	for (int i = 0; i < 20000 && poll(&p, 1, 0) == 0; i++)
		play_answer(p.fd, record);
	(void)close(p.fd);
	ok(play_finish() == 3 && ERR_HAS("over 10000 parts"),
	    "endless: a list");
	(void)setenv("DVM_TIMEOUT", "1", 1);
	play_start("run debian");
	p.fd = play_accept(&request);
	while (poll(&p, 1, 0) == 0)
		play_answer(p.fd, queued);
	(void)close(p.fd);
	ok(play_finish() == 7 && ERR_HAS("within 1 s"), "endless: a queue");
	play_start("status");
	p.fd = play_accept(&request);
	ok(play_finish() == 7 && ERR_HAS("within 1 s"), "endless: silence");
	(void)close(p.fd);
	(void)unsetenv("DVM_TIMEOUT");
}

/* Well-formed messages, the rest of them random, to every command. */
static void
test_random(void)
{
	static const char *const lines[] = { "ls", "ls -j", "status",
	    "status -j", "status -c", "status -cj", "log", "log -j",
	    "kill -a", "run -Tq debian", "run -T debian", "run -j debian" };
	static const uint16_t types[] = { DVM_PROTO_RECORD,
	    DVM_PROTO_RECORD, DVM_PROTO_TEMPLATE, DVM_PROTO_STAGE,
	    DVM_PROTO_FINDING, DVM_PROTO_FINDING, DVM_PROTO_EVENT,
	    DVM_PROTO_EVENT, DVM_PROTO_DONE, DVM_PROTO_RUNNING,
	    DVM_PROTO_RUNNING, DVM_PROTO_RUNNING };
	unsigned seed = 1, nr_wrong = 0;

	/* A run whose service does not come back gives up. */
	(void)setenv("DVM_TIMEOUT", "1", 1);
	for (size_t i = 0; i < NR_RANDOM; i++) {
		size_t c = i % PLAY_NR(lines);
		struct dvm_proto m[3] = { { .type = 0 } };
		int status;

		for (size_t k = 0; k < 2; k++) {
			unsigned char *at = (unsigned char *)&m[k];

			for (size_t b = 0; b < sizeof(m[k]); b++)
				at[b] = (unsigned char)(rand_r(&seed) >> 7);
			for (size_t b = 0; b < sizeof(m[k].text) - 1; b++)
				m[k].text[b] = (char)(' ' + b % 95);
			memset(m[k].name, '%', sizeof(m[k].name) - 1);
			memset(m[k].template, '"', sizeof(m[k].template) - 1);
			m[k].type = types[c];
		}
		if (types[c] == DVM_PROTO_RUNNING)
			m[1].type = DVM_PROTO_ENDED;
		m[2].type = DVM_PROTO_DONE;
		status = play_all(lines[c], m, 3);
		if (status >= 0 && status <= 7)
			continue;
		printf("# %s: %d\n%s", lines[c], status, play.err);
		nr_wrong++;
	}
	(void)unsetenv("DVM_TIMEOUT");
	ok(nr_wrong == 0, "random: %u answers, none hurt", NR_RANDOM);
}

static void
test_run(void)
{
	static const struct dvm_proto answers[] = {
		{ .type = DVM_PROTO_QUEUED, .value = { 2 } },
		{ .type = DVM_PROTO_QUEUED, .value = { 1 } },
		running, ended,
	}, killed[] = { running,
		{ .type = DVM_PROTO_ENDED, .code = 7, .text = "no answer" } };
	struct dvm_proto request;
	int fd;

	play_start("run --for 5 --timings debian");
	fd = play_accept(&request);
	for (size_t i = 0; i < 4; i++)
		play_answer(fd, answers[i]);
	ok(play_finish() == 0 && ERR_IS("") &&
	    play_has("stdout", play.out, "disp0042: running after 0.") &&
	    play_has("stdout", play.out, "\n  load           45.0 ms  (ends "
	    "at 50.0 ms)\n") &&
	    play_has("stdout", play.out, "\n  answer        359.0 ms  (ends "
	    "at 412.0 ms)\ndisp0042: ended: its time is over\n"),
	    "run: with its stages, until it has ended");
	(void)close(fd);
	ok(request.type == DVM_PROTO_RUN && request.value[0] == 5 &&
	    strcmp(request.template, "debian") == 0, "... and its limit");
	ok(play_all("run -j debian", answers, 4) == 0 && ERR_IS("") &&
	    play_has("stdout", play.out, "{\"event\":\"running\",\"name\":"
	    "\"disp0042\",\"domid\":9,\"uuid\":\"" UUID "\",\"template\":"
	    "\"debian\",\"launch_id\":\"0123456789abcdef\",\"running_s\":0.")
	    && play_has("stdout", play.out, ",\"cold\":false,"
	    "\"stages_s\":{\"create\":0.001000,\"disks\":0.003000,") &&
	    play_has("stdout", play.out, "\"answer\":0.412000}}\n"
	    "{\"event\":\"ended\",\"name\":\"disp0042\",\"reason\":"
	    "\"its time is over\"}\n"), "run --json");
	ok(play_all("run -q debian", answers, 4) == 0 && OUT_IS("") &&
	    ERR_IS(""), "run --quiet says nothing");
	ok(play_all("run debian", killed, 2) == 7 &&
	    ERR_IS("dvm: disp0042: it ended: no answer\n"),
	    "run: an end that is an error");
	ok(play_all("run debian", &ended, 1) == 0 &&
	    OUT_IS("debian: ended: its time is over\n"),
	    "run: ended before it ran");
}

/* The service says why it takes so long. */
static void
test_cold(void)
{
	static const struct dvm_proto queued = { .type = DVM_PROTO_QUEUED,
	    .text = "booting cold, which takes longer: its disk has changed: "
	    "run dvm-prepare debian.cfg" };
	struct dvm_proto answers[] = { queued, queued, running, ended };
	struct dvm_proto request;
	int fd;

	answers[2].value[DVM_PROTO_STAGES] = 1;
	ok(play_all("run debian", answers, 4) == 0 && ERR_IS("dvm: booting "
	    "cold, which takes longer: its disk has changed: run dvm-prepare "
	    "debian.cfg\n") && play_has("stdout", play.out,
	    "disp0042: running after"), "cold: it is said, once");
	ok(play_all("run -j debian", answers, 4) == 0 && play_has("stdout",
	    play.out, ",\"cold\":true,"), "cold: --json has it too");
	ok(play_all("run -q debian", answers, 4) == 0 && ERR_IS(""),
	    "cold: --quiet says nothing");
	(void)setenv("DVM_TIMEOUT", "1", 1);
	play_start("run debian");
	fd = play_accept(&request);
	for (int i = 0; i < 15; i++) {
		play_answer(fd, queued);
		(void)poll(NULL, 0, 100);
	}
	ok(play_finish() == 7 && ERR_HAS("within 1 s"),
	    "cold: saying so for ever is no answer");
	(void)close(fd);
	(void)unsetenv("DVM_TIMEOUT");
}

static void
test_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct dvm_proto request;
	char byte;

	for (size_t i = 0; i < PLAY_NR(signals); i++) {
		int fd;

		play_start("run debian");
		fd = play_accept(&request);
		play_answer(fd, running);
		(void)play_sees("out", "running after");
		(void)kill(play.pid, signals[i]);
		ok(play_readable(fd) && recv(fd, &byte, 1, 0) == 0 &&
		    play_finish() == 130 &&
		    ERR_IS("dvm: disp0042: interrupted\n"),
		    "signal %d: hangs up, exits 130", signals[i]);
		(void)close(fd);
	}
	play_start("run debian");
	(void)close(play_accept(&request));
	ok(play_finish() == 1, "signal: none");
}

/* A dvm run whose service died. */
static void
orphan(const char *line)
{
	struct dvm_proto request;
	int fd;

	play_start(line);
	fd = play_accept(&request);
	play_answer(fd, running);
	(void)play_sees("out", "running after");
	play_deaf();
	(void)close(fd);
	(void)play_sees("err", "the service went away");
}

static void
test_attach(void)
{
	static const struct dvm_proto busy = { .type = DVM_PROTO_FAILED,
	    .code = 5, .text = "starting" }, gone = {
	    .type = DVM_PROTO_FAILED, .code = 1, .text = "it is gone" };
	struct dvm_proto request;
	int fd;

	orphan("run debian");
	(void)poll(NULL, 0, 300);
	play_listen(16);
	(void)play_serve(NULL, 0);
	(void)play_serve(&busy, 1);
	fd = play_accept(&request);
	ok(request.type == DVM_PROTO_ATTACH &&
	    request.launch_id == LAUNCH_ID,
	    "attach: to the service that is back, not ready, and ready");
	play_answer(fd, running);
	(void)poll(NULL, 0, 300);
	play_answer(fd, ended);
	ok(play_finish() == 0 && ERR_IS("dvm: disp0042: the service went "
	    "away; waiting up to 60 s for it to come back\n"),
	    "attach: it is held again until it has ended");
	(void)close(fd);

	orphan("run debian");
	play_listen(16);
	ok(play_serve(&ended, 1) == DVM_PROTO_ATTACH && play_finish() == 0,
	    "attach: it has ended meanwhile");
	orphan("run debian");
	play_listen(16);
	ok(play_serve(&gone, 1) == DVM_PROTO_ATTACH && play_finish() == 1 &&
	    ERR_HAS("dvm: disp0042: it is gone\n"),
	    "attach: a failure is the last word");

	(void)setenv("DVM_TIMEOUT", "1", 1);
	orphan("run debian");
	ok(play_finish() == 1 && ERR_HAS("did not come back within 1 s"),
	    "attach: it never comes back");
	play_listen(16);
	orphan("run debian");
	play_listen(16);
	fd = play_accept(&request);
	ok(play_finish() == 1 && ERR_HAS("did not come back within 1 s"),
	    "attach: it comes back mute");
	(void)close(fd);
	(void)unsetenv("DVM_TIMEOUT");

	orphan("run debian");
	(void)kill(play.pid, SIGINT);
	ok(play_finish() == 130 && ERR_HAS("dvm kill disp0042"),
	    "attach: interrupted while it is away");
	play_listen(16);
}

int
main(int argc, char **argv)
{
	(void)argc;
	play_begin(argv[0]);
	test_connect();
	test_failed();
	test_garbage();
	test_endless();
	test_random();
	test_run();
	test_cold();
	test_signals();
	test_attach();
	ok(play.nr_unasked == 0, "every request was one");
	return play_done();
}
