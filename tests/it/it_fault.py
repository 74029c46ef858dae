#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""fault_core: each call of core to Xen, xenstore or the device mapper fails
once, from its start to the end of a launch and a destroy.  It refuses with a
reason or recovers; the next launch goes well; at its end nothing is held.
The same where the template's image is not valid, and it is booted cold; and for
a start with a disposable that runs: its client gets it back.

usage: it_fault.py BUILD-DIR"""

import os
import threading

from it_lib import (COUNTERS, FREE_BYTES, Holder, KILL, Message, RUNNING,
                    STATUS, Service, main, ok, shown, wait_until)

LANES = 3
CALLS_MAX = 1000
# A STATUS is one call, after those of the launch and the destroy.
PROBES = 8


def launch_and_destroy(service):
    """None if it went well, else the reason that the service gave."""
    with service.client() as c:
        m = c.run()
        if m is None:
            return ""
        if m.type != RUNNING:
            return m.text
        with service.client() as other:
            answers = other.ask(Message(KILL, name=m.name.encode()))
        if not answers or answers[-1].value[0] != 1:
            return answers[-1].text if answers else ""
        last = c.receive()
        return None if last is not None else ""


def is_untouched(service):
    """Does the fault come only now?"""
    for _ in range(PROBES):
        for m in service.ask(STATUS):
            if m.type == COUNTERS and m.value[FREE_BYTES] == 0:
                return True
    return False


def use(service):
    """What is wrong with how it took the fault, or None; whether there was
    no fault; whether it refused the launch."""
    refused = launch_and_destroy(service)
    if refused == "":
        return "no reason given", False, False
    untouched = is_untouched(service)
    again = launch_and_destroy(service)
    if again is not None:
        return "the next launch: %s, after: %s" % (again, refused), \
            untouched, False
    found = service.findings()
    return found and "check: %s, after: %s" % (found, refused), untouched, \
        refused is not None


def launch(service, nr):
    """The same for a service whose nr-th call fails.  It may end at its start:
    another one then finds what it left."""
    wrong, untouched, refused = None, False, True
    if service.start("-p", "1", "-w", "1", DVM_FAKE_FAIL=str(nr)):
        wrong, untouched, refused = use(service)
        status = service.stop()
        if wrong is None and status not in (0, 1, 5):
            wrong = "it ends with status %d" % status
    elif service.parent.wait() <= 0 or not service.log():
        wrong = "it does not start, and does not say why"
    if any("killed by signal" in line or "Sanitizer" in line
           for line in service.log()):
        wrong = "it crashed"
    if service.held():
        service.start()
        wait_until(lambda: "template t: " in service.log()[-1])
        service.stop()
        if wrong is None and service.held():
            wrong = "held: %s" % service.held()
    return wrong, untouched, refused


def cold(service, nr):
    with open(os.path.join(service.state_dir, "kernel"), "w",
              encoding="ascii") as f:
        f.write("another")
    if not service.allow_cold():
        return "who boots it does not start", False, False
    wrong, untouched, refused = launch(service, nr)
    if service.end_booter() != 0 and wrong is None:
        wrong = "who boots it does not end"
    return wrong, untouched, refused


def adopt(service, nr):
    """A disposable runs when a service begins whose nr-th call fails."""
    service.start("-p", "1", "-w", "1")
    holder = Holder(service)
    service.kill()
    if not service.start("-p", "1", "-w", "1", DVM_FAKE_FAIL=str(nr)):
        return "it does not start", False, False
    wrong = None
    if not wait_until(lambda: holder.nr_attached or holder.ended) or \
            holder.ended or [m.domid for m in service.records()] != \
            [holder.m.domid]:
        wrong = "it is not found again"
    untouched = is_untouched(service)
    # The fault may hit the first one.
    found = service.findings() and service.findings()
    if not holder.ended:
        holder.leave()
    service.is_empty()
    status = service.stop()
    if wrong is None and (found is not None or status != 0 or
                          service.held()):
        wrong = "%s, status %d, held: %s" % (found, status, service.held())
    return wrong, untouched, False


class Plan:
    def __init__(self, try_one):
        self.try_one = try_one
        self.lock = threading.Lock()
        self.nr = self.nr_refused = 0
        self.tried = set()
        self.lost = {}
        self.ended = False

    def next(self):
        with self.lock:
            if self.ended or self.nr == CALLS_MAX:
                return None
            self.nr += 1
            return self.nr

    def tell(self, nr, wrong, untouched, refused):
        with self.lock:
            self.ended = self.ended or untouched
            self.nr_refused += refused
            if not untouched:
                self.tried.add(nr)
            if wrong is not None:
                self.lost[nr] = wrong
                print("# call %d: %s" % (nr, wrong), flush=True)


def lane(build, plan):
    while True:
        nr = plan.next()
        if nr is None:
            return
        service = Service(build)
        try:
            plan.tell(nr, *plan.try_one(service, nr))
        except (OSError, ValueError, AttributeError) as e:
            plan.tell(nr, repr(e), False, False)
        if nr in plan.lost:
            print("".join("#   %s\n" % line for line in
                          service.log()[-8:]), end="", flush=True)
        service.remove()


def carry_out(build, plan):
    lanes = [threading.Thread(target=lane, args=(build, plan), daemon=True)
             for _ in range(LANES)]
    for t in lanes:
        t.start()
    for t in lanes:
        t.join(600)
    ok(plan.ended, "%d calls, until one was behind all" % len(plan.tried))
    ok(not plan.lost, "each fault is refused or recovered from: %s" %
       sorted(plan.lost))


def fault_core(build):
    plans = [Plan(launch), Plan(cold), Plan(adopt)]
    for plan in plans:
        carry_out(build, plan)
    ok(plans[0].nr_refused > 20 and len(plans[1].tried) > 5 and
       len(plans[2].tried) >= 8,
       "%d were the end of a launch" % plans[0].nr_refused)
    shown("fault_core", sum(len(p.tried) for p in plans),
          sum(len(p.lost) for p in plans), "-")


if __name__ == "__main__":
    main(fault_core)
