/* SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The agent's end of the channel: files that come and go back, services,
 * addresses, applications.
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/unit/t_ag_client.h"

static char dir[] = "/tmp/t_ag_open.XXXXXX";

/* A script of the guest, below its root. */
static void
script(const char *path, const char *text)
{
	char full[128], made[128];
	FILE *f;

	(void)snprintf(full, sizeof(full), "%s%s", dir, path);
	for (char *at = full + sizeof(dir); (at = strchr(at, '/')) != NULL;
	    at++) {
		(void)snprintf(made, sizeof(made), "%.*s", (int)(at - full),
		    full);
		(void)mkdir(made, 0755);
	}
	f = fopen(full, "w");
	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0 ||
	    chmod(full, 0755) != 0) {
		perror(full);
		exit(1);
	}
}

/* Opens a file that says "old", with this rule. */
static bool
open_with(const char *rule, uint8_t flags)
{
	script("/etc/dvm/open", rule);
	client_begin();
	client_put("a file.txt", "old\n", 4);
	client_start(CHAN_OPEN, flags, "", 0, 0, 0);
	return client_finish() == 0;
}

static bool
is_back(enum chan_back how)
{
	const struct client_file *f = &client.file[0];

	if (client_exited(0) && f->is_back && f->how == how &&
	    f->complete == (how == CHAN_CHANGED))
		return true;
	printf("# back %d, how %u, complete %d\n", f->is_back, f->how,
	    f->complete);
	return false;
}

static bool
file_says(unsigned nr, const char *text)
{
	const struct client_file *f = &client.file[nr];

	return f->complete && f->hash_is_right && f->len == strlen(text) &&
	    f->size == f->len && memcmp(f->data, text, f->len) == 0;
}

static void
test_back(void)
{
	ok(open_with("#!/bin/sh\ncat \"$1\"\n", 0) &&
	    is_back(CHAN_UNCHANGED) && client_said("old\n"), "a file that is "
	    "read is unchanged");
	ok(open_with("#!/bin/sh\ntouch \"$1\"; cp \"$1\" \"$1.2\";"
	    " mv \"$1.2\" \"$1\"", 0) && is_back(CHAN_UNCHANGED),
	    "and one that was written as it was");
	ok(open_with("#!/bin/sh\necho new >\"$1\"\n", 0) &&
	    is_back(CHAN_CHANGED) && file_says(0, "new\n"), "of the same "
	    "length, but other");
	ok(open_with("#!/bin/sh\necho more >>\"$1\"\n", 0) &&
	    is_back(CHAN_CHANGED) && file_says(0, "old\nmore\n"), "longer");
	ok(open_with("#!/bin/sh\n: >\"$1\"\n", 0) &&
	    is_back(CHAN_CHANGED) && file_says(0, ""), "empty");
	ok(open_with("#!/bin/sh\necho moved >\"$1~\"; mv \"$1~\" \"$1\"",
	    0) && is_back(CHAN_CHANGED) && file_says(0, "moved\n"),
	    "replaced by rename");
	ok(open_with("#!/bin/sh\nhead -c 1900000 /dev/urandom >\"$1\"\n", 0) &&
	    is_back(CHAN_CHANGED) && client.file[0].len == 1900000 &&
	    client.file[0].hash_is_right, "large");
}

static void
test_not_back(void)
{
	ok(open_with("#!/bin/sh\nrm \"$1\"\n", 0) && is_back(CHAN_GONE),
	    "removed");
	ok(open_with("#!/bin/sh\nrm -r \"${1%/*}\"\n", 0) &&
	    is_back(CHAN_GONE), "removed with its directory");
	ok(open_with("#!/bin/sh\nln -sf /etc/passwd \"$1\"\n", 0) &&
	    is_back(CHAN_GONE), "a link instead, which is not followed");
	ok(open_with("#!/bin/sh\nrm \"$1\"; mkfifo \"$1\"\n", 0) &&
	    is_back(CHAN_GONE), "a FIFO, which is not waited for");
	ok(open_with("#!/bin/sh\nrm \"$1\"; mkdir \"$1\"\n", 0) &&
	    is_back(CHAN_GONE), "a directory");
	ok(open_with("#!/bin/sh\ntruncate -s 1T \"$1\"\n", 0) &&
	    is_back(CHAN_TOO_LARGE) && client.file[0].size == 1ull << 40,
	    "too large");
	ok(open_with("#!/bin/sh\n[ ! -w \"$1\" ] || [ $(id -u) = 0 ] || exit 1;"
	    " [ $(stat -c %a \"$1\") = 400 ]\n", CHAN_START_VIEW_ONLY) &&
	    client_exited(0) && !client.file[0].is_back, "to be viewed only: "
	    "it is read-only, and does not come back");
	ok(open_with("#!/bin/sh\necho half >\"$1\"; exit 3\n", 0) &&
	    client_exited(3) && file_says(0, "half\n"), "a status is told "
	    "with the file");
}

