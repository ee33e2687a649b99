# SPDX-License-Identifier: Apache-2.0
"""Block devices with sectors of 512 and of 4096 bytes, devices and files that fail, and
volumes of 100 TiB in little memory."""
import os
import subprocess
import sys

import pytest

import processes
from endpoints import Server, at, fails_at, script
from faulty_disk import FaultyDisk, Loop, impossible_because
from fixtures import IN_DATA, VOLUME
from shapes import BUILDDIR, KIB, MIB, OLD, SHAPES, Shape, copy, program, write_old

GIB, TIB = 1 << 30, 1 << 40
SRCDIR = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
WAYS = {"uring": [], "threads": ["--no-uring"]}
# One step of the page cache and of FUSE, so a request may fail from that far before.
GRAIN = MIB


@pytest.fixture
def path(place):
    return lambda name: os.path.join(place, name)


@pytest.fixture
def device(closing):
    """A loop device over a file."""
    def make(file, *options):
        if impossible_because():
            pytest.skip(f"skipped, because {impossible_because()}")
        return closing(Loop(file, *options)).path

    return make


@pytest.fixture
def faulty(closing):
    def make(nbdkit):
        if impossible_because():
            pytest.skip(f"skipped, because {impossible_because()}")
        return closing(FaultyDisk(nbdkit))

    return make


# Sectors

@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sectors", [(512, 512), (512, 4096), (4096, 512), (4096, 4096)],
                         ids=str)
@pytest.mark.parametrize("shape", ["scattered", "data-at-the-end"])
def test_from_device_to_device(shape, sectors, way, path, device):
    """Also of different sectors; the volume is as large as the source's sectors allow."""
    source_sector, target_sector = sectors
    shape = SHAPES[shape].padded(source_sector)
    shape.write(path("source"))
    write_old(path("target"), shape.padded(4096).size + 64 * KIB)
    copy(device(path("source"), source_sector), device(path("target"), target_sector),
         *WAYS[way]).must_succeed()
    shape.must_be_in(path("target"), OLD)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("tail", [512, 1024, 3584])
def test_device_whose_size_is_no_multiple_of_4096(tail, verify, way, path, device):
    shape = Shape("tail", 2 * MIB + tail, [(MIB, MIB + tail, True)])
    shape.write(path("source"))
    write_old(path("target"), shape.size)
    copy(device(path("source")), device(path("target")), f"--verify={verify}",
         *WAYS[way]).must_succeed()
    shape.must_be_in(path("target"))
    copy(device(path("target")), path("file"), f"--verify={verify}",
         *WAYS[way]).must_succeed()
    shape.must_be_in(path("file"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("odd", [1, 511, 513, 4095])
def test_file_whose_tail_fills_no_sector(odd, verify, way, path, device):
    """The rest of the last sector stays what it was."""
    shape = Shape("odd", MIB + odd, [(0, MIB + odd, True)])
    shape.write(path("source"))
    write_old(path("target"), 2 * MIB)
    copy(path("source"), device(path("target"), 4096), f"--verify={verify}",
         *WAYS[way]).must_succeed()
    shape.must_be_in(path("target"), OLD)


@pytest.mark.parametrize("way", WAYS)
def test_blank_device_is_not_cleared(way, path, device):
    """What was promised to be zeroes takes no space afterwards."""
    shape = SHAPES["scattered"]
    source = shape.write(path("source"))
    with open(path("target"), "wb") as f:
        f.truncate(shape.size)
    copy(source, device(path("target"), 4096), "--target-is-zero", *WAYS[way]).must_succeed()
    shape.must_be_in(path("target"))
    shape.must_be_thin_in(path("target"), os.stat(source).st_blocks * 512)


def test_device_is_too_small(path, device):
    VOLUME.write(path("source"))
    write_old(path("target"), VOLUME.size - 512)
    copy(path("source"), device(path("target"))).must_fail(
        "target", str(VOLUME.size - 512), str(VOLUME.size))
    with open(path("target"), "rb") as f:
        assert f.read() == bytes([OLD]) * (VOLUME.size - 512)


@pytest.mark.parametrize("sector", [512, 4096])
def test_device_that_may_only_be_read(sector, path, device):
    VOLUME.write(path("source"))
    write_old(path("target"), VOLUME.size)
    target = device(path("target"), sector, "-r")
    copy(path("source"), target).must_fail("target", os.path.basename(target))
    with open(path("target"), "rb") as f:
        assert f.read() == bytes([OLD]) * VOLUME.size


# Devices and files that fail

def end_of(disk, kind):
    return disk.device() if kind == "device" else disk.file


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["device", "file"])
def test_source_cannot_be_read_at_an_offset(kind, way, path, faulty):
    VOLUME.write(path("under"))
    disk = faulty(script(path("under"), pread=fails_at(IN_DATA)))
    done = copy(end_of(disk, kind), path("target"), *WAYS[way])
    done.must_fail("source", "Input/output error")
    assert IN_DATA - GRAIN < done.offset() <= IN_DATA, str(done)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("kind", ["device", "file"])
def test_target_cannot_be_written_at_an_offset(kind, verify, way, path, faulty):
    """A kernel that writes later tells when it is asked to make it durable."""
    VOLUME.write(path("source"))
    write_old(path("under"), VOLUME.size)
    disk = faulty(script(path("under"), pwrite=fails_at(IN_DATA)))
    done = copy(path("source"), end_of(disk, kind), f"--verify={verify}", *WAYS[way])
    done.must_fail("target", "Input/output error")
    assert done.offset() <= IN_DATA, str(done)


@pytest.mark.parametrize("way", WAYS)
def test_device_cannot_be_flushed(way, path, faulty):
    VOLUME.write(path("source"))
    write_old(path("under"), VOLUME.size)
    disk = faulty(script(path("under"), flush="echo EIO broken >&2; exit 1"))
    copy(path("source"), disk.device(), *WAYS[way]).must_fail("target", "flush")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("verify", ["readback", "none"])
def test_device_that_cannot_clear_gets_zeroes(verify, way, path, faulty):
    """A loop device over FUSE has no way to clear: old data has to go all the same."""
    VOLUME.write(path("source"))
    write_old(path("under"), VOLUME.size)
    disk = faulty(["file", path("under")])
    copy(path("source"), disk.device(), f"--verify={verify}", *WAYS[way]).must_succeed()
    disk.close()
    VOLUME.must_be_in(path("under"))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["device", "file"])
