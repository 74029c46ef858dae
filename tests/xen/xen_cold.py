#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cold boots on a real Xen host, in dom0, with the guest `tiny` prepared: its
configuration is changed, so that its image is stale.

usage: xen_cold.py [--debian]

With --debian the guest of that name is booted too, which was never prepared.
Ends with "N passed, N failed".
"""
import argparse
import atexit
import glob
import os
import re
import signal
import subprocess
import sys
import time

from xen_service import (LOG, Service, check, counts, dvm, left, listed, ok,
                         sh, triple_faults, until, world)

CFG = "/guests/tiny.cfg"
BOOTS_LOG = "/root/boots.log"
SOCKET = "/run/dvm-boot/boot.sock"


class Boots:
    """Who boots them, started by hand as on a host without systemd."""
    def __init__(self):
        atexit.register(self.end)
        with open(BOOTS_LOG, "ab") as log:
            self.process = subprocess.Popen(
                ["dvm-prepare", "--serve-cold-boots"], stdout=log, stderr=log)
        until(lambda: os.path.exists(SOCKET), 10)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


def change(text):
    """Of the template's configuration; None takes it back."""
    with open(CFG, encoding="ascii") as f:
        old = f.read().replace("# changed\n", "")
    with open(CFG, "w", encoding="ascii") as f:
        f.write(old + (text or ""))


def run(*words, timeout=300):
    """dvm run, again if QEMU killed its guest."""
    for _ in range(3):
        before = triple_faults()
        done = dvm("run", "tiny", "--", *words, timeout=timeout)
        if done.returncode != 125 or triple_faults() == before:
            break
    return done


def files():
    """xl's own of disposables, and what runs of it."""
    return set(glob.glob("/var/lib/xen/userdata-*.64766d31-*")) | {
        "process " + line for line in
        sh("pgrep", "-a", "-x", "xl").stdout.splitlines()}


def is_left(before, claim):
    until(lambda: not left(before) and not files(), 30)
    rest = left(before) | files()
    ok(not rest, f"{claim}: nothing is left {sorted(rest)[:4]}")


def hold():
    """One that is booted and runs; and dvm, which holds it."""
    for _ in range(3):
        held = subprocess.Popen(["dvm", "run", "tiny"], text=True,
                                stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT)
        if until(lambda: held.poll() is not None or [
                x for x in listed() if x["state"] == "running"], 300) and \
                held.poll() is None:
            break
    return held, listed()[0]


