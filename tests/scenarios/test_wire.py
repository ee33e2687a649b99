# SPDX-License-Identifier: Apache-2.0
"""The messages of an unmodified cinder-api: sent with python3-oslo.messaging, replayed
as captured, doubled, damaged."""
import copy
import datetime
import json
import uuid

import pytest

from peer import captured, envelope


def migrations(cloud, volume):
    return cloud.sql("select o.*, m.target from drover.operation o join drover.migration m"
                     " on m.operation_id = o.id where o.volume_id = %s"
                     " order by o.created_at", volume)


def settled(cloud, volume, count=None):
    """All migrations of the volume have ended (there are count of them); their rows."""
    return cloud.wait_for(
        lambda: (rows := migrations(cloud, volume)) and
        (count is None or len(rows) >= count) and
        all(r["finished_at"] for r in rows) and rows,
        40, f"{count or 'the'} migrations of {volume} end")


def still_alive(cloud, peer):
    """The daemons answer calls: a cast before this one has been dealt with or is first
    in line, and nothing died."""
    peer.volume("server1@fast").call(peer.context(), "get_capabilities", discover=False)
    peer.scheduler().call(peer.context(), "get_pools", filters=None)
    assert cloud.scheduler.running() and cloud.manager.running()


def test_oslo_casts_migrate_volume_as_cinder_api_does(cloud, peer):
    volume = cloud.create(1, "oslo")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    peer.migrate(volume, "server1@slow#slow")
    done = cloud.finished(volume)
    assert done["phase"] == "done", done["reason"]
    row = cloud.volume(volume)
    assert (row["host"], row["status"]) == ("server1@slow#slow", "available")
    assert row["migration_status"] is None
    assert cloud.digest(volume) == digest
    cloud.leftovers()


def test_oslo_locks_and_forces(cloud, peer):
    volume = cloud.create(1, "oslo-locks")
    cloud.points.hold("migrate.copying")
    peer.migrate(volume, "server1@slow#slow", force=True, lock=True)
    cloud.points.reached("migrate.copying")
    assert cloud.volume(volume)["status"] == "maintenance"
    cloud.points.release()
    done = cloud.finished(volume)
    assert (done["phase"], done["route"]) == ("done", "copy")
    assert cloud.volume(volume)["status"] == "available"
    cloud.leftovers()


def test_a_captured_message_is_replayed(cloud, peer):
    volume = cloud.create(1, "replayed")
    peer.admit(volume)
    peer.publish("cinder-scheduler", peer.replay_migrate(volume, "server1@slow"))
    assert cloud.finished(volume)["phase"] == "done"
    assert cloud.volume(volume)["host"] == "server1@slow#slow"
    cloud.leftovers()


def test_the_schedulers_captured_message_goes_straight_to_the_manager(cloud, peer):
    volume = cloud.create(1, "straight")
    peer.admit(volume)
    peer.publish("cinder-volume.server1@fast.server1",
                 peer.volume_migrate_message(volume, "server1@slow#slow"))
    assert cloud.finished(volume)["phase"] == "done"
    assert cloud.volume(volume)["host"] == "server1@slow#slow"
    cloud.leftovers()


@pytest.mark.parametrize("when", ["during", "after"])
@pytest.mark.parametrize("new_id", [False, True], ids=["same-id", "new-id"])
@pytest.mark.parametrize("to", ["scheduler", "manager"])
def test_the_same_request_twice_is_one_migration(cloud, peer, to, new_id, when):
    volume = cloud.create(1, f"twice-{to}-{new_id}-{when}")
    peer.admit(volume)
    if to == "scheduler":
        key, message = "cinder-scheduler", peer.replay_migrate(
            volume, "server1@slow#slow", new_id=True)
    else:
        key = "cinder-volume.server1@fast.server1"
        message = peer.volume_migrate_message(volume, "server1@slow#slow")
    again = copy.deepcopy(message)
    if new_id:
        again["_unique_id"] = uuid.uuid4().hex
    if when == "during":
        cloud.points.hold("migrate.copying")
        peer.publish(key, message)
        cloud.points.reached("migrate.copying")
        peer.publish(key, again)
        still_alive(cloud, peer)
        assert cloud.volume(volume)["migration_status"] == "migrating"
        cloud.points.release()
    else:
        peer.publish(key, message)
        assert cloud.finished(volume)["phase"] == "done"
        peer.publish(key, again)
        still_alive(cloud, peer)
    first = settled(cloud, volume)[0]
    assert first["phase"] == "done", first["reason"]
    still_alive(cloud, peer)
    row = cloud.volume(volume)
    assert row["host"] == "server1@slow#slow"
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert [r["phase"] for r in migrations(cloud, volume)].count("done") == 1
    cloud.leftovers()


