/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The agent's end of the channel with real programs: their standard streams,
 * their terminal, their end.
 */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/t_ag_client.h"

#define MANY (10u << 20)

static char dir[] = "/tmp/t_ag_serve.XXXXXX";

static void
test_plain(void)
{
	client_begin();
	CLIENT_START(CHAN_PROGRAM, 0, "echo\0two  blanks\0*");
	ok(client_finish() == 0 && client_exited(0) && client.started &&
	    client_said("two  blanks *\n"), "echo, with its words as they "
	    "are");
	ok(client.out_eof && client.err_eof, "both streams have their end");
	client_begin();
	CLIENT_SH("echo out; echo err >&2; exit 7");
	ok(client_finish() == 0 && client_exited(7) && client_said("out\n") &&
	    strcmp(client.err, "err\n") == 0, "an exit status, stdout and "
	    "stderr");
	client_begin();
	CLIENT_SH("kill -9 $$");
	ok(client_finish() == 0 && client_exited(256 + SIGKILL),
	    "a program that a signal ended");
	client_begin();
	CLIENT_SH("echo $USER:$HOME; pwd; env | grep -c ^DVM_LEAK");
	ok(client_finish() == 0 && client_exited(1) &&
	    strstr((char *)client.out, dir) != NULL &&
	    strstr((char *)client.out, "\n0\n") != NULL,
	    "it has its user's home and none of the agent's variables");
}

static void
test_descriptors(void)
{
	/* As libxengnttab opens /dev/xen/gntalloc, without O_CLOEXEC. */
	int fd = open("/dev/null", O_RDONLY);

	ok(fd > STDERR_FILENO, "the agent has a descriptor that is "
	    "inherited");
	client_begin();
	CLIENT_SH("for n in $(seq 0 63); do [ -e /proc/$$/fd/$n ] && "
	    "echo $n; done; exit 0");
	ok(client_finish() == 0 && client_exited(0) &&
	    client_said("0\n1\n2\n"), "its program has 0, 1 and 2");
	(void)close(fd);
}

static void
test_none(void)
{
	char path[64], words[80];
	size_t len;

	client_begin();
	CLIENT_START(CHAN_PROGRAM, 0, "no-such-program");
	ok(client_finish() == 0 && client_failed(127, "no program "
	    "\"no-such-program\"") && !client.started, "a program that is "
	    "not there");
	client_begin();
	CLIENT_START(CHAN_PROGRAM, 0, "/etc/passwd");
	ok(client_finish() == 0 && client_failed(126, "/etc/passwd"),
	    "a file that is none");
	client_begin();
	CLIENT_START(CHAN_PROGRAM, 0, "/etc/passwd/x");
	ok(client_finish() == 0 && client_failed(127, "/etc/passwd/x"),
	    "a path that leads nowhere");
	(void)snprintf(path, sizeof(path), "%s/script", dir);
	FILE *f = fopen(path, "w");
	if (f == NULL || fputs("#!/no/such/shell\n", f) < 0 ||
	    fclose(f) != 0 || chmod(path, 0700) != 0)
		return;
	len = (size_t)snprintf(words, sizeof(words), "%s", path) + 1;
	client_begin();
	client_start(CHAN_PROGRAM, 0, words, len, 0, 0);
	ok(client_finish() == 0 && client_failed(126, "interpreter"),
	    "a script whose interpreter is missing");
}

