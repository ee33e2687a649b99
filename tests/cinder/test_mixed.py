# SPDX-License-Identifier: Apache-2.0
"""A Python cinder-volume beside Drover's: volumes go both ways, under either scheduler."""
import os

import pytest

import cinder_services
from cinder_cloud import SHARES

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