def test_a_new_request_while_one_runs_is_refused_and_harmless(cloud, peer):
    volume = cloud.create(1, "second")
    cloud.points.hold("migrate.copying")
    peer.migrate(volume, "server1@slow#slow")
    cloud.points.reached("migrate.copying")
    peer.publish("cinder-scheduler",
                 peer.replay_migrate(volume, "server1@slow#slow", new_id=True))
    peer.publish("cinder-volume.server1@fast.server1",
                 peer.volume_migrate_message(volume, "server1@slow#slow"))
    still_alive(cloud, peer)
    assert cloud.volume(volume)["migration_status"] == "migrating"
    cloud.points.release()
    rows = settled(cloud, volume)
    assert rows[0]["phase"] == "done"
    assert all(r["phase"] == "failed" and r["reason"] for r in rows[1:]), rows
    assert cloud.volume(volume)["host"] == "server1@slow#slow"
    cloud.leftovers()


def test_casts_wait_while_the_daemons_are_down(cloud, peer):
    volume = cloud.create(1, "patient")
    cloud.scheduler.stop()
    peer.migrate(volume, "server1@slow#slow")
    cloud.scheduler.start()
    assert cloud.finished(volume)["phase"] == "done"
    cloud.wait_ready()
    cloud.leftovers()


def test_get_pools_answers_as_cinder_api_reads_it(cloud, peer):
    pools = peer.scheduler().call(peer.context(), "get_pools", filters=None)
    found = {p["name"]: p["capabilities"] for p in pools}
    assert set(found) == {"server1@fast#fast", "server1@slow#slow"}
    for capabilities in found.values():
        assert capabilities["volume_backend_name"] in ("fast", "slow")
        assert capabilities["free_capacity_gb"] <= capabilities["total_capacity_gb"]
        # cinder's "get-pools --detail" parses this
        datetime.datetime.fromisoformat(capabilities["timestamp"])


def test_get_capabilities_answers(cloud, peer):
    answer = peer.volume("server1@slow").call(
        peer.context(), "get_capabilities", discover=False)
    assert answer["volume_backend_name"] == "slow"
    assert isinstance(answer["properties"], dict)


def test_an_unknown_method_is_answered_at_once(cloud, peer):
    import oslo_messaging

    for client in (peer.volume(), peer.scheduler()):
        with pytest.raises(oslo_messaging.RemoteError) as caught:
            client.call(peer.context(), "make_coffee")
        assert caught.value.exc_type == "NoSuchMethod"


def test_an_unsupported_version_is_answered_at_once(cloud, peer):
    import oslo_messaging

    for client in (peer.volume(version="3.99"), peer.scheduler("3.99")):
        with pytest.raises(oslo_messaging.RemoteError) as caught:
            client.call(peer.context(), "get_pools", filters=None)
        assert caught.value.exc_type == "UnsupportedVersion"


def test_what_is_not_served_is_answered_at_once(cloud, peer):
    """A known method that this service does not do is no silence of a minute."""
    volume = cloud.create(1, "unserved")
    with pytest.raises(Exception) as caught:
        peer.volume().call(
            peer.context(), "copy_volume_to_image", volume_id=volume, image_meta={})
    assert "not support" in str(caught.value)
    import oslo_messaging
    assert not isinstance(caught.value, oslo_messaging.MessagingTimeout)


def test_failures_become_cinders_exceptions(cloud, peer):
    import cinder.exception

    connector = captured("volume-initialize_connection")["message"]["args"]["connector"]
    missing = str(uuid.uuid4())
    with pytest.raises(cinder.exception.VolumeNotFound) as caught:
        peer.volume().call(peer.context(), "initialize_connection",
                           volume=peer.volume_object(missing), connector=connector)
    assert missing in str(caught.value)


