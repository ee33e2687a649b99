# SPDX-License-Identifier: Apache-2.0
"""A volume moves from one backend to another, as an operator sees it."""
import os
import threading

import pytest

from cloud import GIB, MIB, digest_of


def test_an_empty_volume_moves(cloud):
    volume = cloud.create(1, "empty")
    before = cloud.volume(volume)
    done = cloud.migrate(volume)
    after = cloud.volume(volume)

    assert done["phase"] == "done" and done["reason"] is None
    assert done["source"] == "server1@fast#fast"
    assert done["target"] == "server1@slow#slow"
    assert after["host"] == "server1@slow#slow"
    assert after["migration_status"] is None
    assert after["_name_id"] == done["temporary_id"] != volume
    for column in ("id", "display_name", "status", "size", "project_id", "user_id",
                   "volume_type_id", "attach_status", "created_at"):
        assert after[column] == before[column], column
    assert after["status"] == "available"
    assert os.path.getsize(cloud.path(volume)) == GIB
    cloud.leftovers()


def test_data_and_holes_arrive_unchanged_there_and_back(cloud):
    volume = cloud.create(1, "data")
    cloud.fill(volume)
    before = cloud.digest(volume)

    done = cloud.migrate(volume, "server1@slow#slow")
    assert done["phase"] == "done"
    assert done["epoch"] >> 32 == 1  # one worker from its beginning to its end
    assert cloud.digest(volume) == before
    first = cloud.volume(volume)["name_id"]
    assert cloud.migrate(volume, "server1@fast#fast")["phase"] == "done"
    assert cloud.digest(volume) == before
    assert cloud.volume(volume)["name_id"] not in (first, volume)
    # Holes stay holes: 1 GiB of volume is less than 16 MiB of disk.
    assert os.stat(cloud.path(volume)).st_blocks * 512 < 16 * MIB
    cloud.leftovers()


def test_the_states_are_seen_in_their_order(cloud):
    """The seeds: migrating and completing are seen, then None at the new host."""
    volume = cloud.create(1, "states")
    cloud.fill(volume)
    cloud.points.hold("migrate.copying")
    cloud.points.hold("migrate.switch")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.copying")
    row = cloud.volume(volume)
    assert (row["migration_status"], row["status"]) == ("migrating", "available")
    assert row["host"] == "server1@fast#fast"
    temporary = cloud.sql1("select * from volumes where migration_status = %s",
                           f"target:{volume}")
    assert temporary and temporary["host"] == "server1@slow#slow"
    shown = cloud.drover("show", volume).stdout
    assert "os-vol-mig-status-attr:migstat" in shown and "migrating" in shown

    cloud.points.release("migrate.copying")
    cloud.points.reached("migrate.switch")
    row = cloud.volume(volume)
    assert row["migration_status"] == "completing"
    assert row["host"] == "server1@fast#fast"

    cloud.points.release("migrate.switch")
    assert cloud.finished(volume)["phase"] == "done"
    row = cloud.volume(volume)
    assert (row["migration_status"], row["host"]) == (None, "server1@slow#slow")
    assert row["_name_id"] == temporary["id"]
    gone = cloud.sql1("select deleted from volumes where id = %s", temporary["id"])
    assert gone["deleted"]
    cloud.leftovers()


def test_the_owner_never_sees_the_temporary_volume(cloud):
    volume = cloud.create(1, "unseen")
    cloud.points.hold("migrate.copying")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.copying")
    temporary = cloud.migration(volume)["temporary_id"]
    assert temporary and temporary not in cloud.drover("list").stdout
    cloud.points.release()
    cloud.finished(volume)
    cloud.leftovers()


def test_the_best_backend_is_chosen_when_none_is_named(cloud):
    volume = cloud.create(1, "anywhere")
    done = cloud.migrate(volume, None)
    assert done["phase"] == "done" and done["target"] == "server1@slow#slow"
    cloud.leftovers()


