# SPDX-License-Identifier: Apache-2.0
"""Whatever dies in the middle: the migration ends by itself, the content is the same,
and nothing is left over."""
import os
import signal

import pytest

from cloud import fault_points
from conftest import SRCDIR

POINTS = fault_points(SRCDIR)
# Points that a migration by route copy does not pass, and where they are walked instead.
ELSEWHERE = {
    "create.made": "test_crashes_of_create_and_delete",
    "export.opened": "test_exports.py",
    "extend.grown": "test_life.py",
    "file.grow.sized": "test_life.py",
    "file.open.synced": "tests/unit/test_file_driver.c",
    "file.open.renamed": "tests/unit/test_file_driver.c",
    "fill.cloned": "test_life.py",
    "fill.copying": "test_life.py",
    "fill.made": "test_life.py",
    "look.looking": "test_attach_nfs.py",
    "migrate.roll_back": "test_a_crash_in_the_roll_back",
    "read_back.reading": "test_hosts.py",
    "snapshot.made": "test_life.py",
}
ELSEWHERE.update({p: "test_compute.py, test_compute_rpc.py" for p in POINTS if p.startswith("compute.")})
ELSEWHERE.update({p: "cinder/test_mixed.py" for p in POINTS if p.startswith("peer.")})


def ended_well(cloud, volume, digest, deadline=60):
    done = cloud.finished(volume, deadline)
    assert done["phase"] == "done", done["reason"]
    row = cloud.volume(volume)
    assert row["host"] == "server1@slow#slow"
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert cloud.digest(volume) == digest
    cloud.leftovers()
    return done


def held_migration(cloud, point, name):
    volume = cloud.create(1, name)
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold(point)
    cloud.migrate(volume, wait=False)
    cloud.points.reached(point)
    return volume, digest


@pytest.mark.parametrize("point", sorted(set(POINTS) - set(ELSEWHERE)))
@pytest.mark.parametrize("victim", ["worker", "manager"])
def test_a_crash_at_every_fault_point(cloud, point, victim):
    volume, digest = held_migration(cloud, point, f"{victim}-{point}")
    worker = cloud.worker()
    if victim == "worker":
        cloud.kill_worker(worker)
        cloud.points.release()
    else:
        cloud.manager.kill()
        cloud.wait_for(lambda: worker not in cloud.workers(), 10,
                       "the worker dies with its manager")
        cloud.points.release()
        cloud.manager.start()
    ended_well(cloud, volume, digest)


def test_the_list_of_points_is_complete():
    """The walk covers what the sources name, and that is what it should be."""
    for name in ("copy.start", "copy.chunk", "copy.written", "copy.flushed",
                 "copy.checkpoint", "migrate.preparing.named", "migrate.preparing.made",
                 "migrate.switch", "migrate.switched", "migrate.retired",
                 "garbage.renamed", "garbage.removed", "file.create.recorded"):
        assert name in POINTS
    assert set(ELSEWHERE) <= set(POINTS)


def test_a_killed_scheduler_does_not_matter_in_mid_copy(cloud):
    volume, digest = held_migration(cloud, "copy.written", "scheduler-dies")
    cloud.scheduler.kill()
    cloud.points.release()
    ended_well(cloud, volume, digest)
    cloud.scheduler.start()
    cloud.wait_ready()


def test_scheduler_manager_and_worker_killed_at_once(cloud):
    volume, digest = held_migration(cloud, "copy.chunk", "all-die")
    worker = cloud.worker()
    cloud.scheduler.kill()
    cloud.manager.kill()
    cloud.wait_for(lambda: worker not in cloud.workers(), 10, "the worker is gone")
    cloud.points.release()
    cloud.scheduler.start()
    cloud.manager.start()
    ended_well(cloud, volume, digest)


def test_a_stopped_manager_hands_over_to_the_next(cloud):
    """SIGTERM in the middle is no harm either."""
    volume, digest = held_migration(cloud, "copy.chunk", "stop")
    cloud.manager.process.send_signal(signal.SIGTERM)
    cloud.points.release()
    assert cloud.manager.process.wait(30) == 0
    cloud.wait_for(lambda: not cloud.workers(), 10, "the worker is gone")
    cloud.manager.start()
    ended_well(cloud, volume, digest)


def test_a_request_waits_for_a_manager_that_is_down(cloud):
    volume = cloud.create(1, "waits")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.manager.kill()
    cloud.migrate(volume, wait=False)
    cloud.manager.start()
    ended_well(cloud, volume, digest)


def test_it_goes_on_from_the_checkpoint(make_cloud, request):
    cloud = make_cloud(drover={"checkpoint_bytes": str(4 << 20)})
    request.node.drover_cloud = cloud
    volume = cloud.create(1, "resumes")
    cloud.fill(volume, [(n * (64 << 20), 1 << 20) for n in range(16)])
    digest = cloud.digest(volume)
    third = f"{cloud.tmp}/third"
    cloud.manager.restart({"DROVER_FAULTS": f"copy.checkpoint#3=hold:{third}"})
    cloud.wait_ready()
    cloud.migrate(volume, wait=False)
    cloud.wait_for(lambda: os.path.exists(third), 30, "the third checkpoint is near")
    at = cloud.migration(volume)["checkpoint"]
    assert at > 0
    assert at < 1 << 30
    cloud.kill_worker()
    open(f"{third}.go", "w").close()
    done = ended_well(cloud, volume, digest)
    assert done["epoch"] >> 32 == 2 and done["checkpoint"] == done["size_bytes"]
    # The second worker wrote only what lies behind the checkpoint.
    assert 0 < _copied_by_last_worker(cloud, volume) <= (16 << 20) - (3 << 20)