static void
test_both_ways(void)
{
	uint8_t *all = malloc(MANY);

	if (all == NULL)
		return;
	for (size_t i = 0; i < MANY; i++)
		all[i] = (uint8_t)(i * 31 ^ i >> 11);
	client.in = all;
	client.in_len = MANY;
	client.in_eof = true;
	client_begin();
	CLIENT_START(CHAN_PROGRAM, 0, "cat");
	ok(client_finish() == 0 && client_exited(0) &&
	    client.out_len == MANY && memcmp(client.out, all, MANY) == 0,
	    "10 MB through cat come back the same");
	/* More than a pipe takes, to one that reads none of it. */
	client.in = all;
	client.in_len = MANY;
	client.in_eof = true;
	client_begin();
	CLIENT_SH("exec <&-; sleep 0.2; echo done");
	ok(client_finish() == 0 && client_exited(0) && client_said("done\n"),
	    "10 MB to a program that does not read do not hold it up");
	client.in = all;
	client.in_len = MANY;
	client.in_eof = true;
	client_begin();
	CLIENT_SH("exec sleep 0.3");
	client_wait(200);
	ok(client.in_len >= MANY - CHAN_WINDOW - 65536 && !client_over(),
	    "no more than a window and a pipe goes to one that does not read "
	    "yet");
	ok(client_finish() == 0 && client_exited(0), "and it ends");
	client.in_len = 0;
	client.in_eof = false;
	free(all);
}

static void
test_stalled(void)
{
	client.stalled = true;
	client_begin();
	CLIENT_SH("head -c 1000000 /dev/zero & read x; echo beside >&2; wait; "
	    "exit 3");
	client_wait_len(&client.out_len, CHAN_WINDOW);
	client.in = (const uint8_t *)"now\n";
	client.in_len = 4;
	client_wait_len(&client.err_len, 7);
	/* No more comes. */
	client_wait(200);
	ok(strncmp(client.err, "beside\n", 7) == 0 &&
	    client.out_len == CHAN_WINDOW && !client_over(), "stderr flows "
	    "while stdout stands, after one window");
	client.stalled = false;
	struct err e;
	client_must(chan_send_u32(&client.chan, CHAN_CREDIT, CHAN_STDOUT,
	    CHAN_WINDOW, &e), &e);
	ok(client_finish() == 0 && client_exited(3), "with CREDIT it goes on "
	    "to its end");
}

static void
test_stdin(void)
{
	client.in_eof = true;
	client_begin();
	CLIENT_START(CHAN_PROGRAM, 0, "wc\0-c");
	ok(client_finish() == 0 && client_exited(0) && client_said("0\n"),
	    "stdin that ends at once");
	client_begin();
	CLIENT_SH("read x; echo got $x; read y || echo end");
	client.in = (const uint8_t *)"line\n";
	client.in_len = 5;
	ok(client_sees("got line\n"), "it reads what has come");
	client.in_eof = true;
	ok(client_finish() == 0 && client_exited(0) &&
	    client_said("got line\nend\n"), "and later the end");
}

static void
test_signal(void)
{
	client_begin();
	CLIENT_SH("trap 'echo term; exit 5' TERM; echo up; "
	    "while :; do sleep 0.05; done");
	(void)client_sees("up\n");
	client_say_u32(CHAN_SIGNAL, SIGTERM);
	ok(client_finish() == 0 && client_exited(5) &&
	    client_said("up\nterm\n"), "a signal arrives");
	client_begin();
	CLIENT_SH("trap 'wait; exit 6' TERM; (trap 'echo in; exit' TERM; "
	    "echo up; while :; do sleep 0.05; done) & wait");
	(void)client_sees("up\n");
	client_say_u32(CHAN_SIGNAL, SIGTERM);
	ok(client_finish() == 0 && client_exited(6) &&
	    client_said("up\nin\n"), "it goes to the whole group");
	client_begin();
	CLIENT_START(CHAN_PROGRAM, 0, "sleep\0001000");
	client_say_u32(CHAN_SIGNAL, SIGTERM);
	ok(client_finish() == 0 && client_exited(256 + SIGTERM), "also if it "
	    "comes with START");
}