def test_target_that_loses_a_write_is_found_out(kind, way, path, faulty):
    """Reading back takes it from the storage, not from the page cache."""
    VOLUME.write(path("source"))
    write_old(path("under"), VOLUME.size)
    drops = script(path("under"), pwrite=at(IN_DATA, "cat >/dev/null; exit 0"))
    disk = faulty(drops)
    done = copy(path("source"), end_of(disk, kind), *WAYS[way])
    done.must_fail("target", "differs")
    assert done.offset() // MIB == IN_DATA // MIB and done.offset() <= IN_DATA, str(done)


# Memory

@pytest.fixture(scope="module")
def plain():
    """A build without sanitizers, which have a use for memory of their own."""
    build = os.path.join(BUILDDIR, "plain")
    os.makedirs(build, exist_ok=True)
    if not os.path.exists(os.path.join(build, "config.status")):
        subprocess.run([os.path.join(SRCDIR, "configure"), "-q", "CFLAGS=-O2"], cwd=build,
                       check=True)
    subprocess.run(["make", "-s", "-j2", "copy/drover-copy"], cwd=build, check=True)
    return build


# A small process, so that what the tests themselves take does not count.
MEASURE = ("import os, resource, sys; s = os.spawnv(os.P_WAIT, sys.argv[1], sys.argv[1:]);"
           " print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(s)")


def peak(build, source, target, *options):
    """Bytes of memory that a copy took at most."""
    argv = [sys.executable, "-S", "-E", "-c", MEASURE, program(build), "--quiet", *options,
            source, target]
    child = processes.spawn(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    try:
        out, err = child.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        processes.kill_tree(child.pid)
        raise
    assert child.returncode == 0, err
    return int(out) * KIB


MOST = 64 * MIB
# What a volume that is so much larger may take more.
FLAT = 8 * MIB


@pytest.fixture(scope="module")
def huge():
    """A function that makes a sparse file in a directory where one of 100 TiB can be, or
    else the largest that can."""
    for prefix, size in (("drover-", 100 * TIB), ("/dev/shm/drover-", 100 * TIB),
                         ("drover-", 15 * TIB)):
        directory = processes.temporary_directory(prefix)
        try:
            os.truncate(os.open(os.path.join(directory, "try"), os.O_CREAT | os.O_RDWR), size)
            break
        except OSError:
            processes.remove_directory(directory)
    else:
        pytest.skip("skipped, because no file system takes a file of 15 TiB")

    def make(name, file_size=size):
        path = os.path.join(directory, name)
        with open(path, "wb") as f:
            f.truncate(file_size)
        return path

    make.size = size
    os.unlink(os.path.join(directory, "try"))
    yield make
    processes.remove_directory(directory)


@pytest.mark.parametrize("verify", ["readback", "none"])
def test_memory_of_an_empty_volume(verify, plain, huge, place, closing):
    """From file to file and from and to a server, 100 TiB where there can be such files."""
    small = closing(Server(place, "null", GIB))
    large = closing(Server(place, "null", huge.size))
    routes = {
        "files": (lambda s: huge("source", s), lambda s: huge("target", s)),
        "from a server": (lambda s: (small if s == GIB else large).uri(),
                          lambda s: huge("target", s)),
        "to a server": (lambda s: huge("source", s),
                        lambda s: (small if s == GIB else large).uri()),
    }
    for name, (source, target) in routes.items():
        taken = [peak(plain, source(size), target(size), "--no-clone", f"--verify={verify}")
                 for size in (GIB, huge.size)]
        assert taken[1] <= MOST and taken[1] <= taken[0] + FLAT, (name, taken)


def test_memory_of_little_data_in_a_large_volume(plain, huge, place, closing):
    """100 MiB here and there."""
    taken = []
    for size, percent in ((64 * GIB, 0.16), (TIB, 0.01)):
        server = closing(Server(place, "sparse-random", size, f"percent={percent}",
                                "runlength=65536", "seed=1"))
        target = huge("target", size)
        taken.append(peak(plain, server.uri(), target))
        assert os.stat(target).st_blocks * 512 > 50 * MIB
        os.unlink(target)
        server.close()
    assert taken[1] <= MOST and taken[1] <= taken[0] + FLAT, taken


@pytest.mark.parametrize("way", WAYS)
def test_memory_of_a_volume_full_of_data(way, plain, place, path, closing):
    """Of random bytes from one server to another, and from file to file."""
    size = 160 * MIB
    with open(path("source"), "wb") as f:
        for _ in range(size // MIB):
            f.write(os.urandom(MIB))
    server = closing(Server(place, "file", path("source")))
    assert peak(plain, server.uri(), closing(Server(place, "null", size)).uri(),
                "--verify=none") <= MOST
    assert peak(plain, path("source"), path("target"), "--no-clone", *WAYS[way]) <= MOST
