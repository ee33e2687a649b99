# SPDX-License-Identifier: Apache-2.0
"""Attachments as an unmodified cinder-api makes them, over NBD: the rows that a running
Cinder writes, the failures it answers with, and what a guest sees."""
import concurrent.futures
import json
import uuid

import nbd
import pytest

import processes
from attachments import Attachments, connector

GUEST = "31be34aa-d680-4228-b0d6-03da0167d14a"
MIB = 1 << 20


@pytest.fixture
def api(cloud, peer):
    peer.timeout = 60  # rpc_response_timeout
    return Attachments(cloud, peer)


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        yield threads


def export_of(cloud, volume, state="open"):
    return cloud.sql1("select *, id::text from drover.export where volume_id = %s and"
                      " kind = 'attachment' and state = %s", volume, state)


def opened(info):
    handle = nbd.NBD()
    handle.connect_uri(info.get("data", info)["uri"])
    return handle


def statuses(cloud, volume):
    row = cloud.volume(volume)
    return row["status"], row["attach_status"]


def told(caught):
    """What an API user reads; oslo adds the traceback to str()."""
    return caught.value.msg


def raises(name):
    import cinder.exception

    return pytest.raises(getattr(cinder.exception, name))


def test_the_attachments_api(cloud, api):
    volume = cloud.create(1, "new-style")
    attachment = api.create(volume, server=GUEST)
    assert statuses(cloud, volume) == ("reserved", "detached")
    asked = connector()
    info = api.update(volume, attachment, asked)
    export = export_of(cloud, volume)
    assert info == {
        "uri": f"nbd://127.0.0.1:{export['port']}/{export['id']}", "address": "127.0.0.1",
        "port": export["port"], "export": export["id"], "volume_id": volume,
        "qos_specs": None, "access_mode": "rw", "encrypted": False, "cacheable": False,
        "driver_volume_type": "nbd", "attachment_id": attachment}
    row = api.row(attachment)
    assert json.loads(row["connector"]) == asked
    assert (row["attach_status"], row["attached_host"], row["mountpoint"], row["attach_mode"],
            row["instance_uuid"], row["detach_time"]) == (
        "attaching", "compute1", "na", "rw", GUEST, None)
    assert row["attach_time"] is not None and row["updated_at"] is not None
    assert statuses(cloud, volume) == ("attaching", "attaching")
    handle = opened(info)
    handle.pwrite(b"drover" * 512, 4096)
    api.complete(volume, attachment)
    shown = cloud.drover_json("show", volume)["attachments"]
    assert [(a["attachment_id"], a["server_id"], a["host_name"], a["status"])
            for a in shown] == [(attachment, GUEST, "compute1", "attached")]
    # Once more, as it is: nothing changes.
    before = api.row(attachment)
    assert api.ask(volume, attachment, asked) == info
    assert (api.row(attachment), statuses(cloud, volume)) == (before, ("in-use", "attached"))
    for verb, more, why in (("delete", (), "it is connected"),
                            ("migrate", ("server1@slow",), GUEST)):
        refused = cloud.drover(verb, volume, *more, check=False)
        assert refused.returncode == 1 and why in refused.stderr, refused
    handle.flush()
    handle.shutdown()
    api.delete(volume, attachment)
    # Nobody can write any more when the answer is there.
    assert not processes.alive(export["pid"])
    assert statuses(cloud, volume) == ("available", "detached")
    with open(cloud.path(volume), "rb") as f:
        f.seek(4096)
        assert f.read(3072) == b"drover" * 512
    cloud.leftovers()


def test_made_with_a_connector_and_read_only(cloud, api):
    volume = cloud.create(1, "at-once")
    attachment, info = api.create(volume, connector(mode="ro"), mode="ro")
    row = api.row(attachment)
    # As captured: nobody has said a mode yet when the connector comes.
    assert json.loads(row["connector"])["mode"] is None
    assert (row["attach_status"], row["attach_mode"]) == ("attaching", "ro")
    assert info["access_mode"] == "ro"
    handle = opened(info)
    assert handle.is_read_only()
    handle.set_strict_mode(0)
    with pytest.raises(nbd.Error):
        handle.pwrite(b"x" * 512, 0)
    handle.shutdown()
    api.delete(volume, attachment)
    cloud.leftovers()


