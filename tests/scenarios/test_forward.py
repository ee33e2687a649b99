# SPDX-License-Identifier: Apache-2.0
"""Requests that come late: the volume has moved to another host since its sender looked.
The old host's manager sends them on, once; the new owner does them and answers."""
import copy
import signal
import uuid

import pytest

from peer import Peer, captured

OLD = "server1@fast#fast"
NEW = "server2@slow#slow"
OLD_QUEUE = "cinder-volume.server1@fast.server1"
NEW_QUEUE = "cinder-volume.server2@slow.server2"
MARK = "_context_drover_forwarded"


@pytest.fixture(scope="module")
def two(make_cloud):
    """A cloud whose backend "slow" belongs to a manager on server2: cloud.target."""
    cloud = make_cloud(start=False)
    cloud.start_as_two_hosts()
    cloud.wait_for(lambda: {OLD, NEW} <= cloud.pools(), 60, "both pools are known")
    yield cloud
    cloud.target.stop()


@pytest.fixture
def hosts(two, request):
    request.node.drover_cloud = two
    return two


@pytest.fixture
def peer(hosts):
    peer = Peer(hosts)
    yield peer
    peer.close()


@pytest.fixture
def moved(hosts, request):
    """A volume that was on server1 and is on server2 now."""
    volume = hosts.create(1, request.node.name)
    hosts.fill(volume)
    done = hosts.migrate(volume, NEW, deadline=120)
    assert done["phase"] == "done", done["reason"]
    assert hosts.volume(volume)["host"] == NEW
    hosts.leftovers()
    return volume


def sent_on(hosts, volume, method, daemon=None):
    """How often the request was sent on."""
    return sum(f"request sent on method={method} volume={volume}" in line
               for line in (daemon or hosts.manager).log().splitlines())


def operations(hosts, volume, kind):
    return hosts.sql("select * from drover.operation where volume_id = %s and kind = %s"
                     " order by created_at", volume, kind)


def workers_row(hosts, volume, status):
    hosts.sql("insert into workers (created_at, updated_at, deleted, resource_type,"
              " resource_id, status, race_preventer) values (now(), now(), false,"
              " 'Volume', %s, %s, 0)", volume, status)


def connector(**more):
    args = captured("volume-initialize_connection")["message"]["args"]
    return {**args["connector"], "nbd": True, **more}


def alive(peer):
    """Both managers answer: what was sent to them before has been dealt with."""
    for host in (OLD, NEW):
        peer.volume(host).call(peer.context(), "get_capabilities", discover=False)


def test_a_late_delete_is_done_by_the_new_owner(hosts, peer, moved):
    hosts.sql("update volumes set status = 'deleting' where id = %s", moved)
    workers_row(hosts, moved, "deleting")
    peer.volume(OLD).cast(peer.context(), "delete_volume",
                          volume=peer.volume_object(moved), unmanage_only=False,
                          cascade=False)
    hosts.wait_for(lambda: hosts.volume(moved)["deleted"], 30, "it is deleted")
    assert sent_on(hosts, moved, "delete_volume") == 1
    rows = operations(hosts, moved, "delete_volume")
    assert [r["host"] for r in rows] == ["server2@slow"]
    assert not hosts.sql("select 1 from workers where resource_id = %s", moved)
    assert f"delete_volume volume={moved}" in hosts.target.log()
    hosts.leftovers()


def test_a_late_migration_is_done_by_the_new_owner_once(hosts, peer, moved):
    digest = hosts.digest(moved)
    peer.admit(moved)
    message = peer.volume_migrate_message(moved, OLD)
    again = copy.deepcopy(message)
    again["_unique_id"] = uuid.uuid4().hex
    for one in (message, message, again):
        peer.publish(OLD_QUEUE, one)
    hosts.wait_for(lambda: hosts.volume(moved)["host"] == OLD, 120, "it has moved back")
    alive(peer)
    hosts.leftovers()
    rows = operations(hosts, moved, "migrate_volume")
    assert [r["host"] for r in rows] == ["server1@fast", "server2@slow"]
    assert {r["phase"] for r in rows} == {"done"}
    assert rows[1]["request_id"] == message["_context_request_id"]
    # A message that comes twice with its id is one; with a new id it is known there.
    assert sent_on(hosts, moved, "migrate_volume") <= 2
    assert hosts.digest(moved) == digest


