#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The service on a host of fakes: how disposables end, what is refused and
with which words and status, many at once, and what others do to the host.

usage: it_service.py BUILD-DIR"""

import os
import shutil
import signal
import subprocess
import threading
import time

from it_lib import (COUNTERS, ENDED, FAILED, FREE_BYTES, PATIENCE, RUNNING,
                    STATUS, Service, main, ok, wait_until)

AT_ONCE = 100
# A held generation is checked anew after this.
FRESH = 1.1


def is_well(service):
    """Empty, the check is clean, and its end leaves nothing."""
    found = service.findings()
    status = service.stop()
    held = service.held()
    return ok(found is None and status == 0 and held == [],
              "after it the check is clean, and SIGTERM leaves nothing: %s, "
              "status %d, %s" % (found, status, held))


def bases(service):
    return [line for line in service.held() if "dvm-g-" in line]


def says(r, status, *texts):
    """A sentence of dvm: the status, and in one line all these words."""
    lines = r.stderr.strip().split("\n")
    return ok(r.returncode == status and len(lines) == 1 and
              all(t in lines[0] for t in texts),
              "status %d: %s" % (r.returncode, r.stderr.strip()))


def ends(build):
    service = Service(build)
    service.start("-g", "1")
    began = time.monotonic()
    r = service.dvm("run", "-f", "1", "t")
    took = time.monotonic() - began
    ok(r.returncode == 0 and "its time is over" in r.stdout and
       0.9 < took < 20, "a time limit of 1 s: %.2f s, %s" %
       (took, r.stdout.split("\n")[-2]))
    with service.client() as c, service.client() as d:
        m, other = c.run(), d.run()
        r = service.dvm("kill", m.name)
        ok(r.returncode == 0 and c.receive().text == "killed",
           "dvm kill: %s" % r.stdout.strip())
        service.tool("destroy", str(other.domid))
        m = d.receive()
        ok(m.type == ENDED and "somebody else destroyed it" in m.text,
           "xl destroy: %s" % m.text)
    with service.client() as c:
        service.tool("shutdown", str(c.run().domid))
        m = c.receive()
        ok(m.type == ENDED and m.code == 0 and "shut down" in m.text,
           "the guest shuts down: %s" % m.text)
    with service.client() as c, service.client() as d:
        c.run()
        d.run()
        r = service.dvm("kill", "--all")
        ok(r.returncode == 0 and "2 gone" in r.stdout, "dvm kill --all: %s" %
           r.stdout.strip())
    ok(service.is_empty() and len(service.held()) == 1, "nothing is left")
    # A core that dies takes the client's connection with it.
    with service.client() as c:
        m = c.run()
        os.kill(service.roles()["core"], signal.SIGKILL)
        c.receive()
    wait_until(lambda: len(service.roles()) == 2)
    ok([r.domid for r in service.records()] == [m.domid],
       "what ran runs on when core has died")
    ok(service.is_empty(), "nobody came back for it: it ends")
    is_well(service)


def run_dvm(service, *args):
    return subprocess.Popen([os.path.join(service.tools, "dvm"), "run", *args],
                            env=service.env, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, text=True)


def sigterm(build):
    service = Service(build)
    service.start()
    clients = [service.client() for _ in range(5)]
    for c in clients:
        c.run()
    holder = run_dvm(service, "t")
    holder.stdout.readline()
    ok(len(service.records()) == 6, "six run")
    status = service.stop()
    last = [c.receive() for c in clients]
    ok(status == 0 and service.held() == [] and
       all(m is not None and m.type == ENDED for m in last),
       "SIGTERM ends all, says so, and leaves nothing: status %d" % status)
    holder.wait(PATIENCE)
    ok("the service ends" in holder.stdout.read() or holder.returncode != 0,
       "dvm run ends with it")
    holder.stdout.close()
    ok(not os.path.exists(service.socket), "the socket is gone")


def generations(build):
    service = Service(build)
    service.start()
    says(service.dvm("run", "nosuch"), 4, "nosuch", "dvm-prepare")
    first = service.client()
    ok(first.run().type == RUNNING, "one of the first generation runs")
    one = bases(service)
    template = os.path.join(service.state_dir, "t")
    shutil.copytree(os.path.join(template, "gen-1"),
                    os.path.join(template, "gen-2"))
    os.symlink("gen-2", os.path.join(template, "new"))
    os.rename(os.path.join(template, "new"), os.path.join(template,
                                                          "current"))
    time.sleep(FRESH)
    with service.client() as second:
        ok(second.run().type == RUNNING and len(bases(service)) == 2 and
           any("gen-2 is open" in line for line in service.log()),
           "`current` changes: the next is of the new one")
        first.close()
        ok(wait_until(lambda: len(bases(service)) == 1) and
           not set(one) & set(bases(service)),
           "the old one is closed after its last user")
    # The template is updated.
    with open(os.path.join(service.state_dir, "kernel"), "a",
              encoding="ascii") as f:
        f.write("2")
    time.sleep(FRESH)
    r = service.dvm("run", "t")
    says(r, 4, "template t", "kernel", "dvm-prepare")
    r = service.dvm("run", "t")
    ok(r.returncode == 4, "also when it is asked again")
    wait_until(lambda: bases(service) == [])
    is_well(service)


def instances(build):
    service = Service(build)
    service.start()
    with service.client() as c:
        m = c.run()
        r = subprocess.run(service.command("--once", "t"), env=service.env,
                           timeout=60, capture_output=True, text=True,
                           check=False)
        says(r, 5, "runs as a service")
        r = subprocess.run(service.command(), env=service.env, timeout=60,
                           capture_output=True, text=True, check=False)
        says(r, 5, "another dvm-restored runs")
        ok([s.domid for s in service.records()] == [m.domid],
           "the first one serves on")
    service.is_empty()
    is_well(service)


def silent(build):
    service = Service(build, "--silent")
    service.start("-a", "1")
    began = time.monotonic()
    r = service.dvm("run", "t")
    says(r, 7, "acknowledged")
    took = time.monotonic() - began
    ok(0.9 < took < 20 and service.is_empty() and len(service.held()) == 1,
       "a guest that says nothing is gone after %.1f s" % took)
    is_well(service)


class Request(threading.Thread):
    def __init__(self, service):
        super().__init__(daemon=True)
        self.c = service.client(60)
        self.m = None
        self.start()

    def run(self):
        try:
            self.m = self.c.run()
        except OSError:
            pass


def at_once(service, nr):
    requests = [Request(service) for _ in range(nr)]
    for r in requests:
        r.join(60)
    return requests


def requests(build):
    service = Service(build)
    service.start("-p", "4")
    began = time.monotonic()
    all_ = at_once(service, AT_ONCE)
    took = time.monotonic() - began
    running = [r.m for r in all_ if r.m is not None and r.m.type == RUNNING]
    ok(len(running) == AT_ONCE, "%d at once: %d run after %.2f s" %
       (AT_ONCE, len(running), took))
    for what in ("name", "domid", "launch_id", "text"):
        ok(len({getattr(m, what) for m in running}) == AT_ONCE,
           "no %s twice" % what)
    ok(sorted(m.name for m in running) == sorted(
        m.name for m in service.records()), "dvm ls has them all")
    for r in all_:
        r.c.close()
    ok(service.is_empty() and len(service.held()) == 1, "all end")
    is_well(service)


def free_pages(service):
    return [m.value[FREE_BYTES] for m in service.ask(STATUS)
            if m.type == COUNTERS][0] // 4096


def few_pages(build):
    # Room for three and a half.
    service = Service(build)
    service.start()
    with service.client() as c:
        before = free_pages(service)
        c.run()
        each = before - free_pages(service)
    service.is_empty()
    service.stop()
    service.remove()
    service = Service(build, "--pages", str(each * 7 // 2))
    service.start("-p", "2")
    held = [service.client() for _ in range(3)]
    ok(all(c.run().type == RUNNING for c in held), "three have room")
    r = service.dvm("run", "t")
    says(r, 6, "memory")
    for _ in range(20):
        held.pop(0).close()
        held.append(service.client())
        m = held[-1].run()
        if m is None or m.type != RUNNING:
            break
    ok(m is not None and m.type == RUNNING,
       "what is being freed is waited for: %s" % m.text)
    for c in held:
        c.close()
    service.is_empty()
    all_ = at_once(service, 20)
    running = [r for r in all_ if r.m is not None and r.m.type == RUNNING]
    refused = [r for r in all_ if r.m is not None and r.m.type == FAILED and
               r.m.code == 6]
    ok(len(running) == 3 and len(refused) == 17,
       "20 at once: %d run, %d are refused: %s" %
       (len(running), len(refused), refused[0].m.text if refused else ""))
    for r in all_:
        r.c.close()
    ok(service.is_empty() and len(service.held()) == 1, "all end")
    is_well(service)


if __name__ == "__main__":
    main(ends, sigterm, generations, instances, silent, requests, few_pages)