static void
test_directory(void)
{
	ok(open_with("#!/bin/sh\nstat -c '%a %F' \"${1%/*}\" \"$1\"; "
	    "echo ${1##*/}; [ \"${1%/dvm-*}\" = \"$HOME\" ]\n", 0) &&
	    is_back(CHAN_UNCHANGED) && client_said("700 directory\n"
	    "600 regular file\na file.txt\n"), "it lies in a fresh "
	    "directory of the user's, under its name");
	(void)setenv("HOME", "/proc", 1);
	ok(open_with("#!/bin/sh\ncase $1 in /tmp/dvm-*) rm -r \"${1%/*}\";; "
	    "*) exit 1; esac\n", 0) && is_back(CHAN_GONE),
	    "in /tmp, if the home cannot be written");
	(void)setenv("HOME", dir, 1);
}

static void
begin_two(const char *one, const char *two)
{
	client_begin();
	client_put(one, "1\n", 2);
	client_put(two, "2\n", 2);
	client_start(CHAN_OPEN, 0, "", 0, 0, 0);
}

/* Two files, of the same name. */
static void
test_two(void)
{
	script("/etc/dvm/open", "#!/bin/sh\nfor f; do echo \"${f##*/}\"; "
	    "done; echo second >\"$2\"\n");
	begin_two("same", "same");
	ok(client_finish() == 0 && client_exited(0) &&
	    client_said("same\nsame\n") &&
	    client.file[0].how == CHAN_UNCHANGED && file_says(1, "second\n"),
	    "two files of one name");
}

/* The first of two files becomes another while it goes back, of a length that
 * is more than may be under way. */
static void
test_spoilt(off_t becomes, const char *title)
{
	char path[512];

	script("/etc/dvm/open", "#!/bin/sh\nprintf %s \"$1\"; echo after >"
	    "\"$2\"\nhead -c 1900000 /dev/zero >\"$1\"\n");
	begin_two("spoilt", "after");
	while (!client_over() && !client.file[0].is_back)
		client_turn(50);
	(void)snprintf(path, sizeof(path), "%.*s", (int)client.out_len,
	    (char *)client.out);
	ok(!client.file[0].complete && truncate(path, becomes) == 0 &&
	    client_finish() == 0 && client_exited(0) &&
	    client.file[0].complete && client.file[0].len == 1900000 &&
	    !client.file[0].hash_is_right && file_says(1, "after\n"), "%s",
	    title);
}

static void
test_descendants(void)
{
	ok(open_with("#!/bin/sh\n(sleep 0.3; echo late >\"$1\") >/dev/null "
	    "2>&1 &\n", 0) && is_back(CHAN_CHANGED) && file_says(0, "late\n"),
	    "a program that goes on in the background is waited for");
	ok(open_with("#!/bin/sh\nsetsid sh -c 'sleep 0.3; echo later >\"$1\"' "
	    "x \"$1\" &\n", 0) && is_back(CHAN_CHANGED) &&
	    file_says(0, "later\n"), "also in a session of its own");
}

static void
test_damaged(void)
{
	static const uint8_t wrong[CHAN_HASH_BYTES];
	struct err e;

	client_begin();
	client_must(chan_send_put(&client.chan, CHAN_FILE_0, 3, "f", &e), &e);
	client_must(chan_send(&client.chan, CHAN_DATA, CHAN_FILE_0, "abc", 3,
	    &e), &e);
	client_must(chan_send_end(&client.chan, CHAN_FILE_0, 3, wrong, &e),
	    &e);
	ok(client_finish() == 0 && client_failed(125, "damaged") &&
	    !client.started, "a file that is not what was sent");
	client_begin();
	client_must(chan_send_put(&client.chan, CHAN_FILE_0 + 1, 3, "f", &e),
	    &e);
	ok(client_finish() == 0 && client_failed(125, "row"), "files that do "
	    "not come in a row");
}

