# SPDX-License-Identifier: Apache-2.0
"""What is copied, and whether a copy is right."""
import errno
import os
import random

from measure import MIB

PIECE = 4 * MIB
COMPARED = MIB
EXTENTS_KIB = (64, 128, 256, 512, 1024)
DATA_ONE_IN = 5
EMPTY_TIMES = 25  # 100 GiB beside 4 GiB

SHAPES = ("random", "scattered", "zeroes", "empty")


def size_of(shape, mib):
    return mib * MIB * (EMPTY_TIMES if shape == "empty" else 1)


def data_of(shape, mib):
    """Most bytes that the file and a plain copy of it take."""
    return 0 if shape == "empty" else mib * MIB


def scattered_extents(size):
    """(offset, length) of a fifth of the file, the same ones each time."""
    chance = random.Random(4)
    offset = 0
    while offset < size:
        length = chance.choice(EXTENTS_KIB) << 10
        before = chance.randrange(0, 2 * (DATA_ONE_IN - 1) * length + 1, 64 << 10)
        if offset + before >= size:
            return
        yield offset + before, min(length, size - offset - before)
        offset += before + length


def _extents(shape, size):
    if shape == "scattered":
        return list(scattered_extents(size))
    return [] if shape == "empty" else [(0, size)]


def make(shape, path, mib):
    """The file, durable; what is in it."""
    size = size_of(shape, mib)
    extents = _extents(shape, size)
    zeroes = bytes(PIECE)
    with open(path, "wb") as f:
        f.truncate(size)
        for start, length in extents:
            f.seek(start)
            for done in range(0, length, PIECE):
                n = min(PIECE, length - done)
                f.write(zeroes[:n] if shape == "zeroes" else os.urandom(n))
        f.flush()
        os.fsync(f.fileno())
    sizes = sorted({length for _, length in extents})
    return {"shape": shape, "size_mib": size / MIB, "extents": len(extents),
            "data_mib": round(sum(length for _, length in extents) / MIB, 2),
            "extent_kib": [sizes[0] / 1024, sizes[-1] / 1024] if sizes else []}


def _next_data(fd, offset, size):
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as e:
        if e.errno != errno.ENXIO:
            raise
        return size


def first_difference(a, b):
    """The offset where two files differ, or None. What both have as a hole is not read."""
    with open(a, "rb", buffering=0) as f, open(b, "rb", buffering=0) as g:
        left, right = f.fileno(), g.fileno()
        size = os.fstat(left).st_size
        if os.fstat(right).st_size != size:
            return min(size, os.fstat(right).st_size)
        # Used again and again: to touch new memory takes longer than to compare.
        mine, theirs = bytearray(COMPARED), bytearray(COMPARED)
        offset = 0
        while offset < size:
            offset = min(_next_data(left, offset, size), _next_data(right, offset, size))
            length = os.preadv(left, [mine], offset)
            if os.preadv(right, [theirs], offset) != length:
                return offset
            if mine[:length] != theirs[:length] if length < COMPARED else mine != theirs:
                return offset + next(i for i in range(length) if mine[i] != theirs[i])
            offset += length
    return None
