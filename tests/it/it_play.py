# SPDX-License-Identifier: GPL-2.0-or-later
"""A played service for the real dvm: it answers requests, and connects the
channel that comes with them to the real agent's end of it (agent_serve), or to
a test that plays the agent too."""

import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading

from it_lib import (BYTES, ENDED, Message, PATIENCE, RUNNING, SERVICES,
                    wait_until)

(HELLO, DATA, EOF, CREDIT, END) = range(1, 6)
(PUT, START, SIGNAL, WINSIZE) = range(32, 36)
(STARTED, BACK, EXIT, FAILED) = range(64, 68)
(UNCHANGED, CHANGED, GONE, TOO_LARGE, BROKEN) = range(1, 6)
STDIN, STDOUT, STDERR, FILE_0 = 0, 1, 2, 16
NAME = b"disp0042"
UUID = b"64766d31-0000-4000-8000-000000000001"


class Frames:
    """The agent's end of a channel, played."""

    def __init__(self, sock):
        self.s = sock
        self.s.settimeout(PATIENCE)
        self.got = b""

    def send(self, type_, stream=0, payload=b""):
        self.s.sendall(struct.pack("<BBHI", type_, stream, 0, len(payload)) +
                       payload)

    def take(self):
        """The next frame: type, stream, payload; (0, 0, b"") at the end."""
        while True:
            if len(self.got) >= 8:
                t, stream, _, n = struct.unpack_from("<BBHI", self.got)
                if len(self.got) >= 8 + n:
                    data, self.got = self.got[8:8 + n], self.got[8 + n:]
                    return t, stream, data
            more = self.s.recv(65536)
            if not more:
                return 0, 0, b""
            self.got += more

    def take_until(self, type_):
        """All up to it; every byte of data is credited."""
        frames = []
        while not frames or frames[-1][0] not in (0, type_):
            t, stream, data = self.take()
            frames.append((t, stream, data))
            if t == DATA:
                self.send(CREDIT, stream, struct.pack("<I", len(data)))
        return frames

    def greet(self):
        """As far as STARTED."""
        self.send(HELLO, 0, struct.pack("<I", 1))
        frames = self.take_until(START)
        self.send(STARTED)
        return frames

    def exit(self, status=0):
        self.send(EXIT, 0, struct.pack("<I", status))


class Play:
    def __init__(self, build):
        self.dir = tempfile.mkdtemp(prefix="it_play.")
        self.build = os.path.abspath(build)
        self.root, self.home = self.path("root"), self.path("home")
        for d in (self.root, self.home):
            os.mkdir(d)
        os.chmod(self.dir, 0o755)
        self.env = dict(os.environ, DVM_SOCKET=self.path("sock"),
                        LC_ALL="C.UTF-8", HOME=self.home)
        self.env.pop("DVM_TIMEOUT", None)
        self.requests, self.said, self.agents, self.held = [], [], [], []
        self.agent = None       # a function of Frames: plays the agent
        self.relay = None       # a function of two sockets, and of the agent
        self.hang_up = threading.Event()        # the service goes away
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(self.path("sock"))
        os.chmod(self.path("sock"), 0o666)
        self.listener.listen(16)
        SERVICES.append(self)
        self.accepts = threading.Thread(target=self.accept, daemon=True)
        self.accepts.start()

    def path(self, name):
        return os.path.join(self.dir, name)

    def put(self, name, text, mode=0o644):
        """A file of the guest's, below its root."""
        path = os.path.join(self.root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(path, mode)

    def log(self):
        return self.said

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(conn,),
                                 daemon=True).start()

    def serve(self, conn):
        try:
            data, fds, _, _ = socket.recv_fds(conn, BYTES + 1, 4)
            m = Message.decode(data)
            m.nr_fds = len(fds)
            self.held.append(conn)
            self.requests.append(m)
            conn.send(Message(RUNNING, name=NAME, text=UUID, domid=9,
                              launch_id=77, state=3,
                              value=[1000000] * 9 + [0]).encode())
            if fds:
                with socket.socket(fileno=fds[0]) as sock:
                    self.answer(sock)
                if not self.hang_up.is_set():
                    conn.send(Message(ENDED, name=NAME,
                                      text=b"its agent has ended").encode())
            else:
                conn.recv(1)    # until dvm lets go
        except (OSError, ValueError, AssertionError) as e:
            self.said.append("play: %r" % e)
        finally:
            conn.close()

    def answer(self, sock):
        if self.agent is not None:
            self.agent(Frames(sock))
        elif self.relay is not None:
            ours, theirs = socket.socketpair()
            with ours:
                with theirs:
                    agent = self.start_agent(theirs)
                self.relay(sock, ours, agent)
            agent.wait(PATIENCE)
        else:
            agent = self.start_agent(sock)
            sock.close()
            agent.wait()

    def start_agent(self, sock):
        agent = subprocess.Popen(
            [os.path.join(self.build, "tests", "agent_serve"), "--fd",
             str(sock.fileno()), "--root", self.root],
            pass_fds=[sock.fileno()], env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.agents.append(agent)
        return agent

    def dvm(self, *words, name="dvm"):
        """A command line."""
        program = os.path.join(self.build, "dvm")
        if name != "dvm":
            link = self.path(name)
            if not os.path.islink(link):
                os.symlink(program, link)
            program = link
        return [program, *words]

    def run(self, *words, name="dvm", env=None, **how):
        """dvm to its end: status, stdout and stderr."""
        if "stdin" not in how:
            how.setdefault("input", b"")
        return subprocess.run(self.dvm(*words, name=name),
                              env=dict(self.env, **(env or {})),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=120, check=False, **how)

    def start(self, *words, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen(self.dvm(*words), env=self.env, **how)

    def is_idle(self):
        """All agents have ended."""
        return wait_until(lambda: all(a.poll() is not None
                                      for a in self.agents), 10)

    def remove(self):
        # The number of a descriptor that is waited on must not be reused.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.accepts.join(PATIENCE)
        self.listener.close()
        for a in self.agents:
            if a.poll() is None:
                a.send_signal(signal.SIGKILL)
                a.wait()
        if self in SERVICES:
            SERVICES.remove(self)
        shutil.rmtree(self.dir, ignore_errors=True)