static void
test_service(void)
{
	client_begin();
	script("/etc/dvm-rpc/my.Service", "#!/bin/sh\necho \"$#:$1:"
	    "$DVM_SERVICE_ARGUMENT:$QREXEC_SERVICE_ARGUMENT\"; cat\n");
	script("/etc/qubes-rpc/my.Service", "#!/bin/sh\necho wrong\n");
	script("/etc/PedOS-rpc/its.Service", "#!/bin/sh\necho PedOS $#\n");
	script("/etc/qubes-rpc/qubes.Service", "#!/bin/sh\necho qubes\n");
	script("/etc/x", "#!/bin/sh\necho wrong\n");
	client.in = (const uint8_t *)"input";
	client.in_len = 5;
	client.in_eof = true;
	CLIENT_START(CHAN_SERVICE, 0, "my.Service+an arg+$(x)");
	ok(client_finish() == 0 && client_exited(0) && client_said("1:an arg+"
	    "$(x):an arg+$(x):an arg+$(x)\ninput"), "a service and its "
	    "argument; the first directory's counts");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "its.Service");
	ok(client_finish() == 0 && client_exited(0) && client_said(
	    "PedOS 0\n"), "one without an argument, in the second");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "qubes.Service");
	ok(client_finish() == 0 && client_exited(0) && client_said("qubes\n"),
	    "in the third");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "no.Service");
	ok(client_finish() == 0 && client_failed(127, "no.Service"),
	    "one that is not there");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "../x");
	ok(client_finish() == 0 && client_failed(125, "../x"),
	    "a name that is a path");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, ".");
	ok(client_finish() == 0 && client_failed(125, "name"), "and a dot");
}

static void
test_app(void)
{
	script("/usr/share/applications/an-app.desktop", "[Desktop Entry]\n"
	    "Type=Application\nName=App\nExec=echo \"an app\" %F %%\n");
	script("/.local/share/applications/mine.desktop", "[Desktop Entry]\n"
	    "Type=Application\nExec=sh -c \"sleep 0.2 && echo mine &\"\n");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "PedOS.StartApp+an-app");
	ok(client_finish() == 0 && client_exited(0) &&
	    client_said("an app %\n"), "an application of the system");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "dvm.StartApp+mine");
	ok(client_finish() == 0 && client_exited(0) && client_said("mine\n"),
	    "of the user; all that comes from it is waited for");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "qubes.StartApp+true");
	ok(client_finish() == 0 && client_exited(0), "a program that has no "
	    "desktop entry");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "PedOS.StartApp+none");
	ok(client_finish() == 0 && client_failed(127, "none"), "neither");
	client_begin();
	CLIENT_START(CHAN_SERVICE, 0, "PedOS.StartApp+../../../etc/x");
	ok(client_finish() == 0 && client_failed(125, "name"), "a path");
}

static void
test_url(void)
{
	script("/etc/dvm/open-url", "#!/bin/sh\necho \"$#:$1\"\n");
	client_begin();
	CLIENT_START(CHAN_URL, 0, "https://example.org/a b?c&d;e");
	ok(client_finish() == 0 && client_exited(0) &&
	    client_said("1:https://example.org/a b?c&d;e\n"), "an address, as "
	    "one word");
	client_begin();
	CLIENT_START(CHAN_URL, 0, "--version");
	ok(client_finish() == 0 && client_failed(125, "no address"),
	    "an option instead");
	client_begin();
	CLIENT_START(CHAN_URL, 0, "example.org/a:b");
	ok(client_finish() == 0 && client_failed(125, "no address"),
	    "a path instead");
}

