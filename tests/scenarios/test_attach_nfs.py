# SPDX-License-Identifier: Apache-2.0
"""Attachments of volumes in shares: what Nova, os-brick and a Python cinder-volume are told,
as captured."""
import json
import os
import uuid

import nbd
import pytest

from attachments import Attachments, connector
from cloud import GIB
from nfs_cloud import ONE, TWO
from peer import Peer

HOST = "server1@nfs-1#nfs-1"
NOVA = connector()
del NOVA["nbd"]


@pytest.fixture
def api(nfs):
    peer = Peer(nfs)
    yield Attachments(nfs, peer)
    peer.close()


def data(cloud, volume, share=ONE, **more):
    row = cloud.volume(volume)
    return {"export": share, "name": f"volume-{row['name_id']}", "options": None,
            "format": "raw", "qos_specs": None, "access_mode": "rw", "encrypted": False,
            "cacheable": False, **more}


def base(cloud, host="server1"):
    return f"{cloud.tmp}/state-{host}/mnt"


def flat(cloud, volume, attachment, share=ONE, **more):
    return {**data(cloud, volume, share, **more), "driver_volume_type": "nfs",
            "mount_point_base": base(cloud), "attachment_id": attachment}


def statuses(cloud, volume):
    row = cloud.volume(volume)
    return row["status"], row["attach_status"]


def test_as_captured(nfs, api):
    volume = nfs.create(1, "captured", HOST)
    attachment = api.create(volume)
    info = api.update(volume, attachment, NOVA)
    assert info == flat(nfs, volume, attachment)
    assert list(info)[-3:] == ["driver_volume_type", "mount_point_base", "attachment_id"]
    row = api.row(attachment)
    assert json.loads(row["connector"]) == NOVA
    assert (row["attach_status"], row["attached_host"], row["mountpoint"], row["attach_mode"]
            ) == ("attaching", "compute1", "na", "rw")
    assert statuses(nfs, volume) == ("attaching", "attaching")
    # Where the host goes, the file is.
    assert os.path.getsize(nfs.exported(info["export"], info["name"])) == GIB
    api.complete(volume, attachment)
    before = api.row(attachment)
    assert api.ask(volume, attachment, NOVA) == info
    assert api.row(attachment) == before
    assert statuses(nfs, volume) == ("in-use", "attached")
    api.delete(volume, attachment)
    assert statuses(nfs, volume) == ("available", "detached")
    # With the connector at once.
    attachment, info = api.create(volume, NOVA, mode="ro")
    assert info == flat(nfs, volume, attachment)
    assert json.loads(api.row(attachment)["connector"]) == {**NOVA, "mode": None}
    api.delete(volume, attachment)
    # Nobody serves anything.
    assert not nfs.sql("select 1 from drover.export where volume_id = %s", volume)
    nfs.leftovers()


def test_a_hypervisor_uses_the_share(nfs, api):
    volume, instance = nfs.create(1, "hypervisor", HOST), str(uuid.uuid4())
    # It speaks NBD too, but the share is nearer, from whatever host.
    attachment, info = api.create(volume, connector(host="hyper2", instance=instance),
                                  server=instance)
    assert info == flat(nfs, volume, attachment)
    assert not nfs.sql("select 1 from drover.export where volume_id = %s", volume)
    api.delete(volume, attachment)
    nfs.leftovers()


def test_the_older_actions_and_a_migration(nfs, api):
    volume = nfs.create(1, "older", HOST)
    api.status(volume, "attaching")
    assert api.initialize(volume, NOVA) == {
        "driver_volume_type": "nfs", "data": data(nfs, volume),
        "mount_point_base": base(nfs)}
    api.attach(volume, server=str(uuid.uuid4()))
    api.status(volume, "detaching")
    assert api.terminate(volume, NOVA) is None
    assert api.detach(volume) is None
    assert statuses(nfs, volume) == ("available", "detached")
    # A connection that was handed out: its host may be writing.
    api.initialize(volume, NOVA)
    refused = nfs.drover("migrate", volume, "server1@nfs-2#nfs-2", check=False)
    assert refused.returncode == 1 and "connected to host 'compute1'" in refused.stderr
    api.terminate(volume, NOVA)
    assert nfs.migrate(volume, "server1@nfs-2#nfs-2")["phase"] == "done"
    info = api.initialize(volume, NOVA)
    assert info["data"] == data(nfs, volume, TWO)
    assert os.path.exists(nfs.exported(TWO, info["data"]["name"]))
    # Its host has died, and never says that it is over.
    nfs.drover("disconnect", volume)
    nfs.drover("delete", volume)
    nfs.leftovers()


