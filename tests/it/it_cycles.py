#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""cycles_native: 10,000 launches and destroys leave the service as it was.

usage: it_cycles.py BUILD-DIR     (CYCLES=N for fewer; SHOWN: it_lib.py)"""

import fcntl
import os
import threading

from it_lib import (KILL, LIST, RUNNING, Message, PATIENCE, Service, main, ok,
                    shown, wait_until)

CYCLES = int(os.environ.get("CYCLES", "10000"))
WARM = min(1000, CYCLES // 4)
LANES = 6
# There are 9999 names, and each is used once in seven days.
NAMES_EACH = 4000
# What the heap may take between the 1,000th cycle and the 10,000th, KiB.
SLACK = 512
# AddressSanitizer has a record of each thread that ever was, 0.25 KiB; a
# launch has two or three.
SLACK_ASAN = SLACK + CYCLES


def footprint(service):
    """Descriptors and threads of both roles, and their own memory in KiB."""
    counts, memory = [], 0
    for _, pid in sorted(service.roles().items()):
        counts.append(len(os.listdir("/proc/%d/fd" % pid)))
        counts.append(len(os.listdir("/proc/%d/task" % pid)))
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            for line in f:
                if line.startswith("RssAnon:"):
                    memory += int(line.split()[1])
    return counts, memory


def is_sanitized(service):
    with open("/proc/%d/maps" % service.parent.pid, encoding="ascii") as f:
        return "libasan" in f.read()


def settle(service, want):
    """Again as it was, when what ends has ended."""
    return wait_until(lambda: footprint(service)[0] == want) is True


def cycle(service, by_name):
    with service.client() as c:
        m = c.run()
        if m is None or m.type != RUNNING:
            return "no RUNNING: %s" % (m.text if m else "it hung up")
        if not by_name:
            return None         # closing ends it
        with service.client() as other:
            answers = other.ask(Message(KILL, name=m.name.encode()))
        if [a.value[0] for a in answers] != [1]:
            return "kill: %s" % [a.text for a in answers]
        last = c.receive()
        return None if last and last.text == "killed" else "no ENDED"


def lane(service, numbers, lost):
    for n in numbers:
        try:
            why = cycle(service, n % 2 == 0)
        except OSError as e:
            why = str(e)
        if why is not None:
            lost.append("cycle %d: %s" % (n, why))
            if len(lost) > 10:
                return


def run_cycles(service, first, last, lost):
    threads = [threading.Thread(target=lane, args=(
        service, range(first + i, last, LANES), lost)) for i in range(LANES)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20 * PATIENCE)
    if not service.is_empty():
        lost.append("cycles to %d: not all ended" % last)


def forget_names(service):
    """As if seven days had passed; nothing runs.  The service has the file
    open, and locks it to draw."""
    with open(os.path.join(service.state_dir, "names"), "r+b") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        size = os.fstat(f.fileno()).st_size
        os.ftruncate(f.fileno(), 0)
        os.ftruncate(f.fileno(), size)


def cycles_native(build):
    service = Service(build)
    lost = []
    ok(service.start("-p", "4"), "the service runs")
    wait_until(lambda: "is open" in "".join(service.log()))
    # Front has all that it opens when it answers, and this connection.
    with service.client() as c:
        c.ask(Message(LIST))
        before, _ = footprint(service)
    before[2] -= 1
    held = service.held()
    warm = None
    steps = [0, WARM] + list(range(WARM + NAMES_EACH, CYCLES, NAMES_EACH))
    for first, last in zip(steps, steps[1:] + [CYCLES]):
        run_cycles(service, first, last, lost)
        forget_names(service)
        if warm is None:
            settle(service, before)
            warm = footprint(service)[1]
    ok(not lost, "%d cycles: %s" % (CYCLES, lost[:5] or "none lost"))
    settle(service, before)
    after, memory = footprint(service)
    good = [ok(after == before, "descriptors and threads: %s, before %s" %
               (after, before)),
            ok(memory - warm < (SLACK_ASAN if is_sanitized(service) else
                                SLACK), "memory after %d cycles %d KiB, "
               "after %d cycles %d KiB" % (WARM, warm, CYCLES, memory)),
            ok(service.held() == held, "held: %s, before %s" %
               (service.held()[:5], held)),
            ok(service.findings() is None, "status --check: %s" %
               service.findings())]
    ok(service.stop() == 0 and service.held() == [],
       "SIGTERM ends it, and nothing is left")
    shown("cycles_native", CYCLES, len(lost) + good.count(False), "-")


if __name__ == "__main__":
    main(cycles_native)
