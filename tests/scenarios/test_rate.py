# SPDX-License-Identifier: Apache-2.0
"""How fast a migration may go, before and while it runs. A limit of 1K lets one chunk through
at once and the next one after a quarter of an hour: such a copy stands where it is."""
import os
import subprocess
import time

import pytest

from cloud import MIB
from life import Life
from peer import Peer

SLOW = "server1@slow#slow"
SIZE = 16 * MIB


@pytest.fixture(scope="module")
def module_cloud(make_cloud):
    return make_cloud(drover={"worker_timeout": "3"})


def filled(cloud, name):
    volume = cloud.create(1, name)
    cloud.fill(volume, ((0, SIZE),))
    return volume, cloud.digest(volume)


def position(cloud, volume):
    return cloud.migration(volume)["position"]


def begun(cloud, name, *options):
    """On its way, and far from its end."""
    volume, digest = filled(cloud, name)
    cloud.migrate(volume, SLOW, *options, wait=False)
    cloud.wait_for(lambda: position(cloud, volume), 30, "something is copied")
    return volume, digest


def worker_of(cloud, volume):
    """The process that copies it, if there is one."""
    operation = f"operation\0{cloud.migration(volume)['id']}".encode()
    for pid in cloud.workers():
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if operation in f.read():
                    return pid
        except OSError:
            pass
    return None


def standing(cloud, volume):
    """It is told of, and does not move."""
    seen, was = set(), None

    def told():
        nonlocal was
        m = cloud.migration(volume)
        assert m["phase"] == "copying", (m["phase"], m["reason"])
        if m["position"] != was:
            was = m["position"]
            seen.clear()
        seen.add(m["progress_at"])
        return len(seen) > 3

    cloud.wait_for(told, 30, "it stands still")
    return was


def ended_well(cloud, volume, digest, host=SLOW):
    done = cloud.finished(volume)
    assert done["phase"] == "done", done["reason"]
    assert cloud.volume(volume)["host"] == host
    assert cloud.digest(volume) == digest
    cloud.leftovers()


def shown(cloud, volume):
    return cloud.drover_json("migration", "show", volume)


def test_a_limit_is_followed_and_changed(cloud):
    volume, digest = begun(cloud, "limited", "--rate", "1K")
    assert not cloud.sql("select * from drover.wish")
    assert shown(cloud, volume)["rate_limit_bytes_per_second"] == 1024
    text = cloud.drover("migration", "show", volume).stdout
    assert "1.0 KiB/s" in text and "rate_limit" in text
    first = standing(cloud, volume)
    assert 0 < first < SIZE
    assert "%, at most 1.0 KiB/s" in cloud.drover("migration", "list", volume).stdout
    assert "at most 1.0 MiB per second" in cloud.drover("rate", volume, "1M").stdout
    cloud.wait_for(lambda: first < position(cloud, volume), 30, "it moves")
    assert position(cloud, volume) < SIZE
    cloud.drover("rate", volume, "none")
    ended_well(cloud, volume, digest)
    assert shown(cloud, volume)["rate_limit_bytes_per_second"] == 0
    refused = cloud.drover("rate", volume, "1M", check=False)
    assert refused.returncode == 1 and "is not being migrated" in refused.stderr


