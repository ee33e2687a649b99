# SPDX-License-Identifier: Apache-2.0
"""drover-scheduler: starting, reports, creating and migrating. Needs DROVER_BUILDDIR."""
import datetime
import os
import subprocess
import sys
import uuid

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "harness"))

from scheduler_lab import POOL, empty, lab, pika, servers, shared  # noqa: E402, F401

# ---- starting, stopping, outages ----

def test_it_waits_for_the_schema_and_says_so(empty):
    empty.cloud.scheduler.start()
    empty.wait(lambda: "run 'drover db sync'" in empty.log(), "it says what to do")
    assert empty.cloud.scheduler.running()
    empty.sync()
    row = empty.wait(lambda: empty.service("server1", "cinder-scheduler"), "its row")
    assert (row["rpc_current_version"], row["up"]) == ("3.12", True)
    count = row["report_count"]
    empty.wait(lambda: empty.service("server1", "cinder-scheduler")["report_count"] > count,
               "its heart beats")
    empty.cloud.scheduler.stop()
    assert not empty.service("server1", "cinder-scheduler")["up"]


def test_it_waits_for_servers_that_are_not_there(empty):
    cloud = empty.cloud
    cloud.scheduler.argv[2] = cloud.write_config(
        "away.conf", default={"transport_url": "rabbit://x:y@127.0.0.1:1/"},
        database="postgresql://x@127.0.0.1:1/x")
    cloud.scheduler.start()
    empty.wait(lambda: "waiting for the database" in empty.log(), "it says so")
    cloud.scheduler.stop()
    assert empty.log().count("waiting for the database") == 1


def test_wrong_configuration_is_one_sentence(empty):
    path = empty.cloud.write_config("bad.conf", text="[DEFAULT]\nhost = a b\nnonsense\n")
    result = subprocess.run([empty.cloud.program("scheduler"), "--config-file", path],
                            capture_output=True, text=True, timeout=20)
    assert result.returncode == 2
    assert "bad.conf:3" in result.stderr and result.stderr.count("\n") == 1


def test_it_asks_for_reports_when_it_starts(empty):
    empty.sync()
    empty.queue("listener", "cinder-volume_fanout", "fanout", auto_delete=True)
    empty.start()
    message = empty.take("listener")
    assert (message["method"], message["version"], message["args"]) == (
        "publish_service_capabilities", "3.0", {})
    assert message["_context_is_admin"] is True


def test_requests_wait_for_the_first_reports(empty):
    empty.sync()
    empty.add_service("server1@fast")
    empty.add_service("server1@slow")
    empty.start()
    volume = empty.volume("server1@fast#a")
    created = empty.volume(status="creating")
    empty.peer.migrate(volume, "server1@slow")
    empty.create(created)
    empty.wait(lambda: empty.log().count("is kept until") == 2, "both wait")
    assert empty.operation(volume) is None
    empty.report("server1@slow", {"s": {}}, wait=False)
    row = empty.wait(lambda: empty.operation(volume), "it is admitted")
    assert (row["target"], row["phase"]) == ("server1@slow#s", "queued")
    assert empty.row(created)["host"] is None
    empty.report("server1@fast", {"a": {"free_capacity_gb": 200.0}}, wait=False)
    empty.wait(lambda: empty.row(created)["host"], "it is placed")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_what_waits_outlives_the_scheduler(empty, end):
    """It is the broker's until it is decided."""
    empty.sync()
    empty.add_service("server1@fast")
    empty.add_service("server1@slow")
    empty.start()
    volume = empty.volume("server1@fast#a")
    empty.peer.migrate(volume, "server1@slow")
    empty.wait(lambda: "is kept until" in empty.log(), "it waits")
    getattr(empty.cloud.scheduler, end)()
    assert empty.operation(volume) is None
    empty.start()
    empty.wait(lambda: empty.log().count("is kept until") == 2, "it waits again")
    empty.report("server1@slow", {"s": {}}, wait=False)
    row = empty.wait(lambda: empty.operation(volume), "it is admitted")
    assert (row["target"], row["phase"]) == ("server1@slow#s", "queued")


