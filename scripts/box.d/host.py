# SPDX-License-Identifier: GPL-2.0-or-later
"""The box as a machine: where its files lie, its image, its QEMU process, the
saved state. Used by scripts/box only; knows nothing of commands in dom0.
"""
import fcntl
import glob
import hashlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

RECIPE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "image")
CACHE = os.environ.get("DVM_BOX_CACHE", "/var/cache/dvm-box")
RUN = os.environ.get("DVM_BOX_RUN", "/run/dvm-box")
MEMORY = os.environ.get("DVM_BOX_MEM", "8G")
QEMU = "qemu-system-x86_64"

TIME_UP, FAILED, NOT_RUNNING, INTERRUPTED = 124, 125, 126, 130	# exit statuses
NR_PORTS = 8			# commands that can run at once
BOOT_TIMEOUT, RESTORE_TIMEOUT = 600, 120	# seconds; many times the usual
STATES_KEPT = 4
# At a line's start, so that a guest's or a program's words do not match.
PANIC = re.compile(rb"^(?:\(XEN\) (?:Panic on CPU|FATAL|Xen BUG at)"
                   rb"|\[ *[0-9.]+\] Kernel panic)", re.M)


class Failure(Exception):
    """What ends the program: a message for the user and an exit status."""

    def __init__(self, message, status=FAILED):
        super().__init__(message)
        self.status = status


def say(message):
    print(f"box: {message}", file=sys.stderr, flush=True)


def run_path(name):
    return os.path.join(RUN, name)


def read_file(path, default=""):
    try:
        with open(path) as file:
            return file.read()
    except FileNotFoundError:
        return default


def digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


# -- the image -------------------------------------------------------------

def packages(name):
    text = read_file(os.path.join(RECIPE, "packages"))
    return " ".join(re.findall(rf"^{name}: (.*)", text, re.M)).split()


def image_key():
    """recipe hash + hash of the versions apt would install now."""
    recipe = [read_file(path) for path in sorted(glob.glob(RECIPE + "/*"))]
    policy = subprocess.run(["apt-cache", "policy", *packages("pinned")],
                            capture_output=True, text=True).stdout
    versions = re.findall(r"^(\S+):|Candidate: (\S+)", policy, re.M)
    return f"{digest(*recipe)}-{digest(str(versions))}"


def image_dir(key):
    return os.path.join(CACHE, f"image-{key}")