def test_what_is_paused_stands_whoever_dies(cloud):
    volume, digest = begun(cloud, "paused", "--rate", "1K")
    watch = subprocess.Popen(
        [cloud.program("cli"), "--config-file", cloud.config, "watch", volume],
        env=cloud.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "drover continue" in cloud.drover("pause", volume).stdout
    # Nothing but the pause holds it now.
    cloud.drover("rate", volume, "none")
    where = standing(cloud, volume)
    assert where < SIZE
    row = next(r for r in cloud.drover("migration", "list").stdout.splitlines()
               if shown(cloud, volume)["id"] in r)
    assert " paused " in row
    assert (shown(cloud, volume)["phase"], shown(cloud, volume)["paused"]) == (
        "copying", True)
    # Longer than a worker may be silent.
    worker = worker_of(cloud, volume)
    for _ in range(3):
        standing(cloud, volume)
    assert worker and worker_of(cloud, volume) == worker
    cloud.kill_worker(worker)
    cloud.wait_for(lambda: worker_of(cloud, volume), 30, "another worker has it")
    assert standing(cloud, volume) == where
    cloud.manager.kill()
    cloud.manager.start()
    cloud.wait_for(lambda: worker_of(cloud, volume), 60, "another worker has it")
    assert standing(cloud, volume) == where
    cloud.drover("continue", volume)
    ended_well(cloud, volume, digest)
    out, err = watch.communicate(timeout=30)
    assert watch.returncode == 0, err
    assert [line for line in out.splitlines() if line.startswith("paused")], out


def test_the_last_limit_counts_while_the_database_is_away(cloud):
    """The worker stays the same: what it holds to is what it heard last."""
    volume, digest = begun(cloud, "away", "--rate", "1K")
    first, worker = standing(cloud, volume), worker_of(cloud, volume)
    cloud.postgres.kill()
    time.sleep(2)  # more than two reports of progress
    cloud.postgres.start()
    cloud.wait_for(cloud.pools, 60, "the database answers")
    assert standing(cloud, volume) == first < SIZE
    assert worker_of(cloud, volume) == worker
    cloud.drover("rate", volume, "none")
    ended_well(cloud, volume, digest)


def test_what_is_paused_can_be_cancelled(cloud):
    volume, digest = begun(cloud, "paused-cancelled", "--rate", "1K")
    cloud.drover("pause", volume)
    standing(cloud, volume)
    cloud.drover("cancel", volume, "--wait")
    row = cloud.volume(volume)
    assert (row["host"], row["status"], row["migration_status"]) == (
        "server1@fast#fast", "available", None)
    assert cloud.digest(volume) == digest
    assert not shown(cloud, volume)["paused"]
    cloud.leftovers()


@pytest.mark.parametrize("point", ["migrate.preparing.named", "copy.start"])
def test_nothing_to_copy_is_paused_too(cloud, point):
    """Before it begins, and when it has come to its end: there is no switch."""
    volume = cloud.create(1, f"paused-empty-{point}")
    digest = cloud.digest(volume)
    cloud.points.hold(point)
    cloud.migrate(volume, SLOW, wait=False)
    cloud.points.reached(point)
    cloud.drover("pause", volume)
    cloud.points.release()
    cloud.in_phase(volume, "copying")
    standing(cloud, volume)
    assert cloud.volume(volume)["host"] == "server1@fast#fast"
    cloud.drover("continue", volume)
    ended_well(cloud, volume, digest)


@pytest.fixture(scope="module")
def limited_cloud(make_cloud):
    return make_cloud(backends={"fast": {"volume_copy_bps_limit": "1024"}, "slow": {}})


def test_the_backends_limit_counts(limited_cloud, request):
    cloud = request.node.drover_cloud = limited_cloud
    volume, digest = begun(cloud, "by-option")
    assert standing(cloud, volume) < SIZE
    assert shown(cloud, volume)["rate_limit_bytes_per_second"] is None
    cloud.drover("rate", volume, "none")
    ended_well(cloud, volume, digest)
    # The other backend has none.
    cloud.migrate(volume, "server1@fast#fast")
    ended_well(cloud, volume, digest, "server1@fast#fast")
    # A limit of its own counts before it.
    cloud.migrate(volume, SLOW, "--rate", "none")
    ended_well(cloud, volume, digest)


def test_the_backends_limit_counts_for_what_is_made_from_it(limited_cloud, request):
    cloud = request.node.drover_cloud = limited_cloud
    if cloud.reflinks:
        pytest.skip("skipped, because this file system clones")
    peer = Peer(cloud)
    life = Life(cloud, peer)
    volume, digest = filled(cloud, "filled-slowly")
    made = life.create(1, "made-slowly", source=volume, wait=False)
    path = f"{cloud.directory('fast')}/volume-{made}"
    cloud.wait_for(lambda: os.path.exists(path) and os.stat(path).st_blocks, 30,
                   "something is copied")
    cloud.create(1, "made-meanwhile")
    assert cloud.volume(made)["status"] == "creating"
    assert os.stat(path).st_blocks * 512 < SIZE
    cloud.backends["fast"] = {}
    cloud.write_config("drover.conf")
    cloud.manager.restart()
    life.wait_volume(made)
    assert cloud.digest(made) == digest
    peer.close()
    cloud.leftovers()


def test_a_request_that_fails_leaves_no_wish(cloud):
    volume, digest = filled(cloud, "no-wish")
    for options in (["--rate", "fast"], ["--rate=-1"], ["--rate", "1KB"]):
        refused = cloud.drover("migrate", volume, SLOW, *options, check=False)
        assert refused.returncode == 2 and "--rate" in refused.stderr
    # Refused at once, and by the scheduler.
    refused = cloud.drover("migrate", volume, "server1@none", "--rate", "1M", check=False)
    assert refused.returncode == 1
    cloud.sql("update services set disabled = true where host = 'server1@slow'")
    refused = cloud.drover("migrate", volume, "--rate", "1M", "--wait", check=False)
    assert refused.returncode == 1
    cloud.sql("update services set disabled = false where host = 'server1@slow'")
    assert cloud.volume(volume)["migration_status"] is None
    assert not cloud.sql("select * from drover.wish")
    assert cloud.digest(volume) == digest
    cloud.leftovers()
