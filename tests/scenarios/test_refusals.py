# SPDX-License-Identifier: Apache-2.0
"""What is refused, with the one reason, by the command line and by message; and what the
API tier wrote before is put back."""
import json
import os
import uuid

import pytest

from cloud import GIB
from peer import captured


def spoil(cloud, volume, how):
    """Bring the cloud into the state that makes a migration to server1@slow refused."""
    if how == "snapshots":
        cloud.sql("insert into snapshots (id, created_at, deleted, volume_id, status,"
                  " volume_size, use_quota, volume_type_id) select %s, now(), false, id,"
                  " 'available', size, true, volume_type_id from volumes where id = %s",
                  str(uuid.uuid4()), volume)
    elif how == "disabled":
        cloud.sql("update services set disabled = true where host = 'server1@slow'")
    elif how == "frozen":
        cloud.sql("update services set frozen = true where host = 'server1@slow'")
    elif how == "wrong status":
        cloud.sql("update volumes set status = 'error' where id = %s", volume)
    elif how == "replicated":
        cloud.sql("update volumes set replication_status = 'enabled' where id = %s", volume)
    elif how == "full":
        cloud.sql("update volumes set size = 100000000 where id = %s", volume)
    elif how == "down":
        cloud.sql(
            "insert into services (created_at, updated_at, deleted, host, \"binary\", topic,"
            " report_count, disabled, availability_zone, rpc_current_version,"
            " object_current_version, uuid, frozen) values"
            " (now() - interval '1 day', now() - interval '1 day', false, 'server9@far',"
            " 'cinder-volume', 'cinder-volume', 1, false, 'nova', '3.18', '1.39', %s,"
            " false)", str(uuid.uuid4()))


def repair(cloud):
    cloud.sql("delete from snapshots")
    cloud.sql("delete from services where host = 'server9@far'")
    cloud.sql("update services set disabled = false, frozen = false")
    cloud.sql("update volumes set size = 1, status = case when status = 'error' then"
              " 'available' else status end, replication_status = null"
              " where not deleted")


# how, target, words of which one must stand in the reason
REFUSED = [
    ("snapshots", "server1@slow#slow", ["snapshot"]),
    ("already there", "server1@fast#fast", ["already"]),
    ("already there without pool", "server1@fast", ["already"]),
    ("unknown host", "nowhere@none#none", ["nowhere@none"]),
    ("unknown pool", "server1@slow#other", ["server1@slow#other", "no pool 'other'"]),
    ("unknown backend", "server1@other", ["server1@other"]),
    ("down", "server9@far#far", ["server9@far"]),
    ("disabled", "server1@slow#slow", ["disabled"]),
    ("frozen", "server1@slow#slow", ["frozen"]),
    ("full", "server1@slow#slow", ["free", "capacity", "space", "full", "GiB", "too large"]),
    ("wrong status", "server1@slow#slow", ["error", "status"]),
    ("replicated", "server1@slow#slow", ["replicat"]),
]


@pytest.mark.parametrize("how,target,words", REFUSED, ids=[r[0] for r in REFUSED])
@pytest.mark.parametrize("way", ["cli", "scheduler", "manager"])
def test_refused(cloud, peer, way, how, target, words):
    volume = cloud.create(1, f"{how}-{way}")
    status = "error" if how == "wrong status" else "available"
    try:
        spoil(cloud, volume, how)
        if way == "cli":
            result = cloud.drover("migrate", volume, target, check=False)
            reason = result.stderr
            if result.returncode == 0:  # admitted: then the scheduler refuses
                done = cloud.finished(volume)
                assert done["phase"] == "failed"
                reason = done["reason"]
            else:
                assert result.returncode == 1, result
                assert len(reason.strip().splitlines()) <= 2, reason
        else:
            if way == "scheduler":
                peer.migrate(volume, target)
            else:
                peer.admit(volume)
                peer.publish("cinder-volume.server1@fast.server1",
                             peer.volume_migrate_message(volume, target))
            done = cloud.finished(volume)
            assert done["phase"] == "failed", done
            reason = done["reason"]
            shown = cloud.drover("migration", "list").stdout
            assert done["id"] in shown
        assert any(w.lower() in reason.lower() for w in words), reason
        cloud.wait_for(lambda: cloud.volume(volume)["migration_status"] is None, 20,
                       "migration_status is put back")
        row = cloud.volume(volume)
        assert row["status"] == status
        assert row["host"] == "server1@fast#fast" and row["_name_id"] is None
    finally:
        repair(cloud)
    # Reports that were made meanwhile count the volume as it was.
    cloud.wait_for(lambda: "1000000" not in cloud.drover("pool", "list", "--json").stdout,
                   30, "the pools are reported without the huge volume")
    cloud.leftovers()


