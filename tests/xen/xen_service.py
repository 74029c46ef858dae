#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The service on a real Xen host, in dom0, with the guest `tiny` prepared.

usage: xen_service.py [--only users,requests,cycles,kill,hang] [--seed N]
                      [--requests N] [--cycles N] [--kills N] [--units]

Uses dvm(1) as a user does, and the socket where many are needed at once.
--units: what `kill` kills are the units that systemd runs.
Results go to the file $SHOWN if that is set.  Ends with "N passed, N failed".
"""
import argparse
import atexit
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import threading
import time

from dvm_client import Connection

LOG = "/root/service.log"
counts = {"passed": 0, "failed": 0}


def ok(holds, claim):
    counts["passed" if holds else "failed"] += 1
    print(f"{'' if holds else 'not '}ok - {claim}", flush=True)
    if not holds:
        log = sh("tail", LOG) if os.path.exists(LOG) else sh(
            "journalctl", "-n", "20", "-o", "cat", "-u", "dvm-*")
        for line in log.stdout.splitlines():
            print("#", line.rstrip()[:160])
    return holds


def shown(name, tried, lost, seed):
    if "SHOWN" in os.environ:
        with open(os.environ["SHOWN"], "a", encoding="ascii") as f:
            f.write(f"{name}\t{tried}\t{lost}\t{seed}\n")


def sh(*args, timeout=120):
    return subprocess.run(args, capture_output=True, text=True,
                          timeout=timeout, check=False)


def dvm(*args, timeout=120):
    return sh("dvm", *args, timeout=timeout)


def triple_faults():
    """QEMU's SVM now and then kills a guest in its first seconds, which Xen
    logs so: such a launch is counted as none."""
    return sh("xl", "dmesg").stdout.lower().count("triple fault")


class Service:
    """dvm-restored, started by hand as on a host without systemd."""
    ROLES = ("core", "front", "parent")

    def __init__(self, program="dvm-restored", *options):
        self.program, self.options = program, options
        self.process = None
        atexit.register(self.end)

    def start(self, timeout=90):
        at = os.path.getsize(LOG) if os.path.exists(LOG) else 0
        with open(LOG, "ab") as log:
            self.process = subprocess.Popen(
                [self.program, *self.options], stdout=log, stderr=log)
        deadline = time.time() + timeout
        while time.time() < deadline:
            with open(LOG, "rb") as log:
                log.seek(at)
                if b"dvm-restored: ready\n" in log.read():
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise SystemExit("xen_service: it does not start: see " + LOG)

    def pid(self, role):
        if role == "parent":
            return self.process.pid
        found = sh("pgrep", "-P", str(self.process.pid), "-f",
                   f"role {role}").stdout.split()
        return int(found[0]) if found else None

    def end(self):
        """Whatever became of the test, it does not stay."""
        if self.process and self.process.poll() is None:
            self.process.kill()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


class Units:
    """The same, started by systemd."""
    ROLES = {"core": "dvm-restored", "front": "dvm-front",
             "couriers": "dvm-couriers"}

    def start(self):
        atexit.register(self.stop)
        sh("systemctl", "start", "dvm-restored.socket", "dvm-restored")
        return self

    def pid(self, role):
        return int(sh("systemctl", "show", "-P", "MainPID",
                      self.ROLES[role]).stdout) or None

    def stop(self):
        return sh("systemctl", "stop", "dvm-restored.socket",
                  "dvm-restored").returncode


def world():
    """All that could be left, by listing."""
    found = set()
    for line in sh("xl", "list").stdout.splitlines()[1:]:
        found.add("domain " + line.split()[1])
    for line in sh("dmsetup", "ls").stdout.splitlines():
        if line != "No devices found":
            found.add("dm " + line.split()[0])
    for line in sh("losetup", "-a").stdout.splitlines():
        found.add("loop " + re.sub(r".*\((.*)\)", r"\1", line))
    for line in sh("xenstore-ls", "-f").stdout.splitlines():
        path = line.split(" = ")[0]
        # The directories for a kind of backend are no domain's; xl removes
        # one with the last domain that it has ended itself.
        if re.match(r"/(local/domain|libxl|vm)/", path) and \
                not re.fullmatch(r"/local/domain/0/backend(/[a-z]+)?", path):
            found.add("node " + path)
    return found


def left(before):
    """What is there now and was not before; a base has a new name each time
    it is opened."""
    def plain(found):
        return {re.sub(r"dvm-g-[0-9a-f]+", "dvm-g", x) for x in found}
    return plain(world()) - plain(before)


def check():
    """`dvm status --check` until it is clean, a minute at most."""
    deadline = time.time() + 60
    while True:
        said = dvm("status", "--check")
        if said.returncode == 0 or time.time() > deadline:
            return said
        time.sleep(1)


def listed():
    return json.loads(dvm("ls", "--json").stdout or "[]")


def until(claim, timeout=60):
    deadline = time.time() + timeout
    while time.time() < deadline:
        if claim():
            return True
        time.sleep(0.1)
    return False


def test_users():
    service = Service().start()
    before = world()
    done = dvm("run", "--for", "1", "--json", "tiny")
    ok(done.returncode == 0 and '"ended"' in done.stdout,
       "dvm run --for 1 runs and ends")
    ok(sh("runuser", "-u", "alice", "--", "dvm", "run", "--for", "1",
          "tiny").returncode == 0, "a user in the group dvm may")
    done = sh("runuser", "-u", "bob", "--", "dvm", "ls")
    ok(done.returncode != 0 and "group dvm" in done.stderr,
       "one of another group is told what he lacks")
    held = subprocess.Popen(["dvm", "run", "-q", "tiny"])
    until(lambda: [x for x in listed() if x["state"] == "running"])
    mine = listed()[0]
    ok(sh("xl", "list", mine["name"]).returncode == 0,
       "xl knows it by its name")
    done = sh("runuser", "-u", "alice", "--", "dvm", "kill", mine["name"])
    ok(done.returncode != 0 and "another user" in done.stderr,
       "another user may not kill it")
    held.send_signal(signal.SIGINT)
    ok(held.wait(30) == 130, "interrupted, dvm run ends with 130")
    ok(until(lambda: not listed(), 30), "and its disposable is gone")
    held = subprocess.Popen(["dvm", "run", "tiny"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    until(lambda: [x for x in listed() if x["state"] == "running"])
    sh("xl", "destroy", listed()[0]["name"])
    said = held.communicate(timeout=60)[0]
    ok("somebody else destroyed it" in said and not listed(),
       "xl destroy is noticed, and cleaned up after")
    held = subprocess.Popen(["dvm", "run", "tiny"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    until(lambda: [x for x in listed() if x["state"] == "running"])
    ok(dvm("kill", listed()[0]["name"]).returncode == 0 and not listed(),
       "after dvm kill it is gone")
    ok("killed" in held.communicate(timeout=60)[0], "and its client is told")
    done = dvm("run", "nosuch")
    ok(done.returncode == 4 and "dvm-prepare" in done.stderr,
       "a template that is not there: status 4 and the next step")
    done = sh("dvm-restored")
    ok(done.returncode == 5 and "another" in done.stderr,
       "a second instance ends with status 5")
    done = sh("dvm-restored", "--once", "tiny")
    ok(done.returncode == 5 and "service" in done.stderr,
       "--once says that the service runs")
    os.utime("/guests/tiny.cfg")
    with open("/guests/tiny.cfg", "a", encoding="ascii") as f:
        f.write("# changed\n")
    time.sleep(1.1)
    done = dvm("run", "--for", "1", "tiny")
    ok(done.returncode == 4 and "configuration" in done.stderr,
       "a changed configuration is stale, although held open")
    with open("/guests/tiny.cfg", encoding="ascii") as f:
        text = f.read().replace("# changed\n", "")
    with open("/guests/tiny.cfg", "w", encoding="ascii") as f:
        f.write(text)
    ok(dvm("run", "--for", "1", "tiny").returncode == 0,
       "changed back it launches again")
    said = check()
    ok(said.returncode == 0, "the invariants hold: " +
       said.stdout.strip().splitlines()[-1])
    ok(until(lambda: not left(before), 30),
       f"nothing is left: {sorted(left(before))[:4]}")
    held = subprocess.Popen(["dvm", "run", "-q", "tiny"])
    until(lambda: [x for x in listed() if x["state"] == "running"])
    ok(service.stop() == 0 and held.wait(60) != 0,
       "SIGTERM ends the service and what runs")

    def rest():
        return left(before) | {x for x in world() if "dvm-g-" in x}

    ok(until(lambda: not rest(), 30),
       f"and leaves nothing, no base either: {sorted(rest())[:4]}")


def test_requests(number, seed):
    """All at once, each kept two seconds."""
    service = Service().start()
    done = [None] * number
    faults = triple_faults()
    start = time.monotonic()

    def one(i):
        c = Connection()
        c.run("tiny", 2)
        running = c.wait_for("running", 900)
        at = time.monotonic() - start
        done[i] = (running, at) if running["type"] == "running" else None
        if done[i] is None:
            print("#", running["text"])
        else:
            c.wait_for("ended", 900)
        c.close()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(number)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    took = time.monotonic() - start
    good = [d for d in done if d]
    twice = sum(len(good) - len({d[0][key] for d in good})
                for key in ("name", "domid", "launch_id"))
    missing = max(0, number - len(good) - (triple_faults() - faults))
    lost = missing + twice
    at = sorted(d[1] for d in good)
    alone = sorted(d[0]["values"][8] / 1e9 for d in good)
    ok(lost == 0, f"{number} requests at once: {missing} lost (and "
       f"{number - len(good) - missing} guests by a triple fault), {twice} "
       "names, domids or launch ids twice")
    if good:
        print(f"# request to running: first {at[0]:.2f} s, median "
              f"{statistics.median(at):.2f}, p90 {at[len(at) * 9 // 10]:.2f}, "
              f"last {at[-1]:.2f}; each from its begin: median "
              f"{statistics.median(alone):.2f}, longest {alone[-1]:.2f}; "
              f"all gone after {took:.1f} s")
    said = check()
    ok(said.returncode == 0, "then " + said.stdout.strip())
    shown("requests_100", number, lost, seed)
    service.stop()


def resources(service):
    core = service.pid("core")
    with open(f"/proc/{core}/status", encoding="ascii") as f:
        rss = int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
    nodes = len(sh("xenstore-ls", "-f").stdout.splitlines())
    return {
        "core's descriptors": len(os.listdir(f"/proc/{core}/fd")),
        "front's descriptors":
            len(os.listdir(f"/proc/{service.pid('front')}/fd")),
        "threads": len(os.listdir(f"/proc/{core}/task")),
        "xenstore nodes": nodes,
        "loop devices": len(sh("losetup", "-a").stdout.splitlines()),
        "dm devices": len(sh("dmsetup", "ls").stdout.splitlines()),
        "domains": len(sh("xl", "list").stdout.splitlines()),
    }, rss


def test_cycles(number, seed):
    service = Service().start()
    lost = 0

    def cycles(n):
        nonlocal lost
        for _ in range(n):
            c = Connection()
            c.run("tiny", 0)
            lost += c.wait_for("running", 120)["type"] != "running"
            c.close()

    def both(n):
        threads = [threading.Thread(target=cycles, args=(n // 2,))
                   for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        until(lambda: not listed())

    both(20)
    lost, faults = 0, triple_faults()
    before, rss_before = resources(service)
    start = time.monotonic()
    both(number)
    took = time.monotonic() - start
    after, rss = resources(service)
    lost = max(0, lost - (triple_faults() - faults))
    ok(lost == 0, f"{number} cycles, {lost} lost, {took / number:.2f} s each, "
       "two at once")
    for key, value in before.items():
        lost += not ok(after[key] == value, f"{key}: {value} before, "
                       f"{after[key]} after")
    lost += not ok(rss < rss_before + 1024, f"core's memory: {rss_before} KiB "
                   f"before, {rss} KiB after")
    said = check()
    lost += not ok(said.returncode == 0, "then " + said.stdout.strip())
    shown("cycles_box", number, lost, seed)
    service.stop()


def kill_once(service, role, delay):
    """A launch with a kill in it; the service again, if it was the parent."""
    busy = subprocess.Popen(["dvm", "run", "-q", "--for", "1", "tiny"],
                            stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    time.sleep(delay)
    pid = service.pid(role)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    if role == "parent":
        service.process.wait(30)
        service.start()
    else:
        until(lambda: service.pid(role) not in (None, pid))
    busy.wait(120)
    return check()


def test_kill(number, seed, service):
    rng = random.Random(seed)
    service.start()
    clean = world()
    for _ in range(3):
        bystander = subprocess.Popen(["dvm", "run", "tiny"], text=True,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL)
        until(lambda: [x for x in listed() if x["state"] == "running"])
        time.sleep(3)
        if listed():
            break
    who = listed()[0]
    lost = 0
    for i in range(number):
        role = list(service.ROLES)[i % 3]
        delay = rng.uniform(0, 2.5)
        said = kill_once(service, role, delay)
        here = until(lambda: any(
            x["domid"] == who["domid"] and x["state"] == "running"
            for x in listed()), 20)
        good = said.returncode == 0 and here and bystander.poll() is None
        lost += not good
        if not good:
            ok(False, f"{role} killed after {delay:.2f} s: clean, and the "
               f"bystander runs ({here}): {said.stdout} {said.stderr}")
            if not here:
                break
    ok(lost == 0, f"{number} kills at random moments, {lost} lost; "
       "the bystander has run all the time")
    # A client is back after each: and if it is killed too, the service ends
    # what nobody comes back for.
    bystander.kill()
    ok(until(lambda: not listed()), "without its client it ends")
    lost += not ok(until(lambda: not left(clean), 30),
                   f"nothing is left: {sorted(left(clean))[:5]}")
    shown("kill_units" if isinstance(service, Units) else "kill_box", number,
          lost, seed)
    service.stop()


def test_hang():
    """A xenstored that does not answer."""
    service = Service().start()
    pid = sh("pgrep", "-x", "oxenstored").stdout.split()[0]
    os.kill(int(pid), signal.SIGSTOP)
    try:
        busy = subprocess.Popen(["dvm", "run", "-q", "tiny"],
                                stderr=subprocess.PIPE, text=True)
        time.sleep(2)
        start = time.monotonic()
        done = dvm("ls")
        ok(done.returncode == 0 and time.monotonic() - start < 10,
           "with a hung xenstored dvm ls answers")
        said = busy.communicate(timeout=150)[1]
        ok(busy.returncode not in (0, None) and "xenstore" in said,
           f"a launch fails and says why: {said.strip()}")
    finally:
        os.kill(int(pid), signal.SIGCONT)
    ok(until(lambda: not listed(), 90), "when it is back all is cleaned up")
    ok(dvm("run", "--for", "1", "tiny").returncode == 0,
       "and launches go on")
    said = check()
    ok(said.returncode == 0, "then " + said.stdout.strip())
    service.stop()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--only", default="users,requests,cycles,kill,hang")
    p.add_argument("--seed", type=int, default=int(time.time()))
    p.add_argument("--requests", type=int, default=100)
    p.add_argument("--cycles", type=int, default=200)
    p.add_argument("--kills", type=int, default=50)
    p.add_argument("--units", action="store_true")
    a = p.parse_args()
    for name in a.only.split(","):
        start = time.monotonic()
        if name == "users":
            test_users()
        elif name == "requests":
            test_requests(a.requests, a.seed)
        elif name == "cycles":
            test_cycles(a.cycles, a.seed)
        elif name == "kill":
            test_kill(a.kills, a.seed, Units() if a.units else
                      Service("dvm-restored", "--grace", "20"))
        elif name == "hang":
            test_hang()
        else:
            raise SystemExit(f"xen_service: what is {name}?")
        print(f"# {name}: {time.monotonic() - start:.0f} s", flush=True)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(counts["failed"] != 0)


if __name__ == "__main__":
    main()
