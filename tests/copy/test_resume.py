# SPDX-License-Identifier: Apache-2.0
"""Checkpoint files: what was copied is not copied again, and nothing else goes on. Servers
that are lost: the copy goes on by itself."""
import os
import re
import signal
import time

import pytest

import processes
from faulty_disk import Loop, impossible_because
from shapes import MIB, Copying, Shape, copy, write_old

# All data, so that bytes copied are bytes of position.
VOLUME = Shape("resumed", 9 * MIB + 777, [(0, 9 * MIB + 777, True)])
INTERVAL = MIB
SLOWLY = ("--rate=3M", f"--checkpoint-bytes={INTERVAL}")
SOON = 40


@pytest.fixture
def source(place):
    return VOLUME.write(os.path.join(place, "source"))


@pytest.fixture
def target(place):
    return os.path.join(place, "target")


@pytest.fixture
def file(place):
    return os.path.join(place, "checkpoint")


def offset_in(file):
    """Of a checkpoint that may be written at this moment; -1: there is none."""
    try:
        with open(file) as f:
            return int(re.search(r"^offset (\d+)$", f.read(), re.M).group(1))
    except FileNotFoundError:
        return -1


def started(source, target, file, *options, at=3 * MIB):
    """A copy that has come so far."""
    copying = Copying(source, target, f"--checkpoint={file}", "--no-clone", *SLOWLY, *options)
    processes.wait_for(lambda: offset_in(file) >= at or copying.process.poll() is not None,
                       SOON, f"a checkpoint at {at}", every=0.01)
    assert copying.process.poll() is None, str(copying.wait())
    return copying


def killed(source, target, file, *options, at=3 * MIB):
    """What a copy leaves that was killed there: the offset of its checkpoint."""
    copying = started(source, target, file, *options, at=at)
    copying.process.send_signal(signal.SIGKILL)
    copying.process.communicate()
    return offset_in(file)


def resume(source, target, file, *options):
    return copy(source, target, f"--checkpoint={file}", "--no-clone", *options, within=SOON)


def must_have_gone_on(done, offset):
    done.must_succeed()
    assert done.summary["resumed_from"] == offset >= 3 * MIB
    assert done.summary["copied"] == VOLUME.size - offset
    assert "were copied before" in done.err


# Killed, and begun again

@pytest.mark.parametrize("verify", ["readback", "none"])
def test_files_go_on_by_themselves(verify, place, source, target, file):
    offset = killed(source, target, file, f"--verify={verify}")
    done = resume(source, target, file, f"--verify={verify}")
    must_have_gone_on(done, offset)
    VOLUME.must_be_in(target)
    assert sorted(os.listdir(place)) == ["source", "target"]
    if verify == "readback":
        whole = copy(source, target + "2", "--no-clone", within=SOON).must_succeed()
        assert done.summary["receipt"] == whole.summary["receipt"]


def test_little_is_copied_again_whenever_it_dies(source, target, file):
    """The interval that is being copied, and the one before while it is read back; besides
    a chunk that is being written."""
    copying = started(source, target, file, at=MIB)
    behind, offset = [], 0
    while offset < 8 * MIB and copying.process.poll() is None:
        offset = offset_in(file)
        behind.append(os.stat(target).st_blocks * 512 - offset)
        time.sleep(0.01)
    copying.process.kill()
    copying.process.communicate()
    assert len(behind) > 20 and max(behind) <= 2 * INTERVAL + MIB, behind


def test_killed_again_and_again_it_ends(source, target, file):
    offsets = [killed(source, target, file, at=at) for at in (2 * MIB, 4 * MIB, 6 * MIB)]
    assert offsets == sorted(offsets)
    must_have_gone_on(resume(source, target, file), offsets[-1])
    VOLUME.must_be_in(target)


@pytest.mark.parametrize("side", ["source", "target", "device"])
def test_devices_and_servers_go_on_only_when_told(side, serve, source, target, file):
    if side == "device" and impossible_because():
        pytest.skip("skipped, because " + impossible_because())
    size = VOLUME.padded(512).size
    loop = Loop(write_old(target, size)) if side == "device" else None
    ends = {"source": lambda: (serve("file", source).uri(), target),
            "target": lambda: (source, serve("file", write_old(target, size)).uri()),
            "device": lambda: (source, loop.path)}[side]()
    offset = killed(*ends, file)
    resume(*ends, file).must_fail("--resume", str(offset), re.escape(file))
    assert offset_in(file) == offset
    must_have_gone_on(resume(*ends, file, "--resume"), offset)
    assert not os.path.exists(file)
    if loop:
        loop.close()
    with open(target, "rb") as f:
        assert f.read(VOLUME.size) == VOLUME.content()


def test_resume_without_a_checkpoint_begins(source, target, file):
    done = resume(source, target, file, "--resume").must_succeed()
    assert done.summary["resumed_from"] == 0 and done.summary["copied"] == VOLUME.size
    assert not os.path.exists(file)


def test_signal_tells_how_to_go_on(source, target, file):
    copying = started(source, target, file)
    copying.process.send_signal(signal.SIGTERM)
    done = copying.wait(SOON)
    offset = offset_in(file)
    assert done.status == 128 + signal.SIGTERM
    assert re.search(r"SIGTERM at offset \d+", done.err)
    assert f"hint: the same command goes on from offset {offset}" in done.err
    must_have_gone_on(resume(source, target, file), offset)


# What does not go on

def touch_source(source, target):
    os.utime(source, ns=(1, 1))


def grow_source(source, target):
    os.truncate(source, VOLUME.size + 512)


