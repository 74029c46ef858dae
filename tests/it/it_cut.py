#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""file_cut_kill: dvm open and the agent are real; while a changed file of 1 MiB
comes back, dvm or the agent's side is killed with SIGKILL, at a random byte of
what dvm receives, or dvm at a random system call from the file's end on.  The
file is the old one or the whole new one.

usage: it_cut.py BUILD-DIR
TRIES=N instead of 1000; SEED."""

import contextlib
import os
import random
import select
import signal
import struct
import subprocess
import threading
import time

from it_lib import main, new_seed, ok, shown
from it_play import Play, STARTED

TRIES = int(os.environ.get("TRIES", "1000"))
LANES = 3
SIZE = 1 << 20
NAME = "report.pdf"
OLD = random.Random(1).randbytes(SIZE)
NEW = random.Random(2).randbytes(SIZE)
# What dvm receives after STARTED: EOF of both outputs, BACK, 32 frames of DATA,
# END and EXIT.
LENGTH = 2 * 8 + 17 + SIZE + 32 * 8 + 48 + 12
BEFORE_END = LENGTH - 48 - 12
CALLS = 29


def to_guest(guest, data):
    """The agent may have said all and be gone."""
    with contextlib.suppress(OSError):
        guest.sendall(data)


class Lane(threading.Thread):
    """One dvm open after the other."""

    def __init__(self, build, plan):
        super().__init__(daemon=True)
        self.plan = plan
        self.play = Play(build)
        self.dir = self.play.path("files")
        os.mkdir(self.dir)
        self.file = os.path.join(self.dir, NAME)
        with open(self.play.path("new"), "wb") as f:
            f.write(NEW)
        self.play.put("etc/dvm/open", "#!/bin/sh\nexec cat %s >\"$1\"\n" %
                      self.play.path("new"), 0o755)
        self.play.relay = self.relay
        # A leak check of a process that is traced fails.
        self.play.env["ASAN_OPTIONS"] = "detect_leaks=0"
        self.dvm = self.moment = self.call = self.tool = None
        self.begun = threading.Event()

    def relay(self, dvm, guest, agent):
        """Both ways, up to the moment."""
        how, at = self.moment
        at = BEFORE_END if how == "call" else at
        came = self.before_back(dvm, guest)
        with contextlib.suppress(OSError):
            if at > len(came):
                dvm.sendall(came)
                at -= len(came)
                came = b""
            while came == b"":
                for s in select.select([dvm, guest], [], [])[0]:
                    data = s.recv(65536)
                    if not data:
                        return
                    if s is dvm:
                        to_guest(guest, data)
                    elif len(data) < at:
                        dvm.sendall(data)
                        at -= len(data)
                    else:
                        came = data
            dvm.sendall(came[:at])
            self.strike(how, agent)
            if how == "call":
                dvm.sendall(came[at:])
                self.forward(dvm, guest)

    @staticmethod
    def forward(dvm, guest):
        while True:
            for s in select.select([dvm, guest], [], [])[0]:
                data = s.recv(65536)
                if not data:
                    return
                if s is dvm:
                    to_guest(guest, data)
                else:
                    dvm.sendall(data)

    @staticmethod
    def before_back(dvm, guest):
        """Frame by frame as far as STARTED; what came after it."""
        got = b""
        while True:
            for s in select.select([dvm, guest], [], [])[0]:
                data = s.recv(65536)
                if not data:
                    raise OSError("ended before it started")
                if s is dvm:
                    guest.sendall(data)
                    continue
                got += data
            while len(got) >= 8:
                n = 8 + struct.unpack_from("<I", got, 4)[0]
                if len(got) < n:
                    break
                dvm.sendall(got[:n])
                is_started = got[0] == STARTED
                got = got[n:]
                if is_started:
                    return got

    def strike(self, how, agent):
        self.begun.wait(10)
        if how == "agent":
            agent.kill()
        elif how == "dvm":
            self.dvm.kill()
        else:
            self.tool = subprocess.Popen(
                [os.path.join(self.play.build, "tests", "kill_at"),
                 str(self.dvm.pid), str(self.moment[1])],
                stdout=subprocess.PIPE, text=True)
            if self.tool.stdout.readline() != "ready\n":
                raise OSError("kill_at does not count")

    def once(self, moment):
        """Why it is lost, or None; what the file is; what is left."""
        for name in os.listdir(self.dir):
            os.unlink(os.path.join(self.dir, name))
        with open(self.file, "wb") as f:
            f.write(OLD)
        self.moment, self.tool = moment, None
        self.begun.clear()
        self.dvm = self.play.start("open", self.file,
                                   stderr=subprocess.DEVNULL)
        self.begun.set()
        self.dvm.stdout.close()
        status = self.dvm.wait(60)
        if self.tool is not None:
            said = self.tool.communicate(timeout=60)[0].split()
            self.call = said[2] if said[:1] == ["killed"] else None
        with open(self.file, "rb") as f:
            data = f.read()
        left = [n for n in os.listdir(self.dir) if n != NAME]
        whole = [self.read(n) in (OLD, NEW) for n in left]
        is_new = data == NEW
        killed = status == -signal.SIGKILL
        why = None
        if data not in (OLD, NEW):
            why = "damaged: %d bytes" % len(data)
        elif not all(whole) or [n for n in left if not n.startswith(".")]:
            why = "left: %s" % left
        elif left and moment[0] != "call":
            why = "left, although not killed there: %s" % left
        elif not killed and status == 0 and not is_new:
            why = "status %d, and the file is %s" % (status, "new" if is_new
                                                     else "old")
        return why, "new" if is_new else "old", len(left)

    def read(self, name):
        with open(os.path.join(self.dir, name), "rb") as f:
            return f.read()

    def run(self):
        while (moment := self.plan.next()) is not None:
            try:
                why, content, left = self.once(moment)
            except (OSError, subprocess.SubprocessError, IndexError) as e:
                why, content, left = repr(e), "?", 0
                self.dvm.kill()
            self.plan.tell(moment, why, content, left,
                           self.call if moment[0] == "call" else None)


class Plan:
    def __init__(self, rng):
        self.lock = threading.Lock()
        self.rng = rng
        self.nr = self.left = 0
        self.lost = []
        self.results, self.calls, self.left_at = {}, {}, {}

    def next(self):
        with self.lock:
            if self.nr == TRIES:
                return None
            self.nr += 1
            how = ("dvm", "agent", "call")[self.nr % 3]
            # The one a byte, the other a call.
            return how, (self.rng.randrange(1, CALLS) if how == "call" else
                         self.rng.randrange(1, LENGTH))

    def tell(self, moment, why, content, left, call):
        with self.lock:
            key = (moment[0], content)
            self.results[key] = self.results.get(key, 0) + 1
            self.left += left
            if call is not None:
                self.calls[call] = self.calls.get(call, 0) + 1
                if left:
                    self.left_at[call] = self.left_at.get(call, 0) + left
            if why is not None:
                self.lost.append(moment)
                print("# %s at %d: %s" % (*moment, why), flush=True)


def file_cut_kill(build):
    seed = new_seed()
    plan = Plan(random.Random(seed))
    began = time.monotonic()
    lanes = [Lane(build, plan) for _ in range(LANES)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join(1500)
    print("# %.0f s; %s" % (time.monotonic() - began, ", ".join(
        "%s killed, %s: %d" % (*k, n) for k, n in
        sorted(plan.results.items()))))
    print("# killed before: %s" % ", ".join("%s %d" % c for c in
                                            sorted(plan.calls.items())))
    print("# %d hidden names left, whole versions all, before: %s" %
          (plan.left, plan.left_at))
    ok(not plan.lost and not any(lane.is_alive() for lane in lanes),
       "killed %d times while a file comes back, lost %s" %
       (plan.nr, plan.lost))
    ok(plan.results.get(("dvm", "old"), 0) > 0 and
       plan.results.get(("agent", "old"), 0) > 0 and
       plan.results.get(("call", "old"), 0) > 0 and
       plan.results.get(("call", "new"), 0) > 0, "before and after")
    ok(all(lane.play.is_idle() for lane in lanes), "every agent has ended")
    shown("file_cut_kill", plan.nr, len(plan.lost), seed)


if __name__ == "__main__":
    main(file_cut_kill)
