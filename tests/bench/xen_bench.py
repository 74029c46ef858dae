#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Times launches against xl, in dom0; nothing else may run beside it.

usage: xen_bench.py [--launches N] [--cold N] [--guests tiny,debian]
                    [--vcpus 1,2] [--out FILE]

For each guest and vCPU count, interleaved in one run: cold boots (xl create
to the agent's first sign), xl restore at its best (-p, a raw file in tmpfs, a
phy disk that is ready), and launches by dvm-restored. The guest's sign is the
agent's node in xenstore, watched for, not polled: data/dvm-agent/up under xl,
where it does nothing else, and its acknowledgement, when it has an identity of
its own, in a launch.
Prints and writes name<TAB>value<TAB>unit.
"""
import argparse
import ctypes
import json
import os
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time

WORK = "/bench"
AGENT = "data/dvm-agent"


class Xenstore:
    """Just enough of the wire protocol to read, write and wait for a node."""
    WATCH, READ, UNWATCH, WRITE, WATCH_EVENT, ERROR = 4, 2, 5, 11, 15, 16

    def __init__(self):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.connect("/run/xenstored/socket")
        self.next_id = 0
        self.events = []

    def recv(self, n):
        data = b""
        while len(data) < n:
            piece = self.s.recv(n - len(data))
            if not piece:
                raise OSError("xenstored hung up")
            data += piece
        return data

    def message(self):
        kind, req, _tx, length = struct.unpack("<IIII", self.recv(16))
        return kind, req, self.recv(length)

    def call(self, kind, payload):
        self.next_id += 1
        self.s.sendall(struct.pack("<IIII", kind, self.next_id, 0,
                                   len(payload)) + payload)
        while True:
            got, req, body = self.message()
            if got == self.WATCH_EVENT:
                self.events.append(body)
            elif req == self.next_id:
                return None if got == self.ERROR else body

    def read(self, path):
        value = self.call(self.READ, path.encode() + b"\0")
        return None if value is None else value.decode()

    def write(self, path, value):
        return self.call(self.WRITE, path.encode() + b"\0" + value.encode())

    def wait(self, path, want, timeout):
        """Until the node has the value; the time then, on perf_counter, or
        None if time is up."""
        args = path.encode() + b"\0bench\0"
        self.s.settimeout(timeout)
        self.call(self.WATCH, args)
        try:
            while self.read(path) != want:
                if not self.events:
                    kind, _req, body = self.message()
                    if kind == self.WATCH_EVENT:
                        self.events.append(body)
                self.events.clear()
            return time.perf_counter()
        except TimeoutError:
            return None
        finally:
            self.s.settimeout(60)
            self.call(self.UNWATCH, args)
            self.events.clear()


def run(*args, check=True):
    done = subprocess.run(args, capture_output=True, text=True, timeout=900)
    if check and done.returncode != 0:
        raise SystemExit(f"xen_bench: {' '.join(args)}: exit status "
                         f"{done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def settle():
    """Frames of the dead are scrubbed, backends and udev have let go."""
    time.sleep(2)


class Guest:
    def __init__(self, base, vcpus, store):
        self.store = store
        self.label = f"{base}.{vcpus}vcpu"
        self.name = base
        self.cfg = f"/guests/{base}.cfg"
        text = open(self.cfg, encoding="ascii").read()
        if vcpus != 1:      # else as it is: it may be prepared already
            self.name = f"{base}{vcpus}"
            self.cfg = f"{WORK}/{self.name}.cfg"
            text = re.sub(r"(?m)^name\s*=.*$", f'name = "{self.name}"', text)
            text = re.sub(r"(?m)^vcpus\s*=.*$", f"vcpus = {vcpus}", text)
            with open(self.cfg, "w", encoding="ascii") as f:
                f.write(text)
        self.image = re.search(r"/guests/[a-z]+\.img", text).group(0)
        # xl's disk: a dm-snapshot made ahead, so that xl need not wait for a
        # loop device, and its guest finds the disk as it was when saved.
        self.base = run("losetup", "-f", "--show", "-r", self.image)
        self.sectors = run("blockdev", "--getsz", self.base)
        self.xl_cfg = f"{WORK}/{self.name}-xl.cfg"
        disk = f"disk = [ 'phy:/dev/mapper/xl-{self.name},xvda,w' ]"
        with open(self.xl_cfg, "w", encoding="ascii") as f:
            f.write(re.sub(r"(?m)^disk\s*=.*$", disk, text))
        self.save = f"{WORK}/{self.name}.save"

    def snapshot(self, name, origin, store, persistent):
        loop = run("losetup", "-f", "--show", store)
        run("dmsetup", "create", name, "--table", f"0 {self.sectors} snapshot "
            f"{origin} {loop} {persistent} 8")
        run("dmsetup", "mknodes", name)
        run("losetup", "-d", loop)      # once the device lets go of it

    def drop(self, name):
        for _ in range(200):
            if subprocess.run(["dmsetup", "remove", name], capture_output=True,
                              check=False).returncode == 0:
                return
            time.sleep(0.05)
        raise SystemExit(f"xen_bench: {name} stays busy")

    def wait_up(self, domid):
        """The time of the sign; None if the guest died before it."""
        path = f"/local/domain/{domid}/{AGENT}/up"
        for _ in range(60):
            seen = self.store.wait(path, "1", 10)
            if seen is not None:
                return seen
            if not run("xl", "domid", self.name, check=False):
                return None
        raise SystemExit(f"xen_bench: {path} is not there after 600 s")

    def boot(self):
        """From xl create to the agent's first sign. Under QEMU a guest dies
        now and then in its first seconds (a triple fault): then once more."""
        for _ in range(3):
            start = time.perf_counter()
            run("xl", "create", "-e", "-q", self.xl_cfg)
            domid = run("xl", "domid", self.name, check=False)
            end = self.wait_up(domid) if domid else None
            if end is not None:
                return end - start
            settle()
        raise SystemExit(f"xen_bench: {self.name} does not boot")

    def cold_boot(self):
        self.fresh_xl_disk(self.base)
        cold = self.boot()
        self.end_xl()
        return cold

    def fresh_xl_disk(self, origin):
        store = f"{WORK}/{self.name}.cow"
        with open(store, "wb") as f:
            f.truncate(512 << 20)
        self.snapshot(f"xl-{self.name}", origin, store, "N")
        os.unlink(store)

    def end_xl(self):
        run("xl", "destroy", self.name)
        settle()
        self.drop(f"xl-{self.name}")

    def make_xl_save(self):
        """The saved guest and, below what its clones write, its disk; the
        time of its cold boot."""
        store = f"{WORK}/{self.name}.saved"
        with open(store, "wb") as f:
            f.truncate(512 << 20)
        self.snapshot(f"xl-{self.name}", self.base, store, "P")
        cold = self.boot()
        run("xl", "save", self.name, self.save)
        settle()
        self.drop(f"xl-{self.name}")
        self.snapshot(f"saved-{self.name}", self.base, store, "P")
        return cold

    def xl_restore(self):
        """xl restore -p; on to the guest's sign; and of that what comes after
        the unpause: the guest's bare resume."""
        self.fresh_xl_disk(f"/dev/mapper/saved-{self.name}")
        start = time.perf_counter()
        run("xl", "restore", "-e", "-p", self.save)
        restored = time.perf_counter()
        domid = run("xl", "domid", self.name)
        ready = time.perf_counter()
        self.unpause(int(domid))
        unpaused = time.perf_counter()
        answer = self.wait_up(domid)
        if answer is None:
            raise SystemExit(f"xen_bench: {self.name} died after xl restore")
        self.end_xl()
        # xl domid is ours, not a step of a restore.
        return (restored - start, answer - start - (ready - restored),
                answer - unpaused)

    def unpause(self, domid):
        """By the hypercall: an xl of its own would be part of the figure."""
        xc = ctypes.CDLL("libxenctrl.so.4.17")
        xc.xc_interface_open.restype = ctypes.c_void_p
        xch = ctypes.c_void_p(xc.xc_interface_open(None, None, 0))
        if xc.xc_domain_unpause(xch, ctypes.c_uint32(domid)) != 0:
            raise SystemExit(f"xen_bench: cannot unpause {self.name}")
        xc.xc_interface_close(xch)

    def prepare(self, *args):
        for last in False, False, True:         # as in boot()
            start = time.perf_counter()
            run("dvm-prepare", "--quiet", *args, self.cfg, check=last)
            if os.path.exists(f"/var/lib/dvm/{self.name}/current"):
                return time.perf_counter() - start
        raise SystemExit(f"xen_bench: {self.name} is not prepared")

    def launch(self, *args, count=1):
        start = time.perf_counter()
        out = run("dvm-restored", "--once", self.name, "--json", "-n",
                  str(count), "--destroy-after", "0", *args)
        wall = time.perf_counter() - start
        return [json.loads(line) for line in out.splitlines()], wall

    def close(self):
        self.drop(f"saved-{self.name}")
        run("losetup", "-d", self.base)


