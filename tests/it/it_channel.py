# SPDX-License-Identifier: GPL-2.0-or-later
"""it_channel.py BUILD-DIR: programs in disposables, through the real front,
core and courier, with the real agent's end of the channel (agent_serve) on a
host of fakes.  Ends with "N passed, N failed"."""

import os
import signal
import socket
import time

from it_chan import (CHAN_FAILED, Channel, DATA, EOF, EXIT, STARTED, STDIN,
                     exit_status, failed, set_agent)
from it_lib import (ATTACH, ENDED, FAILED, Message, RUN, RUNNING,
                    STATE_BUILDING, Service, is_alive, main, ok, wait_until)

COURIER_UID = 1879048192
IDLE = 4
LINGER_S = 10                   # of the courier
# Seconds; a launch that takes 2 no longer goes first.
FIRST = 1.9
# The machine may be busy.
TRIES = 10


def test_programs(service):
    for argv, said, want in ((["tr", "a-z", "A-Z"], b"hello\n", b"HELLO\n"),
                             (["sh", "-c", "cat; exit 7"], b"x", b"x")):
        with Channel(service) as c:
            c.start(*argv)
            c.frame(DATA, STDIN, said)
            c.frame(EOF, STDIN)
            end, out = c.until(EXIT, CHAN_FAILED)
            ok(out == want and exit_status(end) == (7 if "sh" in argv else 0),
               "%s: %r, %r" % (argv, out, end))
    with Channel(service, b"") as c:
        c.start("sh", "-c", "kill -9 $$")
        end, _ = c.until(EXIT, CHAN_FAILED)
        ok(exit_status(end) == 256 + 9, "the default template: %r" % (end,))
    with Channel(service) as c:
        c.start("no-such-program")
        end, _ = c.until(EXIT, CHAN_FAILED)
        ok(failed(end), "a program that is not there: %r" % (end,))
    ok(wait_until(lambda: service.findings() is None), "the check is clean")


def test_many(service):
    """More at once than wait ahead."""
    wait_until(lambda: len(service.couriers()) == IDLE)
    files = nr_files(service.parent.pid)
    channels = [Channel(service) for _ in range(3 * IDLE)]
    for i, c in enumerate(channels):
        c.start("sh", "-c", "cat; exit %d" % i)
        c.frame(DATA, STDIN, b"%d" % i)
    out = [c.output(len(b"%d" % i)) for i, c in enumerate(channels)]
    ok(out == [b"%d" % i for i in range(len(channels))],
       "%d at once: %r" % (len(channels), out))
    uids = []
    for pid in service.couriers():
        with open("/proc/%d/status" % pid, encoding="ascii") as f:
            status = dict(line.split(":", 1) for line in f if ":" in line)
        if "2" in status["Seccomp"]:
            uids.append(int(status["Uid"].split()[0]))
            if (status["CapPrm"].strip("\t\n0") or
                    status["CapBnd"].strip("\t\n0") or
                    status["NoNewPrivs"].strip() != "1"):
                uids.append("not confined")
    ok(len(uids) == len(channels) == len(set(uids)) and
       min(uids) >= COURIER_UID, "each has a courier with a user of its own, "
       "confined: %r" % uids)
    for c in channels:
        c.frame(EOF, STDIN)
    ends = [exit_status(c.until(EXIT)[0]) for c in channels]
    ok(ends == list(range(len(channels))), "their statuses: %r" % ends)
    for c in channels:
        c.s.close()
        c.client.close()
    ok(wait_until(lambda: len(service.couriers()) == IDLE),
       "their couriers are gone: %d wait" % len(service.couriers()))
    ok(wait_until(lambda: service.findings() is None), "the check is clean")
    ok(wait_until(lambda: nr_files(service.parent.pid) <= files),
       "and the parent has %d descriptors, %d before" %
       (nr_files(service.parent.pid), files))