def test_the_request_that_moved_it_comes_again(hosts, peer, request):
    """The sender's second copy of a request that was done is no new request."""
    volume = hosts.create(1, request.node.name)
    peer.admit(volume)
    message = peer.volume_migrate_message(volume, NEW)
    peer.publish(OLD_QUEUE, message)
    hosts.wait_for(lambda: hosts.volume(volume)["host"] == NEW, 120, "it has moved")
    message["_unique_id"] = uuid.uuid4().hex
    peer.publish(OLD_QUEUE, message)
    hosts.wait_for(lambda: f"migrate_volume volume={volume} request="
                   f"{message['_context_request_id']} duplicate" in hosts.manager.log(),
                   20, "it is known")
    assert sent_on(hosts, volume, "migrate_volume") == 0
    assert len(operations(hosts, volume, "migrate_volume")) == 1
    hosts.leftovers()


def test_a_late_connection_is_answered_to_its_caller(hosts, peer, moved):
    answer = peer.volume(OLD).call(
        peer.context(), "initialize_connection", volume=peer.volume_object(moved),
        connector=connector())
    rows = hosts.sql("select * from drover.export where volume_id = %s and"
                     " kind = 'attachment'", moved)
    assert [r["host"] for r in rows] == ["server2@slow"]
    assert answer["driver_volume_type"] == "nbd"
    assert answer["data"]["export"] == str(rows[0]["id"])
    assert sent_on(hosts, moved, "initialize_connection") == 1
    # Once more: the same export, a new answer.
    again = peer.volume(OLD).call(
        peer.context(), "initialize_connection", volume=peer.volume_object(moved),
        connector=connector())
    assert again["data"]["uri"] == answer["data"]["uri"]
    assert peer.volume(OLD).call(
        peer.context(), "terminate_connection", volume_id=moved, connector=connector(),
        force=False) is None
    assert sent_on(hosts, moved, "terminate_connection") == 1
    hosts.leftovers()


def test_a_late_refusal_reaches_its_caller(hosts, peer, moved):
    """What the new owner does not do is answered at once, and by it."""
    import cinder.exception

    message = captured("volume-attach_volume")["message"]["args"]
    message = {**message, "volume_id": moved, "volume": peer.volume_object(moved)}
    with pytest.raises(cinder.exception.InvalidUUID):
        peer.volume(OLD, version="3.3").call(
            peer.context(), "attach_volume", **{**message, "instance_uuid": "none"})
    assert sent_on(hosts, moved, "attach_volume") == 1
    attached = peer.volume(OLD, version="3.3").call(
        peer.context(), "attach_volume", **message)["versioned_object.data"]
    assert hosts.volume(moved)["status"] == "in-use"
    assert peer.volume(OLD, version="3.4").call(
        peer.context(), "detach_volume", volume_id=moved, attachment_id=attached["id"],
        volume=peer.volume_object(moved)) is None
    assert hosts.volume(moved)["status"] == "available"
    with pytest.raises(cinder.exception.InvalidInput):
        peer.volume(OLD).call(
            peer.context(), "initialize_connection", connector=connector(nbd=False),
            volume=peer.volume_object(moved))
    with pytest.raises(cinder.exception.InvalidVolume):
        peer.volume(OLD).call(
            peer.context(), "migrate_volume_completion", error=False,
            volume=peer.volume_object(moved), new_volume=peer.volume_object(moved))
    assert sent_on(hosts, moved, "migrate_volume_completion") == 1
    # Whatever argument names it.
    for method, args in (
            ("attachment_update", {"vref": peer.volume_object(moved), "connector": {},
                                   "attachment_id": str(uuid.uuid4())}),
            ("attachment_delete", {"vref": peer.volume_object(moved),
                                   "attachment_id": str(uuid.uuid4())})):
        with pytest.raises(cinder.exception.VolumeAttachmentNotFound):
            peer.volume(OLD, version="3.9").call(peer.context(), method, **args)
        hosts.wait_for(lambda: sent_on(hosts, moved, method) == 1, 10, "it says so")
    for method, args in (
            ("copy_volume_to_image", {"volume_id": moved, "image_meta": {}}),):
        with pytest.raises(cinder.exception.NotSupportedOperation):
            peer.volume(OLD, version="3.9").call(peer.context(), method, **args)
        assert sent_on(hosts, moved, method) == 1
    with pytest.raises(cinder.exception.SnapshotNotFound):
        peer.volume(OLD).call(peer.context(), "create_snapshot", snapshot={
            "versioned_object.name": "Snapshot", "versioned_object.version": "1.6",
            "versioned_object.namespace": "cinder",
            "versioned_object.data": {"id": str(uuid.uuid4()), "volume_id": moved}})
    assert sent_on(hosts, moved, "create_snapshot") == 1
    assert peer.volume(OLD).call(peer.context(), "remove_export", volume_id=moved) is None
    assert sent_on(hosts, moved, "remove_export") == 1
    # The new volume's owner is asked, wherever the old one is.
    here = hosts.create(1, "here")
    with pytest.raises(cinder.exception.InvalidVolume):
        peer.volume(OLD).call(
            peer.context(), "update_migrated_volume", volume_status="available",
            volume=peer.volume_object(here), new_volume=peer.volume_object(moved))
    assert sent_on(hosts, moved, "update_migrated_volume") == 1
    with pytest.raises(cinder.exception.InvalidVolume):
        peer.volume(OLD).call(
            peer.context(), "update_migrated_volume", volume_status="available",
            volume=peer.volume_object(moved), new_volume=peer.volume_object(here))
    assert sent_on(hosts, here, "update_migrated_volume") == 0


