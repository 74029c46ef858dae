#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""it_run.py BUILD-DIR: dvm run with a program, against a played service and the
real agent's end of the channel; and against agents that are none.  Ends with
"N passed, N failed"."""

import fcntl
import hashlib
import os
import pty
import random
import signal
import socket
import struct
import subprocess
import termios
import time

from it_lib import ATTACH, RUN, Service, main, ok, wait_until
from it_play import (CREDIT, DATA, EOF, FAILED, HELLO, Play, STARTED, STDERR,
                     STDOUT, WINSIZE)

BIG = 20 << 20


def is_run(play, words, status, out=b"", err=b"", **how):
    """Does it end so?  An err of None is any."""
    r = play.run(*words, **how)
    holds = (r.returncode == status and r.stdout == out and
             (err is None or r.stderr == err))
    if not holds:
        print("# %s: %d, %r, %r" % (words, r.returncode, r.stdout[:200],
                                    r.stderr[:300]))
    return holds


def programs(build):
    play = Play(build)
    sh = ("run", "t", "--", "sh", "-c")
    ok(is_run(play, ("run", "t", "--", "tr", "a-z", "A-Z"), 0, b"A B\n",
              input=b"a b\n"), "it pipes")
    m = play.requests[-1]
    ok((m.type, m.template, m.value[:2], m.nr_fds) ==
       (RUN, "t", [0, 1], 1), "asked with a channel")
    ok(is_run(play, ("run", "--", "cat"), 0, b"x", input=b"x") and
       play.requests[-1].template == "", "the default template")
    ok(is_run(play, ("run", "t", "echo", "-n", "--", "-t"), 0, b"-- -t"),
       "options end at the first operand")
    ok(is_run(play, ("run", "--for", "9", "t", "--", "true"), 0) and
       play.requests[-1].value[0] == 9, "--for holds for programs too")
    ok(is_run(play, (*sh, "echo o; echo e >&2; exit 7"), 7, b"o\n", b"e\n"),
       "two outputs and the exit status are its own")
    ok(is_run(play, (*sh, "kill -TERM $$"), 128 + 15), "a signal ends it")
    ok(is_run(play, ("run", "t", "nosuch"), 127, b"",
              b"dvm: disp0042: the guest has no program \"nosuch\"\n"),
       "127: no such program")
    ok(is_run(play, ("run", "t", "/etc/passwd"), 126, err=None),
       "126: it cannot be executed")
    ok(is_run(play, (*sh, "cat; echo x"), 0, b"x\n",
              stdin=subprocess.DEVNULL), "no input")
    r = subprocess.run(["sh", "-c", '"$0" run t -- cat <&- && echo done',
                        *play.dvm()], env=play.env, check=False,
                       stdout=subprocess.PIPE)
    ok(r.stdout == b"done\n", "standard input that is closed is at its end")
    r = play.run("run", "-jT", "t", "--", "echo", "x")
    ok(r.stdout == b"x\n" and r.stderr.startswith(b'{"event":"running",'),
       "--json goes to standard error")
    r = play.run("run", "-T", "t", "--", "echo", "x")
    ok(r.stdout == b"x\n" and b"disp0042: running after" in r.stderr and
       b"  load " in r.stderr, "--timings too")
    play.put("etc/dvm-rpc/test.Add", "#!/bin/sh\necho $(($(cat) + $1))\n",
             0o755)
    ok(is_run(play, ("run", "--service", "test.Add+3", "t"), 0, b"7\n",
              input=b"4") and play.requests[-1].template == "t" and
       is_run(play, ("run", "-s", "test.Add+3"), 0, b"8\n", input=b"5"),
       "a service and its argument")
    many = ["x" * 100] * 1000
    r = play.run("run", "t", "echo", *many)
    ok(r.returncode == 2 and b"too many arguments" in r.stderr,
       "arguments that do not fit are refused")
    ok(is_run(play, ("run", "../t", "--", "true"), 2, err=None),
       "a template that is none is a wrong call")
    ok(play.is_idle(), "every agent has ended")
    play.remove()


def names(build):
    play = Play(build)
    play.put("etc/qubes-rpc/PedOS.StartApp", "#!/bin/sh\necho app $1\n",
             0o755)
    for words, template, out in (
            (("--dispvm=t", "--service", "PedOS.StartApp+xterm"), "t",
             b"app xterm\n"),
            (("--service", "--dispvm", "PedOS.StartApp+xterm"), "",
             b"app xterm\n"),
            (("--service", "@dispvm:u", "PedOS.StartApp+x"), "u",
             b"app x\n"),
            (("--dispvm=t", "echo", "a", "b  c", "-q"), "t", b"a b  c -q\n"),
            (("--dispvm=t", "echo a   b; echo c"), "t", b"a b\nc\n"),
            (("-p", "-q", "--dispvm=t", "true"), "t", b""),
            (("@dispvm", "true"), "", b""),
            (("$dispvm:t", "echo", "x"), "t", b"x\n"),
            (("@dispvm:name", "echo", "--", "x"), "name", b"-- x\n")):
        ok(is_run(play, words, 0, out, name="qvm-run") and
           play.requests[-1].template == template,
           "qvm-run %s" % " ".join(words))
    for words in (("work", "true"), ("@dispvm:", "true"), ("@dispvm",),
                  ("@anyvm", "true"), (), ("--dispvm=-q", "true"),
                  ("--user=x", "@dispvm", "true"), ("--dispvm=t",)):
        r = play.run(*words, name="qvm-run")
        ok(r.returncode == 2 and r.stdout == b"" and
           r.stderr.startswith(b"dvm: "),
           "qvm-run %s is refused: %s" % (" ".join(words),
                                          r.stderr.decode().strip()))
    play.remove()


def much(build):
    play = Play(build)
    data = random.Random(1).randbytes(BIG)
    r = play.run("run", "t", "--", "cat", input=data)
    ok(r.returncode == 0 and r.stdout == data, "%d MiB both ways" %
       (BIG >> 20))
    play.start("run", "t", "--", "sh", "-c", "sleep 0").wait(60)
    p = play.start("run", "t", "--", "sh", "-c",
                   "echo x; exec >&-; read word; exit 4",
                   stdin=subprocess.PIPE)
    ok(p.stdout.read() == b"x\n" and p.poll() is None and
       p.communicate(b"y\n") == (b"", b"") and p.returncode == 4,
       "an output that the program closes ends before the program")
    # Nobody reads the one: the other goes on.
    p = play.start("run", "t", "--", "sh", "-c",
                   "head -c 5000000 /dev/zero & head -c 3000000 /dev/zero >&2;"
                   "wait")
    ok(len(p.stderr.read(3000000)) == 3000000,
       "an output that nobody reads does not hold up the other")
    ok(len(p.stdout.read()) == 5000000 and p.wait(60) == 0,
       "... and loses nothing")
    p.stderr.close()
    p.stdout.close()
    p = play.start("run", "t", "--", "cat", "/dev/zero")
    p.stdout.read(100000)
    p.stdout.close()
    ok(p.wait(60) == 128 + signal.SIGPIPE and p.stderr.read() == b"",
       "a reader that goes away ends it, as by SIGPIPE")
    p.stderr.close()
    with open("/dev/full", "wb") as full:
        p = play.start("run", "t", "--", "echo", "x", stdout=full)
        ok(p.wait(60) == 125 and b"cannot write the output" in
           p.stderr.read(), "output that is lost is an error")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(theirs, fcntl.F_SETFL, 0)
        p = play.start("run", "t", "--", "head", "-c", "1000000", "/dev/zero",
                       stdout=theirs)
        theirs.close()
        digest = hashlib.sha256()
        while data := ours.recv(65536):
            digest.update(data)
    ok(digest.digest() == hashlib.sha256(bytes(1000000)).digest() and
       p.wait(60) == 0, "output may be a socket")
    read_fd, write_fd = os.pipe()
    p = play.start("run", "t", "--", "cat", stdin=read_fd, stdout=write_fd)
    time.sleep(0.3)
    ok(not any(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
               for fd in (read_fd, write_fd)), "what is shared stays as it is")
    p.kill()
    p.wait()
    for fd in (read_fd, write_fd):
        os.close(fd)
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"for another\n")
    os.close(write_fd)
    p = play.start("run", "t", "nosuch", stdin=read_fd)
    ok(p.wait(60) == 127 and os.read(read_fd, 99) == b"for another\n",
       "what does not start reads nothing")
    os.close(read_fd)
    ok(play.is_idle(), "every agent has ended")
    play.remove()


def first_line(p):
    return p.stdout.readline()


def signals(build):
    play = Play(build)
    script = ("trap 'echo int; exit 3' INT; trap 'echo usr' USR1;"
              "echo up; while :; do sleep 0.05; done")
    p = play.start("run", "t", "--", "sh", "-c", script)
    first_line(p)
    p.send_signal(signal.SIGUSR1)
    ok(first_line(p) == b"usr\n", "SIGUSR1 is the program's")
    p.send_signal(signal.SIGINT)
    ok(p.stdout.read() == b"int\n" and p.wait(60) == 3, "SIGINT too")
    p = play.start("run", "t", "--", "sh", "-c",
                   "trap 'echo int' INT; trap 'echo term; exit 3' TERM;"
                   "echo up; while :; do sleep 0.05; done")
    first_line(p)
    p.send_signal(signal.SIGINT)
    p.send_signal(signal.SIGTERM)
    ok(p.stdout.read() == b"int\nterm\n" and p.wait(60) == 3,
       "two at once, as timeout(1) sends them, are no second one")
    for nr in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        p = play.start("run", "t", "--", "sh", "-c",
                       "ulimit -c 0; echo up; exec sleep 99")
        first_line(p)
        p.send_signal(nr)
        ok(p.wait(60) == 128 + nr, "signal %d ends the program, and dvm" % nr)
    p = play.start("run", "t", "--", "sh", "-c",
                   "trap '' INT TERM; echo up; sleep 99")
    first_line(p)
    p.send_signal(signal.SIGINT)
    time.sleep(0.5)
    ok(p.poll() is None, "a program may ignore one")
    wait_until(lambda: p.poll() is not None or p.terminate(), pause=0.3)
    ok(p.wait(60) == 128 + signal.SIGTERM and
       p.stderr.read() == b"dvm: disp0042: interrupted\n",
       "the second within 2 s ends dvm")
    ok(play.is_idle(), "... and all in the guest")
    play.agent = lambda frames: frames.take_until(0)    # it says nothing
    p = play.start("run", "t", "--", "true")
    wait_until(lambda: len(play.requests) == 7)
    time.sleep(0.3)
    p.send_signal(signal.SIGINT)
    ok(p.wait(60) == 128 + signal.SIGINT, "before it has started, the first")
    play.remove()


class Terminal:
    """dvm on a terminal of its own."""

    def __init__(self, play, *words):
        self.fd, self.theirs = pty.openpty()
        self.size(40, 100)
        self.before = termios.tcgetattr(self.theirs)
        self.seen = b""
        self.p = subprocess.Popen(
            play.dvm(*words), env=play.env, stdin=self.theirs,
            stdout=self.theirs, stderr=self.theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def size(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, cols, 0, 0))

    def type(self, text):
        os.write(self.fd, text)

    def sees(self, text):
        os.set_blocking(self.fd, False)

        def look():
            try:
                self.seen += os.read(self.fd, 65536)
            except OSError:
                pass
            return text in self.seen
        return wait_until(look, 10)

    def is_raw(self):
        return not termios.tcgetattr(self.theirs)[3] & termios.ICANON

    def unread(self):
        """How many bytes were typed and not read."""
        n = fcntl.ioctl(self.theirs, termios.FIONREAD, bytes(4))
        return struct.unpack("I", n)[0]

    def end(self):
        """The exit status; None if the terminal is not as it was."""
        status = self.p.wait(60)
        restored = termios.tcgetattr(self.theirs) == self.before
        os.close(self.fd)
        os.close(self.theirs)
        return status if restored else None


def is_stopped(p):
    return wait_until(lambda: os.waitid(
        os.P_PID, p.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT))


def typed_at_the_end(play):
    """What dvm has not read is not the next program's."""
    t = Terminal(play, "run", "-t", "t", "--", "sh", "-c",
                 "echo up; sleep 99")
    t.sees(b"up")
    t.p.send_signal(signal.SIGSTOP)
    is_stopped(t.p)
    t.type(b"for the guest\r")
    arrived = wait_until(lambda: t.unread() == 14)
    t.p.send_signal(signal.SIGTERM)
    t.p.send_signal(signal.SIGCONT)
    status = t.p.wait(60)
    ok(arrived and t.unread() == 0 and t.end() == status == 128 + 15,
       "-t: what is unread at the end is dropped")


