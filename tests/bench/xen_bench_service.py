#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Times the service, in dom0; nothing else may run beside it.

usage: xen_bench_service.py [--template NAME] [--launches N] [--burst N]
                            [--out FILE]

Launches from a prepared template, each ended before the next: by dvm-restored
--once, then through the service, from the client's request to its answer.
Then a burst, all asked for at once and kept, against as many in a row, kept
too; and what they cost dom0's memory beyond what their disks' stores take.
Then dvm open, to the first byte of what its program says; and the channel both
ways, against a plain vchan (vchan_loop, which lies where this does and at the
guest's root) and against the console: these with `tiny`, whose console has a
shell.  Prints and appends name<TAB>value<TAB>unit.
"""
import argparse
import json
import os
import re
import select
import signal
import statistics
import subprocess
import threading
import time

from dvm_client import Connection
from xen_service import Service, listed, until

HERE = os.path.dirname(os.path.abspath(__file__))
BYTES, TTY_BYTES, ROUNDS = 32 << 20, 256 << 10, 3


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

    def open(self):
        """Of a small file, to the first byte of its program's output."""
        with open("/tmp/bench.txt", "w", encoding="ascii") as f:
            f.write("all is right\n")
        took = []
        for _ in range(self.opts.launches):
            start = time.monotonic()
            with subprocess.Popen(
                    ["dvm", "open", "--template", self.opts.template,
                     "/tmp/bench.txt"], stdout=subprocess.PIPE) as p:
                if p.stdout.read(1):
                    took.append(time.monotonic() - start)
            self.gone()
        return took

    def channel(self, way):
        """MB/s of a program's output, or input, from when it runs.  Both ends
        are devices, and dd takes 64 KiB at a time: head's and wc's 4 KiB are
        what a pipe in the guest is slow with, without any channel."""
        say = (f"dd bs=64k count={BYTES >> 16} iflag=fullblock " +
               ("if=/dev/zero" if way == "in" else "of=/dev/null"))
        with subprocess.Popen(
                ["dvm", "run", self.opts.template, "--", "sh", "-c",
                 f"echo ready >&2; {say} 2>/dev/null"],
                stdin=open("/dev/zero", "rb") if way == "out" else
                subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE) as p:
            p.stderr.readline()
            start = time.monotonic()
            if p.wait(120) != 0:
                raise SystemExit(f"xen_bench_service: status {p.returncode}")
            took = time.monotonic() - start
        self.gone()
        return BYTES / took / 1e6

    def beside_channel(self):
        """The same by a plain vchan, and by the console, in one guest.  What
        is typed there comes back too, so it is no word that is waited for."""
        c, _ = self.ask()
        domid = listed()[0]["domid"]
        path = subprocess.run(
            ["xenstore-read", f"/local/domain/{domid}/console/tty"],
            capture_output=True, text=True, check=True).stdout.strip()
        rates = {"vchan_in": [], "vchan_out": []}
        with open(path, "r+b", buffering=0) as tty:
            tty.write(b'stty raw -echo; /vchan_loop & sleep 1; echo re""ady\n')
            if not says(tty, b"ready"):
                raise SystemExit("xen_bench_service: no shell on the console")
            for _ in range(ROUNDS):
                for way in "in", "out":
                    rates[f"vchan_{way}"].append(BYTES / float(
                        subprocess.run(
                            [HERE + "/vchan_loop", str(domid), way,
                             str(BYTES)], capture_output=True, timeout=120,
                            check=True).stdout) / 1e6)
            for way, command in (
                    ("in", b'echo be""gin; head -c %d /dev/zero; echo e""nd'),
                    ("out", b'echo be""gin; head -c %d | wc -c; echo e""nd')):
                tty.write(command % TTY_BYTES + b"\n")
                says(tty, b"begin")
                start = time.monotonic()
                if way == "out":
                    tty.write(bytes(TTY_BYTES))
                if says(tty, b"end"):
                    rates[f"console_{way}"] = [
                        TTY_BYTES / 1e6 / (time.monotonic() - start)]
                else:
                    print(f"# console_{way}: bytes were lost")
        c.close()
        self.gone()
        return rates

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
        self.add("open_s.median", statistics.median(self.open()), "s")
        rates = {f"channel_{way}": [self.channel(way) for _ in range(ROUNDS)]
                 for way in ("in", "out")}
        if self.opts.template == "tiny":
            rates |= self.beside_channel()
        for name, values in rates.items():
            self.add(f"{name}.median", statistics.median(values), "MB/s")
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(60)


def says(tty, words, timeout=120):
    said = b""
    end = time.monotonic() + timeout
    while words not in said and time.monotonic() < end:
        if select.select([tty], [], [], 1)[0]:
            said = (said + tty.read(4096))[-8192:]
    return words in said


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
