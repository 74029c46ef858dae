#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""kill_native: kill -9 of each role at every system call of a launch, a program
and a destroy.  What ran runs on, held by the same clients, and nothing else is
left.  The parent is killed at core's calls.
control_reconcile: without cleaning up at the start the check finds leftovers.

usage: it_kill.py BUILD-DIR
STRIDE=N takes each Nth call only, beginning at a random one (SEED)."""

import os
import random
import re
import signal
import subprocess
import threading
import time

from it_chan import (CHAN_FAILED, Channel, DATA, EOF, EXIT, STDIN, exit_status,
                     set_agent)
from it_lib import (Holder, KILL, Message, PATIENCE, RUNNING, Service, main,
                    new_seed, ok, shown, wait_until)

STRIDE = int(os.environ.get("STRIDE", "1"))
ROLES = ("core", "front", "courier", "parent")
LANES = 5
GRACE = 5
# Calls that come by chance, such as a tick's: a launch that was not killed is
# the last one only if others are neither.
SPARED_MAX = 3
# The parent gives up after ten short lives in a row.
LIVES = 8
CONTROLS = 24
# A courier that is still listed may be on its way out: then the next.
TRIES = 5


def launch_and_destroy(service):
    """True if all of it was done."""
    try:
        with Channel(service) as c:
            c.start("cat")
            c.frame(DATA, STDIN, b"well")
            m = c.answer(RUNNING)
            if m is None or c.output(4) != b"well":
                return False
            c.frame(EOF, STDIN)
            if exit_status(c.until(EXIT, CHAN_FAILED)[0]) != 0:
                return False
            with service.client() as other:
                answers = other.ask(Message(KILL, name=m.name.encode()))
            return bool(answers) and answers[-1].value[0] == 1
    except OSError:
        return False


def age(pid):
    """Lower for who began earlier; a pid may be used again."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            return int(f.read().rsplit(")", 1)[1].split()[19]), pid
    except OSError:
        return float("inf"), pid        # it has just gone


def count_calls(service, role, nr):
    """kill_at, which counts."""
    pids = service.roles()
    victim = [str(service.parent.pid)] if role == "parent" else []
    if role == "courier":
        # The first that waits has the next job.
        wait_until(lambda: len(service.couriers()) >= 4)
        pid = min(service.couriers(), key=age)
    else:
        pid = pids["core" if role == "parent" else role]
    tool = subprocess.Popen(
        [os.path.join(service.tools, "tests", "kill_at"), str(pid), str(nr),
         *victim], stdout=subprocess.PIPE, text=True)
    if tool.stdout.readline() == "ready\n":
        return tool
    tool.communicate()
    return None


def kill_at(service, role, nr):
    """What call it was, or None if there were not that many."""
    for _ in range(TRIES):
        tool = count_calls(service, role, nr)
        if tool is not None:
            break
    else:
        raise OSError("kill_at does not count")
    with tool:
        if launch_and_destroy(service):
            time.sleep(0.005)   # what it does after its answer
            tool.send_signal(signal.SIGTERM)
        said = tool.stdout.read()       # it ends in a minute
    if tool.returncode == 1:
        return None
    if tool.returncode != 0:
        raise OSError("kill_at: %s, status %d" % (said, tool.returncode))
    return said.split()[2]


def without_bases(lines):
    return [line for line in lines if not line.startswith("disk dvm-g-")]