def resized_while_stopped(play):
    """Only the foreground's programs are told by the kernel."""
    def agent(frames):
        frames.greet()
        frames.take_until(WINSIZE)
        frames.exit(3)

    play.agent = agent
    t = Terminal(play, "run", "-t", "t", "--", "x")
    wait_until(t.is_raw)
    t.p.send_signal(signal.SIGTSTP)
    is_stopped(t.p)
    t.p.send_signal(signal.SIGCONT)
    ok(wait_until(lambda: t.p.poll() is not None, 10) and t.p.poll() == 3,
       "after a stop the terminal's size is told")
    t.p.kill()
    t.end()
    play.agent = None


def terminal(build):
    play = Play(build)
    t = Terminal(play, "run", "-t", "t", "--", "sh", "-c",
                 "stty size; tty; trap 'stty size' WINCH; echo ready;"
                 "read x || read x; echo \"got $x\"; read x || exit 5")
    ok(t.sees(b"40 100\r\n") and t.sees(b"/dev/pts/") and t.sees(b"ready"),
       "-t: a terminal of the same size")
    ok(t.is_raw(), "ours is raw meanwhile")
    t.size(50, 120)
    ok(t.sees(b"50 120\r\n"), "a new size is told")
    t.type(b"hello\n")
    ok(t.sees(b"got hello\r\n"), "keys go to the program")
    t.type(b"\x04")
    ok(t.end() == 5, "its exit status; ours is as it was")
    t = Terminal(play, "run", "-t", "t", "--", "sh", "-c",
                 "printf 'a\\033[31mb\\233'; exec sleep 99")
    ok(t.sees(b"a\x1b[31mb\x9b"), "-t: all that comes is shown")
    t.type(b"\x03")
    ok(t.end() == 128 + signal.SIGINT, "^C is the program's")
    for nr in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        t = Terminal(play, "run", "-t", "t", "--", "sh", "-c",
                     "trap '' INT TERM HUP; echo up; sleep 99")
        t.sees(b"up")
        t.p.send_signal(nr)
        ok(t.end() == 128 + nr, "-t: signal %d ends dvm, and the terminal is "
           "as it was" % nr)
    t = Terminal(play, "run", "-t", "t", "--", "sh", "-c",
                 "echo up; read x; echo \"got $x\"")
    t.sees(b"up")
    t.p.send_signal(signal.SIGTSTP)
    ok(is_stopped(t.p) and not t.is_raw(),
       "SIGTSTP: stopped, with its terminal back")
    t.p.send_signal(signal.SIGCONT)
    ok(wait_until(t.is_raw), "... and it goes on")
    t.type(b"x\n")
    ok(t.sees(b"got x") and t.end() == 0, "... to its end")
    typed_at_the_end(play)
    resized_while_stopped(play)
    t = Terminal(play, "run", "t", "--", "printf",
                 r"\033]0;x\007 \t\302\233 gr\303\274n \303 \377\342\202\254\r\n")
    ok(t.sees(b"?]0;x? \t?? gr\xc3\xbcn ? ?\xe2\x82\xac\r\r\n"),
       "without -t only text comes to a terminal: %r" % t.seen)
    t.end()
    t = Terminal(play, "run", "t", "--", "sh", "-c",
                 r"printf '\303'; sleep 0.3; printf '\274\303'; sleep 0.3;"
                 r"printf '\033\342\202'")
    ok(t.sees(b"\xc3\xbc????") and t.end() == 0,
       "... also in pieces: %r" % t.seen)
    play.env["LC_ALL"] = "C"
    t = Terminal(play, "run", "t", "--", "printf", r"gr\303\274n.")
    ok(t.sees(b"gr??n."), "... which is ASCII in the locale C")
    t.end()
    r = play.run("run", "t", "--", "printf", r"\033\377")
    ok(r.stdout == b"\x1b\xff", "what is no terminal gets all")
    r = play.run("run", "-t", "t", "--", "true")
    ok(r.returncode == 2 and b"--tty" in r.stderr, "-t wants a terminal")
    play.remove()


