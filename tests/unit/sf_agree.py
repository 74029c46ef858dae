#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Do the reader and the independent verifier agree on a corpus?

usage: sf_agree.py DIR     (made by sf_corpus)"""

import collections
import os
import sys

sys.dont_write_bytecode = True

import sf_verify  # noqa: E402


def verdict(path, key):
    with open(path, "rb") as f:
        b = f.read()
    try:
        sf_verify.verify(b, key)
        return "ok", ""
    except sf_verify.Refused as why:
        return "auth" if why.auth else "input", str(why)


def main(directory):
    with open(os.path.join(directory, "key"), "rb") as f:
        key = f.read()
    with open(os.path.join(directory, "verdicts")) as f:
        lines = [line.rstrip("\n").split("\t") for line in f]
    passed = failed = 0
    kinds = collections.Counter()
    for name, theirs, message in lines:
        ours, why = verdict(os.path.join(directory, name), key)
        kinds[name.split("-")[0], ours] += 1
        if ours == theirs:
            passed += 1
            continue
        failed += 1
        print("not ok - %s: the reader says %s (%s), sf_verify %s (%s)" %
              (name, theirs, message, ours, why))
    for (kind, ours), count in sorted(kinds.items()):
        print("# %s: %d %s" % (kind, count, ours))
    # The corpus must have put the question: some of each.
    for want in (("good", "ok"), ("good", "auth"), ("changed", "ok"),
                 ("changed", "input"), ("changed", "auth")):
        if kinds[want] == 0:
            failed += 1
            print("not ok - the corpus has no file that is %s %s" % want)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
