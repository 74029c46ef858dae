# SPDX-License-Identifier: GPL-2.0-or-later
"""XXH3-64 with seed 0 and the default secret, and LZ4 block decoding, in plain
Python: slow, short, and not the code that they check."""

import struct

M64 = (1 << 64) - 1
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F,
                       0x165667B19E3779F9)
P64_4, P64_5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5

SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f"
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c"
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364"
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e"
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")


def u32(b, at):
    return int.from_bytes(b[at:at + 4], "little")


def u64(b, at):
    return int.from_bytes(b[at:at + 8], "little")


def swap64(v):
    return int.from_bytes(v.to_bytes(8, "little"), "big")


def rotl(v, n):
    return (v << n | v >> (64 - n)) & M64


def fold(a, b):
    product = a * b
    return (product & M64) ^ (product >> 64)


def avalanche(h):
    h ^= h >> 37
    h = h * 0x165667919E3779F9 & M64
    return h ^ h >> 32


def avalanche64(h):
    h ^= h >> 33
    h = h * P64_2 & M64
    h ^= h >> 29
    h = h * P64_3 & M64
    return h ^ h >> 32


def mix16(b, at, secret_at):
    return fold(u64(b, at) ^ u64(SECRET, secret_at),
                u64(b, at + 8) ^ u64(SECRET, secret_at + 8))


def short(b):
    n = len(b)
    if n == 0:
        return avalanche64(u64(SECRET, 56) ^ u64(SECRET, 64))
    if n <= 3:
        combined = b[0] << 16 | b[n >> 1] << 24 | b[n - 1] | n << 8
        return avalanche64(combined ^ u32(SECRET, 0) ^ u32(SECRET, 4))
    if n <= 8:
        h = (u32(b, n - 4) + (u32(b, 0) << 32)) ^ (
            u64(SECRET, 8) ^ u64(SECRET, 16))
        h ^= rotl(h, 49) ^ rotl(h, 24)
        h = h * 0x9FB21C651E98DF25 & M64
        h ^= (h >> 35) + n
        h = h * 0x9FB21C651E98DF25 & M64
        return h ^ h >> 28
    lo = u64(b, 0) ^ u64(SECRET, 24) ^ u64(SECRET, 32)
    hi = u64(b, n - 8) ^ u64(SECRET, 40) ^ u64(SECRET, 48)
    return avalanche((n + swap64(lo) + hi + fold(lo, hi)) & M64)


def middle(b):
    n = len(b)
    acc = n * P64_1
    if n <= 128:
        for i in reversed(range((n - 1) // 32 + 1)):
            acc += mix16(b, 16 * i, 32 * i)
            acc += mix16(b, n - 16 * (i + 1), 32 * i + 16)
        return avalanche(acc & M64)
    for i in range(8):
        acc += mix16(b, 16 * i, 16 * i)
    acc = avalanche(acc & M64)
    for i in range(8, n // 16):
        acc += mix16(b, 16 * i, 16 * (i - 8) + 3)
    acc += mix16(b, n - 16, 136 - 17)
    return avalanche(acc & M64)


# The eight u64 of the secret that stripe n of a block is mixed with.
KEYS = [struct.unpack_from("<8Q", SECRET, 8 * n) for n in range(17)]
LAST_KEY = struct.unpack_from("<8Q", SECRET, len(SECRET) - 64 - 7)


def accumulate(acc, b, at, key):
    data = struct.unpack_from("<8Q", b, at)
    for i in range(8):
        k = data[i] ^ key[i]
        acc[i ^ 1] += data[i]
        acc[i] += (k & 0xffffffff) * (k >> 32)


def xxh3_64(b):
    n = len(b)
    if n <= 16:
        return short(b)
    if n <= 240:
        return middle(b)
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    for stripe in range((n - 1) // 64):
        accumulate(acc, b, 64 * stripe, KEYS[stripe % 16])
        # A block of 16 stripes ends unless it is the last, incomplete one.
        if stripe % 16 == 15 and stripe // 16 < (n - 1) // 1024:
            for i in range(8):
                a = acc[i] & M64
                acc[i] = ((a ^ a >> 47 ^ KEYS[16][i]) * P32_1) & M64
    accumulate(acc, b, n - 64, LAST_KEY)
    result = n * P64_1
    for i in range(0, 8, 2):
        result += fold(acc[i] & M64 ^ u64(SECRET, 11 + 8 * i),
                       acc[i + 1] & M64 ^ u64(SECRET, 11 + 8 * i + 8))
    return avalanche(result & M64)


class BadBlock(Exception):
    pass


def lz4_length(b, at, length):
    if length < 15:
        return length, at
    while True:
        if at >= len(b):
            raise BadBlock("its lengths end early")
        length += b[at]
        at += 1
        if b[at - 1] != 255:
            return length, at


def lz4_block(b, size):
    """Decodes to exactly `size` bytes or raises BadBlock."""
    out = bytearray()
    at = 0
    while True:
        if at >= len(b):
            raise BadBlock("it ends without literals")
        token = b[at]
        count, at = lz4_length(b, at + 1, token >> 4)
        if at + count > len(b) or len(out) + count > size:
            raise BadBlock("literals past the end")
        out += b[at:at + count]
        at += count
        if at == len(b):
            break
        # What follows is at least an offset, a token and five literals.
        if at + 8 > len(b) or len(out) > size - 12:
            raise BadBlock("the last match begins too late")
        offset = b[at] | b[at + 1] << 8
        count, at = lz4_length(b, at + 2, token & 15)
        count += 4
        if offset == 0 or offset > len(out):
            raise BadBlock("an offset points before the start")
        if len(out) + count > size - 5:
            raise BadBlock("a match within the last five bytes")
        start = len(out) - offset
        piece = bytes(out[start:start + count])
        out += (piece * (count // len(piece) + 1))[:count]
    if len(out) != size:
        raise BadBlock("too short")
    return bytes(out)