def test_create_and_delete_as_cinder_api_casts_them(cloud, peer):
    """The row is cinder-api's; scheduler and manager fill it with life."""
    template = cloud.create(1, "template")
    volume = str(uuid.uuid4())
    row = cloud.sql1("select * from volumes where id = %s", template)
    row.update(id=volume, status="creating", host=None, display_name="from-api",
               launched_at=None, scheduled_at=None, service_uuid=None, _name_id=None)
    columns = list(row)
    cloud.sql(f"insert into volumes ({', '.join(columns)}) values"
              f" ({', '.join(['%s'] * len(columns))})", *(row[c] for c in columns))
    message = captured("scheduler-create_volume")["message"]
    args = json.loads(json.dumps(message["args"]).replace(
        message["args"]["volume"]["versioned_object.data"]["id"], volume))
    args["volume"]["versioned_object.data"]["volume_type_id"] = row["volume_type_id"]
    peer.scheduler(message["version"]).cast(peer.context(), "create_volume", **args)
    cloud.wait_for(lambda: cloud.volume(volume)["status"] == "available", 30,
                   "the volume is available")
    made = cloud.volume(volume)
    assert made["host"] in ("server1@fast#fast", "server1@slow#slow")
    assert made["launched_at"] is not None
    cloud.leftovers()

    cloud.sql("update volumes set status = 'deleting' where id = %s", volume)
    cloud.sql("insert into workers (created_at, updated_at, deleted, resource_type,"
              " resource_id, status, race_preventer) values (now(), now(), false,"
              " 'Volume', %s, 'deleting', 0)", volume)
    peer.volume(made["host"]).cast(
        peer.context(), "delete_volume", volume=peer.volume_object(volume),
        unmanage_only=False, cascade=False)
    cloud.wait_for(lambda: cloud.volume(volume)["deleted"], 30, "the row is deleted")
    cloud.wait_for(lambda: not cloud.sql("select 1 from workers where resource_id = %s",
                                         volume), 15, "its workers row is gone")
    cloud.leftovers()


def test_objects_of_newer_versions_are_served(cloud, peer):
    """Only the id in it counts, which every version has; Cinder's own services fail."""
    volume = cloud.create(1, "newer")
    newer = peer.volume_object(volume)
    newer["versioned_object.version"] = "2.99"
    newer["versioned_object.data"]["a_new_field"] = {"of": ["another", None]}
    cloud.sql("update volumes set status = 'deleting' where id = %s", volume)
    peer.volume(cloud.volume(volume)["host"]).cast(
        peer.context(), "delete_volume", volume=newer, unmanage_only=False, cascade=False)
    cloud.wait_for(lambda: cloud.volume(volume)["deleted"], 30, "the row is deleted")
    cloud.leftovers()


# Bad messages.

def bad_bodies():
    good = captured("volume-migrate_volume")["message"]
    text = json.dumps(good)
    yield "empty", b""
    yield "not json", b"this is not JSON"
    yield "not utf-8", b'{"oslo.version": "2.0", "oslo.message": "\xff\xfe"}'
    yield "truncated", envelope(good)[:-30]
    yield "truncated inside", envelope(text[:-30])
    yield "trailing garbage", envelope(good) + b"}"
    yield "trailing garbage inside", envelope(text + "{}")
    yield "deep", b"[" * 100000
    yield "deep inside", envelope('{"method":' + "[" * 50000 + "]" * 50000 + "}")
    yield "a list", envelope("[1, 2, 3]")
    yield "a number", b"17"
    yield "null", b"null"
    yield "newer envelope", json.dumps({"oslo.version": "3.0", "oslo.message": text}).encode()
    yield "method is a number", envelope({**good, "method": 7})
    yield "args is a text", envelope({**good, "args": "x"})
    yield "no args", envelope({k: v for k, v in good.items() if k != "args"})
    yield "huge number", envelope(text.replace('"size": 1', '"size": 1e999'))
    yield "huge integer", envelope(text.replace('"size": 1', '"size": ' + "9" * 400))
    yield "long text", envelope({**good, "method": "m" * (1 << 20)})
    yield "eight MiB", b'{"oslo.version": "2.0", "oslo.message": "' + b"a" * (8 << 20) + b'"}'
    yield "lone surrogate", envelope(text.replace('"m1"', '"\\ud800"'))
    yield "twice the same key", envelope('{"method": "a", "method": "b", "args": {}}')


@pytest.mark.parametrize("name,body", list(bad_bodies()), ids=[n for n, _ in bad_bodies()])
def test_a_bad_message_is_thrown_away_and_the_daemon_goes_on(cloud, peer, name, body):
    for key in ("cinder-volume.server1@fast.server1", "cinder-scheduler"):
        peer.publish(key, body)
    still_alive(cloud, peer)


