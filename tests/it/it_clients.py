#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that the service has to bear: malformed, slow, many, other users',
and such that die.

usage: it_clients.py BUILD-DIR     (SEED for the random messages)"""

import contextlib
import os
import random
import select
import shutil
import socket
import subprocess
import threading
import time

from it_lib import (ATTACH, BYTES, CHECK, Client, DONE, ENDED, FAILED, KILL,
                    LIST, LOG, Message, RUN, RUNNING, STATUS, Service, as_user,
                    main, new_seed, ok, wait_until)

ALICE, BOB, STRANGER = 20001, 20002, 20003
GROUP = 65534                   # nogroup, as the service is told
PER_USER = 128
RANDOM = 1000
DEADLINE = 10                   # seconds; front's
REQUESTS = {RUN: {"template": b"t"}, ATTACH: {"launch_id": 7}, LIST: {},
            KILL: {}, STATUS: {}, CHECK: {}, LOG: {}}
UNUSED = {"client": 1, "uid": 1, "domid": 1, "launch_id": 1 << 63, "code": 1,
          "state": 1, "name": b"disp0001", "template": b"t", "text": b"x"}


def is_well(service):
    """It answers, and all invariants hold."""
    found = service.findings()
    return ok(found is None and len(service.roles()) == 2,
              "after it the check is clean: %s" % found)


def user(service, uid):
    with as_user(uid, GROUP):
        return service.client()


def is_refused(service, what, says=""):
    """One FAILED with a reason, and the service goes on."""
    with service.client() as c:
        answers = c.ask(what)
    m = answers[0] if len(answers) == 1 else None
    return m is not None and m.type == FAILED and m.code == 3 and \
        m.text != "" and says in m.text


def with_value(i):
    return [0] * i + [1] + [0] * (9 - i)


def bad_requests():
    """Well-formed messages that no client may send."""
    for t, uses in REQUESTS.items():
        for field, junk in UNUSED.items():
            if field in uses or (t == KILL and field == "name"):
                continue
            yield t, dict(uses, **{field: junk})
        for i in range(2 if t == RUN else 0, 10):
            yield t, dict(uses, value=with_value(i))
    for t in [0, 8, 63, *range(64, 76), 127, 128, 129, 65535]:
        yield t, {}
    for name in (b"../x", b"a/b", b".x", b"-x", b"a b", b"x" * 33,
                 b"x" * 63):
        yield RUN, {"template": name}
    yield RUN, {"template": b"t", "value": [365 * 86400 + 1] + [0] * 9}
    yield RUN, {"template": b"t", "value": [0, 2] + [0] * 8}
    for name in (b"disp001", b"Domain-0", b"disp00010", b"disp000x"):
        yield KILL, {"name": name}


def malformed(build):
    service = Service(build)
    service.start()
    good = Message(LIST).encode()
    sizes = [1, 2, 3, 4, 100, BYTES - 1, BYTES + 1, 2 * BYTES, 60000]
    wrong = [n for n in sizes if not is_refused(service, (good * 100)[:n],
                                                "bytes instead of")]
    ok(not wrong, "messages of other sizes are refused: %s" % wrong)
    wrong = [v for v in (0, 2, 256, 65535) if
             not is_refused(service, Message(LIST, version=v), "version")]
    ok(not wrong, "and of other versions: %s" % wrong)
    bad = list(bad_requests())
    wrong = [b for b in bad if not is_refused(service, Message(b[0], **b[1]))]
    ok(not wrong, "%d requests that are none: %s" % (len(bad), wrong))
    texts = [{f: b} for f, size in (("name", 16), ("template", 64),
                                    ("text", 512))
             for b in (b"\x01", b"a\nb", b"\x7f", b"\xff" * size, b"a\0b",
                       b"x" * size)]
    wrong = [t for t in texts if not is_refused(service, Message(RUN, **t),
                                                "text")]
    ok(not wrong, "what is no text: %s" % wrong)
    rng = random.Random(new_seed())
    wrong = [i for i in range(RANDOM) if not is_refused(
        service, rng.randbytes(rng.choice((BYTES, rng.randrange(1, 2000)))))]
    ok(not wrong, "%d random messages: %s" % (RANDOM, wrong))
    with service.client() as c:
        c.send(b"")
        ok(c.receive() is None, "an empty message is a farewell")
    is_well(service)


def hung_up(clients, seconds, finals):
    """Were all in that time, after so many final answers each?"""
    until = time.monotonic() + seconds
    for c in clients:
        types = []
        try:
            while not types or types[-1] is not None:
                c.s.settimeout(max(0.1, until - time.monotonic()))
                m = c.receive()
                types.append(m and m.type)
        except socket.timeout:
            return False
        if types.count(DONE) != finals:
            return False
    return True


def slow(build):
    service = Service(build)
    service.start()
    for _ in range(130):        # fills the log, two lines each
        with service.client() as c:
            c.run()
    service.is_empty()
    first = time.monotonic()
    silent = [service.client() for _ in range(20)]
    done = [service.client() for _ in range(20)]
    deaf = [service.client() for _ in range(20)]
    for c in done:
        c.send(Message(LIST))
    for c in deaf:
        c.send(Message(LOG))
    began = time.monotonic()
    with service.client() as c:
        m = c.run()
    took = time.monotonic() - began
    ok(m.type == RUNNING and took < 8,
       "others do not wait for who says nothing: %.3f s" % took)
    time.sleep(max(0, first + 7 - time.monotonic()))
    ended = select.select([c.s for c in silent], [], [], 0)[0]
    # Unless the machine was so busy that it was their time.
    ok(not ended or time.monotonic() > first + DEADLINE,
       "for 7 s nobody is hung up on")
    time.sleep(7)
    ok(hung_up(silent, 1, 0), "in 14 s who says nothing is")
    ok(hung_up(done, 1, 1), "and who does not go after its answer")
    # They have what their sockets hold.
    ok(hung_up(deaf, 1, 0), "and who does not take its answers")
    is_well(service)


def half_open(build):
    service = Service(build, "--answer-ms", "300")
    service.start()
    with service.client() as c:
        m = c.run()
        c.s.shutdown(socket.SHUT_WR)
        ok(m.type == RUNNING and service.is_empty(),
           "one that can say nothing any more has gone")
    with service.client() as c:
        c.send(Message(LIST))
        c.s.shutdown(socket.SHUT_WR)
        c.receive()
    for wait in (0, 0.01, 0.1):
        with service.client() as c:
            c.send(Message(RUN, template=b"t"))
            time.sleep(wait)
        ok(service.is_empty(), "a client dies %.2f s into the launch: its "
           "disposable goes" % wait)
    with service.client() as c:
        m = c.run()
        c.send(Message(LIST))
        last = c.receive()
        ok(last.type == FAILED and last.code == 3 and "one request" in
           last.text and service.is_empty(),
           "a second request is the end of the first: %s" % last.text)
    held = [line for line in service.held() if "dvm-g-" not in line]
    ok(held == [], "nothing is left: %s" % held)
    is_well(service)


def requests_of(service, nr, failed):
    for _ in range(nr):
        try:
            if service.ask(LIST)[-1].type != DONE:
                failed.append("no DONE")
        except (OSError, IndexError) as e:
            failed.append(repr(e))


def flooding(build):
    service = Service(build)
    service.start()
    with as_user(ALICE, GROUP):
        clients = [service.client() for _ in range(PER_USER)]
        more = [service.client() for _ in range(200 - PER_USER)]
    answers = [c.receive() for c in more]
    ok(all(m is not None and m.type == FAILED and m.code == 5 and
           "128" in m.text for m in answers),
       "a user's 129th connection is refused: %s" % answers[0].text)
    with user(service, BOB) as c:
        ok(c.ask(Message(LIST))[-1].type == DONE, "another user is served")
    ok(all(c.ask(Message(LIST))[-1].type == DONE for c in clients),
       "and the 128")
    for c in clients + more:
        c.close()
    with as_user(ALICE, GROUP):
        again = wait_until(lambda: service.ask(LIST)[-1].type == DONE)
    ok(again, "and the user again, when these are closed")
    failed = []
    threads = [threading.Thread(target=requests_of,
                                args=(service, 500, failed))
               for _ in range(4)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    took = time.monotonic() - began
    ok(not failed, "2000 requests in %.1f s: %s" % (took, failed[:3]))
    is_well(service)


def greedy(build):
    """One user wants all that there is: core lives, and others are served."""
    service = Service(build)
    service.start()
    roles = service.roles()
    for _ in range(130):        # fills the log, two lines each
        with service.client() as c:
            c.run()
    service.is_empty()
    with as_user(ALICE, GROUP):
        deaf = [service.client() for _ in range(PER_USER)]
        for c in deaf:          # 33,000 answers
            c.send(Message(LOG))
    with service.client() as c:
        ok(c.run().type == RUNNING, "128 who ask for the log and do not read "
           "it: another is served")
    for c in deaf:
        c.close()
    with as_user(ALICE, GROUP):
        for _ in range(1000):
            c = service.client()
            c.send(Message(STATUS))
            c.close()
    with service.client() as c:
        ok(c.run().type == RUNNING, "1000 who ask for the status and hang up: "
           "another is served")
    wait_until(service.is_empty)
    many = []
    with as_user(ALICE, GROUP):
        for _ in range(1100):
            with contextlib.suppress(OSError):
                many.append(service.client(1))
    began = time.monotonic()
    with service.client() as c:
        ok(c.run().type == RUNNING and time.monotonic() - began < 20,
           "1100 connections of one user: root is served")
    for c in many:
        c.close()
    ok(service.roles() == roles, "no role has died: %s" % service.roles())
    is_well(service)


def other_users(build):
    service = Service(build)
    service.start()
    a, root = user(service, ALICE), service.client()
    of_a, of_root = a.run(), root.run()
    with user(service, BOB) as b:
        m = b.ask(Message(KILL, name=of_a.name.encode()))[0]
    ok(m.type == FAILED and m.code == 3 and "another user's" in m.text,
       "another user's cannot be killed: %s" % m.text)
    with user(service, BOB) as b:
        m = b.ask(Message(KILL))[0]
    ok(m.type == DONE and m.value[0] == 0, "nor by killing all")
    with user(service, BOB) as b:
        m = b.ask(Message(ATTACH, launch_id=of_a.launch_id))[0]
    ok(m.type == FAILED and m.code == 4, "nor attached to: %s" % m.text)
    with user(service, ALICE) as c:
        m = c.ask(Message(ATTACH, launch_id=of_a.launch_id))[0]
    ok(m.type == FAILED and m.code == 5 and "held already" in m.text,
       "nor by its own user while it is held: %s" % m.text)
    records = {m.name: m.uid for m in service.records()}
    ok(records == {of_a.name: ALICE, of_root.name: 0}, "both run on")
    with user(service, ALICE) as c:
        m = c.ask(Message(KILL))[0]
    ok(m.type == DONE and m.value[0] == 1 and a.receive().type == ENDED and
       [r.name for r in service.records()] == [of_root.name],
       "one's own all are killed")
    with user(service, ALICE) as c:
        m = c.run()
        answer = service.ask(KILL)[0]
        ok(answer.value[0] == 2 and c.receive().type == ENDED and
           root.receive().type == ENDED, "root's all is everybody's")
    m = service.ask(KILL, name=of_a.name.encode())[0]
    ok(m.type == FAILED and m.code == 4 and "dvm ls" in m.text,
       "what is gone cannot be killed: %s" % m.text)
    refused = 0
    for uid, gid in ((STRANGER, STRANGER), (STRANGER, 100)):
        with as_user(uid, gid):
            try:
                Client(service.socket).close()
            except PermissionError:
                refused += 1
    ok(refused == 2, "who is not of the group cannot connect")
    # Where everybody may run it.
    dvm = os.path.join(service.dir, "dvm")
    shutil.copy(os.path.join(service.tools, "dvm"), dvm)
    r = subprocess.run([dvm, "ls"], env=service.env, user=STRANGER,
                       group=STRANGER, extra_groups=[], cwd="/", timeout=60,
                       capture_output=True, text=True, check=False)
    ok(r.returncode == 1 and "must be in group" in r.stderr,
       "and is told so: %s" % r.stderr.strip())
    r = subprocess.run([dvm, "ls"], env=service.env, user=BOB, group=GROUP,
                       extra_groups=[], cwd="/", timeout=60,
                       capture_output=True, text=True, check=False)
    ok(r.returncode == 0, "who is, is served: %s" % r.stderr.strip())
    is_well(service)


if __name__ == "__main__":
    main(malformed, slow, half_open, flooding, greedy, other_users)
