# SPDX-License-Identifier: GPL-2.0-or-later
"""What the it_*.py have in common: the real service (it_restored) on a host of
fakes in a directory of its own, and its clients' messages (dvm_proto.h)."""

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

(RUN, ATTACH, LIST, KILL, STATUS, CHECK, LOG) = range(1, 8)
(FAILED, QUEUED, RUNNING, ENDED, RECORD, TEMPLATE, STAGE, COUNTERS, FINDING,
 EVENT, DONE) = range(64, 75)
FINAL = (FAILED, ENDED, DONE)
STATE_BUILDING, STATE_RUNNING = 2, 3
FREE_BYTES = 8                  # of the values of COUNTERS

WIRE = struct.Struct("<HHIIIQII10Q16s64s512s")
BYTES = 704
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
PATIENCE = 30                   # seconds; for what takes milliseconds

COUNTS = [0, 0]
SERVICES = []
LOCK = threading.Lock()


def ok(holds, claim):
    with LOCK:
        COUNTS[0 if holds else 1] += 1
        print("%sok %d - %s" % ("" if holds else "not ", sum(COUNTS), claim),
              flush=True)
        if not holds:
            for s in SERVICES:
                print("".join("# %s\n" % line for line in s.log()[-15:]),
                      end="", flush=True)
    return holds


def shown(name, tried, lost, seed):
    print("# %s: %d tried, %d lost, seed %s" % (name, tried, lost, seed))
    if "SHOWN" in os.environ:
        with open(os.environ["SHOWN"], "a", encoding="ascii") as f:
            f.write("%s\t%d\t%d\t%s\n" % (name, tried, lost, seed))


def new_seed():
    return int(os.environ.get("SEED", random.SystemRandom().randrange(1, 1 <<
                                                                      31)))


def wait_until(holds, seconds=PATIENCE, pause=0.01):
    """What holds() gives, as soon as that is true; else false at the end."""
    until = time.monotonic() + seconds
    while True:
        value = holds()
        if value or time.monotonic() > until:
            return value
        time.sleep(pause)


class Message:
    def __init__(self, type_, **fields):
        self.version, self.type = 1, type_
        self.client = self.uid = self.domid = self.launch_id = 0
        self.code = self.state = 0
        self.value = [0] * 10
        self.name = self.template = self.text = b""
        self.__dict__.update(fields)

    def encode(self):
        return WIRE.pack(self.version, self.type, self.client, self.uid,
                         self.domid, self.launch_id, self.code, self.state,
                         *self.value, self.name, self.template, self.text)

    @staticmethod
    def decode(wire):
        if len(wire) != BYTES:
            raise ValueError("an answer of %d bytes" % len(wire))
        f = WIRE.unpack(wire)
        m = Message(f[1], version=f[0], client=f[2], uid=f[3], domid=f[4],
                    launch_id=f[5], code=f[6], state=f[7],
                    value=list(f[8:18]))
        m.name, m.template, m.text = (t.rstrip(b"\0").decode("ascii")
                                      for t in f[18:])
        if m.version != 1 or m.client != 0:
            raise ValueError("an answer of version %d to %d" % f[:2])
        return m


@contextlib.contextmanager
def as_user(uid, gid):
    """Connections made meanwhile are this user's; for one thread only."""
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


class Client:
    """One connection."""

    def __init__(self, path, seconds=PATIENCE):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.settimeout(seconds)
        try:
            wait_until(lambda: self.connect(path))
        except OSError:
            self.s.close()
            raise

    def connect(self, path):
        """False if more wait to be let in than may."""
        try:
            self.s.connect(path)
        except BlockingIOError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def close(self):
        self.s.close()

    def send(self, message):
        self.s.send(message if isinstance(message, bytes)
                    else message.encode())

    def receive(self):
        """The next answer, or None if the service hung up."""
        try:
            wire = self.s.recv(2 * BYTES)
        except ConnectionError:
            return None
        return Message.decode(wire) if wire else None

    def ask(self, message):
        """All answers up to the final one."""
        answers = []
        try:
            self.send(message)
        except ConnectionError:
            pass                # what it has to say is still to be read
        while not answers or answers[-1].type not in FINAL:
            m = self.receive()
            if m is None:
                break
            answers.append(m)
        return answers

    def run(self, template=b"t", seconds=0):
        """RUNNING, or what came instead of it."""
        self.send(Message(RUN, template=template, value=[seconds] + [0] * 9))
        while True:
            m = self.receive()
            if m is None or m.type != QUEUED:
                return m