/* Only root can be somebody else. */
static void
test_user(void)
{
	char command[64], made[8] = "";

	if (geteuid() != 0 || chmod(dir, 0755) != 0)
		return;
	client.user = "nobody";
	ok(open_with("#!/bin/sh\necho ${1%/*}; id -un; id -Gn; pwd; "
	    "echo $USER; stat -c '%U %a' \"$1\" \"${1%/*}\"; "
	    "echo theirs >\"$1\"\n", 0) && client_exited(0) &&
	    sscanf((char *)client.out, "/tmp/dvm-%6[A-Za-z0-9]", made) == 1 &&
	    strstr((char *)client.out, "\nnobody\nnogroup\n/\nnobody\n") !=
	    NULL && strstr((char *)client.out, "nobody 600\nnobody 700\n") !=
	    NULL && file_says(0, "theirs\n"), "all is done as the user");
	(void)snprintf(command, sizeof(command), "rm -r /tmp/dvm-%s", made);
	(void)client_shell(command);
	ok(open_with("#!/bin/sh\nchmod 0 \"$1\"; echo ${1%/*}\n", 0) &&
	    is_back(CHAN_BROKEN) && sscanf((char *)client.out,
	    "/tmp/dvm-%6[A-Za-z0-9]", made) == 1, "who gets no file that it "
	    "may not read");
	(void)snprintf(command, sizeof(command), "rm -r /tmp/dvm-%s", made);
	(void)client_shell(command);
	client_begin();
	CLIENT_TTY("exec 0<$(tty) && echo $?", 0, 0);
	ok(client_finish() == 0 && client_exited(0) && client_said("0\r\n"),
	    "the terminal is the user's");
	client.user = NULL;
}

/* Programs of the guest in place of the host's, which only root can do, and
 * only where it may have mounts of its own. */
static bool
has_programs(void)
{
	char path[64], rule[64];

	script("/bin/xdg-open", "#!/bin/sh\ntrap 'echo int; "
	    "[ ${1##*/} != one ]; exit $?' INT\n"
	    "echo up; while :; do sleep 0.05; done\n");
	(void)snprintf(path, sizeof(path), "%s/bin", dir);
	(void)snprintf(rule, sizeof(rule), "%s/etc/dvm/open", dir);
	return unlink(rule) == 0 && unshare(CLONE_NEWNS) == 0 &&
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount(path, "/usr/local/sbin", NULL, MS_BIND, NULL) == 0;
}

static void
test_xdg_open(void)
{
	if (!has_programs())
		return;
	client_begin();
	client_put("one", "1\n", 2);
	client_start(CHAN_OPEN, 0, "", 0, 0, 0);
	(void)client_sees("up\n");
	client_say_u32(CHAN_SIGNAL, SIGINT);
	ok(client_finish() == 0 && client_exited(1) &&
	    client_said("up\nint\n"), "SIGINT ends xdg-open, and the status "
	    "is its own");
	client_begin();
	client_put("one", "1\n", 2);
	client_put("two", "2\n", 2);
	client_start(CHAN_OPEN, 0, "", 0, 0, 0);
	(void)client_sees("up\nup\n");
	client_say_u32(CHAN_SIGNAL, SIGINT);
	ok(client_finish() == 0 && client_exited(1) &&
	    client_said("up\nup\nint\nint\n"), "also if there are several");
	script("/bin/env", "#!/bin/sh\nexit 125\n");
	script("/bin/xdg-open", "#!/bin/sh\n[ ${1##*/} = two ]\n");
	client_begin();
	client_put("one", "1\n", 2);
	client_put("two", "2\n", 2);
	client_start(CHAN_OPEN, 0, "", 0, 0, 0);
	ok(client_finish() == 0 && client_exited(1), "an env that cannot do "
	    "that is not needed");
}

int
main(int argc, char **argv)
{
	char command[64];

	(void)argc;
	client_init(argv[0]);
	if (mkdtemp(dir) == NULL)
		return 1;
	(void)setenv("HOME", dir, 1);
	client.root = dir;
	test_back();
	test_not_back();
	test_directory();
	test_two();
	test_spoilt(0, "a file that becomes shorter while it goes back has "
	    "no hash of its own, and the next one comes");
	test_spoilt(1900001, "so has one that becomes longer");
	test_descendants();
	test_damaged();
	test_service();
	test_app();
	test_url();
	test_user();
	test_xdg_open();
	(void)snprintf(command, sizeof(command), "rm -r %s", dir);
	return client_shell(command) == 0 ? tap_done() : 1;
}
