# SPDX-License-Identifier: Apache-2.0
"""drover-copy's command line: what it makes of its two names, what it refuses, what its
options do, what it says at the end."""
import os
import resource
import socket
import subprocess

import pytest

import processes
from faulty_disk import Loop, impossible_because
from shapes import MIB, OLD, SHAPES, copy, program, write_old

VOLUME = SHAPES["scattered"]
SOON = 40


@pytest.fixture
def source(place):
    return VOLUME.write(os.path.join(place, "source"))


@pytest.fixture
def new(place):
    return os.path.join(place, "target")


def run(*argv, **options):
    """drover-copy with exactly these arguments."""
    return subprocess.run([program(), *map(str, argv)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=SOON, **options)


# What becomes of the target

def test_new_file_has_the_size_and_the_mode_of_any_new_file(source, new):
    done = run(source, new, preexec_fn=lambda: os.umask(0o027))
    assert done.returncode == 0, done.stderr
    VOLUME.must_be_in(new)
    assert os.stat(new).st_mode & 0o777 == 0o640


@pytest.mark.parametrize("size", [0, VOLUME.size - 5, VOLUME.size, VOLUME.size + 3 * MIB])
def test_file_that_is_there_becomes_the_source(size, source, new):
    copy(source, write_old(new, size), within=SOON).must_succeed()
    VOLUME.must_be_in(new)


@pytest.mark.parametrize("kind", ["server", "device"])
def test_rest_of_a_larger_target_is_left_alone(kind, serve, source, new):
    write_old(new, VOLUME.size + 2 * MIB)
    if kind == "device" and impossible_because():
        pytest.skip("skipped, because " + impossible_because())
    loop = Loop(new) if kind == "device" else None
    done = copy(source, loop.path if loop else serve("file", new).uri(), within=SOON)
    if loop:
        loop.close()
    done.must_succeed()
    VOLUME.must_be_in(new, beyond=OLD)
    assert done.summary["left_alone"] == 2 * MIB
    assert "the last 2.0 MiB of the target were left alone" in done.err


def test_target_that_is_a_symbolic_link_is_followed(source, new):
    write_old(new + ".real", 5)
    os.symlink(new + ".real", new)
    copy(source, new, within=SOON).must_succeed()
    assert os.path.islink(new)
    VOLUME.must_be_in(new + ".real")


def test_promise_that_the_target_is_zero_is_believed(serve, source, new):
    """A server that cannot tell holes, nor clear anything, and says so when asked to."""
    with open(new, "wb") as f:
        f.truncate(VOLUME.size)
    server = serve("--filter=noextents", "--filter=error", "file", new, "error=EIO",
                   "error-zero-rate=100%", "error-trim-rate=100%")
    copy(source, server.uri(), within=SOON).must_fail("target")
    copy(source, server.uri(), "--target-is-zero", within=SOON).must_succeed()
    VOLUME.must_be_in(new)


# What is refused, before anything is changed

REFUSED = {
    "itself": ("source", "are the same"),
    "a hard link to it": ("link", "are the same"),
    "a symbolic link to it": ("symlink", "are the same"),
    "a directory": ("directory", "is a directory"),
    "a pipe": ("pipe", "neither a regular file nor a block device"),
    "a character device": ("/dev/null", "neither a regular file nor a block device"),
    "a socket": ("socket", "neither a regular file nor a block device"),
    "in no directory": ("nowhere/target", "No such file or directory"),
    "below a file": ("source/target", "Not a directory"),
    "a link to nothing": ("dangling", "File exists"),
}


@pytest.fixture
def oddities(place, source):
    os.link(source, os.path.join(place, "link"))
    os.symlink(source, os.path.join(place, "symlink"))
    os.symlink("nothing", os.path.join(place, "dangling"))
    os.mkdir(os.path.join(place, "directory"))
    os.mkfifo(os.path.join(place, "pipe"))
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(os.path.join(place, "socket"))
    return place


@pytest.mark.parametrize("what", REFUSED)
def test_target_is_refused(what, oddities, source):
    name, words = REFUSED[what]
    before = sorted(os.listdir(oddities))
    copy(source, os.path.join(oddities, name), within=SOON).must_fail(words, name)
    VOLUME.must_be_in(source)
    assert sorted(os.listdir(oddities)) == before


@pytest.mark.parametrize("name, words", [
    ("directory", "is a directory"), ("pipe", "neither a regular"), ("/dev/null", "neither"),
    ("dangling", "No such file"), ("missing", "No such file")])
def test_source_is_refused(name, words, oddities, new):
    copy(os.path.join(oddities, name), new, within=SOON).must_fail("source", name, words)
    assert not os.path.exists(new)


def test_server_is_not_copied_to_itself(serve, source):
    uri = serve("file", source).uri()
    copy(uri, uri, within=SOON).must_fail("are the same")


def test_target_that_is_too_small_is_refused(serve, source, new):
    server = serve("file", write_old(new, VOLUME.size - 512))
    copy(source, server.uri(), within=SOON).must_fail(
        "target", str(VOLUME.size), str(VOLUME.size - 512), "at least as large")


def test_device_in_use_is_refused(source, new):
    """Somebody has it for himself, as a mount has."""
    if impossible_because():
        pytest.skip("skipped, because " + impossible_because())
    loop = Loop(write_old(new, VOLUME.size))
    held = os.open(loop.path, os.O_RDONLY | os.O_EXCL)
    copy(source, loop.path, within=SOON).must_fail("in use", loop.path)
    os.close(held)
    loop.close()


def test_file_that_may_not_be_so_large_is_not_left_behind(source, new):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, MIB))

    done = run(source, new, preexec_fn=limit)
    assert done.returncode == 1
    assert "File too large" in done.stderr and "target" in done.stderr
    assert not os.path.exists(new)