class Lane(threading.Thread):
    """A service with two bystanders, and one kill after the other."""

    def __init__(self, build, plan):
        super().__init__(daemon=True)
        self.plan = plan
        self.lives = 0
        set_agent(build)
        self.service = Service(build, program="it_restored_calls")
        self.service.start("-p", "2", "-g", str(GRACE))
        self.bystander = subprocess.Popen(
            [os.path.join(self.service.tools, "dvm"), "run", "t"],
            env=self.service.env, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        self.bystander.stdout.readline()
        self.holder = Holder(self.service)
        self.running = self.names()
        self.held = without_bases(self.service.held())

    def names(self):
        return sorted((m.name, m.domid, m.launch_id) for m in
                      self.service.records())

    def restart(self):
        before = self.holder.nr_attached
        self.service.kill()
        self.service.start("-p", "2", "-g", str(GRACE))
        self.lives = 0
        return wait_until(lambda: self.holder.nr_attached > before)

    def look(self, role, before):
        """After a kill: why this moment is lost, or None."""
        if role == "courier":
            if self.holder.nr_attached != before or self.holder.ended:
                return "the service did not go on without one courier"
        elif not wait_until(lambda: self.holder.nr_attached > before or
                          self.holder.ended):
            return "the client did not get back what it holds"
        mine = [name for name, _, _ in self.running]
        for m in self.service.records():
            if m.name not in mine:
                self.service.ask(KILL, name=m.name.encode())
        now = self.names()
        if now != self.running:
            return "running: %s, before %s" % (now, self.running)
        found = self.service.findings()
        if found is not None:
            return "check: " + found
        held = without_bases(self.service.held())
        if held != self.held:
            return "held: %s" % sorted(set(held) ^ set(self.held))
        return None

    def moment(self, role, nr):
        self.lives += 1
        if self.lives == LIVES and not self.restart():
            return None, "the client did not come back"
        before = self.holder.nr_attached
        call = kill_at(self.service, role, nr)
        if call is None:
            return None, None
        if role == "parent":
            self.service.kill()         # it is dead: reap, see roles end
            self.service.start("-p", "2", "-g", str(GRACE))
            self.lives = 0
        return call, self.look(role, before)

    def run(self):
        while True:
            at = self.plan.next()
            if at is None or self.holder.ended:
                return
            try:
                call, why = self.moment(*at)
            except (OSError, ValueError, LookupError,
                    subprocess.SubprocessError) as e:
                call, why = "?", repr(e)
                self.restart()
            self.plan.tell(at, call, why)

    def end(self):
        """The bystanders still are held; then nothing is."""
        time.sleep(GRACE + 1)
        ok(self.names() == self.running and self.bystander.poll() is None and
           not self.holder.ended,
           "dvm run and the other client hold what they held")
        self.holder.leave()
        self.bystander.terminate()
        self.bystander.wait(PATIENCE)
        self.bystander.stdout.close()
        ok(self.service.is_empty() and self.service.findings() is None,
           "they end, and the check is clean: %s" % self.service.findings())
        status = self.service.stop()
        held = self.service.held()
        ok(status == 0 and held == [], "SIGTERM: status %d, held %s" %
           (status, held))


class Plan:
    """Which call of which role is next, for all lanes."""

    def __init__(self, rng):
        self.lock = threading.Lock()
        self.roles = list(ROLES)
        self.nr = self.first = rng.randrange(1, STRIDE + 1)
        self.spared = 0
        self.tried = {role: 0 for role in ROLES}
        self.calls = {}
        self.lost = []

    def next(self):
        with self.lock:
            if not self.roles:
                return None
            at = (self.roles[0], self.nr)
            self.nr += STRIDE
            return at

    def tell(self, at, call, why):
        role, nr = at
        with self.lock:
            if call is not None:
                self.tried[role] += 1
                self.calls[call] = self.calls.get(call, 0) + 1
            if why is not None:
                self.lost.append(at)
                print("# %s at call %d, %s: %s" % (role, nr, call, why),
                      flush=True)
            if self.roles and role == self.roles[0] and call is None:
                self.spared += 1
                if self.spared == SPARED_MAX:
                    self.roles.pop(0)
                    self.nr, self.spared = self.first, 0


def kill_native(build):
    seed = new_seed()
    plan = Plan(random.Random(seed))
    lanes = [Lane(build, plan) for _ in range(LANES)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join(1500)
    print("# killed at: %s" % ", ".join("%s %d" % c for c in
                                        sorted(plan.calls.items())))
    nr = sum(plan.tried.values())
    ok(not plan.lost and not any(lane.is_alive() for lane in lanes),
       "killed at %d calls (%s): lost %s" % (nr, ", ".join(
           "%s %d" % t for t in plan.tried.items()), plan.lost))
    ok(all(plan.tried.values()) and (nr >= 300 or STRIDE > 1),
       "each role, and at least 300 moments")
    for lane in lanes:
        lane.end()
    shown("kill_native", nr, len(plan.lost), seed)


def unseen(held, found):
    """What is held and is not found."""
    domids = [line.split()[1] for line in held if line.startswith("domain")]
    nr_bases = 0
    for line in held:
        kind, what = line.split()[:2]
        dead = re.match("/(?:local/domain|libxl)/([1-9][0-9]*)/", what)
        if kind == "domain":
            says = "domain %s is a disposable" % what
        elif kind == "disk":
            says = "dm device %s is nobody's" % what
        elif dead is None or dead.group(1) in domids:
            continue            # the domain's, and found with it
        else:
            says = "the dead domain %s" % dead.group(1)
        # The service has one base that is its own.
        nr_bases += what.startswith("dvm-g-") and says not in found
        if says not in found and nr_bases != 1:
            yield line


def control_reconcile(build):
    seed = new_seed()
    rng = random.Random(seed)
    tried = lost = 0
    missed = []
    for _ in range(CONTROLS):
        set_agent(build)
        service = Service(build, program="it_restored_noreconcile")
        service.start()
        if kill_at(service, "core", rng.randrange(1, 300)) is not None:
            wait_until(lambda: len(service.roles()) == 2)
            found = service.findings()
            tried += 1
            lost += found is not None
            missed += unseen(service.held(), found or "")
        service.remove()
    ok(lost > 0 and not missed, "%d of %d kills leave something, and the "
       "check finds it; not found: %s" % (lost, tried, missed))
    shown("control_reconcile", tried, lost, seed)


if __name__ == "__main__":
    main(kill_native, control_reconcile)