def test_unknown_volumes(cloud, peer):
    unknown = str(uuid.uuid4())
    result = cloud.drover("migrate", unknown, "server1@slow", check=False)
    assert result.returncode == 3 and unknown in result.stderr
    result = cloud.drover("migrate", "no-such-name", "server1@slow", check=False)
    assert result.returncode == 3 and "no-such-name" in result.stderr
    peer.publish("cinder-scheduler", peer.replay_migrate(unknown, "server1@slow"))
    peer.publish("cinder-volume.server1@fast.server1",
                 peer.volume_migrate_message(unknown, "server1@slow#slow"))
    peer.scheduler().call(peer.context(), "get_pools", filters=None)
    assert not cloud.sql("select 1 from volumes where id = %s", unknown)
    cloud.leftovers()


def test_an_ambiguous_name_is_an_error(cloud):
    for _ in range(2):
        name = "the-same"
        cloud.drover("create", 1, "--name", name, "--host", "server1@fast#fast")
    cloud.wait_for(lambda: len(cloud.sql(
        "select 1 from volumes where display_name = 'the-same' and status = 'available'"
        " and not deleted")) == 2, 30, "both exist")
    for verb in (["show"], ["migrate"], ["delete"], ["connect"]):
        result = cloud.drover(*verb, name, check=False)
        assert result.returncode == 3 and "the-same" in result.stderr, result
    for row in cloud.sql("select id from volumes where display_name = 'the-same'"):
        cloud.drover("delete", row["id"])
    cloud.leftovers()


def test_a_lock_is_taken_back_when_the_request_is_refused(cloud, peer):
    volume = cloud.create(1, "lock-refused")
    peer.migrate(volume, "nowhere@none#none", lock=True)
    assert cloud.finished(volume)["phase"] == "failed"
    row = cloud.volume(volume)
    assert (row["status"], row["migration_status"]) == ("available", None)


@pytest.fixture
def running(cloud, request):
    """A volume whose migration is held in mid-copy; at the end it must succeed."""
    volume = cloud.create(1, f"running-{request.node.name}")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("copy.written")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("copy.written")
    yield volume
    cloud.points.release()
    done = cloud.finished(volume)
    assert done["phase"] == "done", done["reason"]
    row = cloud.volume(volume)
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert row["host"] == "server1@slow#slow" and row["size"] == 1
    assert cloud.digest(volume) == digest
    cloud.leftovers()


@pytest.mark.parametrize("verb", ["delete", "connect", "migrate"])
def test_the_command_line_refuses_while_it_runs(cloud, running, verb):
    result = cloud.drover(verb, running, *(["server1@slow"] if verb == "migrate" else []),
                          check=False)
    assert result.returncode == 1 and "migrat" in result.stderr, result
    assert cloud.volume(running)["migration_status"] == "migrating"
    assert cloud.volume(running)["status"] == "available"


