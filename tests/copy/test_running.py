# SPDX-License-Identifier: Apache-2.0
"""A copy under way: how far it says it is, on a terminal and to a program, and the orders
and signals that it takes."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import time

import pytest

import processes
from shapes import MIB, Copying, Shape, copy, program

VOLUME = Shape("running", 12 * MIB + 5, [(0, 4 * MIB, True), (6 * MIB, 6 * MIB + 5, True)])
SLOWLY = "--rate=5M"
SOON = 40


@pytest.fixture
def source(place):
    return VOLUME.write(os.path.join(place, "source"))


@pytest.fixture
def target(place):
    return os.path.join(place, "target")


class Followed:
    """A copy whose progress is read and to which orders are given."""

    def __init__(self, source, target, *options):
        self._in, inner = os.pipe()
        orders, self._out = os.pipe()
        self.copying = Copying(source, target, f"--progress-fd={inner}",
                               f"--control-fd={orders}", "--no-clone", *options,
                               pass_fds=(inner, orders))
        os.close(inner)
        os.close(orders)
        self.events, self._rest = [], b""

    def order(self, text):
        os.write(self._out, text.encode())

    def hang_up(self):
        os.close(self._out)
        self._out = None

    def read(self, seconds):
        """The events of the next so many seconds; False: there will be no more."""
        end = time.monotonic() + seconds
        while select.select([self._in], [], [], max(0, end - time.monotonic()))[0]:
            piece = os.read(self._in, 65536)
            if not piece:
                return False
            *lines, self._rest = (self._rest + piece).split(b"\n")
            self.events += [(time.monotonic(), json.loads(line)) for line in lines]
        return True

    @property
    def position(self):
        return self.events[-1][1]["position"] if self.events else 0

    def wait_for(self, position):
        processes.wait_for(lambda: not self.read(0.05) or self.position >= position, SOON,
                           f"position {position}", every=0)
        assert self.copying.process.poll() is None, str(self.copying.wait())

    def wait(self):
        while self.read(1):
            assert self.events
        done = self.copying.wait(SOON)
        for fd in (self._in, self._out):
            if fd is not None:
                os.close(fd)
        return done


@pytest.fixture
def followed(source, target):
    def start(*options):
        return Followed(source, target, *options)

    return start


# What is said

def test_progress_never_goes_back_and_comes_twice_a_second_at_most(followed):
    copying = followed(SLOWLY)
    done = copying.wait().must_succeed()
    seen = [event for _, event in copying.events]
    progress, last = seen[:-1], seen[-1]
    assert len(progress) >= 3 and {e["event"] for e in progress} == {"progress"}
    assert len(progress) <= 2 * done.seconds + 1
    for key in ("position", "verified", "copied", "skipped"):
        values = [event[key] for event in progress]
        assert values == sorted(values), key
    for event in progress:
        assert event["total"] == VOLUME.size >= event["position"] >= event["verified"]
        assert event["copied"] + event["skipped"] <= VOLUME.size
        assert event["eta_seconds"] is None or event["eta_seconds"] >= 0
        assert event["rate"] >= 0
    assert set(progress[0]) == {"event", "total", "position", "verified", "copied",
                                "skipped", "rate", "eta_seconds"}
    assert last["event"] == "done" and last["error"] is None
    assert last["position"] == last["total"] == VOLUME.size
    for key in ("receipt", "verified", "copied", "skipped", "seconds"):
        assert last[key] == done.summary[key]


def test_rate_is_kept(source, target):
    """12 MiB less the hole, of which what fits into its buffers may be ahead."""
    done = copy(source, target, "--no-clone", "--rate=5M", within=SOON).must_succeed()
    assert done.summary["seconds"] > 1


def test_last_event_of_a_failure_says_why(followed, target):
    os.mkdir(target)
    copying = followed()
    done = copying.wait().must_fail("is a directory")
    assert [event["event"] for _, event in copying.events] == ["failed"]
    event = copying.events[0][1]
    assert "is a directory" in event["error"] and event["receipt"] is None
    assert event["error"] in done.err and event["code"] == "invalid_input"


def pipe_of(size):
    """A pipe that is full."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size)
    os.set_blocking(writing, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writing, b"x" * 512)
    os.set_blocking(writing, True)
    return reading, writing


@pytest.mark.parametrize("reader", ["gone", "asleep", "asleep at a socket"])
def test_reader_that_does_not_read_holds_nobody(reader, source, target):
    if reader == "asleep at a socket":
        ours, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        fds = [ours.detach(), theirs.detach()]
    else:
        fds = list(pipe_of(4096))
    if reader == "gone":
        os.close(fds.pop(0))
    copying = Copying(source, target, SLOWLY, f"--progress-fd={fds[-1]}", pass_fds=fds[-1:])
    copying.wait(SOON).must_succeed()
    VOLUME.must_be_in(target)
    for fd in fds:
        os.close(fd)


def test_descriptor_of_the_reader_stays_blocking(source, target):
    reading, writing = os.pipe()
    Copying(source, target, f"--progress-fd={writing}", pass_fds=(writing,)).wait(SOON)
    assert os.get_blocking(writing)
    os.close(reading)
    os.close(writing)


# A terminal