# ---- reports and get_pools ----

def test_pools_are_shown_as_reported(lab):
    pools = {p["name"]: p["capabilities"] for p in lab.pools()}
    assert set(pools) == {"server1@fast#a", "server1@fast#b", "server1@slow#slow",
                          "server1@small#small", "server2@nfs-1#nfs1"}
    nfs = pools["server2@nfs-1#nfs1"]
    assert nfs.pop("timestamp")
    assert nfs == {**POOL, "free_capacity_gb": 20.0, "volume_backend_name": "nfs1",
                   "storage_protocol": ["NFS", "nfs"]}

    def names(**filters):
        return [p["name"] for p in lab.pools(**filters)]
    assert names(name="server1@fast#b") == ["server1@fast#b"]
    assert names(volume_backend_name="nfs1") == ["server2@nfs-1#nfs1"]
    assert names(storage_protocol="nfs") == ["server2@nfs-1#nfs1"]
    assert names(free_capacity_gb="50") == ["server1@fast#b"]
    assert len(names(thin_provisioning_support="false", volume_type="any")) == 5
    assert names(nothing="x") == []
    lab.sql("update services set disabled = true where host like 'server1%%'")
    assert names() == ["server2@nfs-1#nfs1"]


def test_bad_reports_change_nothing(lab):
    before = lab.pools()
    for host, capabilities in [("nohost", POOL), ("server1@fast", {"pools": [5]}),
                               ("server1@fast", {**POOL, "free_capacity_gb": "x" * 10**6}),
                               ("../@etc", POOL), ("a\nb@c", POOL), ("x@" + "y" * 10**6, POOL)]:
        lab.report(host, wait=False, **capabilities)
    lab.report("server1@fast", {"old": {}}, timestamp="2001-01-01T00:00:00", wait=False)
    assert lab.pools() == before


def test_the_notification_counts_as_a_report_too(lab):
    lab.peer.scheduler("3.5").cast(
        lab.peer.context(), "notify_service_capabilities", service_name="volume",
        capabilities={**POOL, "volume_backend_name": "renamed"}, backend="server2@nfs-1",
        timestamp=datetime.datetime.utcnow().isoformat())
    assert "server2@nfs-1#renamed" in {p["name"] for p in lab.pools()}


# ---- create_volume ----

def test_a_volume_is_made_by_a_drover_manager(lab):
    volume = lab.volume(status="creating")
    context = lab.peer.context()
    lab.create(volume, context)
    operation = lab.wait(lambda: lab.operation(volume), "an operation")
    row = lab.row(volume)
    assert (row["host"], row["status"]) == ("server1@fast#a", "creating")
    assert row["scheduled_at"] and row["availability_zone"] == "nova"
    assert (operation["kind"], operation["host"], operation["request_id"]) == (
        "create_volume", "server1@fast", context["request_id"])
    # Again, as the same request and as another: nothing more.
    lab.create(volume, context)
    lab.create(volume)
    lab.pools()
    assert lab.sql1("select count(*) from drover.operation")["count"] == 1
    assert lab.row(volume)["status"] == "creating"


def test_a_volume_is_made_by_a_python_cinder_volume(lab):
    volume = lab.volume(status="creating")
    lab.create(volume, target="server2@nfs-1")
    message = lab.take("cinder-volume.server2@nfs-1.server2")
    assert (message["method"], message["version"]) == ("create_volume", "3.0")
    assert set(message["args"]) == {"volume", "request_spec", "filter_properties",
                                    "allow_reschedule"}
    assert message["args"]["allow_reschedule"] is True
    data = message["args"]["volume"]["versioned_object.data"]
    assert (data["id"], data["host"]) == (volume, "server2@nfs-1#nfs1")
    assert lab.row(volume)["host"] == "server2@nfs-1#nfs1"


