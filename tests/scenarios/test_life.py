# SPDX-License-Identifier: Apache-2.0
"""The life of a volume between its first and its last day: snapshots, volumes made from
others, growing, going; with the rows and messages of cinder-api, quota counted."""
import os
import uuid

import pytest

from cloud import GIB, MIB, digest_of
from life import Life


@pytest.fixture
def life(cloud, peer):
    return Life(cloud, peer)


@pytest.fixture(scope="module")
def cloning_cloud(make_cloud, module_mounted):
    """Both backends on one file system that clones."""
    point = module_mounted("xfs", 512, ["-m", "reflink=1"])
    backends = {}
    for name in ("fast", "slow"):
        os.mkdir(f"{point}/{name}")
        backends[name] = {"file_directory": f"{point}/{name}"}
    return make_cloud(backends=backends)


@pytest.fixture
def cloning(cloning_cloud, request):
    from peer import Peer

    request.node.drover_cloud = cloning_cloud
    peer = Peer(cloning_cloud)
    yield Life(cloning_cloud, peer)
    cloning_cloud.points.release()
    peer.close()


@pytest.fixture(params=["copying", "cloning"])
def both(request):
    if request.param == "cloning":
        return request.getfixturevalue("cloning")
    life = request.getfixturevalue("life")
    if life.cloud.reflinks:
        pytest.skip("skipped, because this file system clones")
    return life


def image_of(cloud, volume):
    """Image metadata as cinder-api and cinder-volume write it."""
    for key, value in (("image_id", "i"), ("min_disk", "1")):
        cloud.sql("insert into volume_glance_metadata (created_at, deleted, volume_id, key,"
                  " value) values (now(), false, %s, %s, %s)", volume, key, value)
    cloud.sql("update volumes set bootable = true where id = %s", volume)


def image_said(cloud, volume):
    rows = cloud.sql("select key, value from volume_glance_metadata where volume_id = %s"
                     " and not deleted order by key", volume)
    return [(r["key"], r["value"]) for r in rows]


IMAGE = [("image_id", "i"), ("min_disk", "1")]


def test_a_life(both):
    life, cloud = both, both.cloud
    volume = life.create(1, "first")
    image_of(cloud, volume)
    cloud.fill(volume)
    before = cloud.digest(volume)

    snapshot = life.snapshot(volume)
    row = life.snapshot_row(snapshot)
    assert (row["status"], row["progress"]) == ("available", "100%")
    assert digest_of(life.snapshot_path(snapshot)) == before
    cloud.fill(volume, [(5 * MIB, MIB)], seed="later")
    later = cloud.digest(volume)
    assert digest_of(life.snapshot_path(snapshot)) == before

    # From the snapshot, larger and on the other backend; from the volume.
    copy = life.create(2, "copy", snapshot=snapshot, backend="slow")
    assert os.path.getsize(cloud.path(copy)) == 2 * GIB
    assert digest_of(cloud.path(copy), GIB) == before
    clone = life.create(1, "clone", source=volume)
    assert cloud.digest(clone) == later
    for made in (copy, clone):
        row = cloud.volume(made)
        assert row["bootable"] and row["launched_at"] and row["service_uuid"]
        assert image_said(cloud, made) == IMAGE
    cloud.fill(clone, [(7 * MIB, MIB)], seed="clone")
    assert cloud.digest(volume) == later

    life.extend(copy, 3)
    life.wait_volume(copy)
    assert cloud.volume(copy)["size"] == 3
    assert os.path.getsize(cloud.path(copy)) == 3 * GIB
    assert digest_of(cloud.path(copy), GIB) == before
    life.check_quota()

    # With a snapshot it stays; without, and with all of them, it goes.
    life.delete(volume)
    life.wait_volume(volume)
    life.delete_snapshot(snapshot)
    life.gone(snapshot)
    life.check_quota()
    life.snapshot(clone)
    life.snapshot(clone)
    life.delete(clone, cascade=True)
    life.delete(copy)
    life.delete(volume)
    for made in (clone, copy, volume):
        life.gone(made)
    life.check_quota()
    assert not life.workers()
    cloud.leftovers()