def _copied_by_last_worker(cloud, volume):
    lines = [line for line in cloud.manager.log().splitlines()
             if "volume copied" in line and volume in line]
    return int(lines[-1].split("copied=")[1].split()[0])


def test_crashes_of_create_and_delete(cloud):
    for point in ("make.planned", "file.create.sized", "file.create.recorded",
                  "file.create.renamed", "create.made"):
        cloud.points.hold(point)
        name = f"created-{point}"
        cloud.drover("create", 1, "--name", name, "--host", "server1@fast#fast",
                     "--no-wait")
        cloud.points.reached(point)
        cloud.kill_worker()
        cloud.points.release()
        volume = cloud.wait_for(lambda: cloud._created(name), 30, f"{name} is available")
        cloud.leftovers()

        for point2 in ("garbage.renamed", "garbage.removed"):
            if cloud.sql1("select 1 from volumes where id = %s and not deleted", volume):
                cloud.points.hold(point2)
                cloud.drover("delete", volume, "--no-wait")
                cloud.points.reached(point2)
                cloud.kill_worker()
                cloud.points.release()
                cloud.leftovers()


@pytest.mark.parametrize("victim", ["worker", "manager"])
def test_a_crash_in_the_roll_back(cloud, victim):
    volume, digest = held_migration(cloud, "copy.written", f"roll-back-{victim}")
    cloud.points.hold("migrate.roll_back")
    cloud.drover("cancel", volume)
    cloud.points.release("copy.written")
    cloud.points.reached("migrate.roll_back")
    worker = cloud.worker()
    if victim == "worker":
        cloud.kill_worker(worker)
    else:
        cloud.manager.kill()
        cloud.wait_for(lambda: worker not in cloud.workers(), 10, "the worker is gone")
        cloud.manager.start()
    cloud.points.release()
    assert cloud.finished(volume)["phase"] == "cancelled"
    row = cloud.volume(volume)
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert row["host"] == "server1@fast#fast"
    assert cloud.digest(volume) == digest
    cloud.leftovers()


@pytest.mark.parametrize("crash", [True, False], ids=["crash", "clean"])
@pytest.mark.parametrize("server", ["postgres", "rabbit"])
def test_a_server_restarts_in_mid_copy(cloud, server, crash):
    volume, digest = held_migration(cloud, "copy.written", f"{server}-{crash}")
    getattr(cloud, server).restart(crash=crash)
    if server == "rabbit":
        cloud.points.release()
        ended_well(cloud, volume, digest)
    else:
        cloud.points.release()
        ended_well(cloud, volume, digest, 90)
    # And new work is taken, over the broker too.
    cloud.wait_ready()
    again = cloud.create(1, f"after-{server}-{crash}")
    assert cloud.migrate(again)["phase"] == "done"
    cloud.leftovers()


def test_the_database_is_away_while_the_worker_copies(cloud):
    volume, digest = held_migration(cloud, "copy.start", "away")
    cloud.postgres.kill()
    cloud.points.hold("copy.flushed")
    cloud.points.release("copy.start")
    cloud.points.reached("copy.flushed")
    cloud.points.release()
    cloud.postgres.start()
    ended_well(cloud, volume, digest, 90)


def test_both_servers_are_away_for_a_moment(cloud):
    volume, digest = held_migration(cloud, "migrate.switch", "both-away")
    cloud.postgres.kill()
    cloud.rabbit.kill()
    cloud.points.release()
    cloud.postgres.start()
    cloud.rabbit.start()
    ended_well(cloud, volume, digest, 90)
    cloud.wait_ready()


def test_a_worker_that_always_crashes_gives_up(make_cloud, request):
    cloud = make_cloud(drover={"worker_attempts": "2"})
    request.node.drover_cloud = cloud
    volume = cloud.create(1, "hopeless")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.manager.restart({"DROVER_FAULTS": "copy.start=kill"})
    cloud.wait_ready()
    cloud.migrate(volume, wait=False)
    done = cloud.finished(volume)
    assert done["phase"] == "failed" and done["reason"]
    row = cloud.volume(volume)
    assert (row["host"], row["migration_status"]) == ("server1@fast#fast", None)
    assert cloud.digest(volume) == digest
    cloud.leftovers()
    cloud.manager.restart()
    cloud.wait_ready()
    assert cloud.migrate(volume)["phase"] == "done"


def test_an_injected_failure_is_told_with_its_reason(cloud):
    for point in ("copy.written", "migrate.preparing.made", "file.create.recorded"):
        volume = cloud.create(1, f"fails-{point}")
        cloud.fill(volume)
        digest = cloud.digest(volume)
        cloud.manager.restart({"DROVER_FAULTS": f"{point}=fail:io"})
        cloud.wait_ready()
        cloud.migrate(volume, wait=False)
        done = cloud.finished(volume)
        assert done["phase"] == "failed" and point in done["reason"], done
        assert cloud.digest(volume) == digest
        assert cloud.volume(volume)["host"] == "server1@fast#fast"
        cloud.leftovers()
        cloud.manager.restart()
        cloud.wait_ready()


def test_killing_the_worker_twenty_times(cloud):
    """Crashes at arbitrary moments, not at named ones."""
    volume = cloud.create(1, "twenty")
    cloud.fill(volume, [(n << 25, 1 << 20) for n in range(32)])
    digest = cloud.digest(volume)
    cloud.migrate(volume, wait=False)
    for _ in range(20):
        if cloud.migration(volume)["finished_at"]:
            break
        for pid in cloud.workers()[:1]:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
    done = cloud.finished(volume)
    row = cloud.volume(volume)
    assert cloud.digest(volume) == digest
    assert row["host"] == ("server1@slow#slow" if done["phase"] == "done"
                           else "server1@fast#fast")
    cloud.leftovers()
