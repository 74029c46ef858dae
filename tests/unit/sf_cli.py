#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""dvm-savefile as its users see it: output, files, exit statuses.

usage: sf_cli.py DVM_SAVEFILE DIR     (DIR made by sf_corpus)"""

import json
import os
import stat
import subprocess
import sys
import tempfile

PASSED = FAILED = 0


def ok(holds, claim):
    global PASSED, FAILED
    if holds:
        PASSED += 1
    else:
        FAILED += 1
    print("%sok - %s" % ("" if holds else "not ", claim))


def run(*args, **kwargs):
    return subprocess.run([PROGRAM, *args], capture_output=True, check=False,
                          **kwargs)


def fails(status, says, *args):
    r = run(*args)
    err = r.stderr.decode()
    ok(r.returncode == status and says in err and err.count("\n") == 1,
       "%s: status %d, one line: %s" % (" ".join(args)[-60:], status,
                                        err.strip()))


def test_usage():
    r = run()
    ok(r.returncode == 2 and b"usage" in r.stderr, "no command is 2")
    r = run("--help")
    ok(r.returncode == 0 and b"export" in r.stdout, "--help is 0")
    r = run("--version")
    ok(r.returncode == 0 and b"dvm-savefile" in r.stdout, "--version is 0")
    for args in (("frob",), ("info",), ("info", "a", "b"), ("diff", "a"),
                 ("verify",), ("export",), ("info", "--frob", "a")):
        r = run(*args)
        ok(r.returncode == 2 and b"usage" in r.stderr,
           "%s is 2" % " ".join(args))
    r = run("info", "--help")
    ok(r.returncode == 0 and b"--json" in r.stdout, "info --help is 0")


def test_info():
    r = run("info", "--json", GOOD)
    info = json.loads(r.stdout)
    ok(r.returncode == 0 and info["version"] == 1 and
       info["file_bytes"] == os.path.getsize(GOOD) and
       info["nr_pages"] == 512 and info["guest_type"] == "pvh" and
       info["signed"] is True and info["key"]["template"] == "work" and
       info["config"]["vif"] == "bridge=xenbr0",
       "info --json is JSON and right")
    r = run("info", GOOD)
    ok(r.returncode == 0 and b"512 pages (2 MiB)" in r.stdout and
       b"    template=work\n" in r.stdout, "info is readable")


def test_verify(tmp):
    key = os.path.join(CORPUS, "key")
    other = os.path.join(tmp, "other")
    with open(other, "wb") as f:
        f.write(bytes(32))
    r = run("verify", GOOD, GOOD)
    ok(r.returncode == 0 and r.stdout.count(b": ok") == 2, "verify two")
    r = run("verify", "--key", key, GOOD)
    ok(r.returncode == 0 and b"signed with the key" in r.stdout,
       "verify with the key")
    fails(3, "not signed with this key", "verify", "--key", other, GOOD)
    fails(3, "not exactly 32 bytes", "verify", "--key", GOOD, GOOD)
    fails(1, "No such file", "verify", GOOD + "x")
    fails(3, "not a regular file", "verify", "/dev/null")
    with open(GOOD, "rb") as f:
        b = bytearray(f.read())
    bad = os.path.join(tmp, "bad")
    b[-64 * 100] ^= 1
    with open(bad, "wb") as f:
        f.write(b)
    fails(3, "XXH3 differs", "verify", bad)
    r = run("verify", bad, GOOD)
    ok(r.returncode == 3 and r.stdout.count(b": ok") == 1,
       "the others are looked at too")
    fails(3, "XXH3 differs", "export", bad, os.path.join(tmp, "out"))
    ok(not os.path.exists(os.path.join(tmp, "out")) and
       not any("out." in name for name in os.listdir(tmp)),
       "a failed export leaves no file")


def test_diff():
    ok(run("diff", GOOD, GOOD).returncode == 0, "a file is like itself")
    ok(run("diff", RAW, GOOD).returncode == 1, "another one is not")
    r = run("diff", SMALL, SMALL2)
    ok(r.returncode == 1 and b"pages of memory differ" in r.stdout and
       b"hvm_context: differs" in r.stdout, "diff says in what")
    fails(2, "No such file", "diff", GOOD, GOOD + "x")
    fails(3, "not a regular file", "diff", GOOD, "/dev/null")


def test_export(tmp):
    out = os.path.join(tmp, "stream")
    r = run("export", GOOD, out)
    with open(out, "rb") as f:
        stream = f.read()
    ok(r.returncode == 0 and stream[:8] == b"\xff" * 8 and
       len(stream) > 512 * 4096, "export writes a stream")
    ok(stat.S_IMODE(os.stat(out).st_mode) == 0o600, "for its owner alone")
    r = run("export", GOOD)
    ok(r.returncode == 0 and r.stdout == stream, "the same to a pipe")
    r = run("export", GOOD, "-")
    ok(r.returncode == 0 and r.stdout == stream, "and to -")
    r = run("export", "--xl", GOOD)
    ok(r.returncode == 0 and r.stdout[:16] == b"Xen saved domain" and
       stream in r.stdout, "--xl puts it in an envelope")
    fails(1, "No space left", "export", GOOD, "/dev/full")
    fails(1, "No such file", "export", GOOD, os.path.join(tmp, "no", "out"))


if __name__ == "__main__":
    PROGRAM, CORPUS = sys.argv[1:3]
    RAW, GOOD = (os.path.join(CORPUS, "good-00%d" % n) for n in (0, 1))
    SMALL, SMALL2 = (os.path.join(CORPUS, "good-0%d" % n) for n in (14, 15))
    test_usage()
    test_info()
    with tempfile.TemporaryDirectory() as tmp_dir:
        test_verify(tmp_dir)
        test_export(tmp_dir)
    test_diff()
    print("%d passed, %d failed" % (PASSED, FAILED))
    sys.exit(1 if FAILED or not PASSED else 0)