def test_the_older_actions(cloud, api):
    volume = cloud.create(1, "old-style")
    api.status(volume, "attaching")
    info = api.initialize(volume, connector())
    assert statuses(cloud, volume) == ("attaching", "detached")
    assert info["driver_volume_type"] == "nbd"
    assert info["data"]["access_mode"] == "rw"
    answer = api.attach(volume, server=GUEST)
    row = cloud.sql1("select * from volume_attachment where volume_id = %s", volume)
    data = answer["versioned_object.data"]
    assert (data["id"], data["attach_status"], data["instance_uuid"]) == (
        row["id"], "attached", GUEST)
    assert data["volume"]["versioned_object.data"]["status"] == "attaching"
    assert (row["attached_host"], row["mountpoint"], row["attach_mode"]) == (
        None, "/dev/vdb", "rw")
    assert statuses(cloud, volume) == ("in-use", "attached")
    meta = {r["key"]: r["value"] for r in cloud.sql(
        "select key, value from volume_admin_metadata where volume_id = %s and"
        " not deleted", volume)}
    assert (meta["attached_mode"], meta["readonly"]) == ("rw", "False")
    # It is read by Cinder's own objects.
    from cinder import objects
    from cinder.objects import base
    objects.register_all()
    attachment = base.CinderObjectSerializer().deserialize_entity(None, answer)
    assert attachment.volume.id == volume
    with raises("InvalidVolume") as caught:
        api.attach(volume, server=str(uuid.uuid4()))
    assert told(caught) == ("Invalid volume: volume is already attached and multiple"
                                 " attachments are not enabled")
    pid = export_of(cloud, volume)["pid"]
    api.status(volume, "detaching")
    assert api.terminate(volume, connector()) is None
    assert not processes.alive(pid)
    assert statuses(cloud, volume) == ("detaching", "attached")
    assert api.detach(volume, row["id"]) is None
    assert statuses(cloud, volume) == ("available", "detached")
    assert not cloud.sql("select 1 from volume_admin_metadata where volume_id = %s and"
                         " key = 'attached_mode' and not deleted", volume)
    # To a host, by its name; and detached without terminate_connection.
    api.attach(volume, host="My_Host one.", mountpoint="/mnt")
    assert cloud.sql1("select attached_host from volume_attachment where volume_id = %s"
                      " and not deleted", volume)["attached_host"] == "my-host-one"
    api.initialize(volume, connector(host="somewhere"))
    pid = export_of(cloud, volume)["pid"]
    assert api.detach(volume) is None
    assert not processes.alive(pid)
    assert statuses(cloud, volume) == ("available", "detached")
    cloud.leftovers()


def test_several_attachments(cloud, api):
    volume = cloud.create(1, "shared")
    cloud.sql("update volumes set multiattach = true where id = %s", volume)
    made = [api.create(volume, connector(host=f"compute{n}")) for n in (1, 2)]
    for attachment, _ in made:
        api.complete(volume, attachment)
    one, two = (opened(info) for _, info in made)
    # Both see one volume.
    one.pwrite(b"1" * 4096, MIB)
    assert two.pread(4096, MIB) == b"1" * 4096
    one.shutdown()
    api.delete(volume, made[0][0])
    assert statuses(cloud, volume) == ("in-use", "attached")
    two.pwrite(b"2" * 4096, MIB)
    two.shutdown()
    # The operator takes the last one away.
    cloud.drover("disconnect", volume)
    assert statuses(cloud, volume) == ("available", "detached")
    assert api.row(made[1][0])["deleted"]
    cloud.leftovers()


