# SPDX-License-Identifier: Apache-2.0
"""A Python cinder-volume beside Drover's: volumes go both ways, under either scheduler."""
import os

import pytest

import cinder_services
from cinder_cloud import SHARES
from hypervisor import Hypervisor
from peer import Peer

OURS, THEIRS = "server1@nfs-1#nfs1", "server2@nfs-1#nfs1"


@pytest.fixture(scope="module")
def mixed(make_cloud):
    """server2's backend is a Python cinder-volume's."""
    why = cinder_services.missing()
    if why:
        pytest.skip(f"skipped, because {why}")
    cloud = make_cloud()
    cloud.managers["server2"].stop()
    cloud.mount(SHARES["server2@nfs-1"], "server1")
    cloud.python = cinder_services.Service(cloud, "cinder-volume", "server2").start()
    try:
        cloud.wait_pools()
    except Exception:
        print(cloud.python.log()[-8000:])
        raise
    yield cloud
    cloud.python.stop()


@pytest.fixture(params=["drover-scheduler", "cinder-scheduler"])
def fleet(mixed, request):
    """With one scheduler and with the other. Neither service may have said an error."""
    scheduler = None
    if request.param == "cinder-scheduler":
        mixed.scheduler.stop()
        scheduler = cinder_services.Service(
            mixed, "cinder-scheduler", "server1").start()
    mixed.wait_pools()
    yield mixed
    errors = mixed.python.errors()
    if scheduler:
        errors += scheduler.errors()
        scheduler.stop()
        mixed.scheduler.start()
    assert not errors, "\n".join(errors)


def migrate(cloud, volume, target):
    """There, and nothing of it has changed."""
    digest = cloud.digest(volume)
    done = cloud.cinder("migrate", volume, target)
    assert "accepted" in done.stdout, done.stdout

    def ended():
        row = cloud.volume(volume)
        return row["migration_status"] in (None, "success", "error") and row

    row = cloud.wait_for(ended, 90, f"'{volume}' is moved")
    why = (cloud.migration(volume) or {}).get("reason")
    assert (row["host"], row["status"]) == (target, "available"), (
        f"{why}: {row}\n{cloud.python.log()[-4000:]}")
    assert row["migration_status"] != "error"
    assert cloud.digest(volume) == digest


def test_there_and_back(fleet):
    """From Drover to Cinder and back; then it is deleted there."""
    volume = fleet.make("there", OURS)
    fleet.fill(volume)
    first = fleet.path(volume)
    migrate(fleet, volume, THEIRS)
    second = fleet.path(volume)
    migrate(fleet, volume, OURS)
    third = fleet.path(volume)
    fleet.delete(volume)
    fleet.settled()
    assert len({first, second, third}) == 3
    fleet.wait_for(lambda: not any(map(os.path.exists, (first, second, third))), 30,
                   "no file of it is left")


def test_what_was_moved_to_cinder_is_deleted_there(fleet):
    volume = fleet.make("gone", OURS)
    fleet.fill(volume)
    migrate(fleet, volume, THEIRS)
    path = fleet.path(volume)
    assert os.path.exists(path)
    fleet.delete(volume)
    fleet.wait_for(lambda: not os.path.exists(path), 30, "its file is gone")


@pytest.mark.parametrize("point", ["peer.created", "peer.connected"])
def test_a_worker_dies(mixed, point):
    """Between asking Cinder and what comes of it: the next worker goes on."""
    volume = mixed.make(point, OURS)
    mixed.fill(volume)
    digest = mixed.digest(volume)
    mixed.points.hold(point)
    mixed.cinder("migrate", volume, THEIRS)
    mixed.points.reached(point, 90)
    mixed.kill_worker()
    mixed.points.release()
    done = mixed.finished(volume, 90)
    assert done["phase"] == "done", done["reason"]
    assert mixed.volume(volume)["host"] == THEIRS
    assert mixed.digest(volume) == digest
    assert not mixed.python.errors(), "\n".join(mixed.python.errors())


def test_a_guest_moves_to_cinder(mixed):
    """Without Nova: Cinder is asked for T's connection as its own API does, and for its end."""
    mixed.reconfigure(compute_api="rpc", compute_poll="0.2", rescan_interval="0.3")
    peer = Peer(mixed)
    hypervisor = Hypervisor(mixed, peer)
    try:
        volume, instance = mixed.make("guest", OURS), hypervisor.boot()
        mixed.drover("attach", volume, instance)
        mixed.fill(volume, ((0, 70000), (100 << 20, 4096)))
        before = mixed.sql1("select * from volume_attachment where volume_id = %s and"
                            " not deleted", volume)
        # Cancelled: Cinder disconnects and deletes it.
        for end in ("cancel", "moved"):
            mixed.cinder("migrate", volume, THEIRS)
            temporary = mixed.wait_for(
                lambda: hypervisor.swaps and hypervisor.order(volume)[1]["state"] == "copying"
                and hypervisor.order(volume)[0][2], 60, "the hypervisor is asked")
            data = hypervisor.order(volume)[1]["info"]["data"]
            assert data["export"] == SHARES["server2@nfs-1"]
            assert data["name"] == f"volume-{temporary}"
            if end == "cancel":
                mixed.drover("cancel", volume, "--wait")
                mixed.wait_for(lambda: not mixed.sql(
                    "select 1 from volumes where id = %s and not deleted", temporary), 60,
                    "Cinder has deleted it")
        digest = mixed.digest(volume)
        hypervisor.copied(volume, path=mixed.path(temporary))
        assert hypervisor.answer(volume) == volume
        mixed.finished(volume)
        row = mixed.volume(volume)
        assert (row["host"], row["status"], mixed.digest(volume)) == (
            THEIRS, "in-use", digest)
        after = mixed.sql1("select * from volume_attachment where volume_id = %s and"
                           " not deleted", volume)
        assert after["id"] == before["id"] and data["name"] in after["connection_info"]
        mixed.drover("detach", volume)
        assert mixed.volume(volume)["status"] == "available"
        assert not mixed.python.errors(), "\n".join(mixed.python.errors())
    finally:
        hypervisor.stop()
        peer.close()
        mixed.reconfigure()