def test_placed_volumes_count_until_the_next_report(lab):
    hosts = []
    for _ in range(3):
        volume = lab.volume(status="creating", size=40)
        lab.create(volume)
        hosts.append(lab.wait(lambda: lab.row(volume)["host"], "it is placed"))
    assert hosts == ["server1@fast#a", "server1@fast#a", "server1@fast#b"]


@pytest.mark.parametrize("size, columns, changes, reason", [
    (500, {}, {}, "no pool has 500 GiB free"),
    (1, {}, {"target": "server1@fast#nowhere"}, "the pools of 'server1@fast' are 'a', 'b'"),
    (1, {}, {"target": "no address"}, "is not a target"),
    (1, {}, {"image_id": "x"}, "made from an image is not supported"),
    (1, {}, {"backup_id": "x"}, "made from a backup is not supported"),
    (1, {"snapshot_id": str(uuid.uuid4())}, {}, "made from is not there any more"),
    (1, {"source_volid": str(uuid.uuid4())}, {}, "made from is not there any more"),
])
def test_a_volume_that_fits_nowhere_is_in_error(lab, size, columns, changes, reason):
    volume = lab.volume(status="creating", size=size, **columns)
    lab.create(volume, **changes)
    lab.wait(lambda: lab.row(volume)["status"] == "error", "it is in error")
    message = lab.sql1("select * from messages where resource_uuid = %s", volume)
    assert (message["detail_id"], message["resource_type"]) == ("003", "VOLUME")
    lab.said(volume, reason)
    assert lab.row(volume)["host"] is None


def test_a_malformed_creation_is_in_error(lab):
    for changes in ({"target": 5}, {"image_id": ["x"]}, {"target": "a@b\0"}):
        volume = lab.volume(status="creating")
        lab.create(volume, **changes)
        lab.wait(lambda: lab.row(volume)["status"] == "error", "it is in error")
        assert lab.row(volume)["host"] is None


def test_a_service_without_a_queue_fails_the_creation(lab):
    lab.add_service("server3@gone", drover=False)
    lab.report("server3@gone", {"g": {}})
    volume = lab.volume(status="creating")
    lab.create(volume, target="server3@gone#g")
    lab.wait(lambda: lab.row(volume)["status"] == "error", "it is in error")
    lab.sql("update services set deleted = true where host = 'server3@gone'")


def test_only_a_volume_that_is_creating_is_created(lab):
    volume = lab.volume("server1@fast#a")
    before = lab.row(volume)
    lab.create(volume)
    lab.create(str(uuid.uuid4()))
    lab.create("../../etc/passwd")
    lab.create(volume, image_id=["x"])
    lab.create(volume, volume="x" * 2**20, request_spec=None)
    lab.pools()
    assert lab.row(volume) == before and lab.operation(volume) is None


# ---- migrate_volume ----

@pytest.mark.parametrize("target, chosen", [
    ("server1@slow#slow", "server1@slow#slow"),
    ("server1@slow", "server1@slow#slow"),
    ("server1@fast#b", "server1@fast#b"),
    ("server2@nfs-1#nfs1", "server2@nfs-1#nfs1"),  # a Python manager's, when it is named
    ("", "server1@fast#b"),
    (None, "server1@fast#b"),  # not its own pool, and not another manager's
])
def test_a_migration_is_admitted(lab, target, chosen):
    volume = lab.volume("server1@fast#a")
    context = lab.peer.context()
    operation = lab.migrated(volume, target, context=context)
    assert (operation["phase"], operation["target"], operation["host"]) == (
        "queued", chosen, "server1@fast")
    assert operation["request_id"] == context["request_id"]
    assert lab.row(volume)["migration_status"] == "starting"
    # The same request once more, and another one.
    arguments = lab.peer.migrate_arguments(volume, target)
    lab.peer.scheduler("3.3").cast(context, "migrate_volume", **arguments)
    lab.peer.scheduler("3.3").cast(lab.peer.context(), "migrate_volume", **arguments)
    lab.wait(lambda: lab.sql1("select count(*) from drover.operation where volume_id = %s",
                              volume)["count"] == 2, "the other one is refused")
    rows = lab.sql("select * from drover.operation where volume_id = %s"
                   " order by created_at", volume)
    assert [r["phase"] for r in rows] == ["queued", "failed"]
    assert "already migrating" in rows[1]["reason"]
    assert lab.row(volume)["migration_status"] == "starting"


