#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Times the service, in dom0; nothing else may run beside it.

usage: xen_bench_service.py [--template NAME] [--launches N] [--burst N]
                            [--out FILE]

Launches from a prepared template, each ended before the next: by dvm-restored
--once, then through the service, from the client's request to its answer.
Then a burst, all asked for at once and kept, against as many in a row, kept
too; and what they cost dom0's memory beyond what their disks' stores take.
Prints and appends name<TAB>value<TAB>unit.
"""
import argparse
import json
import re
import signal
import statistics
import subprocess
import threading
import time

from dvm_client import Connection
from xen_service import Service, listed, until


class Bench:
    def __init__(self, opts):
        self.opts = opts
        self.rows = []

    def add(self, name, value, unit):
        self.rows.append(f"{self.opts.template}.{name}\t{value:.4f}\t{unit}")
        print(self.rows[-1], flush=True)
        return value

    def once(self):
        out = subprocess.run(
            ["dvm-restored", "--once", self.opts.template, "--json", "-n",
             str(self.opts.launches), "--destroy-after", "0"],
            capture_output=True, text=True, timeout=900, check=True).stdout
        return [json.loads(x)["stages_s"]["answer"]
                for x in out.splitlines()]

    def ask(self):
        """One that runs, and how long that took its client."""
        for _ in range(3):      # QEMU's triple faults
            start = time.monotonic()
            c = Connection().run(self.opts.template)
            if c.wait_for("running", 300)["type"] == "running":
                return c, time.monotonic() - start
        raise SystemExit("xen_bench_service: no launch in three: dvm log")

    def gone(self):
        if not until(lambda: not listed(), 120):
            raise SystemExit("xen_bench_service: they do not end: dvm ls")

    def one_by_one(self):
        took = []
        for _ in range(self.opts.launches):
            c, seconds = self.ask()
            took.append(seconds)
            c.close()
            self.gone()
        return took

    def kept(self, at_once):
        """So many, kept: until the last one runs; and dom0's memory."""
        held = []
        before = memory()
        start = time.monotonic()
        if at_once:
            threads = [threading.Thread(
                target=lambda: held.append(self.ask()[0]))
                for _ in range(self.opts.burst)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        else:
            for _ in range(self.opts.burst):
                held.append(self.ask()[0])
        took = time.monotonic() - start
        time.sleep(3)           # all is unmapped
        after = memory()
        for c in held:
            c.close()
        self.gone()
        time.sleep(3)
        return took, (before - after) / self.opts.burst

    def run(self):
        once = self.add("once_answer_s.median",
                        statistics.median(self.once()), "s")
        service = Service().start()
        time.sleep(2)
        mine = self.add("service_answer_s.median",
                        statistics.median(self.one_by_one()), "s")
        self.add("service_over_once", mine / once, "ratio")
        rows, bursts, kib = [], [], []
        for _ in range(3):
            for at_once, into in (False, rows), (True, bursts):
                took, each = self.kept(at_once)
                into.append(took)
                kib.append(each)
        row = self.add("row_s.median", statistics.median(rows), "s")
        burst = self.add("burst_s.median", statistics.median(bursts), "s")
        self.add("burst_over_row", burst / row, "ratio")
        self.add("dom0_memory_each", statistics.median(kib), "KiB")
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(60)


def memory():
    """KiB that dom0 could use, with what the disks' stores have taken."""
    with open("/proc/meminfo", encoding="ascii") as f:
        m = dict(re.findall(r"(\w+):\s+(\d+)", f.read()))
    return int(m["MemAvailable"]) + int(m["Shmem"])


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--template", default="tiny")
    p.add_argument("--launches", type=int, default=10)
    p.add_argument("--burst", type=int, default=8)
    p.add_argument("--out", default="/root/bench-xen.tsv")
    bench = Bench(p.parse_args())
    try:
        bench.run()
    finally:
        with open(bench.opts.out, "a", encoding="ascii") as f:
            f.write("".join(row + "\n" for row in bench.rows))


main()