def install_tools():
    wanted = packages("host")
    query = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n",
                            *wanted], capture_output=True, text=True).stdout
    missing = [name for name in wanted if f"{name} installed" not in query]
    if missing:
        say(f"installing {' '.join(missing)}")
        subprocess.run(["apt-get", "install", "-qq", "--no-install-recommends",
                        "-y", *missing], stdout=sys.stderr, check=True,
                       env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def build():
    """Returns the image's directory, made if it was not there."""
    if not glob.glob("/var/lib/apt/lists/*Packages*"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
    os.makedirs(CACHE, exist_ok=True)
    with open(os.path.join(CACHE, "build.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)	# a second builder waits, then finds it
        install_tools()
        image = image_dir(image_key())
        if os.path.isdir(image):
            return image
        for path in glob.glob(os.path.join(CACHE, "building-*")):
            shutil.rmtree(path)
        started = time.monotonic()
        building = os.path.join(CACHE, f"building-{os.getpid()}")
        os.makedirs(building)
        subprocess.run(["sh", os.path.join(RECIPE, "build"), building,
                        os.path.join(CACHE, "roots")], stdout=sys.stderr, check=True)
        os.rename(building, image)
        for path in glob.glob(os.path.join(CACHE, "image-*")):
            if path != image:
                shutil.rmtree(path)
        say(f"image built in {time.monotonic() - started:.0f} s")
        return image


# -- QEMU ------------------------------------------------------------------

def qemu_args(image, xen_args, init):
    """The command line, less the disk and the incoming state."""
    xen = "console=com1 com1=115200,8n1 dom0_mem=2G,max:2G cpuidle=0 noreboot=1"
    dom0 = f"console=hvc0 root=/dev/vda init={init} quiet loglevel=4 panic=0"
    args = [QEMU, "-name", "dvm-box", "-machine", "q35",
            "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "qemu64,+svm,+npt",
            "-smp", "2", "-m", MEMORY, "-no-reboot", "-display", "none",
            "-nodefaults", "-net", "none", "-rtc", "base=utc",
            "-kernel", f"{image}/xen", "-append", f"{xen} {xen_args}".strip(),
            "-initrd", f"{image}/vmlinuz {dom0},{image}/initrd",
            "-qmp", f"unix:{run_path('qmp')},server=on,wait=off",
            "-serial", f"file:{run_path('console')}",
            "-device", "virtio-serial-pci"]
    for i in range(NR_PORTS):
        args += ["-chardev", f"socket,id=box{i},path={run_path(f'port{i}')},server=on,wait=off",
                 "-device", f"virtserialport,chardev=box{i},name=box.{i}"]
    return args


def state_dir(image, args):
    version = subprocess.run([QEMU, "--version"], capture_output=True, text=True).stdout
    where = [arg.replace(RUN, "RUN") for arg in args]	# the same state anywhere
    return os.path.join(CACHE, f"state-{digest(os.path.basename(image), version, *where)}")


def qemu_pid():
    """The pid of the recorded QEMU, 0 if it is not (or no longer) that one."""
    pid, _, start = read_file(run_path("pid")).partition(" ")
    try:
        if process_start(pid) == start and QEMU in os.readlink(f"/proc/{pid}/exe"):
            return int(pid)
    except (OSError, ValueError):
        pass
    return 0


def process_start(pid):
    """Field 22 of stat; with the pid it names a process for good."""
    with open(f"/proc/{pid}/stat") as file:
        state, *rest = file.read().rpartition(")")[2].split()
    if state == "Z":
        raise ValueError("ended")
    return rest[18]


class Console:
    """Notices a host that has died, from now on."""

    def __init__(self, pid):
        self.pid = pid
        self.file = open(run_path("console"), "rb")
        self.file.seek(0, os.SEEK_END)
        self.line = b""

    def check(self):
        self.line = self.line[self.line.rfind(b"\n") + 1:] + self.file.read()
        if PANIC.search(self.line):
            time.sleep(1)		# let it finish speaking
            raise Failure("the host has crashed; its console's end:\n" + console_tail())
        try:
            process_start(self.pid)
        except (OSError, ValueError):
            raise Failure("QEMU has ended; the console's end:\n" + console_tail()) from None


def console_tail():
    lines = log_lines("console") + log_lines("qemu.log")
    return "\n".join(lines[-30:])


def log_lines(name):
    try:
        with open(run_path(name), "rb") as file:
            return file.read().decode(errors="replace").replace("\r", "").splitlines()
    except FileNotFoundError:
        return []


class Monitor:
    """A QMP connection; every call is bounded in time."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(run_path("qmp"))
        self.file = self.socket.makefile("r")
        self.file.readline()
        self.call("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.file.close()
        self.socket.close()

    def call(self, command, **arguments):
        request = {"execute": command, "arguments": arguments}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        for line in self.file:
            reply = json.loads(line)
            if "error" in reply:
                raise Failure(f"QEMU: {command}: {reply['error']['desc']}")
            if "return" in reply:
                return reply["return"]
        raise Failure(f"QEMU: {command}: the monitor was closed")

    def wait(self, command, wanted, failed, seconds):
        deadline = time.monotonic() + seconds
        while True:
            status = self.call(command).get("status")
            if wanted(status):
                return
            if status in failed or time.monotonic() > deadline:
                raise Failure(f"QEMU: {command} says {status}")
            time.sleep(0.05)


def take_lock():
    """The lock of the one box; QEMU inherits it, so it lives as long as QEMU."""
    while True:
        os.makedirs(RUN, 0o700, exist_ok=True)
        lock = open(run_path("lock"), "w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = qemu_pid()
            raise Failure("a box is already running" + (f" (pid {pid})" if pid else "")
                          + "; end it with: box down") from None
        try:		# "box down" may have removed the file we have locked
            if os.stat(run_path("lock")).st_ino == os.fstat(lock.fileno()).st_ino:
                return lock
        except FileNotFoundError:
            pass
        lock.close()


def remove_run_files(but=()):
    for name in ("pid", "qmp", "console", "qemu.log", "overlay.qcow2", "state", "lock"):
        if name not in but and os.path.lexists(run_path(name)):
            os.unlink(run_path(name))
    for path in glob.glob(run_path("port*")):
        os.unlink(path)


def start_qemu(args, backing, lock, incoming=None):
    remove_run_files(but=("lock",))
    disk = run_path("overlay.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F",
                    "qcow2" if incoming else "raw", disk], check=True)
    args = args + ["-drive", f"file={disk},if=none,id=root,cache=unsafe",
                   "-device", "virtio-blk-pci,drive=root"]
    if incoming:
        args += ["-incoming", f"exec:lz4 -dq < {shlex.quote(incoming)}"]
    with open(run_path("console"), "w"), open(run_path("qemu.log"), "w") as log:
        child = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 start_new_session=True, pass_fds=(lock.fileno(),))
    with open(run_path("pid"), "w") as file:
        file.write(f"{child.pid} {process_start(child.pid)}")
    return child.pid


def stop_qemu():
    """Ends the recorded QEMU and no other; returns when it is gone."""
    pid = qemu_pid()
    if not pid:
        return
    fd = os.pidfd_open(pid)
    try:
        if qemu_pid() != pid:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(fd, number)
            if select.select([fd], [], [], 10)[0]:
                return
        raise Failure(f"QEMU (pid {pid}) cannot be killed")
    except ProcessLookupError:
        pass
    finally:
        os.close(fd)


def save_state(image, state):
    """Memory and disk of the same instant; the box runs on afterwards."""
    saving = os.path.join(CACHE, f"saving-{os.getpid()}")
    os.makedirs(saving)
    with Monitor() as monitor:
        monitor.call("stop")
        monitor.call("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        memory = os.path.join(saving, "memory.lz4")
        monitor.call("migrate", uri=f"exec:lz4 -q > {shlex.quote(memory)}")
        monitor.wait("query-migrate", lambda status: status == "completed",
                     ("failed", "cancelled"), 300)
        subprocess.run(["cp", "--sparse=always", run_path("overlay.qcow2"), saving],
                       check=True)
        monitor.call("cont")
    with open(os.path.join(saving, "image"), "w") as file:
        file.write(os.path.basename(image))
    try:
        os.rename(saving, state)
    except OSError:		# a box with other run files was faster: as good
        shutil.rmtree(saving)


def restore_state(args, state, lock):
    pid = start_qemu(args, f"{state}/overlay.qcow2", lock, f"{state}/memory.lz4")
    console = Console(pid)
    deadline = time.monotonic() + RESTORE_TIMEOUT
    while True:
        console.check()
        try:
            with Monitor() as monitor:
                monitor.wait("query-status", lambda status: status != "inmigrate",
                             (), RESTORE_TIMEOUT)
                monitor.call("cont")
                return console
        except OSError:
            if time.monotonic() > deadline:
                raise Failure("QEMU's monitor does not answer") from None
            time.sleep(0.05)


def prune_states(image, keep):
    """States of other images are useless; of this one keep the last few."""
    for path in glob.glob(os.path.join(CACHE, "saving-*")):
        if not os.path.exists("/proc/" + path.rpartition("-")[2]):
            shutil.rmtree(path)
    states = sorted(glob.glob(os.path.join(CACHE, "state-*")), key=os.path.getmtime)
    mine = [path for path in states
            if read_file(os.path.join(path, "image")) == os.path.basename(image)]
    for path in states:
        if path != keep and path not in mine[-STATES_KEPT:]:
            shutil.rmtree(path)