# Usage

WRONG = [
    ([], "SOURCE and TARGET are needed"),
    (["a"], "SOURCE and TARGET are needed"),
    (["a", "b", "c"], "more than two"),
    (["--rat=5M", "a", "b"], "is '--rate' meant"),
    (["--frobnicate", "a", "b"], "--frobnicate"),
    (["--rate", "a"], "--rate"),
    (["--rate"], "'--rate' needs a value"),
    (["--rate=1X", "a", "b"], "1X"),
    (["--rate=-1", "a", "b"], "-1"),
    (["--rate=", "a", "b"], "--rate"),
    (["--rate=9000000T", "a", "b"], "too many bytes"),
    (["--rate=99999999999999999999", "a", "b"], "--rate"),
    (["--verify=sometimes", "a", "b"], "sometimes"),
    (["--no-clone=yes", "a", "b"], "takes no value"),
    (["--progress-fd=77", "a", "b"], "77 is not open"),
    (["--control-fd=x", "a", "b"], "--control-fd"),
    (["--checkpoint=", "a", "b"], "--checkpoint"),
    (["--checkpoint-bytes=2G", "a", "b"], "2G"),
    (["--checkpoint-bytes=0", "a", "b"], "--checkpoint-bytes"),
    (["--checkpoint-seconds=0", "a", "b"], "--checkpoint-seconds"),
    (["--deadline=nan", "a", "b"], "--deadline"),
    (["--deadline=-1", "a", "b"], "--deadline"),
    (["--retry=-1", "a", "b"], "--retry"),
    (["--resume", "a", "b"], "--checkpoint=FILE"),
    (["ftp://host/x", "b"], "ftp://host/x"),
    (["a", "x" * 5000], "too long"),
    (["", "b"], "not a path"),
]


@pytest.mark.parametrize("argv, words", WRONG, ids=lambda w: str(w)[:40])
def test_wrong_usage_is_status_2_and_one_line(argv, words, place):
    done = run(*argv, cwd=place)
    assert done.returncode == 2
    assert words in done.stderr and done.stderr.count("\n") == 1
    assert done.stderr.startswith("drover-copy: ")
    assert os.listdir(place) == []


def test_help_names_every_option_and_version_the_version():
    done = run("a", "--help")
    assert done.returncode == 0 and not done.stderr
    for name in ("verify", "no-clone", "target-is-zero", "rate", "control-fd", "progress-fd",
                 "no-progress", "quiet", "json", "checkpoint", "resume", "checkpoint-bytes",
                 "checkpoint-seconds", "deadline", "retry", "no-uring", "help", "version"):
        assert f"--{name}" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert run("--version").stdout.startswith("drover-copy ")


