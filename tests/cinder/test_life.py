# SPDX-License-Identifier: Apache-2.0
"""The life of volumes and snapshots, through an unmodified cinder-api. After each test the
fixture looks that nothing is left over and that quotas say what the rows do."""
import os

from cloud import GIB, digest_of

ONE, TWO, FAR = "server1@nfs-1#nfs1", "server1@nfs-2#nfs2", "server2@nfs-1#nfs1"


def filled(cloud, name, host=ONE):
    volume = cloud.make(name, host)
    cloud.fill(volume)
    return volume, cloud.digest(volume)


def created(cloud, *arguments):
    """A volume made by the command; returns its id when it is available."""
    text = cloud.cinder("create", *arguments).stdout
    volume = [line.split("|")[2].strip() for line in text.splitlines()
              if line.startswith("| id ")][0]
    cloud.wait_for(lambda: cloud.status(volume)[0] in ("available", "error"), 30,
                   f"{arguments} is made")
    assert cloud.status(volume)[0] == "available"
    return volume


def snapped(cloud, volume, *options, **more):
    text = cloud.cinder("snapshot-create", *options, volume, **more).stdout
    snapshot = [line.split("|")[2].strip() for line in text.splitlines()
                if line.startswith("| id ")][0]
    cloud.wait_for(lambda: snapshot_status(cloud, snapshot) in ("available", "error"), 30,
                   "the snapshot is made")
    assert snapshot_status(cloud, snapshot) == "available"
    return snapshot


def snapshot_status(cloud, snapshot):
    row = cloud.sql1("select status, deleted from snapshots where id = %s", snapshot)
    return "gone" if row["deleted"] else row["status"]


def without(cloud, snapshot):
    cloud.cinder("snapshot-delete", snapshot)
    cloud.wait_for(lambda: snapshot_status(cloud, snapshot) == "gone", 30,
                   "the snapshot is deleted")


def test_create_and_delete(cloud):
    volume = created(cloud, "--name", "plain", "--metadata", "k=v", "--availability-zone",
                     "nova", "--volume-type", "t-nfs2", 1)
    shown = cloud.shown(volume)
    assert (shown["os-vol-host-attr:host"], shown["metadata"]) == (TWO, "k : v")
    assert os.path.getsize(cloud.path(volume)) == GIB
    cloud.cinder("rename", volume, "renamed", "--description", "told")
    cloud.cinder("metadata", volume, "set", "k=w", "l=x")
    cloud.cinder("metadata", volume, "unset", "k")
    shown = cloud.shown(volume)
    assert (shown["name"], shown["description"], shown["metadata"]) == (
        "renamed", "told", "l : x")
    path = cloud.path(volume)
    cloud.delete(volume)
    cloud.settled()
    assert not os.path.exists(path)


def test_no_backend_that_fits(cloud):
    text = cloud.cinder("create", "--name", "none", "--volume-type", "t-none", 1).stdout
    volume = [line.split("|")[2].strip() for line in text.splitlines()
              if line.startswith("| id ")][0]
    cloud.wait_for(lambda: cloud.status(volume)[0] == "error", 20, "status error")
    told = cloud.cinder("message-list", "--resource_uuid", volume).stdout
    assert "No valid backend was found" in told or "schedule allocate volume" in told, told


def test_from_a_snapshot(cloud):
    volume, digest = filled(cloud, "origin")
    snapshot = snapped(cloud, volume, "--name", "s")
    cloud.fill(volume, seed="later")
    assert cloud.digest(volume) != digest
    copy = created(cloud, "--snapshot-id", snapshot, "--name", "copy", 1)
    assert cloud.digest(copy) == digest
    assert cloud.shown(copy)["snapshot_id"] == snapshot
    larger = created(cloud, "--snapshot-id", snapshot, "--name", "larger", 2)
    assert os.path.getsize(cloud.path(larger)) == 2 * GIB
    assert digest_of(cloud.path(larger), GIB) == digest_of(cloud.path(copy), GIB)
    # It is in the way of what would lose it.
    assert cloud.rest("DELETE", f"/volumes/{volume}").status == 400
    refused = cloud.cinder("migrate", volume, FAR)
    # This command says what is wrong and exits with 0.
    assert "HTTP 400" in refused.stdout and "have snapshots" in refused.stdout
    without(cloud, snapshot)


def test_from_a_volume(cloud):
    volume, digest = filled(cloud, "origin")
    copy = created(cloud, "--source-volid", volume, "--name", "copy", 1)
    assert cloud.digest(copy) == digest == cloud.digest(volume)
    cloud.fill(copy, seed="later")
    assert cloud.digest(volume) == digest
    # A copy moves like any other.
    after = cloud.digest(copy)
    assert cloud.moves(copy, FAR)["phase"] == "done"
    cloud.delete(volume)
    assert cloud.digest(copy) == after