def test_a_read_only_volume(cloud, api):
    volume = cloud.create(1, "readonly")
    api.readonly(volume, True)
    info = api.initialize(volume, connector())
    assert info["data"]["access_mode"] == "ro"
    handle = opened(info)
    assert handle.is_read_only()
    handle.shutdown()
    with raises("InvalidVolumeAttachMode") as caught:
        api.attach(volume, server=GUEST)
    assert told(caught) == f"Invalid attaching mode 'rw' for volume {volume}."
    assert not cloud.sql("select 1 from volume_attachment where volume_id = %s", volume)
    # Not any more: the next connection is another one.
    api.readonly(volume, False)
    again = api.initialize(volume, connector())
    assert again["data"]["access_mode"] == "rw"
    handle = opened(again)
    handle.pwrite(b"x" * 512, 0)
    handle.shutdown()
    api.terminate(volume, connector())
    api.readonly(volume, True)
    said = cloud.drover("connect", volume)
    assert "read-only" in said.stderr
    handle = nbd.NBD()
    handle.connect_uri(said.stdout.strip())
    assert handle.is_read_only()
    handle.shutdown()
    cloud.drover("disconnect", volume)
    cloud.leftovers()


def test_failures_are_cinders(cloud, api, peer):
    import cinder.exception

    volume = cloud.create(1, "refused")
    other = cloud.create(1, "other")
    attachment = api.create(volume)
    missing = str(uuid.uuid4())
    for method, args in (("attachment_update", {"connector": connector()}),
                         ("attachment_delete", {})):
        for unknown in (missing, "none"):
            with raises("VolumeAttachmentNotFound") as caught:
                api.call(volume, "3.9", method, vref=peer.volume_object(volume),
                         attachment_id=unknown, **args)
            assert told(caught) == ("Volume attachment could not be found with filter:"
                                         f" attachment_id = {unknown}.")
        with raises("InvalidInput"):
            api.call(other, "3.9", method, vref=peer.volume_object(other),
                     attachment_id=attachment, **args)
    without = connector()
    del without["host"]
    for asked in (without, connector(nbd=False), connector(host=7),
                  connector(host="h" * 300), connector(mountpoint="m" * 300),
                  connector(nbd="yes"), connector(mode="m" * 40)):
        with raises("InvalidInput"):
            api.ask(volume, attachment, asked)
        if "mode" not in asked:
            with raises("InvalidInput"):
                api.initialize(volume, asked)
    assert api.row(attachment)["attach_status"] == "reserved"
    assert statuses(cloud, volume) == ("reserved", "detached")
    # Made for the refused request alone: nobody knows its id.
    with raises("InvalidInput"):
        api.create(other, connector(nbd=False))
    assert statuses(cloud, other) == ("available", "detached")
    assert not cloud.sql("select 1 from volume_attachment where volume_id = %s and"
                         " not deleted", other)
    for method, version, args in (
            ("terminate_connection", "3.0", {"connector": connector(), "force": False}),
            ("remove_export", "3.0", {}),
            ("detach_volume", "3.4", {"attachment_id": None}),
            ("attach_volume", "3.3", {"instance_uuid": GUEST, "host_name": None,
                                      "mountpoint": "/dev/vdb", "mode": "rw"})):
        with raises("VolumeNotFound"):
            peer.volume(version=version).call(peer.context(), method, volume_id=missing,
                                              **args)
    # Nothing of it is connected, and a peer that connected nothing has nothing to end.
    assert api.terminate(other, {}) is None
    assert api.terminate(other, None, force=True) is None
    with pytest.raises(cinder.exception.InvalidUUID):
        api.attach(other, server="no uuid")
    assert statuses(cloud, other) == ("available", "detached")
    api.delete(volume, attachment)
    cloud.leftovers()


def test_messages_that_come_twice(cloud, api, peer):
    volume = cloud.create(1, "twice")
    attachment = api.create(volume)
    context = peer.context()
    info = api.ask(volume, attachment, connector(), context)
    assert api.ask(volume, attachment, connector(), context) == info
    api.answered(attachment, info)
    api.complete(volume, attachment)
    api.delete(volume, attachment)
    with raises("VolumeAttachmentNotFound"):
        api.ask(volume, attachment, connector(), context)
    # Old style; each request twice, the later ones when it is over already.
    context = peer.context()
    api.initialize(volume, connector(), context)
    first = api.attach(volume, server=GUEST, context=context)
    again = api.attach(volume, server=GUEST, context=context)
    assert (again["versioned_object.data"]["id"], statuses(cloud, volume)) == (
        first["versioned_object.data"]["id"], ("in-use", "attached"))
    api.terminate(volume, connector())
    api.detach(volume, first["versioned_object.data"]["id"])
    api.attach(volume, server=GUEST, context=context)
    with raises("InvalidVolume"):
        api.initialize(volume, connector(), context)
    api.detach(volume, first["versioned_object.data"]["id"])
    api.terminate(volume, connector())
    assert statuses(cloud, volume) == ("available", "detached")
    cloud.leftovers()