def test_a_volume_in_use(cloning):
    """A clone of the storage is of one moment, so that a guest need not wait."""
    cloud = cloning.cloud
    volume = cloning.create(1, "busy")
    cloud.fill(volume)
    cloning.connect(volume)
    before = cloud.digest(volume)
    snapshot = cloning.snapshot(volume)
    cloud.fill(volume, [(0, MIB)], seed="guest")
    assert digest_of(cloning.snapshot_path(snapshot)) == before
    clone = cloning.create(1, "of-busy", source=volume)
    assert cloud.digest(clone) == cloud.digest(volume) != before
    # Its guest would not see a new size: refused as Cinder's driver nfs does.
    cloning.extend(volume, 2)
    cloning.wait_volume(volume, "error_extending")
    assert cloning.messages(volume) == ["VOLUME_VOLUME_007_010"]
    assert os.path.getsize(cloud.path(volume)) == GIB
    cloning.check_quota()
    cloning.disconnect(volume)
    cloning.delete(volume, cascade=True)
    cloning.delete(clone)
    cloning.gone(volume)
    cloning.gone(clone)
    cloning.check_quota()
    cloud.leftovers()


def test_a_volume_in_use_is_not_copied(life):
    cloud = life.cloud
    if cloud.reflinks:
        pytest.skip("skipped, because this file system clones")
    volume = life.create(1, "busy")
    life.connect(volume)
    snapshot = life.snapshot(volume, wait=False)
    life.wait_snapshot(snapshot, "error")
    assert life.messages(snapshot) == ["VOLUME_VOLUME_SNAPSHOT_009_013"]
    clone = life.create(1, "of-busy", source=volume, wait=False)
    life.wait_volume(clone, "error")
    assert life.messages(clone) == ["VOLUME_VOLUME_008_012"]
    reason = cloud.sql1("select reason from drover.operation where volume_id = %s", clone)
    assert "in use" in reason["reason"]
    assert not life.workers()
    life.check_quota()
    life.disconnect(volume)
    life.delete_snapshot(snapshot)
    life.gone(snapshot)
    life.delete(volume)
    life.delete(clone)
    life.gone(volume)
    life.gone(clone)
    life.check_quota()
    cloud.leftovers()


def test_a_migration_refuses_and_goes_on(life):
    """A snapshot, a clone and an extension are refused with everything put back."""
    cloud = life.cloud
    volume = life.create(1, "moves")
    image_of(cloud, volume)
    cloud.sql("insert into volume_metadata (created_at, deleted, volume_id, key, value)"
              " values (now(), false, %s, 'mine', 'too')", volume)
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("copy.written")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("copy.written")
    snapshot = life.snapshot(volume, wait=False)
    life.wait_snapshot(snapshot, "error")
    clone = life.create(1, "of-moving", source=volume, wait=False)
    life.wait_volume(clone, "error")
    life.extend(volume, 2)
    life.wait_volume(volume)
    life.check_quota()
    cloud.points.release()
    assert cloud.finished(volume)["phase"] == "done"
    row = cloud.volume(volume)
    assert (row["host"], row["size"], row["bootable"]) == ("server1@slow#slow", 1, True)
    assert cloud.digest(volume) == digest
    assert image_said(cloud, volume) == IMAGE
    assert cloud.sql1("select value from volume_metadata where volume_id = %s"
                      " and not deleted", volume)["value"] == "too"
    # It left a row in error, which goes like any other.
    life.delete_snapshot(snapshot)
    life.gone(snapshot)
    for made in (volume, clone):
        life.delete(made)
        life.gone(made)
    life.check_quota()
    cloud.leftovers()


def test_what_is_read_stays(life):
    """While a volume is made from a snapshot or a volume, these stay as they are; nobody
    is connected to a volume that is being copied."""
    import cinder.exception

    from peer import captured

    cloud = life.cloud
    if cloud.reflinks:
        pytest.skip("skipped, because this file system clones")
    volume = life.create(1, "read")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    snapshot = life.snapshot(volume)
    cloud.points.hold("fill.copying")
    copy = life.create(1, "copy", snapshot=snapshot, wait=False)
    cloud.points.reached("fill.copying")
    life.delete_snapshot(snapshot)
    life.wait_snapshot(snapshot)
    assert life.messages(snapshot) == ["VOLUME_VOLUME_SNAPSHOT_010_015"]
    life.delete(volume, cascade=True)
    life.wait_volume(volume)
    assert life.snapshot_row(snapshot)["status"] == "available"
    cloud.points.release()
    life.wait_volume(copy)
    assert cloud.digest(copy) == digest

    life.delete_snapshot(snapshot)
    life.gone(snapshot)
    cloud.points.hold("fill.copying")
    clone = life.create(1, "clone", source=volume, wait=False)
    cloud.points.reached("fill.copying")
    connector = captured("volume-initialize_connection")["message"]["args"]["connector"]
    connector["nbd"] = True
    with pytest.raises(cinder.exception.InvalidVolume):
        life.peer.volume().call(life.peer.context(), "initialize_connection",
                                volume=life.peer.volume_object(volume),
                                connector=connector)
    life.delete(volume)
    life.wait_volume(volume)
    # The clone itself may go before it is there.
    life.delete(clone)
    life.gone(clone)
    cloud.points.release()
    life.delete(volume)
    life.delete(copy)
    life.gone(volume)
    life.gone(copy)
    life.check_quota()
    assert not life.workers()
    cloud.leftovers()


