#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A second verifier of savefiles, written from savefile(5) alone.

usage: sf_verify.py [--key KEYFILE] FILE...
Prints a line for each file; exits with 1 if it refuses one."""

import hashlib
import hmac
import struct
import sys

sys.dont_write_bytecode = True

from sf_xxh3 import BadBlock, lz4_block, xxh3_64  # noqa: E402

PAGE = 4096
ABSENT, ZERO, DATA, PARTIAL = range(4)


class Refused(Exception):
    """.auth: whole, but not made with the key."""

    def __init__(self, why, auth=False):
        super().__init__(why)
        self.auth = auth


def need(holds, why):
    if not holds:
        raise Refused(why)


def zero(b, start, end):
    return not any(b[start:end])


class Header:
    FIELDS = ("file_bytes data_off nr_pages nr_data_pages state_bytes "
              "nr_groups nr_extents nr_bitmaps nr_chunks").split()

    def __init__(self, b):
        need(len(b) >= PAGE, "shorter than a header")
        need(b[0:8] == bytes.fromhex("8944564d53460d0a"), "magic")
        version, size, flags = struct.unpack_from("<IIQ", b, 8)
        need(version == 1, "version")
        need(size == PAGE, "header_bytes")
        need(flags == 0, "flags")
        need(zero(b, 76, 80) and zero(b, 160, PAGE), "reserved in header")
        values = struct.unpack_from("<4Q5I", b, 24)
        self.__dict__.update(zip(self.FIELDS, values))
        self.digest, self.keyed_digest = b[96:128], b[128:160]
        need(self.file_bytes == len(b), "file_bytes")
        self.check_counts()
        self.extents_off = PAGE + self.state_bytes
        self.bitmaps_off = self.extents_off + 16 * self.nr_extents
        self.index_off = self.bitmaps_off + 64 * self.nr_bitmaps
        self.index_end = self.index_off + 32 * self.nr_chunks
        self.check_layout()

    def check_counts(self):
        need(1 <= self.nr_groups <= 8388608, "nr_groups")
        need(1 <= self.nr_pages <= self.nr_groups * 512, "nr_pages")
        need(self.nr_data_pages <= self.nr_pages, "nr_data_pages")
        need(1 <= self.nr_extents <= self.nr_groups, "nr_extents")
        need(self.nr_extents <= 2 * self.nr_pages, "nr_extents")
        need(self.nr_bitmaps <= self.nr_extents, "nr_bitmaps")
        need(self.nr_chunks <= self.nr_data_pages, "nr_chunks")
        need(self.nr_data_pages <= 16 * self.nr_chunks, "nr_data_pages")

    def check_layout(self):
        need(self.state_bytes <= 16777216, "state_bytes")
        need(self.state_bytes % 8 == 0, "state_bytes")
        need(self.data_off % PAGE == 0, "data_off")
        need(self.index_end <= self.data_off <= self.file_bytes, "data_off")
        tables = self.index_end - self.extents_off
        need(self.data_off + tables <= self.nr_pages * PAGE, "data_off")
        need(self.file_bytes - self.data_off <= self.nr_data_pages * PAGE,
             "more data than nr_data_pages")


def check_digests(h, b, key):
    meta = b[:96] + bytes(64) + b[160:h.data_off]
    plain = hashlib.blake2b(meta, digest_size=32).digest()
    need(hmac.compare_digest(plain, h.digest), "digest")
    if key is None:
        return
    keyed = hashlib.blake2b(meta, digest_size=32, key=key).digest()
    if not hmac.compare_digest(keyed, h.keyed_digest):
        raise Refused("keyed_digest", auth=True)


def check_platform(p):
    need(len(p) == 80, "PLATFORM size")
    guest_type, nr_vcpus = struct.unpack_from("<II", p)
    need(guest_type == 1, "guest_type")
    need(1 <= nr_vcpus <= 128, "nr_vcpus")
    extra = p[32:48].rstrip(b"\0")
    need(len(extra) <= 15 and all(0x20 <= c <= 0x7e for c in extra),
         "xen_extra")


def check_text(p):
    need(len(p) <= 65536, "text size")
    need(p == b"" or p.endswith(b"\n"), "last line has no newline")
    lines = p.split(b"\n")[:-1]
    need(len(lines) <= 1024, "number of lines")
    names = set()
    for line in lines:
        need(all(0x20 <= c <= 0x7e for c in line), "not printable ASCII")
        name, equals, _ = line.partition(b"=")
        need(equals and name, "line is not name=value")
        need(name not in names, "name comes twice")
        names.add(name)


def check_state(s):
    multiples = {1: 80, 2: 24, 3: 16, 4: 1, 5: 16, 6: 1, 7: 1}
    at = 0
    for want, multiple in multiples.items():
        need(len(s) - at >= 8, "state ends early")
        kind, size = struct.unpack_from("<II", s, at)
        need(kind == want, "record type")
        end = at + 8 + (size + 7) // 8 * 8
        need(end <= len(s), "record ends after the state")
        need(size % multiple == 0, "record size")
        payload = s[at + 8:at + 8 + size]
        need(zero(s, at + 8 + size, end), "record padding")
        if kind == 1:
            check_platform(payload)
        if kind >= 6:
            check_text(payload)
        at = end
    need(at == len(s), "bytes after the last record")


def bitmap(h, b, n):
    at = h.bitmaps_off + 64 * n
    bits = int.from_bytes(b[at:at + 64], "little")
    need(0 < bits < (1 << 512) - 1, "bitmap is empty or full")
    return bits


def check_extents(h, b):
    """A list of (first_group, end_group, kind, bitmap or None)."""
    extents, nr_pages, nr_bitmaps, group, last = [], 0, 0, 0, None
    for i in range(h.nr_extents):
        first, count, kind, number = struct.unpack_from(
            "<4I", b, h.extents_off + 16 * i)
        need(first == group and count > 0, "extents do not follow")
        need(first + count <= h.nr_groups, "extent past nr_groups")
        need(kind <= PARTIAL, "kind of extent")
        need(kind != last or kind == PARTIAL, "extents not merged")
        bits = None
        if kind == PARTIAL:
            need(count == 1, "PARTIAL of several groups")
            need(number == nr_bitmaps < h.nr_bitmaps, "bitmap number")
            bits = bitmap(h, b, number)
            nr_bitmaps += 1
            nr_pages += bin(bits).count("1")
        else:
            need(number == 0, "bitmap number")
            if kind != ABSENT:
                nr_pages += 512 * count
        extents.append((first, first + count, kind, bits))
        group, last = first + count, kind
    need(group == h.nr_groups, "extents end early")
    need(last != ABSENT, "last extent is absent")
    need(nr_bitmaps == h.nr_bitmaps, "unused bitmap")
    need(nr_pages == h.nr_pages, "nr_pages")
    return extents


def covering(extents, group):
    low, high = 0, len(extents)
    while high - low > 1:
        mid = (low + high) // 2
        low, high = (mid, high) if extents[mid][0] <= group else (low, mid)
    return extents[low]


def check_index(h, b, extents):
    """A list of (off, xxh3, nr_pages, stored_bytes, method)."""
    chunks, groups, nr_data_pages, last = [], set(), 0, -1
    end = h.data_off
    for i in range(h.nr_chunks):
        at = h.index_off + 32 * i
        off, xxh3, gfn_chunk, stored, mask, method = struct.unpack_from(
            "<QQIIHB", b, at)
        need(zero(b, at + 27, at + 32), "reserved in index entry")
        need(gfn_chunk > last, "gfn_chunk does not ascend")
        last = gfn_chunk
        pages = bin(mask).count("1")
        need(pages > 0, "page_mask is 0")
        need(off == end, "off")
        need(0 < stored, "stored_bytes is 0")
        need(method <= 1, "method")
        need(stored == pages * PAGE if method == 0 else
             stored < pages * PAGE, "stored_bytes")
        end = (off + stored + 63) // 64 * 64
        need(end <= h.file_bytes, "chunk ends after the file")
        group = gfn_chunk // 32
        need(group < h.nr_groups, "chunk past nr_groups")
        _, _, kind, bits = covering(extents, group)
        need(kind in (DATA, PARTIAL), "chunk where none can be")
        if kind == PARTIAL:
            here = bits >> gfn_chunk % 32 * 16 & 0xffff
            need(mask & ~here == 0, "chunk has pages not populated")
        groups.add(group)
        nr_data_pages += pages
        chunks.append((off, xxh3, pages, stored, method))
    need(end == h.file_bytes, "data does not end with the file")
    need(nr_data_pages == h.nr_data_pages, "nr_data_pages")
    for first, after, kind, _ in extents:
        if kind == DATA:
            # Not all() first: a hostile extent may cover millions.
            need(after - first <= len(groups), "DATA group without chunk")
            need(all(g in groups for g in range(first, after)),
                 "DATA group without chunk")
    return chunks


def check_chunk(b, chunk):
    off, xxh3, pages, stored, method = chunk
    data = b[off:off + stored]
    need(xxh3_64(data) == xxh3, "xxh3 of the chunk at %d" % off)
    if method == 1:
        try:
            data = lz4_block(data, pages * PAGE)
        except BadBlock as why:
            raise Refused("LZ4 block at %d: %s" % (off, why)) from why
    need(zero(b, off + stored, (off + stored + 63) // 64 * 64),
         "padding after the chunk at %d" % off)
    for n in range(pages):
        need(data.count(0, n * PAGE, (n + 1) * PAGE) != PAGE,
             "zero page in the chunk at %d" % off)


def verify(b, key=None):
    """Raises Refused, or returns the header."""
    h = Header(b)
    check_digests(h, b, key)
    check_state(b[PAGE:h.extents_off])
    need(zero(b, h.index_end, h.data_off), "bytes after the index")
    for chunk in check_index(h, b, check_extents(h, b)):
        check_chunk(b, chunk)
    return h


def main(args):
    key, status = None, 0
    if args[:1] == ["--key"]:
        with open(args[1], "rb") as f:
            key = f.read()
        args = args[2:]
    for path in args:
        with open(path, "rb") as f:
            b = f.read()
        try:
            h = verify(b, key)
            print("ok %s: %d chunks" % (path, h.nr_chunks))
        except Refused as why:
            print("%s: refused: %s" % (path, why))
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
