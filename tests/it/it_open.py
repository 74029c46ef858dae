#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""it_open.py BUILD-DIR: dvm open, against a played service and the real agent's
end of the channel; and against agents that are none.  A file comes back whole
or not at all.  Ends with "N passed, N failed"."""

import hashlib
import os
import select
import struct
import subprocess

from it_lib import main, ok, wait_until
from it_play import (BACK, BROKEN, CHANGED, DATA, END, FAILED, FILE_0, GONE,
                     HELLO, Play, PUT, START, TOO_LARGE, UNCHANGED)

USER = 65534
LOST = b"is as it was"


class Files:
    """A directory of the user's, and the guest's rule for opening."""

    def __init__(self, build):
        self.play = Play(build)
        self.dir = self.play.path("files")
        os.mkdir(self.dir)

    def path(self, name=""):
        return os.path.join(self.dir, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as f:
            f.write(data)
        return self.path(name)

    def read(self, name):
        with open(self.path(name), "rb") as f:
            return f.read()

    def rule(self, script):
        self.play.put("etc/dvm/open", "#!/bin/sh\n" + script + "\n", 0o755)

    def open(self, *words, **how):
        return self.play.run("open", *words, **how)

    def names(self):
        return sorted(os.listdir(self.dir))

    def remove(self):
        self.play.remove()


def said(r):
    return r.stderr.decode(errors="replace").strip().replace("\n", "; ")


def inode(path):
    st = os.stat(path)
    return st.st_ino, st.st_mtime_ns


def edits(build):
    f = Files(build)
    one = f.write("report.txt", b"a b c\n")
    f.rule("sed -i s/b/B/ \"$1\"")
    r = f.open(one)
    ok((r.returncode, r.stdout, r.stderr, f.read("report.txt")) ==
       (0, b"", b"", b"a B c\n"), "what was edited comes back")
    f.rule("cat \"$1\" >\"$1.new\"; mv \"$1.new\" \"$1\"; echo x >>\"$1\"")
    r = f.open(one, cwd=f.dir)
    ok(r.returncode == 0 and f.read("report.txt") == b"a B c\nx\n",
       "also from an editor that renames")
    f.rule("touch \"$1\"; cat \"$1\"; echo e >&2; exit 7")
    before = inode(one)
    r = f.open("report.txt", cwd=f.dir)
    ok((r.returncode, r.stdout, r.stderr) == (7, b"a B c\nx\n", b"e\n") and
       inode(one) == before, "the same content replaces nothing; the "
       "program's output and status are told")
    f.rule("(sleep 1; sed -i s/a/A/ \"$1\") & exit 0")
    r = f.open(one)
    ok(r.returncode == 0 and f.read("report.txt") == b"A B c\nx\n",
       "the end is that of all that was started")
    f.rule("ls -l \"$1\" | cut -c1-4; echo no >\"$1\"; exit 0")
    r = f.open("--view-only", one)
    ok(r.returncode == 0 and f.read("report.txt") == b"A B c\nx\n" and
       f.play.requests[-1].template == "", "--view-only: none comes back")
    f.rule("rm \"$1\"")
    r = f.open(one)
    ok(r.returncode == 0 and b"was removed in the disposable" in r.stderr and
       f.read("report.txt") == b"A B c\nx\n", "what was removed there is kept "
       "here")
    f.rule("trap '' TERM; echo up; sleep 99")
    p = f.play.start("open", one)
    p.stdout.readline()
    # The first is the program's; two that come at once are one.
    wait_until(lambda: p.poll() is not None or p.terminate(), pause=0.3)
    ok(p.wait(60) == 143 and LOST in p.stderr.read() and
       f.read("report.txt") == b"A B c\nx\n", "interrupted: as it was")
    f.rule("true")
    r = f.open("--template", "t", "--for", "9", one)
    ok(r.returncode == 0 and f.play.requests[-1].template == "t" and
       f.play.requests[-1].value[0] == 9, "of another template, for a time")
    ok(f.names() == ["report.txt"], "nothing else is left: %s" % f.names())
    f.remove()


def nobody_reads(build):
    """Standard output is not what dvm open is for."""
    f = Files(build)
    f.rule("echo chatter; sleep 0.5; yes | head -c 1000000;"
           "sed -i s/b/B/ \"$1\"")
    for what in ("a pipe that nobody reads", "a full disk"):
        one = f.write("one", b"a b\n")
        with open("/dev/full", "wb") as full:
            p = f.play.start("open", one, stdout=full if what ==
                             "a full disk" else subprocess.PIPE)
        if p.stdout is not None:
            p.stdout.close()
        err = p.stderr.read()
        ok((p.wait(60), err, f.read("one")) == (0, b"", b"a B\n"),
           "output to %s: the file comes back: %s" % (what, err))
        p.stderr.close()
    f.remove()


def several(build):
    f = Files(build)
    os.mkdir(f.path("d"))
    data = os.urandom(5 << 20)
    paths = [f.write(name, data[:n]) for name, n in
             (("a.txt", 5), ("d/a.txt", 0), ("big.bin", 5 << 20),
              ("empty", 0))]
    f.rule("for x; do basename \"$x\"; done; sha256sum <\"$3\"; echo new >\"$2\""
           "\ncat \"$3\" \"$3\" >t; mv t \"$3\"; echo full >\"$4\"")
    r = f.open(*paths)
    ok(r.stdout == ("a.txt\na-2.txt\nbig.bin\nempty\n%s  -\n" %
                    hashlib.sha256(data).hexdigest()).encode(),
       "several in one disposable, names made different")
    ok(r.returncode == 0 and f.read("d/a.txt") == b"new\n" and
       f.read("a.txt") == data[:5] and f.read("empty") == b"full\n" and
       f.read("big.bin") == data + data, "each comes back if it changed")
    r = f.open(f.path("a.txt"), f.path("d/../a.txt"))
    ok(r.returncode == 2 and b"twice" in r.stderr, "none is there twice")
    r = f.open(*[f.write("f%d" % i, b"") for i in range(17)])
    ok(r.returncode == 2 and b"at most 16" in r.stderr, "at most 16")
    f.remove()


def kept(build):
    """What a file is, beside its content."""
    f = Files(build)
    one = f.write("one", b"x\n")
    os.chmod(one, 0o4751)
    os.chown(one, 1234, 4321)
    os.chmod(one, 0o4751)
    try:
        os.setxattr(one, "user.origin", b"mail")
        attributes = True
    except OSError:
        attributes = False
    os.symlink("one", f.path("link"))
    os.link(one, f.path("hard"))
    f.rule("echo y >>\"$1\"; basename \"$1\"")
    r = f.open(f.path("link"))
    st = os.stat(one)
    ok(r.returncode == 0 and r.stdout == b"link\n" and
       f.read("one") == b"x\ny\n" and os.path.islink(f.path("link")),
       "a link's target is replaced")
    ok((st.st_mode & 0o7777, st.st_uid, st.st_gid) == (0o751, 1234, 4321),
       "mode (without set-uid), owner and group are kept")
    ok(not attributes or os.getxattr(one, "user.origin") == b"mail",
       "attributes are kept")
    ok(f.read("hard") == b"x\n", "another name of the file keeps the old "
       "version")
    f.remove()


def changed_meanwhile(build):
    f = Files(build)
    one = f.write("report.pdf", b"old\n")
    # The guest's program reaches our file here, as no guest does.
    for what, name in (("echo mine >>%s", "report.pdf.disp0042"),
                       ("rm %s; echo mine >%s", "report.pdf.disp0042.1"),
                       ("touch %s", "report.pdf.disp0042.2")):
        was = f.write("report.pdf", b"old\n")
        f.rule(what.replace("%s", one) + "; echo theirs >\"$1\"")
        r = f.open(was)
        ok(r.returncode == 5 and b"changed meanwhile" in r.stderr and
           name.encode() in r.stderr and f.read(name) == b"theirs\n" and
           f.read("report.pdf") != b"theirs\n",
           "both are kept: %s" % said(r))
    f.rule("rm %s; echo theirs >\"$1\"" % one)
    r = f.open(one)
    ok(r.returncode == 5 and not os.path.exists(one) and
       f.read("report.pdf.disp0042.3") == b"theirs\n", "removed meanwhile")
    ok(len(f.names()) == 4, "nothing else is left: %s" % f.names())
    f.remove()


def refused(build):
    """Before anything is launched."""
    f = Files(build)
    os.chown(f.dir, USER, USER)
    for name, uid, mode in (("mine", USER, 0o600), ("readonly", USER, 0o400),
                            ("other", 0, 0o666)):
        os.chmod(f.write(name, b"x"), mode)
        os.chown(f.path(name), uid, uid)
    os.mkdir(f.path("closed"))
    os.chmod(f.write("closed/mine", b"x"), 0o600)
    os.chown(f.path("closed/mine"), USER, USER)
    os.chmod(f.path("closed"), 0o755)
    os.mkfifo(f.path("fifo"))
    f.rule("echo seen; echo y >>\"$1\"")
    user = {"user": USER, "group": USER, "extra_groups": []}

    def is_refused(words, status, text, what):
        nr = len(f.play.requests)
        r = f.open(*words, cwd=f.dir, **user)
        ok(r.returncode == status and text in r.stderr and
           len(f.play.requests) == nr, "%s: %s" %
           (what, said(r)))

    is_refused(("closed/mine",), 125, b"--view-only", "a directory that is "
               "another's")
    is_refused(("readonly",), 125, b"--view-only", "a file that is read-only")
    is_refused(("other",), 125, b"--view-only", "a file that is another's")
    for name in ("mine", "closed/mine", "readonly", "other"):
        if name != "mine":
            r = f.open("-v", name, cwd=f.dir, **user)
            ok((r.returncode, r.stdout) == (0, b"seen\n") and
               f.read(name) == b"x", "... which can be viewed: %s" % name)
    r = f.open("mine", cwd=f.dir, **user)
    ok(r.returncode == 0 and f.read("mine") == b"xy\n", "one's own can be "
       "edited: %s" % r.stderr)
    is_refused(("nosuch",), 125, b"nosuch: cannot be found", "no file")
    is_refused((".",), 2, b"no regular file", "a directory")
    is_refused(("fifo",), 2, b"no regular file", "a pipe")
    is_refused(("-m", "2", "mine"), 2, b"--max-size", "a file over the limit")
    is_refused(("mine", "http://x/"), 2, b"one address, or files", "both")
    is_refused(("nos\x1b[1m\nuch",), 125, b"nos?[1m?uch", "a strange name")
    f.remove()


def strange_names(build):
    f = Files(build)
    f.rule("basename \"$1\" | od -An -v -c | tr -d ' \\n'; echo x >>\"$1\"")
    for name, there in ((b"-rf .txt", "_rf.txt"), (b".profile", "_profile"),
                        (b"a\nb\x01c\x7f.pdf", "a_b_c_.pdf"),
                        (b"\xff\xc3(\xc2\x85.x", "__(__.x"),
                        (b"a;b'c$d\"", "a;b'c$d\""),
                        (b"x" * 251 + b".pdf", "x" * 251 + ".pdf")):
        path = os.path.join(f.dir.encode(), name)
        with open(path, "wb"):
            pass
        r = f.open(path)
        with open(path, "rb") as back:
            ok(r.returncode == 0 and back.read() == b"x\n" and
               r.stdout.decode() == there + "\\n", "%r is %s there" %
               (name[:20], r.stdout.decode()[:20]))
    f.remove()


def urls(build):
    f = Files(build)
    f.play.put("etc/dvm/open-url", "#!/bin/sh\necho \"$@\"\n", 0o755)
    url = "https://www.example.org/a?b=c&d=$(e)%20#f"
    r = f.open(url)
    ok((r.returncode, r.stdout) == (0, url.encode() + b"\n"), "an address")
    r = f.open("mailto:a@b.example")
    ok(r.stdout == b"mailto:a@b.example\n", "another kind of address")
    for words, text in ((("file:///etc/passwd",), b"the file's path"),
                        (("http://a\nb",), b"printable ASCII"),
                        (("http://\xfc",), b"printable ASCII"),
                        (("http://" + "x" * 9000,), b"over 8192"),
                        (("http://a", "http://b"), b"one address")):
        r = f.open(*words)
        ok(r.returncode == 2 and text in r.stderr, "refused: %s" %
           said(r))
    f.write("a:b", b"")
    f.rule("basename \"$1\"")
    r = f.open("a:b", cwd=f.dir)
    ok(r.stdout == b"a:b\n", "a file that looks like one is a file")
    for name, words, template in (
            ("qvm-open-in-dvm", (url,), ""),
            ("qvm-open-in-vm", ("@dispvm:online-dvm", url), "online-dvm"),
            ("qvm-open-in-vm", ("@dispvm", url), "")):
        r = f.play.run(*words, name=name)
        ok(r.stdout == url.encode() + b"\n" and
           f.play.requests[-1].template == template, "%s %s" %
           (name, " ".join(words)))
    f.rule("echo x >\"$1\"")
    for name, words in (("qvm-open-in-dvm", ()),
                        ("qvm-open-in-vm", ("$dispvm:t",)),
                        ("qvm-open-in-dvm", ("--view-only",))):
        one = f.write("one", b"")
        r = f.play.run(*words, one, name=name)
        ok(r.returncode == 0 and (f.read("one") == b"x\n") ==
           ("--view-only" not in words), "%s %s FILE" %
           (name, " ".join(words)))
    r = f.play.run("work", url, name="qvm-open-in-vm")
    ok(r.returncode == 2 and b"not a disposable" in r.stderr, "another VM is "
       "an error")
    f.remove()


def back(how, size, stream=FILE_0):
    return BACK, stream, bytes([how]) + struct.pack("<Q", size)


def end(data, size=None, stream=FILE_0):
    return END, stream, struct.pack("<Q", len(data) if size is None else
                                    size) + hashlib.blake2b(
                                        data, digest_size=32).digest()


def agents(build):
    """Agents that are none, or hostile: the file is as it was."""
    f = Files(build)
    one = f.write("one", b"old\n")
    data = b"new" * 1000

    def is_lost(frames_back, text, what, words=(), status=125, hangs=False,
                env=None):
        def agent(frames):
            frames.greet()
            for frame in frames_back:
                frames.send(*frame)
            if hangs:
                frames.take_until(0)
            else:
                frames.exit()
        before = inode(one)
        f.play.agent = agent
        r = f.open(*words, one, env=env)
        ok(r.returncode == status and text in r.stderr and
           f.read("one") == b"old\n" and inode(one) == before and
           f.names() == ["one"], "%s: %d, %s" %
           (what, r.returncode, said(r)))

    changed = back(CHANGED, len(data))
    is_lost([], b"does not say", "no word of it")
    is_lost([changed, (DATA, FILE_0, data)], b"its agent: ", "no end")
    is_lost([changed, (DATA, FILE_0, data), end(data + b"x")],
            b"and not these", "another hash")
    is_lost([changed, (DATA, FILE_0, data), end(data, 7)],
            b"did not come back as it was sent", "another length")
    is_lost([changed, end(data)], b"its agent: ", "an end without content")
    is_lost([back(CHANGED, 10 << 40)], b"over 1073741824", "a promise of "
            "10 TB", hangs=True, env={"DVM_TIMEOUT": "1"})
    is_lost([back(CHANGED, 5000), (DATA, FILE_0, bytes(5000)),
             end(bytes(5000))], b"over 4096", "more than --max-size",
            ("-m", "4K"))
    is_lost([back(TOO_LARGE, 1 << 40)], b"too large", "the agent has too much")
    is_lost([back(BROKEN, 0)], b"could not read", "the agent cannot read it")
    is_lost([back(GONE, 0)], b"was removed", "it is gone", status=0)
    is_lost([back(UNCHANGED, 0), back(CHANGED, 3)], b"its agent: ",
            "it says so twice")
    is_lost([back(CHANGED, 3, FILE_0 + 1)], b"its agent: ", "a file that was "
            "not sent")
    is_lost([changed], b"to be viewed only", "a file to view comes back",
            ("--view-only",))
    is_lost([changed, (DATA, FILE_0, data[:99])], b"nothing came for 1 s",
            "silence in its midst", hangs=True, env={"DVM_TIMEOUT": "1"})
    is_lost([changed, (DATA, FILE_0, data), (DATA, FILE_0, b"x")],
            b"its agent: ", "more than promised")
    is_lost([back(CHANGED, 4), (DATA, FILE_0, b"old\n"), end(b"old\n")],
            b"", "what is the same replaces nothing", status=0)

    def good(frames):
        sent = frames.greet()
        f.said = [(t, d) for t, _, d in sent if t in (PUT, START, END)]
        for frame in (changed, (DATA, FILE_0, data), end(data)):
            frames.send(*frame)
        frames.exit()

    f.play.agent = good
    r = f.open("-m", "1M", one)
    ok(r.returncode == 0 and f.read("one") == data, "and in order it comes: "
       "%s" % said(r))
    ok(f.said == [(PUT, struct.pack("<Q", 4) + b"one"),
                  (END, end(b"old\n")[2]),
                  (START, struct.pack("<BBHHHQ", 3, 0, 1, 0, 0, 1 << 20))],
       "what is sent is of the form")
    f.remove()


def spoilt(build):
    """A file becomes shorter while it comes back, at somebody's hands who is
    not waited for: those beside it come all the same."""
    f = Files(build)
    names = [f.write(name, b"old\n") for name in ("one", "two", "three")]
    f.rule("for x; do echo new >\"$x\"; done; head -c 5000000 /dev/urandom "
           ">\"$2\"; echo \"$2\"")

    def relay(sock, ours, agent):
        there, got = {sock: ours, ours: sock}, b""
        while True:
            for s in select.select([sock, ours], [], [])[0]:
                data = s.recv(65536)
                if not data:
                    return
                if s == ours and len(got) < 1 << 20:
                    got += data
                    if len(got) >= 1 << 20:
                        path = got[:got.index(b"/two\n") + 4]
                        os.truncate(path[path.rindex(b"\0") + 1:], 9)
                there[s].sendall(data)

    f.play.relay = relay
    r = f.open(*names)
    ok(r.returncode == 125 and b"two is as it was" in r.stderr and
       r.stderr.count(LOST) == 1 and
       [f.read(n) for n in names] == [b"new\n", b"old\n", b"new\n"] and
       f.names() == ["one", "three", "two"], "one of three cannot be "
       "finished: %d, %s" % (r.returncode, said(r)))
    f.remove()


def dies(build):
    """The courier says why there is no agent any more, with FAILED."""
    f = Files(build)
    paths = [f.write(name, b"old\n") for name in ("a", "b", "c")]

    def agent(frames):
        frames.greet()
        for frame in (back(CHANGED, 4), (DATA, FILE_0, b"new\n"),
                      end(b"new\n"), back(CHANGED, 4, FILE_0 + 1),
                      (DATA, FILE_0 + 1, b"ne")):
            frames.send(*frame)
        frames.send(FAILED, 0, struct.pack("<I", 125) + b"it is gone")
        frames.take_until(0)

    f.play.agent = agent
    r = f.open(*paths, cwd=f.dir)
    ok(r.returncode == 125 and b"disp0042: it is gone" in r.stderr and
       b"a is as it was" not in r.stderr and
       b"b is as it was: its new version did not come" in r.stderr and
       b"c is as it was: nothing has come back" in r.stderr and
       [f.read(n) for n in f.names()] == [b"new\n", b"old\n", b"old\n"],
       "it dies while files come back, and of each is said: %s" % said(r))

    def before(frames):
        frames.send(HELLO, 0, struct.pack("<I", 1))
        frames.take_until(START)
        frames.send(FAILED, 0, struct.pack("<I", 127) + b"no such program")
        frames.take_until(0)

    f.play.agent = before
    r = f.open(*paths, cwd=f.dir)
    ok((r.returncode, r.stderr) ==
       (127, b"dvm: disp0042: no such program\n"),
       "before it has started no file could have changed: %s" % said(r))
    f.remove()


def growing(build):
    """The user's file changes while it is sent."""
    f = Files(build)
    one = f.write("one", bytes(4 << 20))

    def agent(frames):
        frames.send(HELLO, 0, struct.pack("<I", 1))
        frames.take_until(DATA)
        # Of the rest dvm can have read no more than a window.
        with open(one, "ab") as grow:
            grow.write(b"x")
        frames.take_until(START)

    f.play.agent = agent
    r = f.open(one)
    ok(r.returncode == 125 and b"changed while it was read" in r.stderr,
       "a file that grows is not sent: %s" % said(r))
    f.remove()


if __name__ == "__main__":
    main(edits, nobody_reads, several, kept, changed_meanwhile, refused,
         strange_names, urls, agents, spoilt, dies, growing)