WALK = [
    ("snapshot", ["fill.made", "fill.copying", "copy.checkpoint", "snapshot.made"]),
    ("copy", ["fill.copying", "file.create.renamed"]),
    ("clone", ["fill.made", "create.made"]),
    ("extend", ["file.grow.sized", "extend.grown"]),
]


def kill_at(cloud, point, victim, act):
    cloud.points.hold(point)
    made = act()
    cloud.points.reached(point)
    worker = cloud.worker()
    if victim == "worker":
        cloud.kill_worker(worker)
        cloud.points.release()
    else:
        cloud.manager.kill()
        cloud.wait_for(lambda: worker not in cloud.workers(), 10, "the worker dies too")
        cloud.points.release()
        cloud.manager.start()
    return made


def walk(life, points):
    """Kill worker and manager at each point of each kind of work; all of it is done in the
    end, once."""
    cloud = life.cloud
    volume = life.create(1, "walked")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    source = life.snapshot(volume)
    size = 1
    for what, names in points:
        for number, point in enumerate(names):
            victim = ("worker", "manager")[number % 2]
            if what == "snapshot":
                made = kill_at(cloud, point, victim,
                               lambda: life.snapshot(volume, wait=False))
                life.wait_snapshot(made)
                assert digest_of(life.snapshot_path(made)) == digest
                life.delete_snapshot(made)
                life.gone(made)
            elif what == "extend":
                size += 1
                kill_at(cloud, point, victim, lambda: life.extend(volume, size))
                life.wait_volume(volume)
                assert cloud.volume(volume)["size"] == size
                assert os.path.getsize(cloud.path(volume)) == size * GIB
            else:
                origin = ({"snapshot": source} if what == "copy" else {"source": volume})
                made = kill_at(cloud, point, victim,
                               lambda: life.create(1, wait=False, **origin))
                life.wait_volume(made)
                assert cloud.digest(made) == digest
                life.delete(made)
                life.gone(made)
            life.check_quota()
    assert digest_of(cloud.path(volume), GIB) == digest_of(life.snapshot_path(source))
    life.delete(volume, cascade=True)
    life.gone(volume)
    life.check_quota()
    assert not life.workers()
    cloud.leftovers()


def test_crashes_while_bytes_are_copied(life):
    if life.cloud.reflinks:
        pytest.skip("skipped, because this file system clones")
    walk(life, WALK)


def test_crashes_while_the_storage_clones(cloning):
    walk(cloning, [("snapshot", ["fill.cloned"]), ("clone", ["fill.cloned"])])


def test_what_cannot_be_done_says_so(life):
    """A driver that fails: statuses, messages, quota; and nothing is left."""
    cloud = life.cloud
    volume = life.create(1, "fails")
    cloud.manager.restart({"DROVER_FAULTS": "snapshot.made=fail:io;fill.made=fail:io;"
                           "file.grow.sized=fail:io"})
    snapshot = life.snapshot(volume, wait=False)
    life.wait_snapshot(snapshot, "error")
    assert life.messages(snapshot) == ["VOLUME_VOLUME_SNAPSHOT_009_013"]
    clone = life.create(1, "of-failing", source=volume, wait=False)
    life.wait_volume(clone, "error")
    assert life.messages(clone) == ["VOLUME_VOLUME_008_012"]
    life.extend(volume, 2)
    life.wait_volume(volume, "error_extending")
    assert life.messages(volume) == ["VOLUME_VOLUME_007_010"]
    assert cloud.volume(volume)["size"] == 1
    life.check_quota()
    assert not life.workers()
    cloud.manager.restart()
    cloud.wait_ready()
    life.delete_snapshot(snapshot)
    life.gone(snapshot)
    for made in (clone, volume):
        life.delete(made)
        life.gone(made)
    life.check_quota()
    cloud.leftovers()


def call(life, method, **args):
    return life.peer.volume().call(life.peer.context(), method, **args)


