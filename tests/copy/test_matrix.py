# SPDX-License-Identifier: Apache-2.0
"""Every kind of source, of target, of volume: the bytes are equal, old data never shows,
thin stays thin, the receipt says the same whatever the route."""
import itertools
import os

import pytest

import processes
from endpoints import Keys, QemuNbd, Server
from faulty_disk import Loop, impossible_because
from shapes import KIB, MIB, OLD, SHAPES, Shape, allocated, copy, write_old

SOURCES = ["file", "loop", "unix", "tcp", "psk", "x509", "flat", "hidden", "readonly"]
TARGETS = ["new", "used", "loop", "unix", "tcp", "x509", "nozero", "promised"]
WAYS = [(verify, uring) for verify in ("readback", "none") for uring in ("uring", "threads")]
# What lies behind the volume on a target that is larger.
BEYOND = 64 * KIB
# Where zeroes cannot be told from data, or cannot be made of nothing.
THICK = {"nozero"}
BLANK = {"new", "promised"}
# Like "unix", but for the connection or the right to write.
ALIKE = {"tcp", "psk", "readonly"}


def some(shapes, count):
    return [next(shapes) for _ in range(count)]


def routes():
    """From file to file all shapes in two ways each; from other sources to a new file and
    from a file to other targets all shapes, the way in turn, or some where only the
    connection is another; of the rest each pair with one shape in turn."""
    ways, shapes = itertools.cycle(WAYS), itertools.cycle(SHAPES)
    for source, target in itertools.product(SOURCES, TARGETS):
        if source == "file" and target in ("new", "used"):
            chosen = [*SHAPES, *SHAPES]
        elif source == "file" or target == "new":
            chosen = some(shapes, 4) if {source, target} & ALIKE else SHAPES
        else:
            chosen = some(shapes, 1)
        for i, shape in enumerate(chosen):
            if i % len(SHAPES) == 0:
                next(ways)  # so that each shape has another one than before
            verify, uring = next(ways)
            yield pytest.param(source, target, shape, verify, uring,
                               id="-".join((source, target, shape, verify, uring)))


class Place:
    """A directory of volumes and servers of all of them, started when first asked for."""

    manners = {
        "unix": {},
        "tcp": {"tcp": True},
        "psk": {"tcp": True, "tls": "psk"},
        "x509": {"tcp": True, "tls": "x509"},
        "flat": {"arguments": ["--filter=noextents"]},  # all of it is said to be data
        "hidden": {"arguments": ["--no-sr"]},  # no base:allocation at all
        "readonly": {"arguments": ["-r"]},
        "nozero": {"arguments": ["--filter=nozero"]},
        # Nothing was ever written, and nothing needs to be cleared.
        "promised": {"arguments": ["--filter=error"], "after": [
            "error=EIO", "error-zero-rate=100%", "error-trim-rate=100%"]},
    }

    def __init__(self, keys):
        self.directory, self.keys = processes.temporary_directory("drover-copy-"), keys
        self.volumes = os.path.join(self.directory, "v")
        os.mkdir(self.volumes)
        self._servers = {}

    def path(self, name):
        return os.path.join(self.volumes, name)

    def uri(self, manner, name):
        if manner not in self._servers:
            how = dict(self.manners[manner])
            before, after = how.pop("arguments", []), how.pop("after", [])
            if "tls" in how:
                how["keys"] = self.keys
            self._servers[manner] = Server(self.directory, *before, "file",
                                           f"dir={self.volumes}", *after, **how)
        server = self._servers[manner]
        assert server.process.poll() is None, server.log()
        return server.uri(name)

    def close(self):
        for server in self._servers.values():
            server.close()
        processes.remove_directory(self.directory)


@pytest.fixture(scope="module")
def keys():
    directory = processes.temporary_directory("drover-keys-")
    yield Keys(directory)
    processes.remove_directory(directory)


@pytest.fixture(scope="module")
def sources(keys):
    """The directory with a file of each shape."""
    place = Place(keys)
    for name, shape in SHAPES.items():
        shape.write(place.path(name))
    yield place
    place.close()


@pytest.fixture(scope="module")
def targets(keys):
    place = Place(keys)
    yield place
    place.close()