def test_core_dies(service):
    with Channel(service) as c:
        running = c.answer(RUNNING)
        c.start("cat")
        c.frame(DATA, STDIN, b"before")
        ok(c.output(6) == b"before", "a program runs")
        os.kill(service.roles()["core"], signal.SIGKILL)
        c.frame(DATA, STDIN, b"after")
        ok(c.output(5) == b"after", "core dies: it goes on")
        c.client.close()
        with wait_until(lambda: attach(service, running)) as again:
            ok(wait_until(lambda: service.findings() is None),
               "the check is clean")
            c.frame(DATA, STDIN, b"held")
            ok(c.output(4) == b"held", "it is held again, and goes on")
            c.frame(EOF, STDIN)
            ok(exit_status(c.until(EXIT)[0]) == 0, "and ends")
            again.close()
    ok(wait_until(lambda: len(service.couriers()) == IDLE),
       "the couriers are as many as before")
    ok(wait_until(lambda: service.findings() is None), "the check is clean")


def attach(service, running):
    try:
        client = service.client()
    except OSError:
        return None
    try:
        client.send(Message(ATTACH, launch_id=running.launch_id))
        m = client.receive()
    except OSError:
        m = None
    if m is not None and m.type == RUNNING:
        return client
    client.close()
    return None


def test_courier_dies(service):
    with Channel(service) as c:
        c.start("cat")
        c.frame(DATA, STDIN, b"x")
        c.output(1)
        busy = [p for p in service.couriers() if uid_of(p) >= COURIER_UID]
        ok(len(busy) == 1, "one courier is at work: %r" % busy)
        os.kill(busy[0], signal.SIGKILL)
        end, _ = c.until(EXIT, CHAN_FAILED)
        ok(end is None, "a courier dies: the channel ends without EXIT")
    idle = service.couriers()
    for pid in idle:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not any(map(is_alive, idle)))
    with Channel(service) as c:
        c.start("echo", "well")
        ok(c.output(5) == b"well\n", "idle ones die: others take their place")
    ok(wait_until(lambda: service.findings() is None), "the check is clean")


def test_stopped_reader(service):
    """The last words wait for a client that is stopped, or writes slowly."""
    with Channel(service) as c:
        c.start("head", "-c", "400000", "/dev/zero")
        time.sleep(LINGER_S + 2)
        end, out = c.until(EXIT, CHAN_FAILED)
        ok(exit_status(end) == 0 and len(out) == 400000,
           "all is there later: %d" % len(out))
    ok(wait_until(lambda: len(service.couriers()) == IDLE),
       "then the courier ends")


def test_idle_die(service):
    """Again and again: core keeps no descriptor of one that died."""
    files = nr_files(service.roles()["core"])
    for _ in range(3):
        idle = service.couriers()
        for pid in idle:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda i=idle: not any(map(is_alive, i)))
        ok(wait_until(lambda: len(service.couriers()) == IDLE),
           "idle couriers die: there are others")
    with Channel(service) as c:
        c.start("true")
        end, _ = c.until(EXIT)
        ok(exit_status(end) == 0, "which do the work")
    core = service.roles()["core"]
    ok(wait_until(lambda: nr_files(core) <= files),
       "core has %d descriptors, and had %d" % (nr_files(core), files))


def board_flags(pid):
    """What smaps says of the board; [] until the courier has it."""
    with open("/proc/%d/smaps" % pid, encoding="ascii") as f:
        maps = f.read().split("VmFlags:")
    return [maps[i + 1].split("\n")[0].split() for i, m in enumerate(maps)
            if "memfd:couriers" in m]


def test_board(service):
    """What core says to all couriers is not theirs to write."""
    wait_until(lambda: len(service.couriers()) == IDLE)
    for pid in service.couriers():
        flags = wait_until(lambda p=pid: board_flags(p))
        ok(flags and len(flags) == 1 and "ms" in flags[0] and
           "mw" not in flags[0],
           "a courier reads the board, and cannot make it writable: %s" %
           flags)


