#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""In dom0: that no two disposables are twins, that nothing runs in one before
it has its own identity, and what becomes of bad agents.

usage: xen_clones.py [--launches N] [--only WHAT,...] [--dir DIR]

DIR has guest_probe, dvm-agent and agent_fault (default: where this lies).
WHAT is clones, clock, shapes, faults, prerun (all by default) and debian.
Ends with "N passed, N failed"; campaigns go to the file $SHOWN if it is set.
"""
import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from xen_bench import Xenstore
from xen_service import Service, triple_faults

GUESTS = "/guests"
OWN = ("random", "random_uuid", "uuid", "boot_id", "machine_id", "hostname", "hosts_name",
       "domain_uuid", "tcp", "ssh_key", "id")
counts = {"passed": 0, "failed": 0}


def ok(holds, claim):
    counts["passed" if holds else "failed"] += 1
    print(f"{'' if holds else 'not '}ok - {claim}", flush=True)
    return holds


def shown(name, tried, lost):
    if os.environ.get("SHOWN"):
        with open(os.environ["SHOWN"], "a", encoding="ascii") as f:
            f.write(f"{name}\t{tried}\t{lost}\t-\n")


def run(*args, timeout=900):
    done = subprocess.run(args, capture_output=True, text=True, check=False,
                          timeout=timeout)
    return done.returncode, done.stdout, done.stderr


def held():
    """Domains, dm devices and loop devices that are not dom0's."""
    lines = run("xl", "list")[1].splitlines()[2:]
    lines += [x for x in run("dmsetup", "ls")[1].splitlines()
              if x.startswith("dvm-")]
    return lines


def nothing_held():
    for _ in range(150):
        if not held():
            return True
        time.sleep(0.2)
    print("#", held())
    return False


def make_cfg(name, initrd, *lines, base="tiny", **settings):
    with open(f"{GUESTS}/{base}.cfg", encoding="ascii") as f:
        text = f.read()
    settings = {"name": f'"{name}"', "ramdisk": f'"{initrd}"', **settings}
    for key, value in settings.items():
        text = re.sub(rf"(?m)^{key}\s*=.*$", f"{key} = {value}", text)
    path = f"{GUESTS}/{name}.cfg"
    with open(path, "w", encoding="ascii") as f:
        f.write(text + "\n".join(lines) + "\n")
    return path


def prepare(path):
    """Under QEMU a guest dies now and then in its first seconds: again."""
    for _ in range(3):
        status, out, err = run("dvm-prepare", "--force", "--codec", "raw", path)
        if "the guest ended" not in err:
            break
    return status, out + err


def read_values(store, domid, seconds=120):
    path = f"/local/domain/{domid}/data/probe/values"
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = store.read(path)
        if text:
            return dict(x.split("=", 1) for x in text.splitlines() if x)
        if not store.read(f"/local/domain/{domid}/name"):
            return None
        time.sleep(0.05)
    return None


def launch(name, count):
    """Launches that said who they are, and what went wrong.  Two at a time, of
    the service.  QEMU kills a guest in its first seconds now and then, which
    Xen logs as a triple fault: then, and only then, another is launched in its
    place."""
    service = Service().start()
    seen, said, died = [], [], 0
    before = triple_faults()
    with ThreadPoolExecutor(2) as lanes:
        while len(seen) < count and died <= count // 10 + 1:
            ended = list(lanes.map(launch_once,
                                   [name] * (count - len(seen))))
            seen += [x[:2] for x in ended if x[1]]
            said += [x[2] for x in ended if not x[1]]
            if len(seen) < count and triple_faults() - before <= died:
                break
            died = triple_faults() - before
    service.stop()
    return seen, f"({died} more died of a triple fault) {said[:3]}"


def launch_once(name):
    """One, that ends once it has said who it is; its client's words, what it
    said, and what its client complained of."""
    with subprocess.Popen(
            ["dvm", "run", "--json", name], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True) as p:
        line = p.stdout.readline()
        j = json.loads(line) if line else {}
        values = read_values(Xenstore(), j["domid"]) if line else None
        p.send_signal(signal.SIGINT)
        return j, values, p.communicate()[1].strip()


def clock_offset(store, domid):
    """Seconds that the guest's clock is ahead of ours, and to how much that
    is known: the best of a few round trips, or more if none was quick."""
    best = None
    base = f"/local/domain/{domid}/data/probe"
    for n in range(100):
        if n >= 16 and best[1] < 0.05:
            break
        start = time.time()
        store.write(f"{base}/ping", str(n))
        while True:
            pong = store.read(f"{base}/pong") or ""
            end = time.time()
            if pong.startswith(f"{n} ") or end - start > 20:
                break
        if not pong.startswith(f"{n} "):
            return None
        guest = float(pong.split()[1])
        known = (end - start) / 2
        if best is None or known < best[1]:
            best = (guest - (start + end) / 2, known)
    return best


