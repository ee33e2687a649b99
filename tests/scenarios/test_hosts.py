# SPDX-License-Identifier: Apache-2.0
"""Two managers, each with a backend of its own: the bytes cross over NBD with TLS, and
whoever dies in the middle, the migration ends by itself."""
import ctypes
import os
import subprocess
import sys

import pytest

import processes
from cloud import MIB
from processes import wait_for
from test_rate import standing, worker_of

TARGET = "server2@slow#slow"


@pytest.fixture(scope="module")
def two(make_cloud):
    """A cloud whose backend "slow" belongs to a manager on server2: cloud.target."""
    cloud = make_cloud(start=False)
    cloud.start_as_two_hosts()
    yield cloud
    cloud.points.release()
    cloud.target.stop()


@pytest.fixture
def hosts(two, request):
    for daemon in (two.scheduler, two.manager, two.target):
        if not daemon.running():
            daemon.start()
    two.wait_for(lambda: {"server1@fast#fast", TARGET} <= two.pools(), 60,
                 "both pools are known")
    request.node.drover_cloud = two
    yield two
    two.points.release()


def ended_well(cloud, volume, digest, host=TARGET):
    done = cloud.finished(volume, 120)
    assert done["phase"] == "done", done["reason"]
    row = cloud.volume(volume)
    assert row["host"] == host
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert cloud.digest(volume) == digest
    cloud.leftovers()
    assert not [n for n in os.listdir(f"{cloud.tmp}/state/operations")
                if n.endswith(".psk")]
    return done


def filled(cloud, name):
    volume = cloud.create(1, name)
    cloud.fill(volume, ((0, 3 * MIB), (300 * MIB + 4096, 70000), (1023 * MIB, MIB)))
    return volume, cloud.digest(volume)


def test_a_volume_moves_there_and_back(hosts):
    volume, digest = filled(hosts, "there-and-back")
    hosts.migrate(volume, TARGET, deadline=120)
    done = ended_well(hosts, volume, digest)
    assert done["route"] == "copy" and done["copied"] < 8 * MIB
    receipt = done["digest"]
    hosts.migrate(volume, "server1@fast#fast", deadline=120)
    done = ended_well(hosts, volume, digest, "server1@fast#fast")
    assert done["digest"] == receipt


def test_it_goes_as_fast_as_it_may(hosts):
    volume = hosts.create(1, "paced")
    hosts.fill(volume, ((0, 12 * MIB),))
    digest = hosts.digest(volume)
    hosts.migrate(volume, TARGET, "--rate", "1K", wait=False)
    first = hosts.wait_for(lambda: hosts.migration(volume)["position"], 60, "it is copied")
    assert first < 12 * MIB
    hosts.drover("pause", volume)
    hosts.drover("rate", volume, "none")
    standing(hosts, volume)
    hosts.kill_worker(worker_of(hosts, volume))
    hosts.wait_for(lambda: worker_of(hosts, volume), 60, "another worker has it")
    standing(hosts, volume)
    hosts.drover("continue", volume)
    ended_well(hosts, volume, digest)


def test_an_empty_volume_moves(hosts):
    volume = hosts.create(1, "empty")
    digest = hosts.digest(volume)
    hosts.migrate(volume, TARGET, deadline=120)
    assert ended_well(hosts, volume, digest)["copied"] == 0


@pytest.mark.parametrize("victim", ["worker", "manager", "target"])
@pytest.mark.parametrize("point", ["copy.chunk", "copy.flushed", "migrate.switch"])
def test_whoever_dies(hosts, point, victim):
    volume, digest = filled(hosts, f"{victim}-{point}")
    hosts.points.hold(point)
    hosts.migrate(volume, TARGET, wait=False)
    hosts.points.reached(point)
    worker = hosts.worker()
    if victim == "worker":
        hosts.kill_worker(worker)
    elif victim == "manager":
        hosts.manager.kill()
        hosts.wait_for(lambda: worker not in hosts.workers(), 10, "its worker dies too")
    else:
        hosts.target.kill()
    hosts.points.release()
    for daemon in (hosts.manager, hosts.target):
        if not daemon.running():
            daemon.start()
    ended_well(hosts, volume, digest)


