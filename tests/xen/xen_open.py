#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs and files in disposables, on a real Xen host, in dom0, as users
have them: by dvm(1) and the seeds' names.

usage: xen_open.py [--only programs,files,seeds]

The guest `tiny` is prepared; what else is needed is prepared here: the guest
`debian` as the template dvm-template, `tiny` as online-dvm-template.
Results go to the file $SHOWN if that is set.  Ends with "N passed, N failed".
"""
import argparse
import fcntl
import hashlib
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

from xen_clones import GUESTS, make_cfg
from xen_service import (Service, check, counts, dvm, left, listed, ok, sh,
                         shown, triple_faults, until, world)

HOME = "/root/open"


def pdf(text):
    """A small PDF of one page that says it."""
    page = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(page), page),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"]
    out, at = b"%PDF-1.4\n", []
    for i, o in enumerate(objects, 1):
        at.append(len(out))
        out += b"%d 0 obj%s endobj\n" % (i, o)
    table = b"".join(b"%010d 00000 n \n" % x for x in at)
    return out + (b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root "
                  b"1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (table, len(out)))


def client(*command, data=b"", timeout=180, cwd=None):
    """A command, again if QEMU killed its guest."""
    for _ in range(3):
        before = triple_faults()
        done = subprocess.run(command, input=data, capture_output=True,
                              timeout=timeout, check=False, cwd=cwd)
        if done.returncode != 125 or triple_faults() == before:
            break
    return done


def run(*words, data=b"", template="tiny", timeout=180):
    return client("dvm", "run", template, "--", *words, data=data,
                  timeout=timeout)


def is_so(done, status, out=None, err=None):
    """Did it end so, and print this?"""
    holds = done.returncode == status and (
        out is None or done.stdout == out) and (
        err is None or err in done.stderr)
    if not holds:
        print(f"# status {done.returncode}, not {status}: "
              f"{done.stdout[-300:]} {done.stderr[-300:]}")
    return holds


def template(name, base, initrd=None, *options):
    """Prepared, if it is not; under QEMU a guest dies now and then."""
    path = make_cfg(name, initrd or f"{GUESTS}/{base}.initrd", base=base)
    for _ in range(3):
        done = sh("dvm-prepare", "--codec", "raw", *options, path,
                  timeout=900)
        if "the guest ended" not in done.stderr:
            break
    ok(done.returncode == 0, f"{name} is prepared "
       f"{done.stderr.strip() if done.returncode else ''}")


def make_default(name):
    sh("dvm-prepare", "--default", f"{GUESTS}/{name}.cfg", timeout=900)


def is_clean(service, before):
    """Nothing is left: now that nothing runs, and without the service."""
    ok(until(lambda: not listed()), "no disposable is left")
    said = check()
    ok(said.returncode == 0, "then " + said.stdout.strip())
    service.stop()
    ok(until(lambda: not left(before), 30),
       f"nothing is left: {sorted(left(before))[:4]}")


class Terminal:
    """dvm in a terminal of ours."""
    def __init__(self, rows, cols, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp("dvm", ["dvm", *args])
        self.resize(rows, cols)
        self.said = b""

    def resize(self, rows, cols):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, cols, 0, 0))

    def say(self, data):
        os.write(self.fd, data)

    def until(self, words, timeout=90):
        end = time.monotonic() + timeout
        while words not in self.said and time.monotonic() < end:
            if not select.select([self.fd], [], [], 0.5)[0]:
                continue
            try:
                data = os.read(self.fd, 4096)
            except OSError:             # its end
                data = b""
            if not data:
                break
            self.said += data
        return words in self.said

    def end(self):
        """Its exit status; -1 if it has none within a minute."""
        self.until(b"\0", 60)
        if not until(lambda: os.waitid(os.P_PID, self.pid, os.WEXITED |
                                       os.WNOHANG | os.WNOWAIT), 5):
            os.kill(self.pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return status


def begin(*words, **more):
    """A program that says something once it runs; again if QEMU killed its
    guest."""
    for _ in range(3):
        p = subprocess.Popen(["dvm", *words], stdout=subprocess.PIPE, **more)
        p.first = p.stdout.readline()
        if p.first:
            break
        p.wait()
    return p


def test_statuses():
    done = run("tr", "a-z", "A-Z", data=b"disposable\n")
    ok(is_so(done, 0, b"DISPOSABLE\n"), "it pipes: tr a-z A-Z")
    for words, status in (
            (("true",), 0), (("sh", "-c", "exit 7"), 7),
            (("no-such-program",), 127), (("/etc/passwd",), 126),
            (("sh", "-c", "kill -TERM $$"), 128 + 15),
            (("sh", "-c", "kill -KILL $$"), 128 + 9)):
        ok(is_so(run(*words), status), f"{' '.join(words)}: {status}")
    ok(is_so(run("true", template="nosuch"), 125, b"", b"dvm-prepare"),
       "without such a template: 125 and the next step")
    done = run("sh", "-c", "echo out; echo err >&2")
    ok(is_so(done, 0, b"out\n") and done.stderr == b"err\n",
       "its two outputs are two")
    done = run("sh", "-c", "id -un; pwd; hostname")
    ok(is_so(done, 0) and re.fullmatch(
        rb"user\n/tmp\ndisp\d{4}\n", done.stdout),
       f"it runs as the template's user in its home: {done.stdout}")
    start = time.monotonic()
    done = run("sh", "-c", "sleep 1000 & echo done")
    ok(is_so(done, 0, b"done\n") and time.monotonic() - start < 60,
       "what it leaves in the background keeps nothing")
    make_default("tiny")
    done = client("dvm", "run", "--", "echo", "a b", "", "*")
    ok(is_so(done, 0, b"a b  *\n"), "the default template; words as they are")
    done = client("runuser", "-u", "alice", "--", "dvm", "run", "tiny", "--",
                  "echo", "alice")
    ok(is_so(done, 0, b"alice\n"), "a user of the group dvm may")


def test_bytes():
    data = os.urandom(5 << 20)
    start = time.monotonic()
    done = run("cat", data=data, timeout=300)
    took = time.monotonic() - start
    ok(is_so(done, 0) and hashlib.sha256(done.stdout).digest() ==
       hashlib.sha256(data).digest(), "5 MiB through cat are the same")
    print(f"# with the launch {took:.1f} s")


def test_services():
    for service in "box.Echo", "PedOS.Echo":
        done = client("dvm", "run", "--service", service + "+an-arg", "tiny",
                      data=b"hello\n")
        ok(is_so(done, 0, b"an-arg an-arg an-arg user\nhello\n"),
           f"{service}: its argument and its stdin")
    done = client("dvm", "run", "--service", "box.None", "tiny")
    ok(is_so(done, 127), "a service that is not there: 127")


def test_signals():
    trap = 'trap "echo got; exit 3" TERM; echo ready; while :; do sleep 0.1; '
    p = begin("run", "tiny", "--", "sh", "-c", trap + "done")
    p.send_signal(signal.SIGTERM)
    said = p.communicate(timeout=60)[0]
    ok(said == b"got\n" and p.returncode == 3,
       f"SIGTERM is the program's: {said}, {p.returncode}")
    p = begin("run", "tiny", "--", "sh", "-c", "echo ready; exec sleep 1000")
    p.send_signal(signal.SIGINT)
    ok(p.wait(60) == 130, f"SIGINT ends what does not mind: {p.returncode}")
    p = begin("run", "tiny", "--", "sh", "-c", "echo ready; sleep 1000")
    p.kill()
    p.wait()
    ok(until(lambda: not listed(), 30), "it dies with its client")
    p = begin("run", "tiny", "--", "sh", "-c", "echo ready; sleep 1000",
              stderr=subprocess.PIPE)
    killed = dvm("kill", listed()[0]["name"])
    said = p.communicate(timeout=60)[1]
    ok(killed.returncode == 0 and p.returncode == 125 and b"killed" in said,
       f"after dvm kill: 125 and why: {said}")
    p = begin("run", "tiny", "--", "sh", "-c", "echo ready; sleep 1000",
              stderr=subprocess.PIPE)
    sh("xl", "destroy", listed()[0]["name"])
    said = p.communicate(timeout=60)[1]
    ok(p.returncode == 125 and said, f"after xl destroy: 125: {said}")
    p = begin("run", "tiny", "--", "yes")
    p.stdout.close()
    ok(p.wait(60) == 128 + 13, f"its reader goes away: {p.returncode}")


def test_terminal():
    t = Terminal(33, 77, "run", "-t", "tiny", "--", "sh", "-c",
                 'stty size; tty; until [ "$(stty size)" = "40 100" ]; do '
                 "sleep 0.1; done; echo resized; read x; echo got $x; exit 5")
    ok(t.until(b"33 77\r\n/dev/pts/"), f"-t: a terminal, of this size: "
       f"{t.said}")
    t.resize(40, 100)
    ok(t.until(b"resized"), f"which changes with ours: {t.said}")
    t.say(b"hello\r")
    status = t.end()
    ok(b"got hello\r\n" in t.said and status == 5,
       f"it is typed to: {t.said}, {status}")
    t = Terminal(24, 80, "run", "-t", "tiny", "--", "sh", "-c",
                 'trap "echo int; exit 9" INT; echo ready; while :; do '
                 "sleep 0.1; done")
    t.until(b"ready")
    t.say(b"\3")
    status = t.end()
    ok(b"int\r\n" in t.said and status == 9, f"^C is the program's: {t.said}")
    done = client("dvm", "run", "-t", "tiny", "--", "tty")
    ok(is_so(done, 2, b""), "without a terminal -t is refused")


def test_programs():
    before = world()
    service = Service().start()
    test_statuses()
    test_bytes()
    test_services()
    test_signals()
    test_terminal()
    is_clean(service, before)


class File:
    """A file of HOME, and what became of it."""
    def __init__(self, name, data, mode=0o640):
        self.path = f"{HOME}/{name}"
        with open(self.path, "wb") as f:
            f.write(data)
        os.chmod(self.path, mode)
        os.utime(self.path, (1000000000, 1000000000))
        self.data, self.was = data, os.stat(self.path)

    def read(self):
        with open(self.path, "rb") as f:
            return f.read()

    def is_untouched(self):
        now = os.stat(self.path)
        return self.read() == self.data and now.st_ino == self.was.st_ino \
            and now.st_mtime_ns == self.was.st_mtime_ns

    def is_now(self, data):
        """Another version, with the old one's mode and owner."""
        now = os.stat(self.path)
        return self.read() == data and (
            now.st_mode, now.st_uid, now.st_gid) == (
            self.was.st_mode, self.was.st_uid, self.was.st_gid)