def reserve(hosts):
    usage = hosts.sql1("insert into quota_usages (created_at, deleted, project_id,"
                       " resource, in_use, reserved, race_preventer) values (now(), false,"
                       " %s, 'gigabytes', 1, 1, true) returning id", uuid.uuid4().hex)["id"]
    reservation = str(uuid.uuid4())
    hosts.sql("insert into reservations (created_at, deleted, uuid, usage_id, project_id,"
              " resource, delta, expire) values (now(), false, %s, %s, 'p', 'gigabytes',"
              " 1, now() + interval '1 day')", reservation, usage)
    return reservation


@pytest.mark.parametrize("forged", [False, True], ids=["late", "forged"])
@pytest.mark.parametrize("method", ["extend_volume", "retype"])
def test_a_late_change_is_put_back(hosts, peer, moved, method, forged):
    """Whether by the new owner or, when it says that it was sent on already, here."""
    status = {"extend_volume": "extending", "retype": "retyping"}[method]
    hosts.sql("update volumes set status = %s, previous_status = 'available'"
              " where id = %s", status, moved)
    reservation = reserve(hosts)
    args = {"extend_volume": {"new_size": 1},
            "retype": {"new_type_id": str(uuid.uuid4()), "migration_policy": "never",
                       "host": {"host": NEW, "cluster_name": None, "capabilities": {}},
                       "old_reservations": None}}[method]
    context = peer.context(**({"drover_forwarded": True} if forged else {}))
    peer.volume(OLD).cast(context, method, volume=peer.volume_object(moved),
                          reservations=[reservation], **args)
    hosts.wait_for(lambda: hosts.volume(moved)["status"] == "available", 20,
                   "the status is put back")
    hosts.wait_for(lambda: hosts.sql1("select deleted from reservations where uuid = %s",
                                      reservation)["deleted"], 20,
                   "the reservation is given back")
    assert sent_on(hosts, moved, method) == (0 if forged else 1)


def test_a_forged_delete_is_refused(hosts, peer, moved):
    hosts.sql("update volumes set status = 'deleting', previous_status = 'available'"
              " where id = %s", moved)
    workers_row(hosts, moved, "deleting")
    peer.volume(OLD).cast(peer.context(drover_forwarded=True), "delete_volume",
                          volume=peer.volume_object(moved), unmanage_only=False,
                          cascade=False)
    hosts.wait_for(lambda: hosts.volume(moved)["status"] == "available", 20,
                   "the status is put back")
    assert not hosts.sql("select 1 from workers where resource_id = %s", moved)
    assert [r["phase"] for r in operations(hosts, moved, "delete_volume")] == ["failed"]
    assert sent_on(hosts, moved, "delete_volume") == 0


def test_a_forged_migration_is_refused(hosts, peer, moved):
    peer.admit(moved, lock=True)
    peer.publish(OLD_QUEUE, {**peer.volume_migrate_message(moved, OLD), MARK: True})
    hosts.wait_for(lambda: hosts.volume(moved)["migration_status"] is None, 20,
                   "it is put back")
    row = operations(hosts, moved, "migrate_volume")[-1]
    assert row["phase"] == "failed" and "sent on" in row["reason"], row
    assert hosts.volume(moved)["status"] == "available"
    assert sent_on(hosts, moved, "migrate_volume") == 0