def test_bad_requests(life):
    """The class that a cinder-volume answers with, and the row is what it was."""
    import cinder.exception as cinder

    cloud = life.cloud
    volume = life.create(1, "bad")
    args = life.begin_extend(volume, 1)
    with pytest.raises(cinder.InvalidInput, match="greater than the current"):
        call(life, "extend_volume", **args)
    life.wait_volume(volume)
    args = life.begin_extend(volume, 2)
    del args["new_size"]
    with pytest.raises(cinder.InvalidInput, match="new_size"):
        call(life, "extend_volume", **args)
    life.wait_volume(volume)
    with pytest.raises(cinder.NotSupportedOperation):
        call(life, "extend_volume_completion", **life.begin_extend(volume, 2), error=False)
    life.wait_volume(volume)
    life.check_quota()

    life.delete(volume, unmanage=True)
    life.wait_volume(volume)
    snapshot = life.snapshot(volume)
    life.delete_snapshot(snapshot, unmanage=True)
    life.wait_snapshot(snapshot)

    # Unknown, of a version to come, gone meanwhile.
    unknown = life.snapshot_object(str(uuid.uuid4()))
    with pytest.raises(cinder.SnapshotNotFound):
        call(life, "create_snapshot", snapshot=unknown)
    assert call(life, "delete_snapshot", snapshot=unknown, unmanage_only=False) is None
    newer = life.snapshot_object(snapshot)
    newer["versioned_object.version"] = "1.99"
    newer["versioned_object.data"]["news"] = {"a": [1]}
    with pytest.raises(cinder.InvalidSnapshot, match="available"):
        call(life, "create_snapshot", snapshot=newer)
    with pytest.raises(cinder.InvalidInput):
        call(life, "create_snapshot", snapshot={"versioned_object.data": {}})
    with pytest.raises(cinder.InvalidInput):
        call(life, "delete_snapshot", snapshot=None, unmanage_only=False)
    with pytest.raises(cinder.InvalidSnapshot):
        call(life, "delete_snapshot", snapshot=newer, unmanage_only=False)
    life.wait_snapshot(snapshot)

    cloud.points.hold("snapshot.made")
    gone = life.snapshot(volume, wait=False)
    cloud.points.reached("snapshot.made")
    cloud.sql("update snapshots set deleted = true where id = %s", gone)
    life.use("snapshots", -1)
    life.use("gigabytes", -1)
    cloud.points.release()
    cloud.wait_for(lambda: cloud.sql1("select finished_at from drover.operation where"
                                      " snapshot_id = %s", gone)["finished_at"], 30,
                   "its operation ends")
    assert life.peer.volume(version="3.0").call(
        life.peer.context(), "secure_file_operations_enabled",
        volume=life.peer.volume_object(volume)) is False
    # A backup's row tells who does not wait for the answer.
    backup = str(uuid.uuid4())
    cloud.sql("insert into backups (id, volume_id, status, deleted) values"
              " (%s, %s, 'creating', false)", backup, volume)
    cloud.sql("update volumes set status = 'backing-up', previous_status = 'available'"
              " where id = %s", volume)
    with pytest.raises(cinder.NotSupportedOperation):
        call(life, "get_backup_device", backup={
            "versioned_object.name": "Backup", "versioned_object.namespace": "cinder",
            "versioned_object.version": "1.7", "versioned_object.data": {"id": backup}},
            want_objects=True)
    row = cloud.sql1("select status, fail_reason from backups where id = %s", backup)
    assert row["status"] == "error" and "not supported" in row["fail_reason"]
    life.wait_volume(volume)
    # Nor is an empty volume what an image or a backup would be.
    for origin in ("image_id", "backup_id"):
        empty = life.create(1, "empty", wait=False, **{origin: str(uuid.uuid4())})
        life.wait_volume(empty, "error")
        assert not os.path.exists(cloud.path(empty))
        life.delete(empty)
        life.gone(empty)
    life.delete(volume, cascade=True)
    life.gone(volume)
    life.check_quota()
    cloud.leftovers()


def test_a_request_that_comes_twice(life):
    cloud = life.cloud
    volume = life.create(1, "twice")
    context = life.peer.context()
    snapshot = life.snapshot(volume, context=context)
    args = life.begin_extend(volume, 2)
    for _ in range(2):
        life.peer.volume().call(context, "extend_volume", **args)
        life.peer.volume().call(context, "create_snapshot",
                                snapshot=life.snapshot_object(snapshot))
    life.wait_volume(volume)
    assert cloud.volume(volume)["size"] == 2
    assert cloud.sql1("select count(*) as n from drover.operation where volume_id = %s",
                      volume)["n"] == 3
    life.check_quota()
    life.delete(volume, cascade=True)
    life.gone(volume)
    life.check_quota()
    cloud.leftovers()