def twins(values, key):
    return len(values) - len({v[key] for v in values})


def test_clones(launches):
    seen, said = launch("clones", launches)
    values = [v for _j, v in seen]
    ok(len(seen) == launches, f"{len(seen)} of {launches} launches say who "
       f"they are {said}")
    lost = 0
    for key in OWN:
        same = twins(values, key)
        empty = [v[key] for v in values if v[key] in ("", "none", "0")]
        lost += same + len(empty)
        ok(same == 0 and not empty, f"{key}: no value twice, none missing "
           f"({values[0][key] if values else ''})")
    shown("clones_distinct", len(values) * len(OWN), lost)
    ok(all(v["hostname"] == j["name"] and v["domain_uuid"] == j["uuid"]
           for j, v in seen), "name and UUID are those of the launch")
    ran = [v for v in values if int(v["looks_held"]) != 0 or
           int(v["looks_before"]) == 0 or int(v["looks_after"]) == 0]
    shown("hold_before_ack", len(values), len(ran))
    ok(values and not ran, "no look at the clock between resume and "
       f"acknowledgement in {len(values)} launches")
    held_ms = [(int(v["acknowledged_ns"]) - int(v["resumed_ns"])) / 1e6
               for v in values]
    print(f"# resume to acknowledgement in the guest: median "
          f"{sorted(held_ms)[len(held_ms) // 2]:.1f} ms, max "
          f"{max(held_ms):.1f} ms")
    ok(nothing_held(), "nothing is left")


def test_clock(store):
    """An hour after preparing, as far as all clocks know."""
    for what, shift in ("", 0), (" an hour later", 3600):
        if shift:
            run("date", "-s", f"@{time.time() + shift}")
        with subprocess.Popen(["dvm-restored", "--once", "clones", "--json"],
                              stdout=subprocess.PIPE, text=True) as p:
            line = p.stdout.readline()
            offset = None
            if line:
                domid = json.loads(line)["domid"]
                if read_values(store, domid):
                    offset = clock_offset(store, domid)
            p.terminate()
        ok(offset and abs(offset[0]) < 0.1 + offset[1] and offset[1] < 0.5,
           f"the clock{what} is within 100 ms of dom0's, as far as can be "
           f"seen: {offset and [round(x, 4) for x in offset]} s, and to how "
           "much that is known")
        if shift:
            run("date", "-s", f"@{time.time() - shift}")


def test_shape(name, initrd, **settings):
    status, said = prepare(make_cfg(name, initrd, "dvm_quiet_cpu = 100",
                                    'dvm_prerun = "/guest_probe"',
                                    **settings))
    if not ok(status == 0, f"{settings} is prepared"):
        print(said)
        return
    seen, said = launch(name, 2)
    values = [v for _j, v in seen]
    ok(len(values) == 2 and not any(twins(values, k) for k in OWN) and
       all(v["looks_held"] == "0" for v in values),
       f"two of {settings}: distinct and held {said}")
    print(f"# {name}: " + " ".join(
        f"{k} {seen[0][0]['stages_s'][k]:.3f}" for k in ("unpause", "answer")))


def test_debian():
    """The same in a guest with systemd, prepared twice; its user's program
    first, whose groups are its own."""
    path = make_cfg("deb", f"{GUESTS}/debian.initrd",
                    'dvm_prerun = "/usr/bin/id"', base="debian")
    sizes = []
    for _ in range(2):
        status, said = prepare(path)
        ok(status == 0, f"debian is prepared {said if status else ''}")
        sizes += re.findall(r"(\d+) recorded", said)
    sizes = [int(x) for x in sizes]
    ok(len(sizes) == 2 and abs(sizes[0] - sizes[1]) < 0.02 * sizes[0],
       f"twice: {sizes} pages recorded, that differ by less than 2 %")
    path = make_cfg("deb", f"{GUESTS}/debian.initrd", "dvm_quiet_cpu = 100",
                    'dvm_prerun = "/usr/local/bin/guest_probe"',
                    base="debian", dvm_user='"root"')
    status, said = prepare(path)
    ok(status == 0, f"debian is prepared {said if status else ''}")
    seen, said = launch("deb", 3)
    values = [v for _j, v in seen]
    ok(len(values) == 3 and not any(twins(values, k) for k in OWN) and
       all(v["looks_held"] == "0" for v in values) and
       all(v["hostname"] == j["name"] for j, v in seen),
       f"three of debian: distinct and held {said} {values[:1]}")