def test_a_killed_reader_on_the_target_is_replaced(hosts):
    volume, digest = filled(hosts, "reader-dies")
    hosts.points.hold("read_back.reading")
    hosts.migrate(volume, TARGET, wait=False)
    hosts.points.reached("read_back.reading")
    readers = [p for p in hosts.workers() if b"read_back" in cmdline(p)]
    assert len(readers) == 1
    os.kill(readers[0], 9)
    wait_for(lambda: not processes.alive(readers[0]), 10, "it is gone")
    hosts.points.release()
    ended_well(hosts, volume, digest)


def cmdline(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as f:
        return f.read()


@pytest.mark.parametrize("where", ["data", "hole"])
def test_a_flipped_byte_is_found_on_the_target(hosts, where):
    volume, digest = filled(hosts, f"flipped-{where}")
    offset = 2 * MIB + 12345 if where == "data" else 600 * MIB + 777
    hosts.points.hold("read_back.reading")
    hosts.migrate(volume, TARGET, wait=False)
    hosts.points.reached("read_back.reading")
    temporary = hosts.migration(volume)["temporary_id"]
    with open(f"{hosts.directory('slow')}/volume-{temporary}", "r+b") as f:
        f.seek(offset)
        byte = f.read(1)
        f.seek(offset)
        f.write(bytes([byte[0] ^ 1]))
    hosts.points.release()
    done = hosts.finished(volume, 120)
    assert done["phase"] == "failed" and str(offset) in done["reason"], done
    row = hosts.volume(volume)
    assert (row["host"], row["status"]) == ("server1@fast#fast", "available")
    assert hosts.digest(volume) == digest
    hosts.leftovers()


def test_cancel_in_mid_copy(hosts):
    volume, digest = filled(hosts, "cancelled")
    hosts.points.hold("copy.chunk")
    hosts.migrate(volume, TARGET, wait=False)
    hosts.points.reached("copy.chunk")
    hosts.drover("cancel", volume)
    hosts.points.release()
    assert hosts.finished(volume, 120)["phase"] == "cancelled"
    assert hosts.digest(volume) == digest
    assert hosts.volume(volume)["host"] == "server1@fast#fast"
    hosts.leftovers()


def ciphers():
    """What GnuTLS offers in this process's environment; run in one of its own."""
    tls = ctypes.CDLL("libgnutls.so.30")
    priority, numbers = ctypes.c_void_p(), ctypes.POINTER(ctypes.c_uint)()
    tls.gnutls_cipher_get_name.restype = ctypes.c_char_p
    assert tls.gnutls_priority_init(ctypes.byref(priority), b"NORMAL", None) == 0
    count = tls.gnutls_priority_cipher_list(priority, ctypes.byref(numbers))
    return [tls.gnutls_cipher_get_name(numbers[i]).decode() for i in range(count)]


def has_aes():
    with open("/proc/cpuinfo") as f:
        return " aes " in f.read()


@pytest.mark.skipif(not has_aes(), reason="the processor has no AES")
@pytest.mark.skipif(os.path.exists("/etc/gnutls/config"),
                    reason="this host has a configuration of GnuTLS")
def test_the_bytes_are_encrypted_with_aes(hosts):
    volume, digest = filled(hosts, "aes")
    hosts.points.hold("copy.chunk")
    hosts.migrate(volume, TARGET, wait=False)
    hosts.points.reached("copy.chunk")
    server = hosts.sql1("select pid from drover.export where closed_at is null")["pid"]
    with open(f"/proc/{server}/environ") as f:
        env = dict(v.split("=", 1) for v in f.read().split("\0") if v)
    name = env["GNUTLS_SYSTEM_PRIORITY_FILE"].replace("/self/", f"/{server}/")
    ask = "import test_hosts; print(*test_hosts.ciphers())"
    offered = subprocess.run(
        [sys.executable, "-c", ask], check=True, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "GNUTLS_SYSTEM_PRIORITY_FILE": name,
             "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
    ).stdout.split()
    assert "AES-128-GCM" in offered and "CHACHA20-POLY1305" not in offered
    hosts.points.release()
    ended_well(hosts, volume, digest)


def test_a_lost_question_is_asked_again(hosts):
    """The database failed over and had not got it yet."""
    volume, digest = filled(hosts, "question-lost")
    hosts.points.hold("read_back.reading")
    hosts.migrate(volume, TARGET, wait=False)
    hosts.points.reached("read_back.reading")
    assert hosts.sql("delete from drover.read_back returning id")
    hosts.points.release()
    ended_well(hosts, volume, digest)