def dvm_open(*words, template="tiny", timeout=300):
    return client("dvm", "open", "--template", template, *words,
                  timeout=timeout)


def only(*names):
    """HOME has these and no more."""
    found = sorted(os.listdir(HOME))
    if found != sorted(names):
        print("#", found)
    return found == sorted(names)


def fresh():
    shutil.rmtree(HOME, ignore_errors=True)
    os.makedirs(HOME)


def test_tiny():
    fresh()
    f = File("a note.txt", b"teh quick\nteh end\n")
    shutil.chown(f.path, "alice", "dvm")
    f.was = os.stat(f.path)
    done = dvm_open(f.path)
    ok(is_so(done, 0) and b"opened: " in done.stdout and
       f.is_now(b"the quick\nthe end\n") and only("a note.txt"),
       "edited by sed -i it comes back; mode and owner are kept")
    f = File("right.txt", b"all is right\n")
    ok(is_so(dvm_open(f.path), 0) and f.is_untouched(),
       "a file that did not change is not touched")
    f = File("view.txt", b"teh end\n")
    dvm_open("--view-only", f.path)
    ok(f.is_untouched(), "--view-only: nothing comes back")
    done = dvm_open("--max-size", "1K", File("large", bytes(1025)).path)
    ok(is_so(done, 2, b"", b"--max-size"), "a file over --max-size: 2, named")
    two = File("one", b"teh one\n"), File("two", b"two\n")
    ok(is_so(dvm_open(*(f.path for f in two)), 0) and
       two[0].is_now(b"the one\n") and two[1].is_untouched(),
       "of two files one changes")
    f = File("target", b"teh target\n")
    os.symlink("target", HOME + "/link")
    ok(is_so(dvm_open(HOME + "/link"), 0) and f.is_now(b"the target\n") and
       os.path.islink(HOME + "/link"), "a link stays one")
    for name in "-rf", ".hidden", "caf\u00e9; echo $(id)", "x" * 240:
        fresh()
        f = File(name, b"teh name\n")
        ok(is_so(dvm_open("--", f.path), 0) and f.is_now(b"the name\n") and
           only(name), f"a file called {name[:30]}")
    lines = b"".join(b"%d teh line\n" % i for i in range(200000))
    f = File("lines", lines)
    ok(is_so(dvm_open(f.path), 0) and
       f.is_now(lines.replace(b"teh", b"the")),
       f"{len(lines)} bytes there and back")
    done = dvm_open("https://www.PedOS.org/a?b=c&d")
    ok(is_so(done, 0, b"browser of user: https://www.PedOS.org/a?b=c&d\n"),
       "of an address there goes the address")