def test_faults(initrd):
    def fault(name):
        run("xenstore-write", "/dvm-fault", name)
        run("xenstore-chmod", "/dvm-fault", "b")

    path = make_cfg("fault", initrd, "dvm_quiet_cpu = 100",
                    'dvm_prerun = "/guest_probe"')
    fault("none")
    status, said = prepare(path)
    if not ok(status == 0, "the agent with faults is prepared"):
        print(said)
        return
    fault("noreseed")
    seen, said = launch("fault", 5)
    values = [v for _j, v in seen]
    same = twins(values, "random") + twins(values, "random_uuid")
    shown("control_reseed", len(values), same)
    ok(len(values) == 5 and same > 0, "control: without the reseeding there "
       f"are twins ({same}) {said}")
    for name, want, word in (
            ("silent", 7, "has not acknowledged"),
            ("die", 7, "has not acknowledged"),
            ("garbage", 3, "not its launch id"),
            ("refuse", 3, "cannot take on"),
            ("twice", 0, "disp")):
        fault(name)
        patience = "4" if want == 7 else "30"
        status, out, err = run("dvm-restored", "--once", "fault",
                               "--answer-timeout", patience, "-d", "0")
        ok(status == want and word in out + err,
           f"an agent that is '{name}': status {status}, {err.strip()}")
        ok(nothing_held(), "nothing is left of it")
    fault("nocgroup")
    status, said = prepare(path)
    ok(status == 0, f"without cgroup v2: prepared {said if status else ''}")
    seen, said = launch("fault", 2)
    values = [v for _j, v in seen]
    ok(len(values) == 2 and all(v["looks_held"] == "0" for v in values),
       f"and held all the same {said}")
    run("xenstore-rm", "/dvm-fault")


def test_prerun(initrd):
    """Side by side: most of it is waiting."""
    cases = (
        ('dvm_prerun = "/bin/false"', ("prerun", "status 1")),
        ('dvm_prerun = "/bin/uevent"\ndvm_prerun_limit = 3',
         ("prerun", "within 3 s")),
        ('dvm_prerun = "/bin/id"\ndvm_user = "nobody-here"',
         ("no user 'nobody-here'",)),
        ('dvm_prerun = "/guest_probe"\ndvm_quiet_cpu = 1\n'
         'dvm_quiet_limit = 4', ("quiet", "% busy")))
    paths = [make_cfg(f"prerun{i}", initrd, case[0])
             for i, case in enumerate(cases)]
    with ThreadPoolExecutor(2) as lanes:
        for (line, words), (status, said) in zip(
                cases, lanes.map(prepare, paths)):
            ok(status == 3 and all(w in said for w in words),
               f"{line!r}: {said.strip().splitlines()[-1:]}")
    ok(nothing_held(), "nothing is left of them")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--launches", type=int, default=100)
    p.add_argument("--dir", default=os.path.dirname(
        os.path.abspath(__file__)))
    p.add_argument("--only", default="clones,clock,shapes,faults,prerun")
    opts = p.parse_args()
    only = opts.only.split(",")
    store = Xenstore()
    good, bad = f"{GUESTS}/probe.initrd", f"{GUESTS}/fault.initrd"
    for agent, initrd in ("dvm-agent", good), ("agent_fault", bad):
        status, _out, err = run(f"{GUESTS}/install-agent", "--tiny", initrd,
                                f"{opts.dir}/{agent}",
                                f"{opts.dir}/guest_probe")
        ok(status == 0, f"{agent} is installed {err}")
    if "clones" in only or "clock" in only:
        status, said = prepare(make_cfg("clones", good, "dvm_quiet_cpu = 100",
                                        'dvm_prerun = "/guest_probe"'))
        ok(status == 0, "the guest is prepared")
        print(said)
    if "clones" in only:
        test_clones(opts.launches)
    if "clock" in only:
        test_clock(store)
    if "shapes" in only:
        test_shape("large", good, memory=1024, vcpus=2)
    if "debian" in only:
        run(f"{GUESTS}/install-agent", f"{opts.dir}/dvm-agent",
            f"{opts.dir}/guest_probe")
        test_debian()
    if "faults" in only:
        test_faults(bad)
    if "prerun" in only:
        test_prerun(good)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