@pytest.mark.parametrize("when", ["opening", "closing"])
def test_the_manager_dies_before_it_answers(cloud, api, pool, when):
    volume = cloud.create(1, f"died-{when}")
    attachment = api.create(volume)
    # The first call of all imports modules, which only the main thread can.
    api.call(volume, "3.0", "get_capabilities", discover=False)
    if when == "closing":
        api.update(volume, attachment, connector())
        pid = export_of(cloud, volume)["pid"]
        cloud.manager.kill()
        waiting = pool.submit(api.delete, volume, attachment)
    else:
        cloud.points.hold("export.opened")
        waiting = pool.submit(api.update, volume, attachment, connector())
        cloud.points.reached("export.opened")
        cloud.manager.kill()
        cloud.points.release()
    cloud.manager.start()
    answer = waiting.result(90)
    if when == "opening":
        opened(answer).shutdown()
        assert answer["export"] == export_of(cloud, volume)["id"]
        assert statuses(cloud, volume) == ("attaching", "attaching")
        api.delete(volume, attachment)
    else:
        assert not processes.alive(pid)
    assert statuses(cloud, volume) == ("available", "detached")
    cloud.wait_ready()
    cloud.leftovers()


def test_while_it_is_migrated(cloud, api):
    volume = cloud.create(1, "moving")
    cloud.points.hold("migrate.copying")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.copying")
    # What cinder-api lets through: a reservation.
    attachment = api.create(volume)
    with raises("InvalidVolume") as caught:
        api.update(volume, attachment, connector())
    assert "it is already migrating to 'server1@slow#slow'" in str(caught.value)
    row = api.row(attachment)
    assert (row["attach_status"], row["connector"], row["attached_host"]) == (
        "reserved", None, None)
    assert statuses(cloud, volume) == ("reserved", "detached")
    # In one request with the connector: nothing of it stays.
    second = api.reserve(volume)
    with raises("InvalidVolume"):
        api.ask(volume, second, connector())
    assert api.row(second)["deleted"]
    # The temporary one of this migration is nobody's either.
    temporary = cloud.migration(volume)["temporary_id"]
    with raises("InvalidVolume"):
        api.initialize(temporary, connector())
    # Disconnecting is no harm.
    assert api.terminate(volume, connector()) is None
    cloud.points.release()
    assert cloud.finished(volume)["phase"] == "done"
    row = cloud.volume(volume)
    assert (row["host"], row["status"]) == ("server1@slow#slow", "reserved")
    # The reservation is good for the volume where it is now.
    info = api.update(volume, attachment, connector())
    assert export_of(cloud, volume)["host"] == "server1@slow"
    opened(info).shutdown()
    api.complete(volume, attachment)
    api.delete(volume, attachment)
    cloud.leftovers()


def test_the_temporary_volume_of_a_cinder_source(cloud, api, peer):
    """Captures 50 and 51: initialize_connection, terminate_connection, remove_export."""
    volume = cloud.create(1, "temporary")
    cloud.sql("update volumes set migration_status = %s where id = %s",
              f"target:{uuid.uuid4()}", volume)
    info = api.initialize(volume, connector(host="server2"))
    opened(info).shutdown()
    assert api.terminate(volume, connector(host="server2"), force=True) is None
    peer.volume().cast(peer.context(), "remove_export", volume_id=volume)
    assert not export_of(cloud, volume)
    # remove_export alone does it too, but not to attachments.
    api.initialize(volume, connector(host="server2"))
    cloud.sql("update volumes set migration_status = null where id = %s", volume)
    attachment, _ = api.create(volume, connector())
    assert api.call(volume, "3.0", "remove_export", volume_id=volume) is None
    assert export_of(cloud, volume)["attachment_id"] == attachment
    api.delete(volume, attachment)
    cloud.leftovers()