def service_away(build):
    """It goes away while a program runs, and comes back."""
    play = Play(build)
    p = play.start("run", "t", "--", "sh", "-c", "echo up; cat",
                   stdin=subprocess.PIPE)
    first_line(p)
    play.hang_up.set()
    conn = play.held[0]
    conn.shutdown(socket.SHUT_RDWR)
    ok(wait_until(lambda: play.requests[-1].type == ATTACH) and
       play.requests[-1].launch_id == 77, "it is looked for again")
    p.stdin.write(b"still here\n")
    p.stdin.close()
    ok(p.stdout.read() == b"still here\n" and p.wait(60) == 0,
       "and the program goes on")
    ok(b"the service went away" in p.stderr.read(), "which is said")
    play.remove()


def agents(build):
    """Agents that are none, or hostile."""
    play = Play(build)
    big = struct.pack("<BBHI", DATA, STDOUT, 0, 1 << 31)

    def until_closed(frames):
        frames.take_until(0)

    def plays(play_agent, status, text, *words, env=None):
        play.agent = play_agent
        r = play.run("run", "t", *(words or ("--", "true")), env=env)
        return ok(r.returncode == status and text in r.stderr,
                  "%s: %d, %s" % (play_agent.__name__, r.returncode,
                                  r.stderr.decode().strip()))

    def failed(frames):
        frames.send(HELLO, 0, struct.pack("<I", 1))
        frames.send(FAILED, 0, struct.pack("<I", 125) + b"no \x1b[1mvchan")

    def silent(frames):
        until_closed(frames)

    def closed(frames):
        frames.greet()

    def garbage(frames):
        frames.s.sendall(random.Random(3).randbytes(5000))
        until_closed(frames)

    def promises(frames):
        frames.greet()
        frames.s.sendall(big)
        until_closed(frames)

    def floods(frames):
        frames.greet()
        for _ in range(25):
            frames.send(DATA, STDOUT, bytes(32768))
        until_closed(frames)

    def strange_stream(frames):
        frames.greet()
        frames.send(DATA, 7, b"x")
        until_closed(frames)

    def unasked_file(frames):
        frames.greet()
        frames.send(67 - 2, 16, bytes([2]) + struct.pack("<Q", 1))
        until_closed(frames)

    def credits_much(frames):
        frames.greet()
        frames.send(CREDIT, 0, struct.pack("<I", 1 << 30))
        until_closed(frames)

    def lies(frames):
        frames.greet()
        frames.exit(1000)
        until_closed(frames)

    def other_version(frames):
        frames.send(HELLO, 0, struct.pack("<I", 9))
        until_closed(frames)

    def many_small(frames):
        frames.greet()
        for _ in range(20000):
            frames.send(DATA, STDERR, b"x")
            frames.send(DATA, STDOUT, b"y")
        frames.send(EOF, STDOUT)
        frames.exit(9)

    ok(STARTED == 64, "the numbers are those of chan.h")
    plays(failed, 125, b"dvm: disp0042: no ?[1mvchan\n")
    plays(silent, 125, b"within 1 s", env={"DVM_TIMEOUT": "1"})
    plays(closed, 125, b"it ended: its agent has ended")
    for hostile in (garbage, promises, strange_stream, unasked_file,
                    credits_much, lies):
        plays(hostile, 125, b"dvm: disp0042: its agent: ")
    def let_go():
        """Of the disposable: dvm has seen what its agent does."""
        try:
            return (len(play.held) > nr and play.held[nr].recv(
                1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"")
        except BlockingIOError:
            return False

    play.agent = floods
    nr = len(play.held)
    p = play.start("run", "t", "--", "x")
    wait_until(let_go, 60)
    out, text = p.communicate()
    ok(p.returncode == 125 and len(out) < 25 * 32768 and
       text.startswith(b"dvm: disp0042: its agent: a frame of type 2"),
       "more than the window: %s" % text.decode().strip())
    plays(other_version, 125, b"version 9")
    play.agent = many_small
    r = play.run("run", "t", "--", "x")
    ok(r.returncode == 9 and r.stdout == b"y" * 20000 and
       r.stderr == b"x" * 20000, "40000 small frames")
    play.remove()


def through_service(build):
    """The same through the real front, core and courier."""
    os.environ["DVM_FAKE_AGENT"] = os.path.join(os.path.abspath(build),
                                                "tests", "agent_serve")
    service = Service(build)
    service.start()
    dvm = os.path.join(build, "dvm")
    data = random.Random(2).randbytes(BIG)
    r = subprocess.run([dvm, "run", "--", "cat"], env=service.env, input=data,
                       capture_output=True, check=False, timeout=120)
    ok(r.returncode == 0 and r.stdout == data and r.stderr == b"",
       "%d MiB both ways through the service" % (BIG >> 20))
    with subprocess.Popen([dvm, "run", "t", "--", "sh", "-c",
                           "echo up; cat; exit 4"], env=service.env,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as p:
        first_line(p)
        os.kill(service.roles()["core"], signal.SIGKILL)
        ok(wait_until(lambda: len(service.records()) == 1),
           "core dies: dvm holds it again")
        p.stdin.write(b"x")
        p.stdin.close()
        ok(p.stdout.read() == b"x" and p.wait(60) == 4,
           "and the program goes on to its end")
    ok(wait_until(service.is_empty) and service.findings() is None,
       "nothing is left")
    service.remove()


if __name__ == "__main__":
    main(programs, names, much, signals, terminal, service_away, agents,
         through_service)