def test_meanwhile():
    """tiny's rule waits as the first line says."""
    fresh()
    f = File("f.txt", b"wait 5\nteh end\n")
    p = begin("open", "--template", "tiny", f.path, stderr=subprocess.PIPE)
    with open(f.path, "ab") as other:
        other.write(b"another's\n")
    said = p.communicate(timeout=90)[1].decode()
    kept = [x for x in os.listdir(HOME) if x != "f.txt"]
    ok(p.returncode == 5 and f.read() == f.data + b"another's\n",
       f"changed meanwhile: 5, and it stays as it is: {said}")
    ok(len(kept) == 1 and kept[0] in said and
       File.read(type("", (), {"path": f"{HOME}/{kept[0]}"})) ==
       b"wait 5\nthe end\n", f"the other version is kept and named: {kept}")
    fresh()
    f = File("f.txt", b"wait 1000\nteh end\n")
    p = begin("open", "--template", "tiny", f.path, stderr=subprocess.PIPE)
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=60)
    ok(p.returncode == 130 and f.is_untouched() and only("f.txt"),
       f"interrupted: {p.returncode}, and the file is as it was")


def test_debian():
    template("dvm-template", "debian")
    fresh()
    f = File("letter.txt", b"teh quick\nteh end\n")
    done = dvm_open(f.path, template="dvm-template")
    ok(is_so(done, 0) and f.is_now(b"the quick\nthe end\nEdited by ed.\n"),
       "debian: a text is edited by ed and comes back")
    f = File("apple sandbox.pdf", pdf("The apple is in its sandbox"))
    done = dvm_open(f.path, template="dvm-template")
    ok(is_so(done, 0) and b"The apple is in its sandbox" in done.stdout and
       f.is_untouched(), "debian: a PDF's text comes out, by pdftotext")
    done = dvm_open("https://www.PedOS.org", template="dvm-template")
    ok(is_so(done, 0, b"browser of user: https://www.PedOS.org\n"),
       "debian: an address is shown by its browser")
    done = run("sh", "-c", "id -un; pwd; ls /dev/xen",
               template="dvm-template")
    ok(is_so(done, 0) and done.stdout.startswith(b"user\n/home/user\n"),
       f"debian: a program runs as its user: {done.stdout}")


