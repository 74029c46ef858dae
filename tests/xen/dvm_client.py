# SPDX-License-Identifier: GPL-2.0-or-later
"""The service's protocol for tests, written anew from dvm-restored.8."""
import os
import socket
import struct

LAYOUT = struct.Struct("<HHIIIQII10Q16s64s512s")
RUN = 1
ANSWERS = {64: "failed", 65: "queued", 66: "running", 67: "ended"}
FINAL = ("failed", "ended", "closed")


class Connection:
    """One request.  The end of the connection is an answer, "closed"."""
    def __init__(self, path="/run/dvm/dvm.sock"):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.s.connect(os.environ.get("DVM_SOCKET", path))

    def run(self, template, seconds=0):
        self.s.send(LAYOUT.pack(1, RUN, 0, 0, 0, 0, 0, 0, seconds, *[0] * 9,
                                b"", template.encode(), b""))
        return self

    def receive(self, timeout):
        self.s.settimeout(timeout)
        data = self.s.recv(LAYOUT.size + 1)
        if not data:
            return {"type": "closed"}
        f = LAYOUT.unpack(data)
        texts = [t.rstrip(b"\0").decode() for t in f[18:]]
        return {"type": ANSWERS[f[1]], "domid": f[4], "launch_id": f[5],
                "code": f[6], "values": f[8:18], "name": texts[0],
                "text": texts[2]}

    def wait_for(self, kind, timeout):
        """The first answer of that kind, or the final one."""
        while True:
            m = self.receive(timeout)
            if m["type"] == kind or m["type"] in FINAL:
                return m

    def close(self):
        self.s.close()
