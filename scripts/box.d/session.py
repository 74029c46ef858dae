# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands in the box's dom0: the host's end of the protocol that
image/agent.py describes. A command holds one of the box's virtio-serial ports,
each a UNIX socket of QEMU's. Such a port survives saving and restoring the
state, which a mounted 9p share prevents, and needs no network in dom0.
"""
import fcntl
import os
import select
import signal
import socket
import time

from host import INTERRUPTED, NOT_RUNNING, NR_PORTS, TIME_UP
from host import Console, Failure, console_tail, qemu_pid, run_path, say

FRAME_MAX = 65536

class Session:
    """One port, held by a lock while a command runs over it."""

    def __init__(self, console, deadline):
        self.console, self.deadline = console, deadline
        self.tx = bytearray()
        self.take_port()
        self.hello()

    def take_port(self):
        while True:
            for i in range(NR_PORTS):
                lock = open(run_path(f"port{i}.lock"), "w")
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    lock.close()
                    continue
                self.lock = lock
                self.socket = socket.socket(socket.AF_UNIX)
                while True:
                    try:
                        self.socket.connect(run_path(f"port{i}"))
                        break
                    except OSError:		# QEMU is about to make it
                        self.pause(0.05)
                self.socket.setblocking(False)
                return
            self.pause(0.2)

    def pause(self, seconds):
        self.console.check()
        if time.monotonic() > self.deadline:
            raise TimeoutError
        time.sleep(seconds)

    def close(self):
        self.socket.close()
        self.lock.close()

    def queue(self, kind, payload=b""):
        self.tx += kind + len(payload).to_bytes(4, "big") + payload

    def turn(self, others=(), seconds=0.25):
        """One round of sending and waiting; returns the descriptors to read."""
        self.console.check()
        if time.monotonic() > self.deadline:
            raise TimeoutError
        readable, writable, _ = select.select(
            [self.socket, *others], [self.socket] if self.tx else [], [], seconds)
        if writable:
            try:
                del self.tx[:self.socket.send(self.tx[:4 * FRAME_MAX])]
            except BlockingIOError:
                pass
        return readable

    def receive(self):
        data = self.socket.recv(4 * FRAME_MAX)
        if not data:
            self.console.check()
            raise Failure("the box has closed its port; the console's end:\n"
                          + console_tail())
        return data

    def hello(self):
        """Begin: whatever an earlier client left in the port is skipped."""
        nonce = os.urandom(16)
        answer = b"H" + len(nonce).to_bytes(4, "big") + nonce
        self.tx += answer
        self.rx = bytearray()
        again = time.monotonic() + 2
        while answer not in self.rx:
            if self.socket in self.turn():
                self.rx += self.receive()
            elif time.monotonic() > again and not self.tx:
                self.tx += bytes(FRAME_MAX) + answer
                again = time.monotonic() + 5
        del self.rx[:self.rx.find(answer) + len(answer)]

    def frames(self):
        while len(self.rx) >= 5:
            length = int.from_bytes(self.rx[1:5], "big")
            if len(self.rx) < 5 + length:
                return
            kind, payload = self.rx[:1], bytes(self.rx[5:5 + length])
            del self.rx[:5 + length]
            yield bytes(kind), payload

    def run(self, command, stdin, stdout, stderr):
        """Run it to its end; returns its exit status."""
        self.queue(b"X", command.encode())
        if stdin is None:
            self.queue(b"E")
        while True:
            sources = [stdin] if stdin is not None and len(self.tx) < FRAME_MAX else []
            readable = self.turn(sources)
            if stdin in readable:
                data = os.read(stdin, FRAME_MAX)
                self.queue(b"I" if data else b"E", data)
                stdin = stdin if data else None
            if self.socket in readable:
                self.rx += self.receive()
            for kind, payload in self.frames():
                if kind == b"X":
                    return payload[0]
                if kind == b"O":
                    write_all(stdout, payload)
                elif kind == b"R":
                    write_all(stderr, payload)

    def kill(self):
        """End the command; at the latest, closing the port does."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            self.queue(b"K", bytes([number]))
            self.deadline = time.monotonic() + 3
            try:
                while True:
                    if self.socket in self.turn():
                        self.rx += self.receive()
                    if any(kind == b"X" for kind, _ in self.frames()):
                        return
            except (TimeoutError, OSError):
                pass


def write_all(fd, data):
    while data and fd is not None:
        data = data[os.write(fd, data):]


def execute(command, stdin=None, stdout=1, stderr=2, timeout=300, console=None):
    """Run a shell command in dom0; its status, or TIME_UP, INTERRUPTED.

    stdin, stdout, stderr are descriptors; None is nothing to read, or thrown
    away. A host that dies meanwhile is a Failure.
    """
    if not console:
        pid = qemu_pid()
        if not pid:
            raise Failure("no box is running; start it with: box up", NOT_RUNNING)
        console = Console(pid)
    session = None
    try:
        session = Session(console, time.monotonic() + timeout)
        return session.run(command, stdin, stdout, stderr)
    except (TimeoutError, KeyboardInterrupt, BrokenPipeError) as error:
        if session:
            session.kill()
        if isinstance(error, TimeoutError):
            say(f"no end after {timeout:g} s")
            return TIME_UP
        return INTERRUPTED
    finally:
        if session:
            session.close()