def test_forged_calls_are_refused_at_once(hosts, peer, moved):
    import cinder.exception

    context = peer.context(drover_forwarded=True)
    volume = peer.volume_object(moved)
    for method, args in (
            ("initialize_connection", {"volume": volume, "connector": connector()}),
            ("terminate_connection", {"volume_id": moved, "connector": connector(),
                                      "force": False}),
            ("remove_export", {"volume_id": moved}),
            ("detach_volume", {"volume_id": moved, "attachment_id": None,
                               "volume": volume})):
        with pytest.raises(cinder.exception.InvalidHost):
            peer.volume(OLD, version="3.4").call(context, method, **args)
        assert sent_on(hosts, moved, method) == 0
    assert not hosts.sql("select 1 from drover.export where volume_id = %s and"
                         " closed_at is null", moved)


class Cinder:
    """A cinder-volume as oslo.messaging makes it; it keeps what it is asked."""

    def __init__(self, hosts, peer, host="server3@nfs", version="3.18"):
        import cinder.context
        import cinder.objects
        import oslo_messaging

        cinder.objects.register_all()
        self.hosts, self.host, self.calls = hosts, host, []
        self._service(version)
        backend, outer = host, self

        class Serializer(oslo_messaging.NoOpSerializer):
            def deserialize_context(self, context):
                outer.context = dict(context)
                return cinder.context.RequestContext.from_dict(context)

        class Endpoint:
            target = oslo_messaging.Target(version="3.18")

            def initialize_connection(self, context, **args):
                outer.calls.append((context, args))
                return {"driver_volume_type": "nfs", "data": {"export": "x"}}

            def delete_volume(self, context, **args):
                outer.calls.append((context, args))

        self.server = oslo_messaging.get_rpc_server(
            peer.transport(), oslo_messaging.Target(
                topic=f"cinder-volume.{backend}", server=backend.split("@")[0]),
            [Endpoint()], executor="threading", serializer=Serializer())
        self.server.start()

    def _service(self, version):
        self.hosts.sql(
            "insert into services (created_at, updated_at, deleted, host, \"binary\","
            " topic, report_count, disabled, availability_zone, rpc_current_version,"
            " object_current_version, uuid, frozen) values (now(), now(), false, %s,"
            " 'cinder-volume', 'cinder-volume', 1, false, 'nova', %s, '1.38', %s, false)",
            self.host, version, str(uuid.uuid4()))

    def version(self, version):
        self.hosts.sql("update services set rpc_current_version = %s where host = %s",
                       version, self.host)

    def close(self):
        self.server.stop()
        self.server.wait()
        self.hosts.sql("delete from services where host = %s", self.host)


@pytest.fixture
def cinder_volume(hosts, peer):
    made = Cinder(hosts, peer)
    yield made
    made.close()


@pytest.fixture
def elsewhere(hosts, request):
    """A volume whose row says that server3, not one of ours, has it."""
    volume = hosts.create(1, request.node.name)
    hosts.sql("update volumes set host = 'server3@nfs#nfs', provider_location = 'there'"
              " where id = %s", volume)
    yield volume
    hosts.sql("update volumes set host = %s, provider_location = null, status ="
              " 'available', migration_status = null where id = %s", OLD, volume)
    hosts.drover("delete", volume)
    hosts.leftovers()


def test_a_python_owner_gets_what_it_understands(hosts, peer, cinder_volume, elsewhere):
    volume = peer.volume_object(elsewhere)
    data = volume["versioned_object.data"]
    data.update(host=OLD, provider_location="old")
    context = peer.context()
    answer = peer.volume(OLD).call(context, "initialize_connection", volume=volume,
                                   connector=connector())
    assert answer == {"driver_volume_type": "nfs", "data": {"export": "x"}}
    seen, args = cinder_volume.calls[0]
    assert seen.request_id == context["request_id"]
    assert seen.user_id == context["user_id"] and seen.is_admin == context["is_admin"]
    assert not hasattr(seen, "drover_forwarded")
    assert args["connector"] == connector()
    there = args["volume"]["versioned_object.data"]
    assert (there["host"], there["provider_location"]) == ("server3@nfs#nfs", "there")
    assert set(there) == set(data)
    # It is marked; what comes back here with the mark is not sent on again.
    assert cinder_volume.context["drover_forwarded"] is True
    import cinder.exception
    with pytest.raises(cinder.exception.InvalidHost):
        peer.volume(OLD).call(cinder_volume.context, "initialize_connection",
                              volume=volume, connector=connector())
    assert len(cinder_volume.calls) == 1