def test_the_old_form_of_the_request(lab):
    volume = lab.volume("server1@fast#a")
    lab.peer.admit(volume)
    arguments = lab.peer.migrate_arguments(volume, None)
    del arguments["backend"], arguments["force_copy"]
    lab.peer.scheduler().cast(lab.peer.context(), "migrate_volume_to_host",
                              host={"host": "server1@slow"}, force_host_copy=True,
                              **arguments)
    row = lab.wait(lambda: lab.operation(volume), "it is admitted")
    assert row["target"] == "server1@slow#slow"
    assert lab.sql1("select force_host_copy from drover.migration")["force_host_copy"]


@pytest.mark.parametrize("target, change, reason", [
    ("server1@slow#wrong", None, "the pools of 'server1@slow' are 'slow'"),
    ("server9@x#y", None, "target 'server9@x' is unknown"),
    ("server1@fast#a", None, "is already on 'server1@fast#a'"),
    ("server1@fast", None, "is already on 'server1@fast#a'"),
    ("server1@small#small", None, "has 2.00 GiB free, 3 GiB are needed"),
    ("../../etc", None, "is not a target"),
    ("a\nb", None, "is not a target"),
    pytest.param("\u20ac" * 400000, None, "a host name longer than", id="long"),
    ("server1@slow", "updated_at = localtimestamp - interval '1 h'", "is down"),
    ("server1@slow", "disabled = true", "is disabled"),
    ("server1@slow", "frozen = true", "is frozen"),
])
@pytest.mark.parametrize("lock", [False, True])
def test_a_refused_migration_is_set_back_with_the_reason(lab, target, change, reason, lock):
    volume = lab.volume("server1@fast#a", size=3)
    if change:
        lab.sql(f"update services set {change} where host = 'server1@slow'")
    row = lab.migrated(volume, target, lock=lock)
    assert row["phase"] == "failed" and row["finished_at"]
    assert reason in row["reason"] and "\n" not in row["reason"]
    row = lab.row(volume)
    assert (row["migration_status"], row["status"]) == (None, "available")
    assert row["host"] == "server1@fast#a"


def test_no_target_and_no_room_says_why_for_each(lab):
    volume = lab.volume("server1@fast#a", size=80)
    row = lab.migrated(volume, None)
    assert row["error_code"] == "no_valid_backend"
    assert "'server1@fast#b' has 50.00 GiB free, 80 GiB are needed" in row["reason"]
    assert "'server1@slow#slow' has 30.00" in row["reason"]


def test_what_the_row_says_comes_first(lab):
    volume = lab.volume("server1@fast#a", migration_status=None)
    lab.sql("insert into snapshots (id, volume_id, volume_size, status, deleted,"
            " created_at, use_quota, volume_type_id) select %s, id, 1, 'available', false,"
            " created_at, false, volume_type_id from volumes where id = %s",
            str(uuid.uuid4()), volume)
    assert "it has snapshots" in lab.migrated(volume, "server9@x#y")["reason"]