def test_extend(cloud):
    volume, digest = filled(cloud, "small")
    begin = digest_of(cloud.path(volume), GIB)
    cloud.cinder("extend", volume, 2)
    cloud.wait_for(lambda: cloud.volume(volume)["size"] == 2, 20, "it is larger")
    cloud.settled()
    assert cloud.shown(volume)["size"] == "2"
    assert os.path.getsize(cloud.path(volume)) == 2 * GIB
    assert digest_of(cloud.path(volume), GIB) == begin
    smaller = cloud.action(volume, "os-extend", {"new_size": 1})
    assert smaller.status == 400
    assert cloud.moves(volume, FAR)["phase"] == "done"
    assert digest_of(cloud.path(volume), GIB) == begin


def test_a_moved_volume_has_the_same_life(cloud):
    """Snapshots and copies of a volume whose object has another name."""
    volume, digest = filled(cloud, "moved")
    assert cloud.moves(volume, FAR)["phase"] == "done"
    cloud.settled()
    assert cloud.volume(volume)["_name_id"]
    snapshot = snapped(cloud, volume)
    copy = created(cloud, "--snapshot-id", snapshot, 1)
    assert cloud.digest(copy) == digest
    without(cloud, snapshot)
    assert cloud.moves(volume, ONE)["phase"] == "done"
    assert cloud.digest(volume) == digest


def test_cascade(cloud):
    volume, _ = filled(cloud, "cascade")
    snapshots = [snapped(cloud, volume) for _ in range(2)]
    assert cloud.cinder("delete", volume, check=False).returncode == 1
    cloud.cinder("delete", "--cascade", volume)
    cloud.gone(volume)
    assert {snapshot_status(cloud, s) for s in snapshots} == {"gone"}


def test_image_metadata_moves_with_a_bootable_volume(cloud):
    volume, digest = filled(cloud, "boot")
    cloud.cinder("set-bootable", volume, "True")
    cloud.cinder("image-metadata", volume, "set", "os_type=linux", "min_ram=64")
    before = cloud.cinder("image-metadata-show", volume).stdout
    assert "linux" in before
    assert cloud.moves(volume, FAR)["phase"] == "done"
    assert cloud.shown(volume)["bootable"] == "true"
    assert cloud.cinder("image-metadata-show", volume).stdout == before
    assert cloud.digest(volume) == digest


def test_a_transfer_is_accepted(cloud):
    from cinder_cloud import OTHER_PROJECT

    volume, digest = filled(cloud, "gift")
    transfer = cloud.rest("POST", "/volume-transfers", {"transfer": {
        "volume_id": volume, "name": "gift"}}).body["transfer"]
    answer = cloud.rest("POST", f"/volume-transfers/{transfer['id']}/accept",
                        {"accept": {"auth_key": transfer["auth_key"]}},
                        project=OTHER_PROJECT)
    assert answer.status == 202, answer
    row = cloud.volume(volume)
    assert (row["project_id"], row["status"]) == (OTHER_PROJECT, "available")
    assert cloud.digest(volume) == digest
    cloud.cinder("delete", volume, project=OTHER_PROJECT)
    cloud.gone(volume)


# Retype.


def retyped(cloud, volume, new_type, *options):
    cloud.cinder("retype", *options, volume, new_type)
    cloud.wait_for(lambda: cloud.status(volume)[0] != "retyping", 40, "it is retyped")
    cloud.settled()
    shown = cloud.shown(volume)
    assert shown["status"] == "available"
    return shown["volume_type"], shown["os-vol-host-attr:host"]


def test_retype(cloud):
    volume, digest = filled(cloud, "type")
    # No backend has to be changed for this.
    assert retyped(cloud, volume, "t-plain2") == ("t-plain2", ONE)
    # The same type again: cinder-api accepts it and does nothing, or refuses it.
    cloud.cinder("retype", volume, "t-plain2", check=False)
    cloud.settled()
    # Another backend, but it may not move.
    assert retyped(cloud, volume, "t-nfs2", "--migration-policy", "never") == (
        "t-plain2", ONE)
    assert cloud.digest(volume) == digest
    # It may.
    assert retyped(cloud, volume, "t-nfs2", "--migration-policy", "on-demand") == (
        "t-nfs2", TWO)
    assert cloud.digest(volume) == digest
    assert cloud.volume(volume)["migration_status"] is None