def test_options_stand_anywhere_and_two_dashes_end_them(place, source):
    done = run("source", "--quiet", "--", "--rate", cwd=place)
    assert done.returncode == 0, done.stderr
    VOLUME.must_be_in(os.path.join(place, "--rate"))


# What it says

def test_summary_is_a_line_for_people_and_an_object_for_programs(source, new):
    done = copy(source, new, "--no-clone", within=SOON).must_succeed()
    summary = done.summary
    assert summary["source"] == source and summary["target"] == new
    assert summary["size"] == VOLUME.size == summary["copied"] + summary["skipped"]
    assert summary["verified"] in ("storage", "cache")
    assert len(summary["receipt"]) == 32 and summary["receipt"] in done.err
    assert summary["seconds"] > 0 and summary["left_alone"] == 0 == summary["losses"]
    assert "verified: read back" in done.err and done.err.count("\n") == 1


def test_quiet_says_nothing(source, new):
    done = run("--quiet", source, new)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_is_read_back_when_told_so(source, new):
    done = copy(source, new, "--no-clone", "--verify=none", within=SOON).must_succeed()
    VOLUME.must_be_in(new)
    assert done.summary["verified"] == "none" and done.summary["receipt"] is None
    assert "not verified" in done.err and "receipt" not in done.err


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_server_as_target_is_verified_through_the_server(tcp, serve, source, new):
    server = serve("file", write_old(new, VOLUME.size), tcp=tcp)
    done = copy(source, server.uri(), within=SOON).must_succeed()
    VOLUME.must_be_in(new)
    assert done.summary["verified"] == "server"
    assert "through the server, whose cache may have answered" in done.err


def test_receipt_is_the_same_on_all_routes(serve, source, new):
    routes = [(source, new), (source, serve("file", write_old(new + "2", VOLUME.size)).uri()),
              (serve("file", source).uri(), new + "3")]
    receipts = {copy(*ends, "--no-clone", *more, within=SOON).must_succeed().summary["receipt"]
                for ends in routes for more in ((), ("--no-uring",))}
    assert len(receipts) == 1


def test_summary_that_nobody_takes_is_an_error(source, new):
    with open("/dev/full", "w") as full:
        done = subprocess.run([program(), "--json", source, new], stdout=full, timeout=SOON,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert "cannot write the summary" in done.stderr


# Sharing blocks

@pytest.fixture
def xfs():
    """A file system that can share blocks."""
    if os.getuid() != 0 or impossible_because():
        pytest.skip("skipped, because mounting needs root and a loop device")
    base = processes.temporary_directory("drover-xfs-")
    image, point = os.path.join(base, "image"), os.path.join(base, "m")
    os.mkdir(point)
    with open(image, "wb") as f:
        f.truncate(400 * MIB)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, point], stderr=subprocess.PIPE)
    if done.returncode:
        processes.remove_directory(base)
        pytest.skip("skipped, because this machine cannot mount xfs")
    yield point
    subprocess.run(["umount", "-l", point], check=False)
    processes.remove_directory(base)


@pytest.mark.parametrize("verify", ["readback", "none"])
def test_blocks_are_shared_where_that_is_possible(verify, xfs):
    source = VOLUME.write(os.path.join(xfs, "source"))
    target = write_old(os.path.join(xfs, "target"), VOLUME.size + 5)
    done = copy(source, target, f"--verify={verify}", within=SOON).must_succeed()
    VOLUME.must_be_in(target)
    assert done.summary["cloned"] is True and done.summary["copied"] == 0
    assert done.summary["verified"] == ("shared" if verify == "readback" else "none")
    assert "cloned" in done.err


def test_blocks_are_not_shared_when_told_so(xfs):
    source, target = VOLUME.write(os.path.join(xfs, "source")), os.path.join(xfs, "target")
    done = copy(source, target, "--no-clone", within=SOON).must_succeed()
    VOLUME.must_be_in(target)
    assert done.summary["cloned"] is False and done.summary["copied"] > 0