def test_migrations_on_their_way_reserve_their_size(lab):
    first, second = (lab.volume("server1@fast#a", size=20) for _ in range(2))
    assert lab.migrated(first, "server1@slow")["phase"] == "queued"
    row = lab.migrated(second, "server1@slow")
    assert (row["phase"], row["reason"]) == ("failed",
        "target 'server1@slow#slow' has 10.00 GiB free, 20 GiB are needed")


def test_a_volume_of_a_python_cinder_volume_is_handed_on(lab):
    volume = lab.volume("server2@nfs-1#nfs1")
    lab.peer.migrate(volume, "server1@slow", force=True)
    message = lab.take("cinder-volume.server2@nfs-1.server2")
    assert (message["method"], message["version"]) == ("migrate_volume", "3.5")
    args = message["args"]
    assert set(args) == {"volume", "host", "force_host_copy"}
    assert args["force_host_copy"] is True
    assert args["volume"]["versioned_object.data"]["id"] == volume
    assert (args["host"]["host"], args["host"]["cluster_name"]) == (
        "server1@slow#slow", None)
    assert args["host"]["capabilities"]["free_capacity_gb"] == 30.0
    assert lab.operation(volume) is None


@pytest.mark.parametrize("changes, reason", [
    ({"backend": 5}, "'backend' is not a string"),
    ({"backend": ["server1@slow"]}, "'backend' is not a string"),
    ({"backend": "server1@slow\0"}, "'backend' holds a NUL"),
    ({"force_copy": "yes"}, "'force_copy' is not true or false"),
])
def test_a_malformed_request_is_refused(lab, changes, reason):
    volume = lab.volume("server1@fast#a")
    lab.peer.admit(volume)
    arguments = {**lab.peer.migrate_arguments(volume, "server1@slow"), **changes}
    lab.peer.scheduler("3.3").cast(lab.peer.context(), "migrate_volume", **arguments)
    row = lab.wait(lambda: lab.operation(volume), "it is refused")
    assert row["phase"] == "failed" and reason in row["reason"]
    assert lab.row(volume)["migration_status"] is None


@pytest.mark.parametrize("changes", [
    {"volume": 7}, {"volume": {"versioned_object.data": {"id": "'; drop table volumes"}}},
    {"volume": None, "request_spec": None}, {"request_spec": []},
])
def test_a_request_for_nobody_changes_nothing(lab, changes):
    volume = lab.volume("server1@fast#a")
    lab.peer.admit(volume)
    before = lab.row(volume)
    arguments = {**lab.peer.migrate_arguments(volume, "server1@slow"), **changes}
    lab.peer.scheduler("3.3").cast(lab.peer.context(), "migrate_volume", **arguments)
    lab.pools()
    assert lab.row(volume) == before and lab.operation(volume) is None


# ---- outages: last, because they disturb everybody ----

def test_a_request_during_an_outage_of_the_database_is_kept(servers, lab):
    volume = lab.volume("server1@fast#a")
    arguments = lab.peer.migrate_arguments(volume, "server1@slow")
    lab.peer.admit(volume)
    servers[0].stop()
    lab.peer.scheduler("3.3").cast(lab.peer.context(), "migrate_volume", **arguments)
    lab.wait(lambda: "request waits for the database" in lab.log(), "it waits")
    servers[0].start()
    row = lab.wait(lambda: lab.operation(volume), "it is admitted")
    assert (row["phase"], row["target"]) == ("queued", "server1@slow#slow")


def test_after_a_restart_of_the_broker_it_asks_again(servers, lab):
    lab.peer.close()
    servers[1].restart()
    lab.broker = pika.BlockingConnection(pika.URLParameters(
        lab.cloud.transport_url.replace("rabbit://", "amqp://")))
    lab.channel = lab.broker.channel()
    volume = lab.volume("server1@fast#a")
    lab.wait(lambda: lab.peer.queue_length("cinder-scheduler") is not None,
             "it serves again")
    lab.beat()
    assert lab.migrated(volume, "server1@slow")["phase"] == "queued"