def test_ten_thousand_bad_messages_fill_neither_queue_nor_log(cloud, peer):
    import pika

    before = len(cloud.manager.log())
    connection = pika.BlockingConnection(pika.URLParameters(
        cloud.transport_url.replace("rabbit://", "amqp://")))
    channel = connection.channel()
    for _ in range(10000):
        channel.basic_publish("openstack", "cinder-volume.server1@fast.server1", b"{")
    connection.close()
    still_alive(cloud, peer)
    assert len(cloud.manager.log()) - before < 4 << 20


HOSTILE = ["../../../etc/passwd", "a/b", "..", ".", "a\0b", "a\nb", "a\rb\x1b[31m",
           "x" * (1 << 20), "'; drop table volumes; --", "%s%n%s", "", " ", "\u202e"]


@pytest.mark.parametrize("text", HOSTILE, ids=[repr(t)[:24] for t in HOSTILE])
def test_hostile_strings_are_refused(cloud, peer, text):
    volume = cloud.create(1, f"hostile-{abs(hash(text))}")
    before = cloud.sql("select id, host, status from volumes where not deleted order by id")

    # As the volume's id: no such volume. As ids inside its object: hints, never used.
    message = peer.volume_migrate_message(volume, "server1@slow#slow")
    data = message["args"]["volume"]["versioned_object.data"]
    for key in ("id", "_name_id", "host", "provider_location", "service_uuid"):
        one = copy.deepcopy(message)
        one["args"]["volume"]["versioned_object.data"][key] = text
        one["_unique_id"] = uuid.uuid4().hex
        if key == "id":
            peer.publish("cinder-volume.server1@fast.server1", one)
    # As the target.
    peer.admit(volume)
    spoilt = copy.deepcopy(message)
    spoilt["args"]["host"]["host"] = text
    spoilt["_unique_id"] = uuid.uuid4().hex
    spoilt["_context_request_id"] = f"req-{uuid.uuid4()}"
    peer.publish("cinder-volume.server1@fast.server1", spoilt)
    cloud.wait_for(lambda: cloud.volume(volume)["migration_status"] is None, 30,
                   "what the API tier wrote is put back")
    # As method, request id and user.
    for key in ("method", "_context_request_id", "_context_user_id", "_unique_id"):
        odd = copy.deepcopy(message)
        odd["args"]["volume"]["versioned_object.data"]["id"] = str(uuid.uuid4())
        odd[key] = text
        peer.publish("cinder-volume.server1@fast.server1", odd)
        peer.publish("cinder-scheduler", odd)
    still_alive(cloud, peer)
    assert data["id"] == volume
    cloud.wait_for(lambda: before == cloud.sql(
        "select id, host, status from volumes where not deleted order by id"), 20,
        "nothing changed")
    log = cloud.manager.log() + cloud.scheduler.log()
    assert "\x1b[31m" not in log and "\0" not in log
    cloud.leftovers()


def test_hostile_schedulers_targets(cloud, peer):
    volume = cloud.create(1, "hostile-backend")
    for text in HOSTILE:
        if text == "":
            continue  # no target named: the best is chosen
        peer.migrate(volume, text)
        cloud.wait_for(lambda: cloud.volume(volume)["migration_status"] is None, 30,
                       f"put back after {text[:30]!r}")
    assert cloud.volume(volume)["host"] == "server1@fast#fast"
    cloud.leftovers()


def test_the_exchanges_and_queues_are_declared_as_cinders(cloud, peer):
    """A Python server on the same topics gets no PRECONDITION_FAILED."""
    import oslo_messaging

    class Endpoint:
        target = oslo_messaging.Target(version="3.0")

    server = oslo_messaging.get_rpc_server(
        peer.transport(), oslo_messaging.Target(topic="cinder-volume",
                                                server="elsewhere@nfs"),
        [Endpoint()], executor="threading")
    server.start()
    try:
        names = cloud.rabbit.ctl("list_queues", "-p", cloud.vhost, "name", "durable",
                                 "auto_delete", "--no-table-headers").splitlines()
        rows = dict((line.split("\t")[0], line.split("\t")[1:]) for line in names)
        for name in ("cinder-scheduler", "cinder-scheduler.server1", "cinder-volume",
                     "cinder-volume.server1@fast", "cinder-volume.server1@fast.server1"):
            assert rows[name] == ["false", "false"], (name, rows)
        assert "cinder-volume.elsewhere@nfs" in rows
    finally:
        server.stop()
        server.wait()
    # Our share of the messages on the common queue is answered still.
    still_alive(cloud, peer)