class Holder(threading.Thread):
    """Keeps a disposable as dvm run does, and tells how often it came back
    to it."""

    def __init__(self, service):
        super().__init__(daemon=True)
        self.path = service.socket
        self.c = service.client(None)
        self.m = self.c.run()
        self.nr_attached = 0
        self.ended = self.leaving = False
        self.start()

    def attach(self):
        """True if it is held again."""
        try:
            c = Client(self.path)
        except OSError:
            return False        # the service is not there yet
        try:
            c.send(Message(ATTACH, launch_id=self.m.launch_id))
            m = c.receive()
        except OSError:
            m = None
        if m is not None and m.type == RUNNING and m.domid == self.m.domid:
            c.s.settimeout(None)
            self.c = c
            return True
        c.close()
        self.ended = m is not None and m.code != 5
        return False

    def run(self):
        while not self.ended:
            m = self.c.receive()
            if self.leaving:
                return
            self.ended = m is not None
            self.c.close()
            while not self.ended and not self.attach():
                time.sleep(0.005)
            self.nr_attached += 1

    def leave(self):
        self.leaving = True
        with contextlib.suppress(OSError):
            self.c.s.shutdown(socket.SHUT_RDWR)


class Service:
    """A host of fakes, and the service on it.  Its clients are of the group
    nogroup: any user whose group that is."""

    def __init__(self, build, *init, program="it_restored"):
        self.tools = os.path.abspath(build)
        # In RAM a launch takes a third of the time.
        self.dir = tempfile.mkdtemp(prefix="dvm-it-", dir="/dev/shm"
                                    if os.path.isdir("/dev/shm") else None)
        os.chmod(self.dir, 0o755)
        self.host = os.path.join(self.dir, "h")
        self.state_dir = os.path.join(self.host, "dvm")
        self.socket = os.path.join(self.dir, "s")
        self.lock = os.path.join(self.dir, "lock")
        self.boot_socket = os.path.join(self.dir, "boot")
        self.log_path = os.path.join(self.dir, "log")
        self.program = os.path.join(self.tools, "tests", program)
        self.parent = self.booter = None
        self.env = dict(os.environ, DVM_FAKE_HOST=self.host,
                        DVM_SOCKET=self.socket)
        # Freed memory that is kept back would look like a leak, and no role
        # may do what the leak check does.
        self.env["ASAN_OPTIONS"] = ("quarantine_size_mb=1:"
                                    "thread_local_quarantine_size_kb=16")
        self.tool("init", *init)
        SERVICES.append(self)

    def tool(self, command, *args):
        return subprocess.run(
            [os.path.join(self.tools, "tests", "fake_host_tool"), command,
             self.host, *args], env=self.env, check=True, timeout=PATIENCE,
            capture_output=True, text=True).stdout

    def held(self):
        return self.tool("held").splitlines()

    def dvm(self, *args, **kwargs):
        kwargs.setdefault("env", self.env)
        return subprocess.run([os.path.join(self.tools, "dvm"), *args],
                              timeout=2 * PATIENCE, capture_output=True,
                              text=True, check=False, **kwargs)

    def log(self):
        if not os.path.exists(self.log_path):
            return []
        with open(self.log_path, encoding="ascii", errors="replace") as f:
            return f.read().splitlines()

    def command(self, *args):
        return [self.program, "-s", self.state_dir, "-k", self.socket, "-l",
                self.lock, "-b", self.boot_socket, "-u", "nobody", "-G",
                "nogroup", *args]

    def start(self, *args, **env):
        """False if it ended instead."""
        nr = len(self.log())
        with open(self.log_path, "ab") as log:
            # In a group of its own: a ^C is for the test.
            self.parent = subprocess.Popen(
                self.command(*args), env=dict(self.env, **env), stderr=log,
                stdout=log, stdin=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: any(line.endswith(": ready") for line in
                               self.log()[nr:]) or
                   self.parent.poll() is not None)
        return self.parent.poll() is None

    def children(self):
        """(role, pid), ..., of those that live."""
        found = []
        if self.parent is None or self.parent.poll() is not None:
            return found
        path = "/proc/%d/task/%d/children" % (self.parent.pid,
                                              self.parent.pid)
        with open(path, encoding="ascii") as f:
            pids = f.read().split()
        for pid in pids:
            with contextlib.suppress(OSError):
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    args = f.read().split(b"\0")
                if b"--role" in args:
                    found.append((args[args.index(b"--role") + 1].decode(),
                                  int(pid)))
        return found

    def roles(self):
        """{"core": pid, "front": pid}"""
        return {r: pid for r, pid in self.children() if r != "courier"}

    def couriers(self):
        return [pid for r, pid in self.children() if r == "courier"]

    def client(self, seconds=PATIENCE):
        return Client(self.socket, seconds)

    def ask(self, type_, **fields):
        with self.client() as c:
            return c.ask(Message(type_, **fields))

    def records(self):
        return [m for m in self.ask(LIST) if m.type == RECORD]

    def is_empty(self):
        return wait_until(lambda: not self.records())

    def findings(self):
        """What `dvm status --check` says does not hold; None if it is
        clean."""
        r = self.dvm("status", "--check")
        clean = r.returncode == 0 and r.stdout.endswith(", 0 do not\n")
        return None if clean else (r.stdout + r.stderr).strip()

    def allow_cold(self):
        """Starts who boots disposables, real but for xl (it_booter.c)."""
        with open(os.path.join(self.dir, "boot.log"), "ab") as log:
            self.booter = subprocess.Popen(
                [os.path.join(self.tools, "tests", "it_booter"),
                 self.state_dir, self.boot_socket], env=self.env, stderr=log,
                stdout=log, stdin=subprocess.DEVNULL, start_new_session=True)
        return wait_until(lambda: os.path.exists(self.boot_socket) or
                          self.booter.poll() is not None) and \
            self.booter.poll() is None

    def boot_mode(self, mode):
        with open(os.path.join(self.host, "boot-mode"), "w",
                  encoding="ascii") as f:
            f.write(mode)

    def end_booter(self, how=signal.SIGTERM):
        """Its exit status; None if there was none."""
        if self.booter is None:
            return None
        self.booter.send_signal(how)
        status = self.booter.wait(PATIENCE)
        self.booter = None
        return status

    def kill(self):
        """As nothing survives: the roles die with their parent."""
        if self.parent is not None:
            pids = [pid for _, pid in self.children()]
            self.parent.kill()
            self.parent.wait(PATIENCE)
            wait_until(lambda: not any(is_alive(pid) for pid in pids))

    def stop(self):
        """SIGTERM, and its exit status."""
        self.parent.send_signal(signal.SIGTERM)
        try:
            return self.parent.wait(2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            return -1

    def remove(self):
        self.kill()
        self.end_booter()
        SERVICES.remove(self)
        shutil.rmtree(self.dir, ignore_errors=True)


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def begin():
    """The build directory, from the command line."""
    if os.geteuid() != 0:
        print("Bail out! only root can start the service")
        sys.exit(1)
    # Also when a time limit ends the test, nothing of it is to be left.
    atexit.register(remove_all)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build",
                                                              "release")


def remove_all():
    for s in list(SERVICES):
        s.remove()


def done():
    remove_all()
    print("%d passed, %d failed" % tuple(COUNTS))
    sys.exit(1 if COUNTS[1] or not COUNTS[0] else 0)


def main(*tests):
    """Each test has a host of its own to make, and is told the build."""
    build = begin()
    for test in tests:
        try:
            test(build)
        except (OSError, ValueError, AttributeError, IndexError, KeyError,
                subprocess.SubprocessError) as e:
            ok(False, "%s: %r" % (test.__name__, e))
            traceback.print_exc(file=sys.stdout)
        remove_all()
    done()
