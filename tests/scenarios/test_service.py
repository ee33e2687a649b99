# SPDX-License-Identifier: Apache-2.0
"""The life of a volume service as administrators see it through cinder-api: what it
reports, freezing, log levels, what is not served, and reset-state during a migration."""
import uuid

import pytest

from cloud import Daemon
from relay import Relay

# What Cinder's nfs driver reports; administrators and extra specs know these.
REPORTED = {"volume_backend_name", "vendor_name", "driver_version", "storage_protocol",
            "total_capacity_gb", "free_capacity_gb", "reserved_percentage", "QoS_support",
            "sparse_copy_volume", "provisioned_capacity_gb", "max_over_subscription_ratio",
            "thin_provisioning_support", "thick_provisioning_support",
            "allocated_capacity_gb", "filter_function", "goodness_function", "timestamp"}


@pytest.fixture
def call(peer):
    def call(method, version="3.0", host="server1@slow", **arguments):
        return peer.volume(host, version).call(peer.context(), method, **arguments)
    return call


def test_it_reports_what_cinder_drivers_report(cloud, peer, call):
    pools = peer.scheduler().call(peer.context(), "get_pools", filters=None)
    for pool in pools:
        assert REPORTED <= set(pool["capabilities"]), pool
        assert "pools" not in pool["capabilities"]
    answer = call("get_capabilities", discover=False)
    assert REPORTED - {"timestamp"} <= set(answer)
    assert answer["sparse_copy_volume"] is True and answer["reserved_percentage"] == 0
    assert answer["properties"]["qos"] == {
        "title": "QoS", "description": "Enables QoS.", "type": "boolean"}
    assert set(answer["properties"]) == {"thin_provisioning", "compression", "qos",
                                         "replication_enabled"}


def test_its_rows_are_what_cinder_api_wants(cloud):
    rows = cloud.sql("select * from services where not deleted order by host")
    assert [(r["host"], r["binary"], r["rpc_current_version"], r["replication_status"])
            for r in rows] == [
        ("server1", "cinder-scheduler", "3.12", "not-capable"),
        ("server1@fast", "cinder-volume", "3.18", "disabled"),
        ("server1@slow", "cinder-volume", "3.18", "disabled")]
    for row in rows:
        assert row["topic"] == row["binary"] and row["availability_zone"] == "nova"
        assert row["object_current_version"] == "1.39" and row["uuid"]
        assert not row["disabled"] and not row["frozen"]


def test_a_frozen_backend_takes_nothing_new(cloud, peer, call):
    volume = cloud.create(1, "freezing")
    cloud.sql("update services set frozen = true where host = 'server1@slow'")
    assert call("freeze_host") is True
    row = cloud.service()
    assert (row["disabled"], row["disabled_reason"]) == (True, "frozen")
    assert cloud.pools() == {"server1@fast#fast"}
    cloud.drover("create", 1, "--name", "frozen", "--host", "server1@slow", check=False)
    cloud.wait_for(lambda: "'server1@slow#slow' is frozen" in cloud.scheduler.log(), 20,
                   "it is refused")
    assert "is disabled: frozen" in cloud.drover("migrate", volume, "server1@slow",
                                                 check=False).stderr
    assert cloud.volume(volume)["host"] == "server1@fast#fast"
    cloud.sql("update services set frozen = false where host = 'server1@slow'")
    assert call("thaw_host") is True
    row = cloud.service()
    assert (row["disabled"], row["disabled_reason"]) == (False, "")
    cloud.migrate(volume)
    assert cloud.volume(volume)["host"] == "server1@slow#slow"
    cloud.sql("delete from messages")
    cloud.sql("update volumes set deleted = true where status = 'error'")


def test_log_levels_can_be_set(cloud, peer, call):
    def request(level):
        return {"versioned_object.name": "LogLevel", "versioned_object.namespace": "cinder",
                "versioned_object.version": "1.0",
                "versioned_object.data": {"prefix": "", "level": level}}

    def level():
        answer = call("get_log_levels", "3.12", log_request=request(None))
        assert answer["versioned_object.name"] == "LogLevelList"
        (one,) = answer["versioned_object.data"]["objects"]
        return one["versioned_object.data"]
    before = level()["level"]
    peer.volume("server1@slow", "3.12").cast(peer.context(), "set_log_levels",
                                             log_request=request("warning"))
    cloud.wait_for(lambda: level() == {"prefix": "cinder", "level": "WARNING"}, 20, "set")
    peer.volume("server1@slow", "3.12").cast(peer.context(), "set_log_levels",
                                             log_request=request(before))
    cloud.wait_for(lambda: level()["level"] == before, 20, "set back")