def begin():
    """One whose domain has just been made, and dvm, which waits for it."""
    waits = subprocess.Popen(["dvm", "run", "-q", "tiny"],
                             stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    ok(until(lambda: "disp" in sh("xl", "list").stdout, 120),
       "its domain is there, and boots")
    return waits


def test_refused():
    done = run("true")
    ok(done.returncode == 125 and "configuration changed" in done.stderr and
       "run dvm-prepare /guests/tiny.cfg, or allow cold boots: systemctl "
       "enable --now dvm-cold-boot.socket" in done.stderr,
       f"without the socket: {done.stderr.strip()}")
    ok("cannot be launched: " in dvm("status").stdout, "dvm status says so")


def test_runs():
    start = time.monotonic()
    done = run("sh", "-c", "id -un; hostname; cat /etc/machine-id "
               "/run/dvm/launch")
    took = time.monotonic() - start
    ok(done.returncode == 0 and re.match(
        r"user\n(disp\d{4})\n[0-9a-f]{32}\nid=[0-9a-f]{16}\nname=\1\n",
        done.stdout), f"a program runs in one after {took:.0f} s, and has its "
       f"names: {done.stdout.split()[:3]} {done.stderr.strip()[-300:]}")
    ok(done.stderr.startswith("dvm: booting cold, which takes longer: "
                              "template tiny: the template's configuration "
                              "changed"), "which it says")
    ok("boots cold: " in dvm("status").stdout, "so does dvm status")
    with open(LOG, encoding="ascii", errors="replace") as f:
        ok("booted cold" in f.read(), "and the log")


def test_adopted(service, before):
    held, mine = hold()
    ok(mine["cold"], "dvm ls --json tells that it was booted")
    nodes = sh("xenstore-ls", "-p", f"/local/domain/{mine['domid']}/dvm")
    ok(re.match(r'cold = "uuid=.*\(n0,r%d\)' % mine["domid"], nodes.stdout),
       "the guest may read who it is, and not write it: " +
       nodes.stdout.strip()[-30:])
    said = check()
    ok(said.returncode == 0, "the check is clean: " + said.stdout.strip())
    pid = service.pid("core")
    os.kill(pid, signal.SIGKILL)
    until(lambda: service.pid("core") not in (None, pid))
    ok(until(lambda: [x["domid"] for x in listed()] == [mine["domid"]], 20),
       "core is killed: it runs on")
    said = check()
    ok(said.returncode == 0, "the check is clean: " + said.stdout.strip())
    ok(dvm("kill", mine["name"]).returncode == 0 and not listed(),
       "and is killed as any other")
    said = held.communicate(timeout=60)[0]
    ok("booting cold" in said and said.endswith("it ended: killed\n"),
       f"its client is told: {said[-60:].strip()}")
    is_left(before, "after it")


def test_cut(service, before):
    waits = begin()
    start = time.monotonic()
    waits.send_signal(signal.SIGINT)
    waits.wait(60)
    ok(until(lambda: not listed(), 60), "its client is interrupted: it is "
       f"gone after {time.monotonic() - start:.1f} s")
    is_left(before, "after that")
    waits = begin()
    pid = service.pid("core")
    os.kill(pid, signal.SIGKILL)
    waits.wait(60)
    until(lambda: service.pid("core") not in (None, pid))
    said = check()
    ok(said.returncode == 0 and not listed(), "core is killed while one "
       "boots: the check is clean: " + said.stdout.strip())
    is_left(before, "after that")


def test_killed(service, boots, before):
    """Who boots it is killed, while xl goes on; then all of the service."""
    waits = begin()
    boot = sh("pgrep", "-P", str(boots.process.pid)).stdout.split()
    os.kill(int(boot[0]), signal.SIGKILL)
    ok(waits.wait(120) == 1 and not listed(), "who boots it is killed: it "
       "fails")
    until(lambda: not left(before), 30)
    ok(not left(before), f"nothing is left {sorted(left(before))[:4]}")
    waits = begin()
    os.kill(service.pid("parent"), signal.SIGKILL)
    service.process.wait(30)
    service.start()
    waits.kill()
    waits.wait()
    said = check()
    ok(said.returncode == 0 and not listed(), "the service is killed while "
       "one boots: the check is clean: " + said.stdout.strip())
    is_left(before, "after that")
    held, mine = hold()
    sh("xl", "destroy", mine["name"])
    said = held.communicate(timeout=60)[0]
    ok("somebody else destroyed it" in said and not listed(),
       "xl destroy ends one as any other")
    is_left(before, "after that")


def test_debian():
    """A template of which there is no generation yet, with systemd."""
    prepare = subprocess.Popen(["dvm-prepare", "--quiet",
                                "/guests/debian.cfg"])
    until(lambda: "debian-prepare" in sh("xl", "list").stdout)
    prepare.send_signal(signal.SIGINT)
    ok(prepare.wait(60) == 130, "a preparation is interrupted")
    start = time.monotonic()
    done = dvm("run", "debian", "--", "sh", "-c", "hostname; systemctl "
               "is-system-running; systemctl is-active cron", timeout=400)
    ok(re.match(r"disp\d{4}\n(running|degraded)\ninactive\n", done.stdout),
       f"debian is booted in {time.monotonic() - start:.0f} s: "
       f"{done.stdout.split()} {done.stderr.strip()[-300:]}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--debian", action="store_true")
    a = p.parse_args()
    done = sh("dvm-prepare", "--quiet", CFG, timeout=900)
    ok(done.returncode == 0, f"tiny is prepared {done.stderr.strip()}")
    before = world()
    atexit.register(change, None)
    change("# changed\n")
    service = Service().start()
    test_refused()
    boots = Boots()
    test_runs()
    test_adopted(service, before)
    test_cut(service, before)
    test_killed(service, boots, before)
    if a.debian:
        test_debian()
    change(None)
    done = run("echo", "hi")
    ok(done.returncode == 0 and done.stdout == "hi\n" and not done.stderr,
       f"with a valid image it is launched again {done.stderr.strip()}")
    ok(boots.end() == 0 and not os.path.exists(SOCKET), "who boots them ends")
    service.stop()
    rest = left(before) | files() | {x for x in world() if "dvm-g-" in x}
    ok(until(lambda: not left(before) and not files()) and
       not [x for x in world() if "dvm-g-" in x],
       f"in the end nothing is left: {sorted(rest)[:4]}")
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(counts["failed"] != 0)


if __name__ == "__main__":
    main()