def test_files():
    before = world()
    service = Service().start()
    test_tiny()
    test_meanwhile()
    test_debian()
    is_clean(service, before)


def test_seeds():
    """Their command lines as they are written there."""
    before = world()
    service = Service().start()
    template("dvm-template", "debian")
    template("online-dvm-template", "tiny")
    make_default("dvm-template")
    for name in "qvm-run", "qvm-open-in-dvm", "qvm-open-in-vm":
        if not shutil.which(name):
            os.symlink(shutil.which("dvm"), f"/usr/local/bin/{name}")
    fresh()
    os.makedirs(HOME + "/Downloads")
    f = File("Downloads/apple-sandbox.pdf", pdf("The apple in its sandbox"))
    lost = 0
    seeds = (
        ("qvm-run --dispvm=dvm-template --service PedOS.StartApp+xterm",
         b"xterm of user in /home/user: \n"),
        ("qvm-run '@dispvm' xterm", b"xterm of user in /home/user: \n"),
        ("qvm-open-in-dvm Downloads/apple-sandbox.pdf",
         b"The apple in its sandbox"),
        ("qvm-open-in-vm @dispvm:online-dvm-template https://www.PedOS.org",
         b"browser of user: https://www.PedOS.org\n"))
    for line, words in seeds:
        done = client("sh", "-c", line, cwd=HOME)
        lost += not ok(is_so(done, 0) and words in done.stdout,
                       f"{line}: {done.stdout}")
    lost += not ok(f.is_untouched(), "the PDF is as it was")
    shown("seed_commands", len(seeds), lost, "-")
    done = client("qvm-run", "--dispvm=online-dvm-template", "echo a | tr a b")
    ok(is_so(done, 0, b"b\n"), "qvm-run gives one word to a shell")
    is_clean(service, before)


def main(tests):
    p = argparse.ArgumentParser()
    p.add_argument("--only", default=",".join(tests))
    for name in p.parse_args().only.split(","):
        start = time.monotonic()
        tests[name]()
        print(f"# {name}: {time.monotonic() - start:.0f} s", flush=True)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(counts["failed"] != 0)


if __name__ == "__main__":
    main({"programs": test_programs, "files": test_files,
          "seeds": test_seeds})