static void
test_tty(void)
{
	client_begin();
	CLIENT_TTY("stty size; tty -s && echo tty $TERM; echo err >&2; exit 4",
	    30, 99);
	ok(client_finish() == 0 && client_exited(4) &&
	    client_said("30 99\r\ntty xterm\r\nerr\r\n") &&
	    client.err_len == 0, "a terminal of a size; stderr is in it");
	client_begin();
	CLIENT_TTY("echo up; read x; echo $x $(stty size)", 30, 99);
	(void)client_sees("up");
	client_say_u32(CHAN_WINSIZE, 40 | 120 << 16);
	client.in = (const uint8_t *)"in\n";
	client.in_len = 3;
	ok(client_finish() == 0 && client_exited(0) &&
	    strstr((char *)client.out, "in 40 120\r\n") != NULL,
	    "its size changes");
	client_begin();
	CLIENT_TTY("echo up; cat; echo end", 0, 0);
	(void)client_sees("up");
	client.in_eof = true;
	ok(client_finish() == 0 && client_exited(0) &&
	    strstr((char *)client.out, "end\r\n") != NULL,
	    "the end of stdin is one for who reads the terminal");
	client_begin();
	CLIENT_TTY("trap 'exit 5' INT; echo up; while :; do sleep 0.05; done",
	    0, 0);
	(void)client_sees("up");
	client.in = (const uint8_t *)"\003";
	client.in_len = 1;
	ok(client_finish() == 0 && client_exited(5), "^C in it is SIGINT");
}

static void
test_background(void)
{
	uint64_t start = clock_now_ns();

	client_begin();
	CLIENT_SH("(sleep 1000; echo late) & seq 20000; exit 6");
	ok(client_finish() == 0 && client_exited(6) &&
	    client.out_len == 108894 &&
	    clock_now_ns() - start < 30 * CLOCK_SECOND, "who holds stdout in "
	    "the background is not waited for, and nothing is lost");
	client_begin();
	CLIENT_SH("yes & sleep 0.1; exit 2");
	ok(client_finish() == 0 && client_exited(2), "nor who fills it "
	    "without end");
	client_begin();
	CLIENT_SH("exec >&- 2>&-; sleep 0.2; exit 9");
	ok(client_finish() == 0 && client_exited(9), "one without streams");
}

/* Is there a process whose command line has this? */
static bool
runs(const char *mark)
{
	char command[128];

	(void)snprintf(command, sizeof(command), "grep -lsz '%s' "
	    "/proc/[0-9]*/cmdline | grep -v -e self -e $$ >/dev/null", mark);
	return client_shell(command) == 0;
}

static void
test_closed(void)
{
	char mark[16], words[128];
	int len;

	/* Seconds that nobody else sleeps. */
	(void)snprintf(mark, sizeof(mark), "^1%08u$", (unsigned)getpid());
	len = snprintf(words, sizeof(words), "sh%c-c%csetsid sh -c 'sleep "
	    "1%08u; :' & (sleep 1%08u &); trap '' TERM HUP; echo up; wait",
	    0, 0, (unsigned)getpid(), (unsigned)getpid());
	client_begin();
	client_start(CHAN_PROGRAM, 0, words, (size_t)len + 1, 0, 0);
	(void)client_sees("up\n");
	for (unsigned i = 0; i < 500 && !runs(mark); i++)
		client_turn(10);
	ok(runs(mark), "the control: it runs");
	ok(client_end() == 0 && !runs(mark), "when the channel closes "
	    "it is killed, with all that comes from it");
	client_begin();
	ok(client_end() == 0, "a channel that closes before START");
	client_begin();
	(void)send(client.chan.io.fd, "\1\0\0\0\4\0\0\0\143\0\0\0", 12,
	    MSG_NOSIGNAL);
	ok(client_end() == 1, "one that speaks another version");
}

int
main(int argc, char **argv)
{
	(void)argc;
	client_init(argv[0]);
	if (mkdtemp(dir) == NULL)
		return 1;
	(void)setenv("HOME", dir, 1);
	(void)setenv("DVM_LEAK", "1", 1);
	test_plain();
	test_descriptors();
	test_none();
	test_both_ways();
	test_stalled();
	test_stdin();
	test_signal();
	test_tty();
	test_background();
	test_closed();
	char script[64];
	(void)snprintf(script, sizeof(script), "%s/script", dir);
	(void)unlink(script);
	(void)rmdir(dir);
	return tap_done();
}