class Results:
    def __init__(self):
        self.rows = []

    def add(self, name, value, unit):
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        self.rows.append(f"{name}\t{text}\t{unit}")
        print(self.rows[-1], flush=True)

    def spread(self, name, values):
        """Median, p90 (nearest rank) and max of seconds."""
        values = sorted(values)
        self.add(f"{name}.median", statistics.median(values), "s")
        self.add(f"{name}.p90", values[-(-len(values) * 9 // 10) - 1], "s")
        self.add(f"{name}.max", values[-1], "s")
        self.add(f"{name}.n", len(values), "runs")
        return statistics.median(values)


def count_calls(results, label, what, args, after):
    """Hypercalls, xenstore requests, forks and execs of a command, by strace;
    a run of its own, not timed."""
    log = f"{WORK}/strace"
    run("strace", "-f", "-qq", "-o", log, "-e",
        "trace=ioctl,read,recvfrom,clone,clone3,fork,vfork,execve", *args)
    with open(log, encoding="ascii", errors="replace") as f:
        lines = f.readlines()
    after()
    # IOCTL_PRIVCMD_*: _IOC(_IOC_NONE, 'P', n, size)
    privcmd = [m.group(1) for m in (re.search(
        r"ioctl\(\d+, _IOC\(_IOC_NONE, 0x50, (0x[0-9a-f]+|0),", x)
        for x in lines) if m]
    results.add(f"{label}.{what}_hypercalls", privcmd.count("0"), "calls")
    results.add(f"{label}.{what}_mapbatches",
                len([p for p in privcmd if p in ("0x3", "0x4")]), "calls")
    forks = [x for x in lines if re.search(r" (fork|vfork|clone3?)\(", x) and
             "CLONE_THREAD" not in x and "resumed" not in x]
    results.add(f"{label}.{what}_forks", len(forks), "calls")
    results.add(f"{label}.{what}_execs", len([
        x for x in lines if " execve(" in x and x.rstrip().endswith("= 0")]) - 1,
        "calls")
    return lines


def bench_guest(g, results, opts):
    label = g.label
    cold, xl, xl_answer, bare = [], [], [], []
    warm, lz4, wall = [], [], []
    results.add(f"{label}.prepare_s", g.prepare(), "s")
    cold.append(g.make_xl_save())
    for i in range(max(opts.launches, opts.cold)):
        if len(cold) < opts.cold:
            cold.append(g.cold_boot())
        if i < opts.launches:
            r, a, resume = g.xl_restore()
            xl.append(r)
            xl_answer.append(a)
            bare.append(resume)
            # As xl has its file, decoded, in tmpfs: the image in memory.
            warm += g.launch("--resident")[0]
            settle()
            got, seconds = g.launch()
            lz4 += got
            wall.append(seconds)
            settle()
    cold_m = results.spread(f"{label}.cold_boot_s", cold)
    xl_m = results.spread(f"{label}.xl_restore_s", xl)
    xla_m = results.spread(f"{label}.xl_restore_answer_s", xl_answer)
    bare_m = results.spread(f"{label}.bare_resume_s", bare)
    for what, runs in ("launch", warm), ("launch_lz4", lz4):
        ours = results.spread(f"{label}.{what}_unpause_s",
                              [j["stages_s"]["unpause"] for j in runs])
        answer = results.spread(f"{label}.{what}_answer_s",
                                [j["stages_s"]["answer"] for j in runs])
        resume = results.spread(
            f"{label}.{what}_resume_s",
            [j["stages_s"]["answer"] - j["stages_s"]["unpause"]
             for j in runs])
        for stage in runs[0]["stages_s"]:
            results.add(f"{label}.{what}_stage_end.{stage}", statistics.median(
                j["stages_s"][stage] for j in runs), "s")
        results.add(f"{label}.{what}_populate_s", statistics.median(
            j["populate_s"] for j in runs), "s")
        results.add(f"{label}.xl_restore_over_{what}", xl_m / ours, "ratio")
        results.add(f"{label}.xl_answer_over_{what}_answer", xla_m / answer,
                    "ratio")
        results.add(f"{label}.cold_over_{what}_answer", cold_m / answer,
                    "ratio")
        results.add(f"{label}.{what}_resume_over_bare", resume / bare_m,
                    "ratio")
    # The whole command, from exec to exit: opens, launches, destroys.
    results.spread(f"{label}.launch_lz4_process_s", wall)
    j = lz4[0]
    results.add(f"{label}.bytes_copied_per_data_byte",
                j["bytes_copied"] / j["data_bytes"], "ratio")
    results.add(f"{label}.populated_order9", j["superpages"], "extents")
    results.add(f"{label}.populated_order0", j["single_pages"], "extents")
    results.add(f"{label}.launch_store_requests", j["store_requests"],
                "requests")
    count_calls(results, label, "launch", (
        "dvm-restored", "--once", g.name, "--json", "--destroy-after", "0"),
        lambda: None)
    g.fresh_xl_disk(f"/dev/mapper/saved-{g.name}")
    lines = count_calls(results, label, "xl_restore", (
        "xl", "restore", "-e", "-p", g.save), g.end_xl)
    results.add(f"{label}.xl_restore_store_requests", len([
        x for x in lines if re.search(r"read\(\d+.*, 16\) = 16$", x)]),
        "requests")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--launches", type=int, default=10)
    p.add_argument("--cold", type=int, default=3)
    p.add_argument("--guests", default="tiny,debian")
    p.add_argument("--vcpus", default="1,2")
    p.add_argument("--out", default="/root/bench-xen.tsv")
    opts = p.parse_args()
    os.makedirs(WORK, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "size=1800M", "bench", WORK)
    results = Results()
    results.add("xen", run("xl", "info", "xen_version"), "version")
    try:
        store = Xenstore()
        for base in opts.guests.split(","):
            for vcpus in opts.vcpus.split(","):
                g = Guest(base, int(vcpus), store)
                bench_guest(g, results, opts)
                g.close()
                if g.label == "debian.1vcpu":
                    shutil.copy(f"/var/lib/dvm/{g.name}/current/savefile",
                                "/root/debian.savefile")
                shutil.rmtree(f"/var/lib/dvm/{g.name}")
                for name in os.listdir(WORK):
                    os.unlink(f"{WORK}/{name}")
    finally:
        with open(opts.out, "w", encoding="ascii") as f:
            f.write("".join(row + "\n" for row in results.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
