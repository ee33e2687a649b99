# SPDX-License-Identifier: Apache-2.0
"""Volumes of every shape, the command that copies them, and what must be true after.

    shape = SHAPES["scattered"]
    shape.write(path)
    done = copy(path, target)
    done.must_succeed()
    shape.must_be_in(target)
"""
import functools
import json
import os
import random
import re
import subprocess
import time

import processes

KIB, MIB = 1 << 10, 1 << 20
SLACK = 128 * KIB  # what a file system may take beyond the data: maps, whole blocks
BUILDDIR = os.environ.get("DROVER_BUILDDIR", "")
OLD = 0xA5  # old data that must not be seen


def program(builddir=BUILDDIR):
    path = os.path.join(builddir, "copy/drover-copy")
    assert os.path.exists(path), "DROVER_BUILDDIR must name a finished build"
    return path


class Shape:
    """A volume: its size and its pieces (offset, length, is it data or written zeroes).
    Later pieces lie over earlier ones; what no piece covers is a hole."""

    def __init__(self, name, size, pieces=()):
        self.name, self.size, self.pieces = name, size, list(pieces)

    @functools.lru_cache
    def content(self):
        """Always the same bytes, none of them zero where there is data, so that nothing
        depends on chance."""
        noise = random.Random(self.name)
        result = bytearray(self.size)
        for offset, length, is_data in self.pieces:
            piece = noise.randbytes(length).replace(b"\0", b"\1") if is_data else bytes(length)
            result[offset:offset + length] = piece
        return bytes(result)

    def write(self, path):
        content = self.content()
        with open(path, "wb") as f:
            f.truncate(self.size)
            for offset, length, _ in self.pieces:
                f.seek(offset)
                f.write(content[offset:offset + length])
            f.flush()
            os.fsync(f.fileno())
        return path

    def padded(self, block):
        """The same, as long as a device with such blocks must be."""
        size = max(block, -(-self.size // block) * block)
        return Shape(self.name, size, self.pieces)

    def must_be_in(self, path, beyond=None):
        """beyond: what the rest of a larger target has to hold, as one byte's value;
        None: there is no rest."""
        with open(path, "rb") as f:
            found = f.read()
        equal(self.content(), found[:self.size], path)
        rest = found[self.size:]
        if beyond is None:
            assert not rest, f"{path} has {len(rest)} bytes beyond the volume"
        else:
            equal(bytes([beyond]) * len(rest), rest, f"{path}, beyond the volume")

    def must_be_thin_in(self, path, source_allocated, grain=4 * KIB, besides=0):
        """The target takes no more than the source did, and zeroes take nothing where they
        fill a piece of so many bytes. besides: of old data that is none of the volume's."""
        content = self.content()
        data = sum(grain for i in range(0, self.size, grain)
                   if content[i:i + grain].strip(b"\0"))
        most = min(source_allocated, data) + besides + SLACK
        taken = allocated(path)
        assert taken <= most, f"{path} takes {taken} bytes, at most {most} would be thin"


def equal(expected, found, where):
    assert len(found) == len(expected), f"{where}: {len(found)} bytes, not {len(expected)}"
    if expected == found:
        return
    at = next(i for i, (a, b) in enumerate(zip(expected, found)) if a != b)
    raise AssertionError(f"{where}: byte {at} is {found[at]:#x}, not {expected[at]:#x}")


def allocated(path):
    """Bytes the file system has given it."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        return os.fstat(f.fileno()).st_blocks * 512


def _scattered():
    """Extents of 4 KiB to 1 MiB, with zeroes of 4 KiB written inside the larger ones."""
    choose, offset, pieces = random.Random(4), 8 * KIB, []
    while True:
        length = 4 * KIB << choose.randrange(9)
        if offset + length > 10 * MIB:
            return Shape("scattered", 11 * MIB, pieces)
        pieces.append((offset, length, True))
        if length >= 16 * KIB:
            pieces.append((offset + length // 8 * 4, 4 * KIB, False))
        offset += length + 4 * KIB * choose.randrange(1, 160)


def _comb():
    """Every second block of 4 KiB is zeroes that were written."""
    pieces = [(0, 2 * MIB, True)]
    pieces += [(offset, 4 * KIB, False) for offset in range(0, 2 * MIB, 8 * KIB)]
    return Shape("comb", 2 * MIB, pieces)


SHAPES = {shape.name: shape for shape in (
    Shape("nothing-but-a-hole", 5 * MIB),
    Shape("zeroes", 4 * MIB, [(0, 4 * MIB, False)]),
    Shape("random", 4 * MIB, [(0, 4 * MIB, True)]),
    _scattered(),
    _comb(),
    Shape("one-byte", 1, [(0, 1, True)]),
    Shape("not-of-512", 2 * MIB + 777, [(0, 2 * MIB + 777, True)]),
    Shape("not-of-4096", 2 * MIB + 512, [(MIB, MIB + 512, True)]),
    Shape("not-of-1M", 3 * MIB + 4096, [(0, 3 * MIB + 4096, True)]),
    Shape("exactly-1M", MIB, [(0, MIB, True)]),
    Shape("hole-at-the-end", 5 * MIB, [(0, MIB, True), (MIB, 64 * KIB, False)]),
    Shape("data-at-the-end", 7 * MIB - 1, [(7 * MIB - 6, 5, True)]),
)}


def write_old(path, size):
    """A file full of old data."""
    with open(path, "wb") as f:
        f.write(bytes([OLD]) * size)
        f.flush()
        os.fsync(f.fileno())
    return path


class Done:
    """A copy that has ended."""

    def __init__(self, argv, status, out, err, seconds):
        self.argv, self.status, self.out, self.err = argv, status, out, err
        self.seconds = seconds

    def __str__(self):
        return f"{' '.join(self.argv)}\nstatus {self.status}\n{self.out}\n{self.err}"

    def must_be_clean(self):
        """Nothing of a sanitizer, of an assertion, of a signal."""
        for sign in ("Sanitizer", "runtime error:", "Assertion", "core dumped"):
            assert sign not in self.err, str(self)
        assert self.status >= 0, str(self)

    def must_succeed(self):
        self.must_be_clean()
        assert self.status == 0, str(self)
        return self

    @property
    def summary(self):
        return json.loads(self.out)

    @property
    def sentences(self):
        """What it said, without hints."""
        return [line for line in self.err.splitlines()
                if line.strip() and not line.startswith("hint:")]

    def must_fail(self, *words, said_before=False):
        """It ended by itself with status 1 and one sentence that has all the words
        (regular expressions). said_before: lines may come before, of a connection lost
        and found."""
        self.must_be_clean()
        assert self.status == 1, str(self)
        assert self.sentences, str(self)
        assert said_before or len(self.sentences) == 1, str(self)
        for word in words:
            assert re.search(word, self.sentences[-1]), f"no '{word}' in\n{self}"
        return self

    def offset(self):
        """The one that the sentence names."""
        found = re.search(r"offset (\d+)", self.sentences[-1])
        assert found, f"no offset in\n{self}"
        return int(found.group(1))


class Copying:
    """A copy under way."""

    def __init__(self, source, target, *options, builddir=BUILDDIR, env=None, pass_fds=()):
        self.argv = [program(builddir), "--json", *options, str(source), str(target)]
        self._began = time.monotonic()
        self.process = processes.spawn(
            self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", pass_fds=pass_fds,
            env={**os.environ, **(env or {})})

    def wait(self, within=60):
        try:
            out, err = self.process.communicate(timeout=within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            out, err = self.process.communicate()
            raise AssertionError(f"after {within} s still at it: {' '.join(self.argv)}\n{err}")
        return Done(self.argv, self.process.returncode, out, err,
                    time.monotonic() - self._began)


def copy(source, target, *options, within=60, **more):
    return Copying(source, target, *options, **more).wait(within)
