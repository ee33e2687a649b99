# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on either side: the command ends by itself, not with success, and one
sentence names the side and the offset. What can be survived is survived."""
import json
import os
import re
import shutil
import socket
import subprocess

import pytest

from endpoints import at, fails_at, script
from fixtures import IN_DATA, IN_HOLE, SOON, VOLUME
from fixtures import new, old, source  # noqa: F401
from shapes import MIB, OLD, Copying, copy, write_old

HANG = "sleep 100"


def must_name(done, offset, grain=MIB):
    """The offset of the request that failed, which covers this one."""
    assert offset - grain < done.offset() <= offset, str(done)


# Errors of one request

@pytest.mark.parametrize("verify", ["readback", "none"])
def test_source_cannot_be_read_at_an_offset(verify, serve, source, new):
    server = serve(*script(source, pread=fails_at(IN_DATA)))
    done = copy(server.uri(), new, f"--verify={verify}", within=SOON)
    must_name(done.must_fail("source", "Input/output error"), IN_DATA)


@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("error,words", [("EIO", "Input/output error"),
                                         ("ENOSPC", "No space left"),
                                         ("EPERM", "not permitted")])
def test_target_cannot_be_written_at_an_offset(error, words, verify, serve, source, old):
    server = serve(*script(old, pwrite=fails_at(IN_DATA, error)))
    done = copy(source, server.uri(), f"--verify={verify}", within=SOON)
    must_name(done.must_fail("target", words), IN_DATA)


def test_target_cannot_be_cleared_at_an_offset(serve, source, old):
    """A hole is cleared in one step, which begins where the hole does."""
    server = serve(*script(old, zero=fails_at(IN_HOLE), trim=fails_at(IN_HOLE)))
    done = copy(source, server.uri(), within=SOON)
    must_name(done.must_fail("target", "Input/output error"), IN_HOLE)


@pytest.mark.parametrize("verify", ["readback", "none"])
def test_target_cannot_be_flushed(verify, serve, source, old):
    server = serve(*script(old, flush="echo EIO broken >&2; exit 1"))
    copy(source, server.uri(), f"--verify={verify}", within=SOON).must_fail(
        "target", "flush", "Input/output error")


def test_target_cannot_be_read_back_at_an_offset(serve, source, old):
    server = serve(*script(old, pread=fails_at(IN_DATA)))
    done = copy(source, server.uri(), within=SOON)
    must_name(done.must_fail("target", "Input/output error"), IN_DATA)


def test_source_cannot_tell_its_extents(serve, source, new):
    """Either it says so or all of it is read."""
    server = serve(*script(source, extents="echo EIO broken >&2; exit 1"))
    done = copy(server.uri(), new, within=SOON)
    done.must_be_clean()
    if done.status == 0:
        VOLUME.must_be_in(new)
    else:
        done.must_fail("source", "Input/output error")


def test_target_cannot_clear_so_zeroes_are_written(serve, source, old):
    server = serve(*script(old, zero="echo ENOTSUP no >&2; exit 1",
                           trim="echo ENOTSUP no >&2; exit 1"))
    copy(source, server.uri(), within=SOON).must_succeed()
    VOLUME.must_be_in(old)


def test_target_is_full_at_once(serve, source):
    server = serve("full", str(VOLUME.size))
    copy(source, server.uri(), within=SOON).must_fail("target", "No space left", "offset")


@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("way", [(), ("--no-uring",)])
def test_file_system_of_the_target_is_full(way, verify, place, source):
    if os.getuid() != 0:
        pytest.skip("skipped, because mounting needs root")
    point = os.path.join(place, "small")
    os.mkdir(point)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", point], check=True)
    done = copy(source, f"{point}/target", f"--verify={verify}", *way, within=SOON)
    done.must_fail("target", "No space left")
    # Of several writes under way any one may be the first to find it full.
    assert done.offset() < VOLUME.size, str(done)


# Servers that do not answer

@pytest.mark.parametrize("request_,where", [
    ("pread", IN_DATA), ("pwrite", IN_DATA), ("zero", IN_HOLE)])
def test_server_hangs_at_an_offset(request_, where, serve, place, source, old):
    hanging = {request_: at(where, HANG)}
    if request_ == "zero":
        hanging["trim"] = hanging["zero"]
    is_source = request_ == "pread"
    server = serve(*script(source if is_source else old, **hanging))
    ends = (server.uri(), old) if is_source else (source, server.uri())
    done = copy(*ends, "--deadline=1", "--retry=0", within=SOON)
    done.must_fail("source" if is_source else "target")
    must_name(done, where)


def test_server_that_always_hangs_there_is_given_up(serve, source, old):
    """It can be connected to again, which is no progress."""
    server = serve(*script(source, pread=at(IN_DATA, HANG)))
    done = copy(server.uri(), old, "--deadline=1", "--retry=3", within=SOON)
    done.must_fail("source", said_before=True)


@pytest.mark.parametrize("request_", ["flush", "pread"])
def test_target_hangs_after_the_writes(request_, serve, source, old):
    hanging = HANG if request_ == "flush" else at(IN_DATA, HANG)
    server = serve(*script(old, **{request_: hanging}))
    copy(source, server.uri(), "--deadline=1", "--retry=0", within=SOON).must_fail("target")


@pytest.mark.parametrize("side", ["source", "target"])
def test_server_accepts_and_says_nothing(side, place, source, old):
    path = os.path.join(place, "silent")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(64)
        uri = f"nbd+unix:///?socket={path}"
        ends = (uri, old) if side == "source" else (source, uri)
        copy(*ends, "--deadline=1", "--retry=0", within=SOON).must_fail(side)


@pytest.mark.parametrize("side", ["source", "target"])
def test_there_is_no_server(side, place, source, old):
    uri = f"nbd+unix:///?socket={place}/nobody"
    ends = (uri, old) if side == "source" else (source, uri)
    copy(*ends, within=SOON).must_fail(side, "nobody")


# Servers that go away

class Watched:
    """A copy at a moderate rate whose progress is read."""

    def __init__(self, source, target, *options):
        self._pipe, inner = os.pipe()
        self.copying = Copying(source, target, "--rate=2M", f"--progress-fd={inner}",
                               "--checkpoint-bytes=1M", *options, pass_fds=(inner,))
        os.close(inner)
        self._lines = os.fdopen(self._pipe)

    def wait_for(self, position):
        for line in self._lines:
            if json.loads(line).get("position", 0) >= position:
                return
        raise AssertionError(str(self.copying.wait()))

    def wait(self, within=SOON):
        """The pipe holds what is left of the progress."""
        done = self.copying.wait(within)
        self._lines.close()
        return done


def watched_ends(side, tcp, serve, source, old):
    server = serve("file", source if side == "source" else old, tcp=tcp)
    return server, ((server.uri(), old) if side == "source" else (source, server.uri()))


@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_server_dies_and_comes_back(side, tcp, verify, serve, place, source, old):
    server, ends = watched_ends(side, tcp, serve, source, old)
    watched = Watched(*ends, "--retry=30", f"--verify={verify}")
    for position in (MIB, 3 * MIB):
        watched.wait_for(position)
        server.kill()
        server.start()
    done = watched.wait().must_succeed()
    VOLUME.must_be_in(old)
    assert done.summary["losses"] >= 2 and side in done.err, str(done)
    # What was copied twice counts twice.
    assert done.summary["copied"] + done.summary["skipped"] >= VOLUME.size, str(done)
    if verify == "readback":
        plain = copy(source, os.path.join(place, "again"), "--no-clone").must_succeed()
        assert done.summary["receipt"] == plain.summary["receipt"]


@pytest.mark.parametrize("retry", [0, 1])
@pytest.mark.parametrize("side", ["source", "target"])
def test_server_dies_for_good(side, retry, serve, source, old):
    server, ends = watched_ends(side, False, serve, source, old)
    watched = Watched(*ends, f"--retry={retry}")
    watched.wait_for(MIB)
    server.kill()
    done = watched.wait().must_fail(side, said_before=retry > 0)
    # Of a request that was not answered: a write, a flush, or one for reading back, which
    # comes behind what is reported as copied.
    assert re.search(r"(went away|is ending) at offset \d+: .+", done.sentences[0]), str(done)


# Targets that lie

LIES = {
    "flips": (IN_DATA, {"pwrite": ""}),
    "drops": (IN_DATA, {"pwrite": at(IN_DATA, "cat >/dev/null; exit 0")}),
    "keeps": (IN_HOLE, {"zero": at(IN_HOLE, "exit 0"), "trim": at(IN_HOLE, "exit 0")}),
}


def lying_server(lie, serve, file):
    where, methods = LIES[lie]
    arguments = script(file, **methods)
    if lie == "flips":
        # No byte of the volume's data is zero.
        flip = at(where, f"printf '\\0' | dd of='{file}' bs=1 seek={where} conv=notrunc"
                         " status=none")
        arguments = [a + f"\n{flip}" if a.startswith("pwrite=") else a for a in arguments]
    return where, serve(*arguments)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_by_reading_back(lie, serve, source, old):
    where, server = lying_server(lie, serve, old)
    done = copy(source, server.uri(), within=SOON).must_fail("target", "differs")
    assert done.offset() // MIB == where // MIB and done.offset() <= where, str(done)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_believed_when_nothing_is_read_back(lie, serve, source, old):
    """Or else the test above would show nothing."""
    where, server = lying_server(lie, serve, old)
    copy(source, server.uri(), "--verify=none", within=SOON).must_succeed()
    with open(old, "rb") as f:
        f.seek(where)
        assert f.read(1) != VOLUME.content()[where:where + 1]


def test_target_that_checks_what_is_written(serve, place, source):
    """Writes and clearings of nothing but what the source holds."""
    server = serve("--filter=checkwrite", "file",
                   shutil.copy(source, os.path.join(place, "same")))
    copy(source, server.uri(), within=SOON).must_succeed()
    other = serve("--filter=checkwrite", "file",
                  write_old(os.path.join(place, "other"), VOLUME.size))
    copy(source, other.uri(), within=SOON).must_fail("target", "offset", "Input/output error")


# Volumes that are not what they were

@pytest.mark.parametrize("way", [(), ("--no-uring",)])
def test_source_shrinks(way, source, new):
    watched = Watched(source, new, *way)
    watched.wait_for(MIB)
    os.truncate(source, 5 * MIB + 100)
    watched.wait().must_fail("source")


def test_source_is_written_to(source, new):
    watched = Watched(source, new)
    watched.wait_for(MIB)
    with open(source, "r+b") as f:
        f.write(b"later")
    watched.wait().must_fail("source", "chang")


def test_source_server_shrinks(serve, source, new):
    """What it does not have any more it cannot send. Of several requests for that any one
    may be the first to fail."""
    server = serve("file", source)
    watched = Watched(server.uri(), new, "--retry=1")
    watched.wait_for(MIB)
    os.truncate(source, 5 * MIB + 100)
    done = watched.wait().must_fail("source", said_before=True)
    assert done.offset() > 4 * MIB, str(done)


@pytest.mark.parametrize("short", [1, 512, 4 * MIB])
def test_target_is_too_small(short, serve, source, old):
    os.truncate(old, VOLUME.size - short)
    server = serve("file", old)
    copy(source, server.uri(), within=SOON).must_fail(
        "target", str(VOLUME.size - short), str(VOLUME.size))
    with open(old, "rb") as f:
        assert f.read() == bytes([OLD]) * (VOLUME.size - short)


@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("target", ["new", "old", "server"])
def test_nothing_is_copied_completely(target, verify, serve, place, source, old):
    """A volume of no bytes is a volume."""
    os.truncate(source, 0)
    if target == "new":
        os.unlink(old)
    to = serve("file", old).uri() if target == "server" else old
    copy(source, to, f"--verify={verify}", within=SOON).must_succeed()
    assert os.path.getsize(old) == (VOLUME.size if target == "server" else 0)