@pytest.mark.parametrize("method, status, after", [
    ("copy_volume_to_image", "uploading", "in-use"),
    ("reimage", "downloading", "in-use"),
    ("revert_to_snapshot", "reverting", "available"),
    ("manage_existing", "managing", "error_managing"),
])
def test_what_is_not_served_is_put_back(cloud, peer, method, status, after):
    volume = cloud.create(1, f"not-{method}")
    snapshot = str(uuid.uuid4())
    cloud.sql("insert into snapshots (id, created_at, deleted, volume_id, status,"
              " volume_size, use_quota, volume_type_id) select %s, now(), false, id,"
              " 'restoring', size, true, volume_type_id from volumes where id = %s",
              snapshot, volume)
    cloud.sql("update volumes set status = %s, previous_status = 'in-use' where id = %s",
              status, volume)
    peer.volume("server1@fast", "3.18").cast(
        peer.context(), method, volume=peer.volume_object(volume),
        snapshot={"versioned_object.data": {"id": snapshot}}, image_meta={}, ref={},
        volume_id=volume)
    cloud.wait_for(lambda: cloud.volume(volume)["status"] == after, 20, "put back")
    want = "available" if method == "revert_to_snapshot" else "restoring"
    cloud.wait_for(lambda: cloud.sql1("select status from snapshots where id = %s",
                                      snapshot)["status"] == want, 20, "the snapshot too")
    cloud.sql("delete from snapshots")
    cloud.sql("update volumes set status = 'available' where id = %s", volume)
    cloud.drover("delete", volume)
    cloud.leftovers()


def test_a_failover_is_refused_and_forgotten(cloud, peer):
    cloud.sql("update services set replication_status = 'failing-over'"
              " where host = 'server1@slow'")
    peer.volume("server1@slow", "3.8").cast(peer.context(), "failover",
                                            secondary_backend_id=None)
    cloud.wait_for(lambda: cloud.service()["replication_status"] == "disabled", 20,
                   "it is not failing over")


@pytest.mark.parametrize("method, arguments", [
    ("list_replication_targets", {"group": {}}),
    ("get_manageable_volumes", {"marker": None, "limit": 1000, "offset": 0,
                                "sort_keys": ["reference"], "sort_dirs": ["desc"],
                                "want_objects": True}),
])
def test_calls_that_are_not_served_are_answered_at_once(call, method, arguments):
    import cinder.exception

    with pytest.raises(cinder.exception.NotSupportedOperation):
        call(method, "3.10" if "manageable" in method else "3.14", **arguments)


def test_a_transfer_needs_nothing_of_the_backend(cloud, peer, call):
    import cinder.exception

    volume = cloud.create(1, "transfer")
    args = {"volume": peer.volume_object(volume), "new_user": "u2", "new_project": "p2"}
    assert call("accept_transfer", "3.9", "server1@fast", **args) is None
    args["volume"]["versioned_object.data"]["id"] = str(uuid.uuid4())
    with pytest.raises(cinder.exception.VolumeNotFound):
        call("accept_transfer", "3.9", "server1@fast", **args)


@pytest.mark.parametrize("reset, status", [
    ("status = 'error'", "error"),
    ("migration_status = null", "available"),
    ("migration_status = 'error', status = 'available', attach_status = 'detached'",
     "available"),
])
def test_reset_state_takes_a_migration_back(cloud, reset, status):
    """The administrator's word counts: nothing is overwritten, and no data is lost."""
    volume = cloud.create(1, f"reset-{abs(hash(reset))}")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("copy.written")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("copy.written")
    cloud.sql(f"update volumes set {reset} where id = %s", volume)
    again = cloud.drover("migrate", volume, "server1@slow", check=False)
    assert again.returncode != 0
    cloud.points.release()
    done = cloud.finished(volume)
    assert done["phase"] in ("failed", "cancelled"), done
    row = cloud.volume(volume)
    assert (row["host"], row["status"]) == ("server1@fast#fast", status)
    assert row["migration_status"] == ("error" if "'error', " in reset else None)
    assert cloud.digest(volume) == digest
    cloud.sql("update volumes set status = 'available', migration_status = null"
              " where id = %s", volume)
    cloud.migrate(volume)
    assert cloud.digest(volume) == digest
    cloud.leftovers()


def test_its_row_comes_when_requests_can_reach_it(make_cloud):
    """A broker drops what no queue is for, so nobody may be told of the service before."""
    cloud = make_cloud(start=False)
    relay = Relay(cloud.rabbit.port)
    relay.cut()
    config = cloud.write_config("cut.conf", {"transport_url": cloud.transport_url.replace(
        str(cloud.rabbit.port), str(relay.port))})
    cloud.manager = Daemon(cloud, "cut", "manager", ["--config-file", config])
    cloud.drover("db", "sync")
    cloud.scheduler.start()
    cloud.manager.start()
    try:
        for backend in cloud.backends:
            line = ("backend is usable, and registered when the broker is reached"
                    f" host=server1@{backend}")
            cloud.wait_for(lambda: line in cloud.manager.log(), 30, "it looks at it")
        # It beats while it waits, and that makes no row either.
        renewed = cloud.sql1("select max(renewed_at) as at from drover.manager")["at"]
        cloud.wait_for(lambda: cloud.sql1(
            "select max(renewed_at) as at from drover.manager")["at"] > renewed, 30, "it beats")
        rows = "select count(*) as n from services where topic = 'cinder-volume'"
        assert cloud.sql1(rows)["n"] == 0
        relay.mend()
        cloud.wait_for(lambda: cloud.sql1(rows)["n"] == 2, 60, "both are registered")
        cloud.create(1, "at once")

        # Its queues outlive it: a later start keeps the row up without the broker.
        cloud.manager.kill()
        relay.cut()
        cloud.manager.start()
        before = cloud.service()["updated_at"]
        cloud.wait_for(lambda: cloud.service()["updated_at"] > before, 30, "it is up")
        relay.mend()
        cloud.create(1, "afterwards")
    finally:
        cloud.manager.kill()
        relay.close()