def nr_files(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def uid_of(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as f:
        for line in f:
            if line.startswith("Uid:"):
                return int(line.split()[1])
    return -1


def test_killed(service):
    with Channel(service) as c:
        running = c.answer(RUNNING)
        c.start("sh", "-c", "echo up; sleep 1000")
        c.output(3)
        busy = [p for p in service.couriers() if uid_of(p) >= COURIER_UID]
        service.dvm("kill", running.name)
        ok(c.answer(ENDED) is not None, "killed: its client is told")
        end, _ = c.until(EXIT, CHAN_FAILED)
        ok(end is None and wait_until(lambda: not is_alive(busy[0])),
           "and its courier is gone")
    ok(wait_until(lambda: service.findings() is None), "the check is clean")


def test_bad_clients(service):
    def refused(fds, channel):
        with service.client() as c:
            socket.send_fds(c.s, [Channel.request(channel=channel).encode()],
                            fds)
            m = c.receive()
            return m is not None and m.type == FAILED and m.text

    def fill(c):
        """Sends the window and what the program's pipe takes, and more."""
        try:
            for _ in range((524288 + 65536) // 32768 + 1):
                c.frame(DATA, STDIN, b"x" * 32768)
        except BrokenPipeError:
            pass

    pipe = os.pipe()
    for what, fds, channel in (
            ("none, though announced", [], 1), ("a pipe", [pipe[0]], 1),
            ("a file", [os.open("/etc/passwd", os.O_RDONLY)], 1),
            ("a datagram socket",
             [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()], 1),
            ("one of the network", [socket.socket().detach()], 1),
            ("one that was not announced",
             [socket.socketpair()[0].detach()], 0)):
        ok(refused(fds, channel), "a channel that is %s is refused: %s" %
           (what, refused(fds, channel)))
    for what, send in (
            ("no frame", lambda c: c.s.sendall(b"\xff" * 100)),
            ("a program before HELLO's end", lambda c: c.frame(STARTED, 0)),
            ("more than the window", fill)):
        with Channel(service) as c:
            c.start("sleep", "1000")
            send(c)
            end, _ = c.until(EXIT, CHAN_FAILED)
            ok(failed(end), "a client that says %s: %s" % (what,
                                                           failed(end)))
    with Channel(service) as c:
        c.start("sleep", "1000")
    ok(wait_until(lambda: len(service.couriers()) == IDLE), "one that goes "
       "away leaves no courier")
    ok(wait_until(lambda: service.findings() is None), "the check is clean")


def test_hostile(service):
    """What the guest says is checked by the courier too."""
    with Channel(service) as c:
        c.start("yes")
        c.output(1 << 20)
        busy = [p for p in service.couriers() if uid_of(p) >= COURIER_UID]
        with open("/proc/%d/statm" % busy[0], encoding="ascii") as f:
            before = int(f.read().split()[1])
        out = c.output(50 << 20)
        with open("/proc/%d/statm" % busy[0], encoding="ascii") as f:
            after = int(f.read().split()[1])
        ok(len(out) >= 50 << 20 and after - before < 256,
           "50 MiB through a courier that grows by %d pages" %
           (after - before))


def cpu_of(pid):
    """Seconds that it has used."""
    with open("/proc/%d/stat" % pid, encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def is_building(service):
    return any(m.state == STATE_BUILDING for m in service.records())


def beside_launch(service, c, courier):
    """Seconds beside a launch, and what the courier has used of them; None if
    by then the launch may no longer have gone first."""
    with service.client() as other:
        asked = time.monotonic()
        other.send(Message(RUN, template=b"t"))
        if not wait_until(lambda: is_building(service), FIRST):
            return None
        begin, before = time.monotonic(), cpu_of(courier)
        while time.monotonic() < begin + 0.5:
            c.next()
        used, now = cpu_of(courier) - before, time.monotonic()
        return (now - begin, used) if now < asked + FIRST else None


def test_launch_goes_first(build):
    """While something is launched a guest gets a sixteenth of a CPU."""
    set_agent(build)
    service = Service(build, "--answer-ms", "2500")
    service.start()
    with Channel(service) as c:
        c.start("yes")
        c.output(1 << 20)
        busy = [p for p in service.couriers() if uid_of(p) >= COURIER_UID]
        for _ in range(TRIES):
            measured = beside_launch(service, c, busy[0])
            if measured is not None:
                break
            wait_until(lambda: len(service.records()) == 1)
        passed, used = measured or (0, 0)
        ok(used < passed / 8, "a guest that says much gets %.2f of %.2f s "
           "beside a launch" % (used, passed))
        ok(len(c.output(8 << 20)) >= 8 << 20, "and goes on after it")


def on_service(test):
    def run(build):
        set_agent(build)
        service = Service(build)
        ok(service.start(), "%s: the service is there" % test.__name__)
        test(service)
    run.__name__ = test.__name__
    return run


if __name__ == "__main__":
    main(*map(on_service, (
        test_programs, test_many, test_core_dies, test_courier_dies,
        test_killed, test_bad_clients, test_hostile,
        test_stopped_reader, test_idle_die, test_board)),
         test_launch_goes_first)