def test_a_cinder_source_connects_its_temporary_volume(nfs, api):
    """Captures 50 and 51."""
    volume = nfs.create(1, "temporary", HOST)
    nfs.sql("update volumes set migration_status = %s where id = %s",
            f"target:{uuid.uuid4()}", volume)
    info = api.initialize(volume, {**NOVA, "host": "server9"})
    assert info["data"] == data(nfs, volume)
    assert api.terminate(volume, {**NOVA, "host": "server9"}, force=True) is None
    assert api.call(volume, "3.0", "remove_export", volume_id=volume) is None
    nfs.sql("update volumes set migration_status = null where id = %s", volume)
    nfs.drover("delete", volume)
    nfs.leftovers()


def test_what_the_rows_say_is_told(nfs, api):
    volume = nfs.create(1, "options", HOST)
    api.readonly(volume, True)
    assert api.initialize(volume, NOVA)["data"] == data(nfs, volume, access_mode="ro")
    api.readonly(volume, False)
    path = f"{nfs.tmp}/nfs-1.shares"
    with open(path) as f:
        before = f.read()
    with open(path, "w") as f:
        f.write(f"{ONE} -o vers=4.1\n")
    try:
        assert api.initialize(volume, NOVA)["data"] == data(
            nfs, volume, options="-o vers=4.1")
    finally:
        with open(path, "w") as f:
            f.write(before)
    # Without a host, as in Cinder; and over NBD, for who speaks it.
    assert api.initialize(volume, {})["data"] == data(nfs, volume)
    info = api.initialize(volume, connector())
    handle = nbd.NBD()
    handle.connect_uri(info["data"]["uri"])
    assert handle.get_size() == GIB
    handle.shutdown()
    api.terminate(volume, connector())
    nfs.drover("disconnect", volume)
    nfs.leftovers()


def test_several_hosts(nfs, api):
    pools = {p["name"]: p["capabilities"] for p in nfs.drover_json("pool", "list")}
    assert pools[HOST]["multiattach"] is True
    assert not pools["server1@plain#plain"].get("multiattach")
    volume = nfs.create(1, "several", HOST)
    nfs.sql("update volumes set multiattach = true where id = %s", volume)
    made = [api.create(volume, {**NOVA, "host": f"compute{n}"})[0] for n in (1, 2)]
    for attachment in made:
        api.complete(volume, attachment)
    api.delete(volume, made[0])
    assert statuses(nfs, volume) == ("in-use", "attached")
    api.delete(volume, made[1])
    assert statuses(nfs, volume) == ("available", "detached")
    nfs.leftovers()


def foreign(cloud, metadata=None):
    """What a real Cinder would have left: a row and a file, and no row of ours."""
    volume = cloud.create(1, None, HOST)
    cloud.sql("delete from drover.object where volume_id = %s", volume)
    cloud.sql("delete from drover.transition t using drover.operation o where o.id ="
              " t.operation_id and o.volume_id = %s", volume)
    cloud.sql("delete from drover.operation where volume_id = %s", volume)
    if metadata:
        cloud.sql("update volume_admin_metadata set value = %s where volume_id = %s and"
                  " key = 'format'", metadata, volume)
    return volume


def test_a_volume_that_cinder_made_is_looked_at_first(nfs, api):
    import cinder.exception

    volume = foreign(nfs)
    assert api.initialize(volume, NOVA)["data"] == data(nfs, volume)
    assert nfs.sql1("select identity from drover.object where volume_id = %s",
                    volume)["identity"]
    api.terminate(volume, NOVA)
    # Its newest data is elsewhere: nobody is sent to the wrong file.
    volume = foreign(nfs)
    info = nfs.exported(ONE, f"volume-{volume}.info")
    with open(info, "w") as f:
        json.dump({"active": f"volume-{volume}.{uuid.uuid4()}"}, f)
    attachment = api.create(volume)
    for _ in range(2):
        with pytest.raises(cinder.exception.VolumeBackendAPIException) as caught:
            api.update(volume, attachment, NOVA)
        assert "Driver initialize connection failed (error: " in str(caught.value)
        assert "qcow2" in str(caught.value)
    assert api.row(attachment)["attach_status"] == "reserved"
    os.unlink(info)
    api.update(volume, attachment, NOVA)
    api.delete(volume, attachment)
    # Its share hangs: that is told, and leaves its place to others.
    volume = foreign(nfs)
    nfs.points.hold("look.looking")
    with pytest.raises(cinder.exception.VolumeBackendAPIException) as caught:
        api.initialize(volume, NOVA)
    assert "has not answered for 8 s" in str(caught.value)
    nfs.points.release()
    api.initialize(volume, NOVA)
    api.terminate(volume, NOVA)
    # There is no file.
    volume = foreign(nfs)
    os.rename(nfs.path(volume), f"{nfs.path(volume)}.away")
    with pytest.raises(cinder.exception.VolumeBackendAPIException):
        api.initialize(volume, NOVA)
    os.rename(f"{nfs.path(volume)}.away", nfs.path(volume))
    api.initialize(volume, NOVA)
    api.terminate(volume, NOVA)
    nfs.leftovers()