def test_a_cast_to_a_python_owner(hosts, peer, cinder_volume, elsewhere):
    hosts.sql("update volumes set status = 'deleting' where id = %s", elsewhere)
    peer.volume(OLD).cast(peer.context(), "delete_volume", cascade=False,
                          volume=peer.volume_object(elsewhere), unmanage_only=False)
    hosts.wait_for(lambda: cinder_volume.calls, 20, "it is asked")
    alive(peer)
    assert len(cinder_volume.calls) == 1
    assert hosts.volume(elsewhere)["status"] == "deleting"
    assert not operations(hosts, elsewhere, "delete_volume")


def test_an_older_owner_is_not_asked_what_it_does_not_know(hosts, peer, cinder_volume,
                                                           elsewhere):
    import oslo_messaging

    cinder_volume.version("3.2")
    with pytest.raises(oslo_messaging.RemoteError) as caught:
        peer.volume(OLD, version="3.4").call(
            peer.context(), "initialize_connection", connector=connector(),
            volume=peer.volume_object(elsewhere))
    assert caught.value.exc_type == "UnsupportedVersion"
    assert not cinder_volume.calls


def test_an_owner_without_a_queue(hosts, peer, elsewhere):
    """The host in the row is none, or its service never was: refused, put back."""
    hosts.sql("update volumes set status = 'deleting', previous_status = 'available'"
              " where id = %s", elsewhere)
    peer.volume(OLD).cast(peer.context(), "delete_volume", cascade=False,
                          volume=peer.volume_object(elsewhere), unmanage_only=False)
    hosts.wait_for(lambda: hosts.volume(elsewhere)["status"] == "available", 20,
                   "it is put back")
    # With a row of a service, but no queue.
    hosts.sql("insert into services (created_at, updated_at, deleted, host, \"binary\","
              " topic, report_count, disabled, availability_zone, rpc_current_version,"
              " object_current_version, uuid, frozen) values (now(), now(), false,"
              " 'server9@far', 'cinder-volume', 'cinder-volume', 1, false, 'nova', '3.18',"
              " '1.39', %s, false)", str(uuid.uuid4()))
    hosts.sql("update volumes set host = 'server9@far#far' where id = %s", elsewhere)
    try:
        peer.admit(elsewhere)
        peer.publish(OLD_QUEUE, peer.volume_migrate_message(elsewhere, NEW))
        hosts.wait_for(lambda: hosts.volume(elsewhere)["migration_status"] is None, 20,
                       "it is put back")
        reason = operations(hosts, elsewhere, "migrate_volume")[-1]["reason"]
        assert "no queue" in reason, reason
    finally:
        hosts.sql("delete from services where host = 'server9@far'")


def test_a_broker_that_takes_nothing_is_waited_for(hosts, peer, moved):
    """What cannot be sent on is kept; requests about other volumes go on."""
    rabbit = hosts.rabbit
    hosts.sql("update volumes set status = 'deleting' where id = %s", moved)
    other = hosts.create(1, "meanwhile")
    hosts.sql("update volumes set status = 'deleting' where id = %s", other)
    peer.transport()
    hosts.manager.process.send_signal(signal.SIGSTOP)
    try:
        for volume in (moved, other):
            peer.volume(OLD).cast(peer.context(), "delete_volume", cascade=False,
                                  volume=peer.volume_object(volume), unmanage_only=False)
        rabbit.ctl("set_vm_memory_high_watermark", "0.000001")
        hosts.manager.process.send_signal(signal.SIGCONT)
        hosts.wait_for(lambda: "request waits for the broker method=delete_volume"
                       in hosts.manager.log(), 30, "it is kept")
        hosts.wait_for(lambda: hosts.volume(other)["deleted"], 30, "the other is deleted")
        assert not hosts.volume(moved)["deleted"]
    finally:
        hosts.manager.process.send_signal(signal.SIGCONT)
        rabbit.ctl("set_vm_memory_high_watermark", "absolute", "512MB")
    hosts.wait_for(lambda: hosts.volume(moved)["deleted"], 60, "it is deleted too")
    # The first try was not confirmed, but may have arrived after all: then the second
    # finds it done, or is dropped there as a duplicate.
    hosts.wait_for(lambda: any(
        f"volume={moved}" in line and
        ("request sent on method=delete_volume" in line or line.endswith("duplicate"))
        for line in hosts.manager.log().splitlines()), 20, "it has been tried again")
    alive(peer)
    assert len(operations(hosts, moved, "delete_volume")) == 1
    hosts.leftovers()
