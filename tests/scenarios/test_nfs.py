# SPDX-License-Identifier: Apache-2.0
"""Driver nfs: shares are mounted when they are needed, volumes lie in them as Cinder's do and
say where they are, and they move between shares, hosts and kinds of backends."""
import json
import os
import stat

import pytest

from cloud import GIB
from nfs_cloud import ONE, TWO


def fmt(cloud, volume):
    """The admin metadata "format" that counts; None when there is none."""
    rows = cloud.sql("select value from volume_admin_metadata where volume_id = %s"
                     " and key = 'format' and not deleted", volume)
    assert len(rows) < 2, rows
    return rows[0]["value"] if rows else None


def stands(cloud, volume, host, share):
    row = cloud.volume(volume)
    assert (row["host"], row["provider_location"]) == (host, share)
    assert fmt(cloud, volume) == ("raw" if share else None)
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert os.path.getsize(cloud.path(volume)) == GIB
    return row


def test_volumes_move_between_shares_hosts_and_files(nfs):
    volume = nfs.create(1, "tour", "server1@nfs-1#nfs-1")
    stands(nfs, volume, "server1@nfs-1#nfs-1", ONE)
    path = nfs.exported(ONE, f"volume-{volume}")
    assert path == nfs.path(volume)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o666
    # The manager has mounted it, nobody else sees that.
    point = nfs.mount_point("server1", ONE)
    assert nfs.inside("server1", "mountpoint", "-q", point).returncode == 0
    assert not os.listdir(point)

    nfs.fill(volume)
    before = nfs.digest(volume)
    for target, share in (("server1@nfs-2#nfs-2", TWO), ("server1@plain#plain", None),
                          ("server1@nfs-1#nfs-1", ONE), ("server2@far#far", ONE),
                          ("server1@nfs-2#nfs-2", TWO)):
        done = nfs.migrate(volume, target)
        assert done["phase"] == "done", done["reason"]
        row = stands(nfs, volume, target, share)
        assert row["_name_id"] == done["temporary_id"]
        assert nfs.digest(volume) == before, target
        assert os.stat(nfs.path(volume)).st_blocks * 512 < GIB / 16
        # T's row keeps nothing that somebody could take for a live one.
        assert nfs.sql1("select deleted from volumes where id = %s",
                        done["temporary_id"])["deleted"]
    nfs.leftovers()
    nfs.drover("delete", volume)
    nfs.wait_for(lambda: not [n for n in os.listdir(nfs.exported(TWO))
                              if n.startswith(("volume-", "trash-"))], 30,
                 "the file is gone")


def test_a_report_is_that_of_cinders_driver(nfs):
    pools = {p["name"]: p for p in nfs.drover_json("pool", "list")}
    pool = pools["server1@nfs-1#nfs-1"]
    size = os.statvfs(nfs.exported(ONE))
    total = size.f_blocks * size.f_frsize / GIB
    got = pool["capabilities"]
    assert abs(got["total_capacity_gb"] - total) < 0.01
    assert 0 < got["free_capacity_gb"] <= total
    assert "nfs" in got["storage_protocol"]
    for key, value in {
            "volume_backend_name": "nfs-1", "vendor_name": "Open Source",
            "driver_version": "1.4.0", "reserved_percentage": 0, "QoS_support": False,
            "sparse_copy_volume": True, "max_over_subscription_ratio": 20.0,
            "thin_provisioning_support": True, "thick_provisioning_support": False,
            "filter_function": None, "goodness_function": None}.items():
        assert got[key] == value, key


def adopt(cloud, share, host, content=b"", metadata="raw", size=GIB):
    """What a real Cinder would have left: a row and a file, and no row of ours."""
    volume = cloud.create(1, None, "server1@plain#plain")
    os.unlink(cloud.path(volume))
    cloud.sql("delete from drover.object where volume_id = %s", volume)
    cloud.sql("update volumes set host = %s, provider_location = %s where id = %s",
              host, share, volume)
    if metadata:
        cloud.sql("insert into volume_admin_metadata (volume_id, key, value, deleted)"
                  " values (%s, 'format', %s, false)", volume, metadata)
    path = cloud.exported(share, f"volume-{volume}")
    with open(path, "wb") as f:
        f.write(content)
        f.truncate(size)
    os.chmod(path, 0o666)
    return volume, path