def shown(source, target, *options, **env):
    """What a terminal gets on standard error."""
    screen, terminal = pty.openpty()
    process = processes.spawn(
        [program(), "--no-clone", *options, source, target], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=terminal,
        env={**os.environ, "TERM": "xterm", **env})
    os.close(terminal)
    text = b""
    try:
        while piece := os.read(screen, 4096):
            text += piece
    except OSError:  # EIO: nobody has the other end any more
        pass
    os.close(screen)
    assert process.wait(SOON) == 0, text
    return text.decode()


BAR = re.compile(r"\r\x1b\[K\[([#-]{20})\] ([ \d]{3})%  [\d.]+ \w+ of 12\.0 MiB")


def test_terminal_shows_a_bar(source, target):
    text = shown(source, target, SLOWLY)
    bars = BAR.findall(text)
    assert len(bars) >= 3
    for cells, percent in bars:
        assert cells.count("#") == 20 * int(percent) // 100
        assert cells == "#" * cells.count("#") + "-" * cells.count("-")
    assert [int(p) for _, p in bars] == sorted(int(p) for _, p in bars)
    assert re.search(r"[\d.]+ MiB/s  \d+:\d\d left", text)
    assert re.search(r"\r\ndrover-copy: copied 12\.0 MiB in ", text)


@pytest.mark.parametrize("options, env", [
    (["--no-progress"], {}), (["--quiet"], {}), ([], {"TERM": "dumb"})])
def test_no_bar_where_none_is_wanted(options, env, source, target):
    text = shown(source, target, SLOWLY, *options, **env)
    assert "%" not in text and "\x1b" not in text
    assert ("copied" in text) == ("--quiet" not in options)


# Orders

def test_paused_copy_stands_still_until_it_goes_on(followed):
    copying = followed(SLOWLY)
    copying.wait_for(MIB)
    copying.order("pause\n")
    copying.read(1.0)  # followed within half a second
    before = copying.position
    copying.read(1.5)
    assert copying.position == before < VOLUME.size
    assert copying.copying.process.poll() is None
    copying.order("rate 0\ncontinue\n")
    copying.wait().must_succeed()
    VOLUME.must_be_in(copying.copying.argv[-1])


def test_rate_is_changed_on_the_way(followed):
    copying = followed("--rate=1")
    copying.read(2)
    assert copying.position < 4 * MIB
    copying.order("rate 1G\n")
    done = copying.wait().must_succeed()
    # At one byte per second nobody would see the end.
    assert done.summary["copied"] > 0


def test_cancel_ends_it_with_status_1(followed):
    copying = followed(SLOWLY)
    copying.wait_for(MIB)
    began = time.monotonic()
    copying.order("cancel\n")
    done = copying.wait()
    assert done.status == 1 and time.monotonic() - began < 5
    assert re.search(r"cancelled at offset \d+", done.err) and "--checkpoint=FILE" in done.err
    assert copying.events[-1][1]["code"] == "cancelled"


def test_orders_not_understood_are_answered_and_nothing_else(followed):
    copying = followed(SLOWLY)
    copying.order("faster\nrate\nrate 1X\nrate -1\n\n" + "x" * 5000 + "\nrate \x1b[31m\n"
                  "pause now\nPAUSE\nrate 0\n")
    done = copying.wait().must_succeed()
    *answers, summary = done.err.splitlines()
    assert len(answers) == 8, done.err
    assert all(line.startswith("drover-copy: control: ") for line in answers)
    assert answers[4].endswith("too long") and "\x1b" not in done.err
    assert "copied" in summary


def test_half_an_order_is_none(followed):
    copying = followed(SLOWLY)
    copying.wait_for(MIB)
    copying.order("cancel")
    copying.hang_up()
    copying.wait().must_succeed()


# Signals

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
def test_signal_ends_it_soon(number, paused, followed):
    copying = followed(SLOWLY)
    copying.wait_for(MIB)
    if paused:
        copying.order("pause\n")
        copying.read(1)
    began = time.monotonic()
    copying.copying.process.send_signal(number)
    done = copying.wait()
    assert done.status == 128 + number and time.monotonic() - began < 5
    assert re.search(rf"by {number.name} at offset \d+", done.err)
    assert "hint: with --checkpoint=FILE" in done.err


@pytest.fixture
def silent_server(place):
    """The URI of a server that takes a connection and says nothing; a call waits for it."""
    path = os.path.join(place, "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        clients = []
        yield f"nbd+unix:///?socket={path}", lambda: clients.append(server.accept())
        for client, _ in clients:
            client.close()


def test_signal_while_a_server_does_not_answer(silent_server, target):
    uri, await_client = silent_server
    copying = Copying(uri, target)
    await_client()
    copying.process.send_signal(signal.SIGTERM)
    done = copying.wait(5)
    assert done.status == 128 + signal.SIGTERM, str(done)
    assert "nothing was changed" in done.err and not os.path.exists(target)


def test_cancel_while_a_server_does_not_answer(silent_server, target):
    uri, await_client = silent_server
    copying = Followed(uri, target)
    await_client()
    copying.order("cancel\n")
    done = copying.wait().must_fail("nothing was changed")
    assert done.seconds < 10 and not os.path.exists(target)
    assert [event["code"] for _, event in copying.events] == ["cancelled"]