def test_a_backend_without_its_pool_is_a_target(cloud):
    volume = cloud.create(1, "no-pool")
    done = cloud.migrate(volume, "server1@slow")
    assert done["phase"] == "done"
    assert cloud.volume(volume)["host"] == "server1@slow#slow"
    cloud.leftovers()


def test_a_locked_volume_is_in_maintenance_meanwhile(cloud):
    volume = cloud.create(1, "locked")
    cloud.points.hold("migrate.copying")
    cloud.migrate(volume, "server1@slow#slow", "--lock-volume", wait=False)
    cloud.points.reached("migrate.copying")
    assert cloud.volume(volume)["status"] == "maintenance"
    cloud.points.release()
    assert cloud.finished(volume)["phase"] == "done"
    assert cloud.volume(volume)["status"] == "available"
    cloud.leftovers()


def test_a_cancelled_migration_leaves_everything_as_it_was(cloud):
    volume = cloud.create(1, "cancelled")
    cloud.fill(volume)
    before = cloud.digest(volume)
    cloud.points.hold("copy.flushed")
    cloud.migrate(volume, "server1@slow#slow", "--lock-volume", wait=False)
    cloud.points.reached("copy.flushed")
    cloud.drover("cancel", volume)
    cloud.points.release()
    done = cloud.finished(volume)
    assert done["phase"] == "cancelled" and done["reason"]
    row = cloud.volume(volume)
    assert row["host"] == "server1@fast#fast" and row["_name_id"] is None
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert cloud.digest(volume) == before
    cloud.leftovers()


def test_a_cancel_before_the_switch_wins_and_after_it_loses(cloud):
    volume = cloud.create(1, "race")
    cloud.points.hold("migrate.switch")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.switch")
    cloud.drover("cancel", volume)
    cloud.points.release()
    assert cloud.finished(volume)["phase"] == "cancelled"
    assert cloud.volume(volume)["host"] == "server1@fast#fast"
    cloud.leftovers()

    cloud.points.hold("migrate.switched")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.switched")
    refused = cloud.drover("cancel", volume, check=False)
    cloud.points.release()
    assert cloud.finished(volume)["phase"] == "done"
    assert refused.returncode in (0, 1)
    assert cloud.volume(volume)["host"] == "server1@slow#slow"
    cloud.leftovers()


def test_several_migrations_at_once(cloud):
    volumes = [cloud.create(1, f"many-{n}") for n in range(4)]
    for volume in volumes:
        cloud.fill(volume)
    before = [cloud.digest(v) for v in volumes]
    for volume in volumes:
        cloud.migrate(volume, wait=False)
    assert [cloud.finished(v)["phase"] for v in volumes] == ["done"] * 4
    assert [cloud.digest(v) for v in volumes] == before
    cloud.leftovers()


def test_watchers_see_only_legal_states(cloud):
    volume = cloud.create(1, "watched")
    cloud.fill(volume)
    stop, found = threading.Event(), []
    import psycopg2

    def watch():
        connection = psycopg2.connect(cloud.postgres.conninfo_of(cloud.database))
        connection.autocommit = True
        cursor = connection.cursor()
        while not stop.is_set():
            cursor.execute("select migration_status, host from volumes where id = %s",
                           (volume,))
            state = cursor.fetchone()
            if not found or found[-1] != state:
                found.append(state)
        connection.close()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        assert cloud.migrate(volume)["phase"] == "done"
    finally:
        stop.set()
        thread.join()
    order = ["None", "starting", "migrating", "completing"]
    fast = [str(status) for status, host in found if host == "server1@fast#fast"]
    slow = [str(status) for status, host in found if host == "server1@slow#slow"]
    assert fast == sorted(fast, key=order.index), found
    assert slow[-1] == "None" and set(slow) <= {"completing", "None"}, found
    cloud.leftovers()