def replace_source(source, target):
    VOLUME.write(source + "2")
    os.rename(source + "2", source)


def remove_target(source, target):
    os.unlink(target)


def replace_target(source, target):
    write_old(target + "2", VOLUME.size)
    os.rename(target + "2", target)


def cut_target(source, target):
    os.truncate(target, VOLUME.size - 1)


@pytest.mark.parametrize("change, words", [
    (touch_source, "source.*was written to since"),
    (grow_source, f"source.*{VOLUME.size + 512}.*{VOLUME.size}"),
    (replace_source, "source.*another file"),
    (remove_target, "target.*does not exist"),
    (replace_target, "target.*another file"),
    (cut_target, "target.*bytes now"),
])
def test_other_volumes_do_not_go_on(change, words, source, target, file):
    offset = killed(source, target, file)
    change(source, target)
    before = os.path.exists(target) and os.stat(target).st_mtime_ns
    resume(source, target, file).must_fail(words, "remove the checkpoint file", file)
    assert offset_in(file) == offset
    assert (os.path.exists(target) and os.stat(target).st_mtime_ns) == before
    os.unlink(file)
    resume(source, target, file).must_succeed()


def test_another_command_does_not_go_on(place, source, target, file):
    killed(source, target, file)
    other = VOLUME.write(os.path.join(place, "other"))
    resume(other, target, file).must_fail("it is of a copy from", source)
    resume(source, target + "2", file).must_fail("target2.*does not exist")
    resume(source, target, file, "--verify=none").must_fail("--verify=readback")
    resume(source, target, file).must_succeed()


def test_two_copies_do_not_share_a_checkpoint(source, target, file):
    copying = started(source, target, file)
    resume(source, target, file).must_fail("in use by another copy", file)
    resume(source, target + "2", file).must_fail("in use by another copy")
    copying.process.kill()
    copying.process.communicate()
    assert not os.path.exists(target + "2")


def test_damaged_checkpoint_is_refused_and_kept(source, target, file):
    killed(source, target, file)
    with open(file, "rb") as f:
        text = f.read()
    places = range(0, len(text), len(text) // 12)
    for damaged in ([text[:at] for at in places]
                    + [text[:at] + bytes([text[at] ^ 4]) + text[at + 1:] for at in places]
                    + [text + b"\n", b"\0" * 100000]):
        with open(file, "wb") as f:
            f.write(damaged)
        resume(source, target, file).must_fail("checkpoint '.*': (this|it) ")
        with open(file, "rb") as f:
            assert f.read() == damaged
    with open(file, "wb") as f:
        f.write(text)
    resume(source, target, file).must_succeed()


def test_file_that_is_no_checkpoint_is_never_written(source, target):
    VOLUME.write(target)
    resume(source, target + "2", target).must_fail("not a checkpoint of drover-copy")
    VOLUME.must_be_in(target)
    assert not os.path.exists(target + "2")


def test_checkpoint_that_cannot_be_written_leaves_no_target(place, source, target):
    resume(source, target, os.path.join(place, "nowhere", "file")).must_fail("nowhere/file")
    assert not os.path.exists(target)


# Servers that are lost

def ends_with(side, serve, source, target):
    if side == "source":
        server = serve("file", source)
        return server, (server.uri(), target)
    server = serve("file", write_old(target, VOLUME.size))
    return server, (source, server.uri())


@pytest.mark.parametrize("side", ["source", "target"])
def test_lost_server_is_connected_to_again(side, serve, source, target, file):
    server, ends = ends_with(side, serve, source, target)
    copying = started(*ends, file, "--retry=30")
    server.kill()
    offset = offset_in(file)
    server.start()
    done = copying.wait(SOON).must_succeed()
    VOLUME.must_be_in(target)
    lost, found, summary = done.err.splitlines()
    assert side in lost and lost.endswith("; connecting again")
    assert f"connected again, going on from offset {offset}" in found
    assert done.summary["losses"] >= 1 and done.summary["resumed_from"] == 0
    # What was copied since the last report before the loss is not in it.
    again = done.summary["copied"] - VOLUME.size
    assert -2 * MIB <= again <= 2 * INTERVAL + MIB


def test_lost_server_is_an_error_when_it_stays_away(serve, source, target, file):
    server, ends = ends_with("target", serve, source, target)
    copying = started(*ends, file, "--retry=0.5")
    server.kill()
    done = copying.wait(SOON).must_fail("gave up after", "target", said_before=True)
    assert f"--resume goes on from offset {offset_in(file)}" in done.err


def test_lost_server_is_an_error_at_once_without_retry(serve, source, target, file):
    server, ends = ends_with("target", serve, source, target)
    copying = started(*ends, file, "--retry=0")
    server.kill()
    done = copying.wait(SOON).must_fail("target")
    assert "connecting again" not in done.err


def test_server_that_hangs_is_given_up_after_the_deadline(serve, source, target, file):
    server, ends = ends_with("target", serve, source, target)
    copying = started(*ends, file, "--retry=0", "--deadline=1")
    os.kill(server.process.pid, signal.SIGSTOP)
    done = copying.wait(SOON)
    os.kill(server.process.pid, signal.SIGCONT)
    done.must_fail("target", r"1(\.\d)? s")


def test_waiting_for_a_lost_server_is_cancelled(serve, source, target, file):
    server, ends = ends_with("target", serve, source, target)
    copying = started(*ends, file, "--retry=600")
    server.kill()
    line = copying.process.stderr.readline()
    assert "connecting again" in line
    copying.process.send_signal(signal.SIGINT)
    done = copying.wait(SOON)
    assert done.status == 128 + signal.SIGINT, str(done)