@pytest.fixture(scope="module")
def receipts(sources, targets):
    """Of a volume: what a plain copy from file to file says."""
    known = {}

    def receipt(shape):
        key = shape.name, shape.size
        if key not in known:
            source, target = sources.path("for-receipt"), targets.path("for-receipt")
            done = copy(shape.write(source), target, "--no-clone").must_succeed()
            known[key] = done.summary["receipt"]
            os.unlink(source)
            os.unlink(target)
        return known[key]

    return receipt


class Loops:
    def __init__(self):
        self._made = []

    def __call__(self, path):
        if impossible_because():
            pytest.skip(f"skipped, because {impossible_because()}")
        self._made.append(Loop(path))
        return self._made[-1].path

    def close(self):
        for loop in self._made:
            loop.close()


@pytest.fixture
def loops():
    loops = Loops()
    yield loops
    loops.close()


def make_target(kind, shape, place, loops):
    """(what the command is given, the file under it, what must lie beyond the volume)."""
    path = place.path("target")
    if os.path.exists(path):
        os.unlink(path)
    if kind == "new":
        return path, path, None
    if kind == "used":
        return write_old(path, shape.size + BEYOND), path, None
    size = shape.padded(512).size + BEYOND
    if kind == "promised":
        with open(path, "wb") as f:
            f.truncate(size)
        return place.uri(kind, "target"), path, 0
    write_old(path, size)
    return loops(path) if kind == "loop" else place.uri(kind, "target"), path, OLD


@pytest.mark.parametrize("source,target,shape,verify,uring", routes())
def test_copy(source, target, shape, verify, uring, sources, targets, receipts, loops):
    shape = SHAPES[shape]
    origin = sources.path(shape.name)
    if source == "loop":
        shape = shape.padded(512)
        origin = shape.write(sources.path("under-a-device"))
        given = loops(origin)
    else:
        given = origin if source == "file" else sources.uri(source, shape.name)
    to, path, beyond = make_target(target, shape, targets, loops)

    options = ["--no-clone", f"--verify={verify}"]
    options += ["--no-uring"] if uring == "threads" else []
    options += ["--target-is-zero"] if target == "promised" else []
    summary = copy(given, to, *options).must_succeed().summary

    shape.must_be_in(path, beyond)
    if target not in THICK:
        # Making a hole of every few zeroes in old data may cost more than it saves.
        grain = 4 * KIB if target in BLANK else 64 * KIB
        shape.must_be_thin_in(path, allocated(origin), grain,
                              besides=os.path.getsize(path) - shape.size if beyond else 0)
    if verify == "readback":
        assert summary["receipt"] == receipts(shape)
    else:
        assert not summary.get("receipt")


@pytest.mark.parametrize("shape", [name for name in SHAPES if SHAPES[name].size % 512 == 0])
def test_from_one_qemu_nbd_to_another(shape, sources, targets, receipts):
    """A server with block sizes of its own, and one that frees what is cleared."""
    shape = SHAPES[shape]
    target = write_old(targets.path("target"), shape.size)
    servers = [QemuNbd(targets.directory, file, "-e", "8", "--discard=unmap")
               for file in (sources.path(shape.name), target)]
    try:
        done = copy(*(server.uri() for server in servers)).must_succeed()
    finally:
        for server in servers:
            server.close()
    shape.must_be_in(target)
    shape.must_be_thin_in(target, allocated(sources.path(shape.name)), 64 * KIB)
    assert done.summary["receipt"] == receipts(shape)


@pytest.mark.parametrize("target", ["new", "unix"])
def test_receipts_of_different_volumes_differ(target, sources, targets, loops):
    """One byte more, one byte other, the same bytes elsewhere."""
    receipts = set()
    for name, size, at in (("a", MIB, 0), ("b", MIB, 0), ("a", MIB + 1, 0), ("a", MIB, 4096)):
        shape = Shape(name, size, [(at, 4096, True)])
        to, _, _ = make_target(target, shape, targets, loops)
        done = copy(shape.write(sources.path("other")), to, "--no-clone").must_succeed()
        receipts.add(done.summary["receipt"])
    assert len(receipts) == 4