@pytest.mark.parametrize("outcome", ["success", "error"])
def test_migration_result_keep(make_cloud, outcome, request):
    cloud = request.getfixturevalue("keeping_cloud")
    volume = cloud.create(1, f"keep-{outcome}")
    if outcome == "success":
        assert cloud.migrate(volume)["phase"] == "done"
    else:
        cloud.points.hold("copy.start")
        cloud.migrate(volume, wait=False)
        cloud.points.reached("copy.start")
        os.truncate(cloud.path(volume), 4096)
        cloud.points.release()
        assert cloud.finished(volume)["phase"] == "failed"
        os.truncate(cloud.path(volume), GIB)
    assert cloud.volume(volume)["migration_status"] == outcome
    assert cloud.volume(volume)["status"] == "available"
    cloud.leftovers()
    # Such a volume can be migrated again.
    where = "fast" if outcome == "success" else "slow"
    assert cloud.migrate(volume, f"server1@{where}#{where}")["phase"] == "done"
    cloud.leftovers()


@pytest.fixture(scope="module")
def keeping_cloud(make_cloud):
    return make_cloud(drover={"migration_result": "keep"})


def test_one_file_system_clones_without_copying(make_cloud, mounted):
    """Route driver: two directories of one XFS with reflinks."""
    point = mounted("xfs", 512, ["-m", "reflink=1"])
    backends = {}
    for name in ("fast", "slow"):
        os.mkdir(f"{point}/{name}")
        backends[name] = {"file_directory": f"{point}/{name}"}
    cloud = make_cloud(backends=backends)
    volume = cloud.create(1, "cloned")
    cloud.fill(volume)
    before = cloud.digest(volume)
    done = cloud.migrate(volume, clone=True)
    assert (done["phase"], done["route"], done["copied"]) == ("done", "driver", 0)
    assert cloud.digest(volume) == before
    cloud.leftovers()
    # Forced, the bytes are copied.
    done = cloud.migrate(volume, "server1@fast#fast", "--force-host-copy")
    assert (done["phase"], done["route"]) == ("done", "copy")
    assert cloud.digest(volume) == before
    cloud.leftovers()
    cloud.drover("delete", volume)
    cloud.wait_for(lambda: os.listdir(f"{point}/fast") == [".drover-backend"],
                   30, "the file is gone")


def test_the_file_on_disk_is_what_the_digest_says(cloud, tmp_path):
    """digest() of the harness sees a changed byte, in data and in a hole."""
    path = tmp_path / "v"
    with open(path, "wb") as f:
        f.truncate(8 * MIB)
        f.seek(MIB)
        f.write(b"x" * 5000)
    first = digest_of(path)
    with open(path, "r+b") as f:
        f.seek(5 * MIB + 17)
        f.write(b"\1")
    second = digest_of(path)
    with open(path, "r+b") as f:
        f.seek(5 * MIB + 17)
        f.write(b"\0")
    assert digest_of(path) == first != second


@pytest.mark.parametrize("status", [None, "error"])
@pytest.mark.parametrize("point", ["migrate.preparing.named", "copy.chunk", "migrate.switch"])
def test_an_admins_reset_means_cancel(cloud, point, status):
    """os-reset_status while it runs: it stops, and what the admin wrote stays."""
    volume = cloud.create(1, f"reset-{point}-{status}")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold(point)
    cloud.migrate(volume, wait=False)
    cloud.points.reached(point)
    cloud.sql("update volumes set migration_status = %s where id = %s", status, volume)
    cloud.points.release()
    done = cloud.finished(volume)
    assert done["phase"] == "cancelled"
    assert "migration_status of volume" in done["reason"] or "cancelled" in done["reason"]
    row = cloud.volume(volume)
    assert (row["host"], row["status"]) == ("server1@fast#fast", "available")
    assert row["migration_status"] == status
    assert cloud.digest(volume) == digest
    cloud.leftovers()