def test_a_connection_is_refused_while_it_runs(cloud, peer, running):
    import cinder.exception

    connector = captured("volume-initialize_connection")["message"]["args"]["connector"]
    connector["nbd"] = True
    with pytest.raises(cinder.exception.InvalidVolume):
        peer.volume().call(peer.context(), "initialize_connection",
                           volume=peer.volume_object(running), connector=connector)
    # What os-reserve has written is put back.
    message = captured("volume-attach_volume")["message"]["args"]
    for method, version, args in (
            ("initialize_connection", "3.0", {"connector": connector}),
            ("attach_volume", "3.3", {**message, "volume_id": running})):
        cloud.sql("update volumes set status = 'attaching' where id = %s", running)
        with pytest.raises(cinder.exception.InvalidVolume) as caught:
            peer.volume(version=version).call(
                peer.context(), method,
                **{**args, "volume": peer.volume_object(running)})
        assert "it is already migrating to" in str(caught.value)
        assert cloud.volume(running)["status"] == "available"


def test_delete_by_message_is_refused_while_it_runs(cloud, peer, running):
    cloud.sql("update volumes set status = 'deleting', terminated_at = now()"
              " where id = %s", running)
    cloud.sql("insert into workers (created_at, updated_at, deleted, resource_type,"
              " resource_id, status, race_preventer) values (now(), now(), false,"
              " 'Volume', %s, 'deleting', 0)", running)
    peer.volume().cast(peer.context(), "delete_volume",
                       volume=peer.volume_object(running), unmanage_only=False,
                       cascade=False)
    cloud.wait_for(lambda: cloud.volume(running)["status"] == "available", 20,
                   "the status is put back")
    cloud.wait_for(lambda: not cloud.sql("select 1 from workers where resource_id = %s",
                                         running), 20, "the workers row is gone")
    assert os.path.getsize(cloud.path(running)) == GIB


def test_extend_by_message_is_refused_while_it_runs(cloud, peer, running):
    cloud.sql("update volumes set status = 'extending', previous_status = 'available'"
              " where id = %s", running)
    usage = cloud.sql1("insert into quota_usages (created_at, deleted, project_id,"
                       " resource, in_use, reserved, race_preventer) values (now(), false,"
                       " 'p', 'gigabytes', 1, 1, true) returning id")["id"]
    reservation = str(uuid.uuid4())
    cloud.sql("insert into reservations (created_at, deleted, uuid, usage_id, project_id,"
              " resource, delta, expire) values (now(), false, %s, %s, 'p', 'gigabytes',"
              " 1, now() + interval '1 day')", reservation, usage)
    peer.volume().cast(peer.context(), "extend_volume",
                       volume=peer.volume_object(running), new_size=2,
                       reservations=[reservation])
    cloud.wait_for(lambda: cloud.volume(running)["status"] == "available", 20,
                   "the status is put back")
    cloud.wait_for(lambda: cloud.sql1("select deleted from reservations where uuid = %s",
                                      reservation)["deleted"], 20,
                   "the reservation is given back")
    assert cloud.sql1("select reserved from quota_usages where id = %s",
                      usage)["reserved"] == 0


def test_the_temporary_volume_is_nobodys(cloud, peer, running):
    """Requests for T are refused, and T survives them."""
    temporary = cloud.migration(running)["temporary_id"]
    result = cloud.drover("delete", temporary, check=False)
    assert result.returncode in (1, 3), result
    result = cloud.drover("migrate", temporary, "server1@fast", check=False)
    assert result.returncode in (1, 3), result
    peer.volume("server1@slow").cast(
        peer.context(), "delete_volume", volume=peer.volume_object(temporary),
        unmanage_only=False, cascade=False)
    peer.volume("server1@slow").call(peer.context(), "get_capabilities", discover=False)
    row = cloud.sql1("select deleted, status from volumes where id = %s", temporary)
    assert not row["deleted"] and row["status"] != "deleting"


def test_a_connected_volume_is_not_migrated(cloud):
    volume = cloud.create(1, "connected")
    cloud.drover("connect", volume)
    try:
        result = cloud.drover("migrate", volume, "server1@slow", check=False)
        assert result.returncode == 1, result
        assert json.dumps(cloud.volume(volume)["migration_status"]) == "null"
        result = cloud.drover("delete", volume, check=False)
        assert result.returncode == 1, result
    finally:
        cloud.drover("disconnect", volume)
    assert cloud.migrate(volume)["phase"] == "done"
    cloud.leftovers()