def test_volumes_of_a_real_cinder_are_found_by_their_rows(nfs):
    volume, path = adopt(nfs, ONE, "server1@nfs-1#nfs-1", os.urandom(300000))
    before = nfs.digest(volume)
    done = nfs.migrate(volume, "server1@nfs-2#nfs-2")
    assert done["phase"] == "done", done["reason"]
    stands(nfs, volume, "server1@nfs-2#nfs-2", TWO)
    assert nfs.digest(volume) == before
    nfs.leftovers()
    assert not os.path.exists(path)

    # A guest may write what looks like qcow2 to a raw volume.
    volume, path = adopt(nfs, ONE, "server1@nfs-1#nfs-1", b"QFI\xfb" + bytes(1000))
    before = nfs.digest(volume)
    assert nfs.migrate(volume, "server1@plain#plain")["phase"] == "done"
    assert nfs.digest(volume) == before
    assert fmt(nfs, volume) is None
    nfs.leftovers()

    # One that nobody has touched is deleted by name, in its share only.
    volume, path = adopt(nfs, ONE, "server1@nfs-1#nfs-1")
    other = nfs.exported(TWO, os.path.basename(path))
    with open(other, "w") as f:
        f.write("somebody else's")
    nfs.drover("delete", volume)
    nfs.wait_for(lambda: not os.path.exists(path), 30, "the file is gone")
    assert os.path.exists(other)
    os.unlink(other)
    nfs.leftovers()


@pytest.mark.parametrize("how", ["metadata", "magic", "snapshot"])
def test_qcow2_is_refused_with_its_reason(nfs, how):
    content = b"QFI\xfb\0\0\0\3" + bytes(1000) if how == "magic" else b"raw"
    metadata = {"metadata": "qcow2", "magic": None, "snapshot": "raw"}[how]
    volume, path = adopt(nfs, ONE, "server1@nfs-1#nfs-1", content, metadata)
    if how == "snapshot":
        with open(f"{path}.info", "w") as f:
            json.dump({"active": f"volume-{volume}.6a1f"}, f)
    if how == "metadata":
        refused = nfs.drover("migrate", volume, "server1@nfs-2#nfs-2", check=False)
        assert refused.returncode == 1 and "qcow2" in refused.stderr, refused
    else:
        done = nfs.migrate(volume, "server1@nfs-2#nfs-2")
        assert done["phase"] == "failed" and "qcow2" in done["reason"], done["reason"]
    row = nfs.volume(volume)
    assert (row["host"], row["status"]) == ("server1@nfs-1#nfs-1", "available")
    with open(path, "rb") as f:
        assert f.read(len(content)) == content
    nfs.sql("update volumes set deleted = true where id = %s", volume)
    for name in (path, f"{path}.info"):
        if os.path.exists(name):
            os.unlink(name)
    nfs.sql("delete from drover.object where volume_id = %s", volume)
    nfs.leftovers()


def test_a_share_that_is_not_mounted_is_mounted_and_never_written_past(nfs):
    point = nfs.mount_point("server1", TWO)
    assert nfs.inside("server1", "umount", "-l", point).returncode == 0
    volume = nfs.create(1, "again", "server1@nfs-2#nfs-2")
    assert os.path.exists(nfs.path(volume))
    assert nfs.inside("server1", "mountpoint", "-q", point).returncode == 0

    # While the server does not answer, mount(8) hangs: the backend says so, and the rest of
    # the manager works.
    with open(f"{nfs.tmp}/mount-hangs", "w"):
        pass
    try:
        assert nfs.inside("server1", "umount", "-l", point).returncode == 0
        other = nfs.create(1, "meanwhile", "server1@plain#plain")
        assert nfs.migrate(other, "server1@nfs-1#nfs-1")["phase"] == "done"
        nfs.wait_for(lambda: "backend 'server1@nfs-2' does not answer" in
                     nfs.manager.log(), 60, "the log says that the share does not answer")
        assert not os.listdir(point)
    finally:
        os.unlink(f"{nfs.tmp}/mount-hangs")
    nfs.wait_for(lambda: nfs.inside("server1", "mountpoint", "-q", point).returncode == 0,
                 60, "the share is mounted again")
    nfs.fill(volume)
    before = nfs.digest(volume)
    assert nfs.migrate(volume, "server1@plain#plain")["phase"] == "done"
    assert nfs.digest(volume) == before
    nfs.leftovers()


def test_a_killed_manager_finds_its_shares_again(nfs):
    """Its namespace, and so its mounts, are gone with it."""
    volume = nfs.create(1, "killed", "server1@nfs-1#nfs-1")
    nfs.fill(volume)
    before = nfs.digest(volume)
    nfs.points.hold("copy.flushed")
    nfs.migrate(volume, "server1@nfs-2#nfs-2", wait=False)
    nfs.points.reached("copy.flushed")
    nfs.manager.kill()
    nfs.points.release()
    nfs.manager.start()
    done = nfs.finished(volume, 120)
    assert done["phase"] == "done", done["reason"]
    stands(nfs, volume, "server1@nfs-2#nfs-2", TWO)
    assert nfs.digest(volume) == before
    nfs.leftovers()
