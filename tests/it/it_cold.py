#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Cold boots: the real service and the real one that boots for it, on a host of
fakes, where nothing but xl is made up.  When they happen, what is said, that
they end as any other, and that nothing is left however they are cut short.

usage: it_cold.py BUILD-DIR"""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

from it_lib import (ENDED, FAILED, KILL, QUEUED, RUN, RUNNING, Message,
                    Service, as_user, main, ok, shown, wait_until)

LANES = 4
# The parent gives up after ten short lives in a row.
LIVES = 8
# Calls that come by chance, such as a tick's.
SPARED_MAX = 3
COLD = 9                        # of the values of RUNNING
LS_COLD = 3                     # of those of a record


def write(service, file, text):
    with open(os.path.join(service.state_dir, file), "w",
              encoding="ascii") as f:
        f.write(text)


def stale(build, *init, start=(), mode="good", allow=True):
    """A service whose template has another kernel than it was recorded
    with."""
    service = Service(build, *init)
    write(service, "kernel", "another")
    service.boot_mode(mode)
    if allow:
        service.allow_cold()
    service.start(*start)
    return service


def run(service, template=b"t"):
    """What is said before, and the answer."""
    c = service.client()
    c.send(Message(RUN, template=template))
    said = ""
    while True:
        m = c.receive()
        if m is None or m.type != QUEUED:
            return c, m, said
        said = m.text or said


def domains(service):
    return [line for line in service.held() if line.startswith("domain")]


def left(service):
    """Of disposables."""
    return [line for line in service.held() if "dvm-g-" not in line]


def is_well(service, claim):
    """Empty, the check is clean, and its end leaves nothing."""
    empty = service.is_empty()
    # A boot that is taken back may take a moment.
    wait_until(lambda: not left(service), 10)
    found = service.findings()
    booter = service.end_booter()
    status = service.stop()
    held = service.held()
    return ok(empty and found is None and status == 0 and held == [] and
              booter in (0, None), "%s: nothing is left: %s, %s, %s, %s" %
              (claim, found, status, held, booter))


def refused(build):
    service = stale(build, allow=False)
    r = service.dvm("run", "t")
    ok(r.returncode == 4 and "kernel changed" in r.stderr and
       "run dvm-prepare" in r.stderr and r.stderr.endswith(
           "or allow cold boots: systemctl enable --now "
           "dvm-cold-boot.socket\n"),
       "not allowed: %s" % r.stderr.strip())
    r = service.dvm("status")
    ok("cannot be launched: template t" in r.stdout, "status says so")
    r = service.dvm("run", "nosuch")
    ok(r.returncode == 4 and "cold" not in r.stderr,
       "it is no way out where there is no template: %s" % r.stderr.strip())
    is_well(service, "refused")


def allowed(build):
    service = stale(build)
    r = service.dvm("run", "-f", "1", "t")
    lines = r.stderr.strip().split("\n")
    ok(r.returncode == 0 and "its time is over" in r.stdout and
       len(lines) == 1 and lines[0].startswith("dvm: booting cold, which "
                                               "takes longer: template t") and
       "run dvm-prepare" in lines[0], "it is said: %s" % r.stderr.strip())
    c, m, said = run(service)
    ok(m.type == RUNNING and m.value[COLD] == 1 and "takes longer" in said,
       "it runs")
    record = service.records()[0]
    ok(record.value[LS_COLD] == 1 and json.loads(
        service.dvm("ls", "-j").stdout)[0]["cold"], "ls tells it")
    held = service.held()
    ok(sorted(line.split()[0] for line in held if "node" not in line) ==
       ["disk", "domain"] and any("dvm-d-" + m.text in line
                                  for line in held),
       "its disk stands on nothing but the template's")
    r = service.dvm("status")
    ok("boots cold: template t" in r.stdout and "(2 cold)" in r.stdout,
       "status: %s" % r.stdout.split("\n")[1])
    log = "\n".join(service.log())
    ok("booting cold for uid 0: template t: " in log and "booted cold" in log,
       "so does the log")
    found = service.findings()
    ok(found is None, "the check is clean while it runs: %s" % found)
    ok(service.dvm("kill", m.name).returncode == 0 and
       c.receive().type == ENDED, "it is killed as any other")
    # dvm-prepare has run.
    write(service, "kernel", "kernel")
    c, m, said = run(service)
    ok(m.type == RUNNING and m.value[COLD] == 0 and said == "",
       "with a valid image again it is launched from that")
    c.close()
    is_well(service, "allowed")


def images(build):
    """What else may be wrong with an image."""
    service = Service(build)
    service.allow_cold()
    service.start()
    gen = os.path.join(service.state_dir, "t", "gen-1")
    shutil.copytree(gen, gen + ".good")

    def spoil(what, how):
        shutil.rmtree(gen)
        shutil.copytree(gen + ".good", gen)
        how()
        c, m, said = run(service)
        ok(m.type == RUNNING and m.value[COLD] == 1,
           "%s: %s" % (what, said or m.text))
        c.close()

    savefile = os.path.join(gen, "savefile")
    current = os.path.join(service.state_dir, "t", "current")
    # While it is held open, in the data that each launch decodes.
    with open(savefile, "r+b") as f:
        data = bytearray(f.read())
        for i in range(len(data) // 2, len(data)):
            data[i] ^= 1
        f.seek(0)
        f.write(data)
    c, m, said = run(service)
    ok(m.type == RUNNING and m.value[COLD] == 1, "data that are wrong: %s" %
       (said or m.text))
    c.close()
    # What is held open would do for the rest: to be opened anew.
    write(service, "kernel", "another")
    time.sleep(1.1)
    c, m, _ = run(service)
    c.close()
    write(service, "kernel", "kernel")

    def cut():
        with open(savefile, "r+b") as f:
            f.truncate(5000)

    def flip():
        with open(savefile, "r+b") as f:
            f.seek(300)
            byte = f.read(1)
            f.seek(300)
            f.write(bytes([byte[0] ^ 1]))

    spoil("a savefile that is cut off", cut)
    spoil("one with a bit that flipped", flip)
    spoil("one that is gone", lambda: os.remove(savefile))
    # As dvm-prepare leaves it.
    write(service, "t/lock", "")
    spoil("no generation at all", lambda: os.remove(current))
    key = os.path.join(service.state_dir, "host.key")
    os.symlink("gen-1", current)

    def turn_key():
        with open(key, "r+b") as f:
            byte = f.read(1)
            f.seek(0)
            f.write(bytes([byte[0] ^ 1]))

    spoil("another host's signature", turn_key)
    turn_key()
    is_well(service, "images")


def ends(build):
    """A boot that comes to nothing."""
    cases = (("fails", 1, "xl create failed: fake"),
             ("dies", 3, "ended as soon as it was"),
             ("killed", 1, "has died"),
             ("wrong", 3, "something that is not its launch id"),
             ("silent", 7, "not acknowledged"))
    service = stale(build, start=("-a", "1"))
    for mode, status, text in cases:
        service.boot_mode(mode)
        r = service.dvm("run", "t")
        empty = service.is_empty()
        held = left(service)
        lines = r.stderr.strip().split("\n")
        ok(r.returncode == status and text in lines[-1] and empty and
           held == [], "%s: status %d, %s, %s" % (mode, r.returncode,
                                                 lines[-1], held))
    service.boot_mode("good")
    c, m, _ = run(service)
    ok(m.type == RUNNING, "the next one is well")
    c.close()
    service.end_booter(signal.SIGKILL)
    c, m, _ = run(service)
    ok(m.type == FAILED and "dvm-cold-boot.socket" in m.text,
       "nobody listens any more: %s" % m.text)
    is_well(service, "ends")


def cancelled(build):
    service = stale(build, mode="slow")
    c = service.client()
    c.send(Message(RUN, template=b"t"))
    wait_until(lambda: domains(service))
    began = time.monotonic()
    c.close()
    ok(service.is_empty() and not left(service) and
       time.monotonic() - began < 10, "its client goes away while it boots: "
       "it is taken back in %.1f s" % (time.monotonic() - began))
    # The same by the end of who boots it.
    c = service.client()
    c.send(Message(RUN, template=b"t"))
    wait_until(lambda: domains(service))
    ok(service.end_booter() == 0, "who boots it is told to end")
    m = c.receive()
    while m is not None and m.type == QUEUED:
        m = c.receive()
    ok(m.type == FAILED and "interrupted" in m.text, "and says so: %s" %
       m.text)
    is_well(service, "cancelled")


def core_dies(build):
    service = stale(build, mode="slow", start=("-g", "5"))
    c = service.client()
    c.send(Message(RUN, template=b"t"))
    wait_until(lambda: domains(service))
    os.kill(service.roles()["core"], signal.SIGKILL)
    while c.receive() is not None:
        pass
    ok(wait_until(lambda: not left(service)),
       "core dies while it boots: it is taken back")
    wait_until(lambda: len(service.roles()) == 2)
    ok(service.findings() is None, "the check is clean")
    service.boot_mode("later")
    c = service.client()
    c.send(Message(RUN, template=b"t"))
    wait_until(lambda: any("dvm/cold" in line for line in service.held()))
    os.kill(service.roles()["core"], signal.SIGKILL)
    while c.receive() is not None:
        pass
    ok(wait_until(lambda: not left(service)),
       "core dies before its agent has answered: the next one removes it")
    service.boot_mode("good")
    wait_until(lambda: len(service.roles()) == 2)
    c, m, _ = run(service)
    os.kill(service.roles()["core"], signal.SIGKILL)
    c.receive()
    wait_until(lambda: len(service.roles()) == 2)
    records = service.records()
    ok([r.domid for r in records] == [m.domid] and
       records[0].value[LS_COLD] == 1, "core dies when it runs: it runs on")
    ok(service.findings() is None, "the check is clean")
    ok(service.dvm("kill", m.name).returncode == 0, "and it can be killed")
    is_well(service, "core dies")


def sigterm(build):
    service = stale(build, mode="slow")
    c = service.client()
    c.send(Message(RUN, template=b"t"))
    wait_until(lambda: domains(service))
    ok(service.stop() == 0 and service.held() == [],
       "SIGTERM while one boots: %s" % service.held())
    service.end_booter()


def places(build):
    """Cold boots do not keep launches from an image waiting."""
    service = Service(build, "--template", "t", "--template", "u")
    write(service, "t.cfg", open(os.path.join(
        service.state_dir, "t.cfg"), encoding="ascii").read() + "# more\n")
    service.boot_mode("slow")
    service.allow_cold()
    service.start("-p", "1")
    waiting = [service.client() for _ in range(4)]
    for c in waiting:
        c.send(Message(RUN, template=b"t"))
    wait_until(lambda: len(domains(service)) == 2)
    time.sleep(0.5)
    began = time.monotonic()
    c, m, said = run(service, b"u")
    took = time.monotonic() - began
    ok(m.type == RUNNING and m.value[COLD] == 0 and took < 20,
       "two boot, two wait, and another's launch takes %.2f s" % took)
    c.close()
    wait_until(lambda: not [line for line in domains(service) if
                            m.text in line])
    ok(len(domains(service)) == 2, "no more than two boot at once")
    for c in waiting:
        c.close()
    is_well(service, "places")


def doors(build):
    """Who boots them hears root alone, and only what is a request."""
    service = Service(build)
    service.allow_cold()
    refused_ = False
    with as_user(65534, 65534), socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        try:
            s.connect(service.boot_socket)
        except PermissionError:
            refused_ = True
    ok(refused_, "its socket is root's alone")
    os.chmod(service.boot_socket, 0o666)
    with as_user(65534, 65534), socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.settimeout(10)
        s.connect(service.boot_socket)
        try:
            answer = s.recv(1000)
        except ConnectionError:
            answer = b""
        ok(answer == b"", "and who is not is hung up on")
    for junk in (b"", b"x", b"\0" * 108, b"\1\0\0\0" + b"\xff" * 104,
                 b"x" * 1000):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
            s.settimeout(10)
            s.connect(service.boot_socket)
            s.send(junk)
            answer = s.recv(1000)
            ok(len(answer) == 524 and answer[4] == 3,
               "junk of %d bytes: %s" % (len(junk),
                                         answer[12:].rstrip(b"\0")))
    r = subprocess.run([os.path.join(service.tools, "tests", "it_booter"),
                        service.state_dir, service.boot_socket],
                       env=service.env, timeout=30, capture_output=True,
                       text=True, check=False)
    ok(r.returncode == 1 and "somebody listens" in r.stderr,
       "a second one does not take its place: %s" % r.stderr.strip())
    ok(service.end_booter() == 0 and service.held() == [] and
       not os.path.exists(service.boot_socket), "it ends")


def activated(build):
    """With a socket of systemd's."""
    service = stale(build, allow=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(service.boot_socket)
        s.listen(4)
        booter = os.path.join(service.tools, "tests", "it_booter")
        service.booter = subprocess.Popen(
            ["sh", "-c", 'exec 3<&"$1"; export LISTEN_PID=$$ '
             'LISTEN_FDS=1 LISTEN_FDNAMES=dvm-cold-boot.socket; '
             'shift; exec "$@"', "sh", str(s.fileno()), booter,
             service.state_dir, service.boot_socket + ".no"], env=service.env,
            pass_fds=(s.fileno(),))
        c, m, _ = run(service)
        ok(m.type == RUNNING and m.value[COLD] == 1, "it is booted")
        c.close()
        service.is_empty()
        ok(service.end_booter() == 0 and os.path.exists(service.boot_socket),
           "the socket stays")
    os.remove(service.boot_socket)
    is_well(service, "activated")


def run_and_kill(service):
    """True if all of it was done."""
    try:
        c, m, _ = run(service)
        with c:
            if m is None or m.type != RUNNING:
                return False
            with service.client() as other:
                answers = other.ask(Message(KILL, name=m.name.encode()))
            return bool(answers) and answers[-1].value[0] == 1
    except OSError:
        return False


class Lane(threading.Thread):
    """A service whose core is killed at each LANES-th call, and again."""

    def __init__(self, build, first):
        super().__init__(daemon=True)
        self.nr, self.tried, self.lost = first, 0, []
        self.service = Service(build, program="it_restored_calls")
        write(self.service, "kernel", "another")
        self.service.allow_cold()
        self.service.start()

    def kill_at(self):
        """False if there were not that many calls."""
        service = self.service
        with subprocess.Popen(
                [os.path.join(service.tools, "tests", "kill_at"),
                 str(service.roles()["core"]), str(self.nr)],
                stdout=subprocess.PIPE, text=True) as tool:
            tool.stdout.readline()
            if run_and_kill(service):
                tool.send_signal(signal.SIGTERM)
            tool.stdout.read()
        if tool.returncode == 1:
            return False
        wait_until(lambda: len(service.roles()) == 2)
        # One that had answered runs on, and waits for its client.
        for m in service.records():
            service.ask(KILL, name=m.name.encode())
        gone = wait_until(lambda: not left(service))
        found = service.findings()
        if tool.returncode != 0 or not gone or found is not None:
            self.lost.append(self.nr)
            print("# call %d: %s, %s" % (self.nr, found, left(service)[:4]))
        return True

    def run(self):
        spared = 0
        while spared < SPARED_MAX:
            if self.kill_at():
                self.tried += 1
            else:
                spared += 1
            self.nr += LANES
            if self.tried % LIVES == LIVES - 1:
                self.service.kill()
                self.service.start()


def kill_core(build):
    """Core is killed at each system call of a cold boot and its end."""
    lanes = [Lane(build, i + 1) for i in range(LANES)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join(900)
    tried = sum(lane.tried for lane in lanes)
    lost = [nr for lane in lanes for nr in lane.lost]
    ok(tried > 100 and not lost and not any(x.is_alive() for x in lanes),
       "core is killed at %d calls of a cold boot: lost %s" % (tried, lost))
    shown("kill_cold_native", tried, len(lost), "-")
    for lane in lanes:
        is_well(lane.service, "killed")


if __name__ == "__main__":
    main(refused, allowed, images, ends, cancelled, core_dies, sigterm, places,
         doors, activated, kill_core)
