# SPDX-License-Identifier: GPL-2.0-or-later
"""The channel (chan.h) for the it_*.py: dvm's end of it."""

import os
import socket
import struct

from it_lib import Message, RUN

(HELLO, DATA, EOF, CREDIT, END) = range(1, 6)
(PUT, START, SIGNAL, WINSIZE) = range(32, 36)
(STARTED, BACK, EXIT, CHAN_FAILED) = range(64, 68)
STDIN, STDOUT, STDERR = range(3)
PROGRAM = 1


class Channel:
    """dvm's end of a channel, and the connection that holds the disposable."""

    def __init__(self, service, template=b"t"):
        self.s, self.theirs = socket.socketpair(socket.AF_UNIX,
                                                socket.SOCK_STREAM)
        self.s.settimeout(30)
        self.bytes = b""
        self.client = service.client()
        socket.send_fds(self.client.s, [self.request(template).encode()],
                        [self.theirs.fileno()])
        self.theirs.close()
        self.frame(HELLO, 0, struct.pack("<I", 1))

    @staticmethod
    def request(template=b"t", channel=1):
        m = Message(RUN, template=template)
        m.value[1] = channel
        return m

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()
        self.client.close()

    def frame(self, type_, stream, payload=b""):
        self.s.sendall(struct.pack("<BBHI", type_, stream, 0, len(payload)) +
                       payload)

    def start(self, *argv):
        text = b"".join(a.encode() + b"\0" for a in argv)
        self.frame(START, 0, struct.pack("<BBHHHQ", PROGRAM, 0, 0, 0, 0, 0) +
                   text)

    def take(self, nr):
        while len(self.bytes) < nr:
            try:
                got = self.s.recv(65536)
            except ConnectionError:
                return None
            if not got:
                return None
            self.bytes += got
        piece, self.bytes = self.bytes[:nr], self.bytes[nr:]
        return piece

    def answer(self, type_):
        """The service's answer of this type, or None."""
        while True:
            m = self.client.receive()
            if m is None or m.type == type_:
                return m

    def next(self):
        """(type, stream, payload), or None at the end."""
        head = self.take(8)
        if head is None:
            return None
        type_, stream, _, length = struct.unpack("<BBHI", head)
        payload = self.take(length)
        if type_ == DATA:
            self.frame(CREDIT, stream, struct.pack("<I", length))
        return (type_, stream, payload)

    def until(self, *types):
        """The frame of one of these types, and stdout before it."""
        out = b""
        while True:
            f = self.next()
            if f is None:
                return None, out
            if f[0] == DATA and f[1] == STDOUT:
                out += f[2]
            if f[0] in types:
                return f, out

    def output(self, size):
        out = b""
        while len(out) < size:
            f = self.next()
            if f is None:
                break
            if f[0] == DATA and f[1] == STDOUT:
                out += f[2]
        return out


def exit_status(frame):
    return frame and frame[0] == EXIT and struct.unpack("<I", frame[2])[0]


def failed(frame):
    return frame and frame[0] == CHAN_FAILED and frame[2][4:].decode()


def set_agent(build):
    """Guests of services that begin from now on have an agent."""
    os.environ["DVM_FAKE_AGENT"] = os.path.join(os.path.abspath(build),
                                                "tests", "agent_serve")
