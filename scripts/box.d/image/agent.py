# SPDX-License-Identifier: GPL-2.0-or-later
"""The box's command agent, one process in dom0, started by its init.

It serves every virtio-serial port named box.N. A port carries one command at
a time; several commands at once use several ports, so nothing has to
multiplex. Frames in both directions: one byte of type, four bytes of length
(big-endian), payload of at most FRAME_MAX bytes.

  host to agent   H  nonce: begin anew, whatever went on before
                  X  shell command to start (once per H)
                  I  bytes for its stdin      E  end of its stdin
                  K  one byte: a signal for its process group
  agent to host   H  the same nonce           X  exit status, one byte
                  O  bytes of stdout          R  bytes of stderr

The host's end going away kills the command. So does an H, and an H can stand
behind the half-sent frame of a client that was killed: a NUL where a type is
expected is skipped, and a client that gets no answer sends FRAME_MAX of them
before it repeats its H.

The ports are watched edge-triggered: with no host connected they are always
"readable" (end of file), and an idle dom0 must not spin.
"""
import errno
import os
import select
import signal
import subprocess

FRAME_MAX = 65536
NONCE_BYTES = 16
BACKLOG = 4 * FRAME_MAX		# beyond this much unsent, stop reading the source

PORT_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET


class Port:
    """One virtio-serial port and the command that runs on it, if any."""

    def __init__(self, loop, path):
        self.loop = loop
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.rx = bytearray()
        self.tx = bytearray()
        self.child = None
        self.stdin = None
        self.outputs = {}		# fd -> (frame type, the child's pipe)
        self.reset()
        loop.add(self.fd, PORT_EVENTS, lambda events: self.on_port(events))

    def reset(self):
        """Forget the command; kill it if it still runs."""
        if self.child:
            self.signal(signal.SIGKILL)
            self.loop.remove(self.pidfd)
            os.close(self.pidfd)
            self.child.wait()
            self.child = None
        for fd in list(self.outputs):
            self.close_output(fd)
        self.close_input()
        self.input = bytearray()
        self.input_ends = False
        self.may_start = False
        self.tx.clear()

    def signal(self, number):
        try:
            os.killpg(self.child.pid, number)
        except ProcessLookupError:
            pass

    # -- from the host ----------------------------------------------------

    def on_port(self, events):
        self.send()
        # A child that does not read its input stops us here; a host that goes
        # away must be seen all the same.
        if events & select.EPOLLHUP:
            self.rx.clear()
            self.reset()
        self.receive()

    def receive(self):
        while len(self.input) <= BACKLOG:
            try:
                data = os.read(self.fd, FRAME_MAX)
            except BlockingIOError:
                return
            if not data:		# the host's end is closed
                self.rx.clear()
                self.reset()
                return
            self.rx += data
            self.parse()

    def parse(self):
        rx = self.rx
        while rx:
            if rx[0] == 0:
                del rx[:len(rx) - len(rx.lstrip(b"\0"))]
                continue
            if len(rx) < 5:
                return
            length = int.from_bytes(rx[1:5], "big")
            if (rx[0] not in b"HXIEK" or length > FRAME_MAX
                    or rx[0] == ord("H") and length != NONCE_BYTES):
                del rx[0]		# stale bytes: search for the next H
                continue
            if len(rx) < 5 + length:
                return
            kind, payload = rx[0], bytes(rx[5:5 + length])
            del rx[:5 + length]
            self.frame(chr(kind), payload)

    def frame(self, kind, payload):
        if kind == "H":
            self.reset()
            self.may_start = True
            self.queue(b"H", payload)
        elif kind == "X" and self.may_start:
            self.start(payload)
        elif kind == "I" and self.child:
            self.input += payload
            self.feed()
        elif kind == "E" and self.child:
            self.input_ends = True
            self.feed()
        elif kind == "K" and self.child:
            self.signal(payload[0])

    # -- the command ------------------------------------------------------

    def start(self, command):
        self.may_start = False
        self.child = subprocess.Popen(
            ["/bin/sh", "-c", command], cwd="/root", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, bufsize=0)
        self.stdin = self.child.stdin
        os.set_blocking(self.stdin.fileno(), False)
        for pipe, kind in ((self.child.stdout, b"O"), (self.child.stderr, b"R")):
            os.set_blocking(pipe.fileno(), False)
            self.outputs[pipe.fileno()] = (kind, pipe)
        self.watch_outputs(True)
        self.pidfd = os.pidfd_open(self.child.pid)
        self.loop.add(self.pidfd, select.EPOLLIN, lambda events: self.on_exit())

    def feed(self):
        """Pass buffered input on; called again when the pipe has room."""
        if self.stdin is None:
            self.input.clear()
            return
        try:
            while self.input:
                del self.input[:os.write(self.stdin.fileno(), self.input)]
        except BlockingIOError:
            self.loop.add(self.stdin.fileno(), select.EPOLLOUT,
                          lambda events: self.on_room())
            return
        except OSError as error:	# it has closed its stdin
            if error.errno != errno.EPIPE:
                raise
            self.input.clear()
            self.close_input()
            return
        self.loop.remove(self.stdin.fileno())
        if self.input_ends:
            self.close_input()

    def on_room(self):
        self.feed()
        self.receive()

    def close_input(self):
        if self.stdin:
            self.loop.remove(self.stdin.fileno())
            self.stdin.close()
        self.stdin = None

    def watch_outputs(self, on):
        for fd in self.outputs:
            if on:
                self.loop.add(fd, select.EPOLLIN,
                              lambda events, fd=fd: self.on_output(fd))
            else:
                self.loop.remove(fd)

    def close_output(self, fd):
        self.loop.remove(fd)
        self.outputs.pop(fd)[1].close()

    def on_output(self, fd):
        """Forward one piece of output; False when there is none left."""
        try:
            data = os.read(fd, FRAME_MAX)
        except BlockingIOError:
            return False
        if not data:
            self.close_output(fd)
            return False
        self.queue(self.outputs[fd][0], data)
        return True

    def on_exit(self):
        # What the command wrote belongs to it; what a process it left behind
        # still writes does not keep the caller waiting.
        for fd in list(self.outputs):
            while fd in self.outputs and self.on_output(fd):
                pass
        status = self.child.wait()
        self.child = None
        self.loop.remove(self.pidfd)
        os.close(self.pidfd)
        for fd in list(self.outputs):
            self.close_output(fd)
        self.close_input()
        self.input.clear()
        self.queue(b"X", bytes([status if status >= 0 else 128 - status]))

    # -- to the host ------------------------------------------------------

    def queue(self, kind, payload):
        self.tx += kind + len(payload).to_bytes(4, "big") + payload
        self.send()
        if len(self.tx) > BACKLOG:
            self.watch_outputs(False)

    def send(self):
        full = len(self.tx) > BACKLOG
        while self.tx:
            try:
                count = os.write(self.fd, self.tx[:32768])
            except BlockingIOError:
                break
            del self.tx[:count]
        if full and len(self.tx) <= BACKLOG:
            self.watch_outputs(True)


class Loop:
    """epoll with one function per descriptor."""

    def __init__(self):
        self.epoll = select.epoll()
        self.callbacks = {}

    def add(self, fd, events, callback):
        if fd not in self.callbacks:
            self.epoll.register(fd, events)
        self.callbacks[fd] = callback

    def remove(self, fd):
        if self.callbacks.pop(fd, None):
            self.epoll.unregister(fd)

    def run(self):
        while True:
            for fd, events in self.epoll.poll():
                if fd in self.callbacks:	# else removed meanwhile
                    self.callbacks[fd](events)


def main():
    loop = Loop()
    names = "/sys/class/virtio-ports"
    for entry in sorted(os.listdir(names)):
        with open(f"{names}/{entry}/name") as file:
            if file.read().startswith("box."):
                Port(loop, f"/dev/{entry}")
    print("init: box agent ready", flush=True)
    loop.run()


main()
