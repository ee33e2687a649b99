# SPDX-License-Identifier: Apache-2.0
"""drover-scheduler: extend, snapshot, retype, types and zones, what is about services, and
what is refused. Needs DROVER_BUILDDIR."""
import os
import subprocess
import sys
import uuid

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "harness"))

import scheduler_lab  # noqa: E402
from scheduler_lab import POOL, empty, servers, shared  # noqa: E402, F401

FAST = "cinder-volume.server1@fast.server1"
NFS = "cinder-volume.server2@nfs-1.server2"


@pytest.fixture(scope="module")
def queues(shared):
    shared.queue(FAST)
    return shared


@pytest.fixture
def lab(queues):
    yield from scheduler_lab.fresh(queues)
    assert queues.nothing_in(FAST) and queues.nothing_in(NFS)


def back(lab, volume, status):
    lab.wait(lambda: lab.row(volume)["status"] == status, f"it is {status} again")


def message_of(lab, volume):
    return lab.sql1("select event_id, action_id, detail_id, resource_type, message_level,"
                    " project_id from messages where resource_uuid = %s", volume)


# ---- extend_volume ----

def extend(lab, volume, size, reservations=(), /, **changes):
    args = {"volume": lab.peer.volume_object(volume), "new_size": size,
            "reservations": list(reservations), "request_spec": {"volume_id": volume},
            "filter_properties": None, **changes}
    lab.peer.scheduler().cast(lab.peer.context(), "extend_volume", **args)
    return args


@pytest.mark.parametrize("host, queue", [("server1@fast#a", FAST),
                                         ("server2@nfs-1#nfs1", NFS)])
def test_an_extension_that_fits_is_handed_on(lab, host, queue):
    volume = lab.volume(host, status="extending", previous_status="available")
    reservation = lab.reserve("gigabytes", 4)
    sent = extend(lab, volume, 5, [reservation])
    message = lab.take(queue)
    assert (message["method"], message["version"]) == ("extend_volume", "3.0")
    assert message["args"] == {key: sent[key]
                               for key in ("volume", "new_size", "reservations")}
    assert "_msg_id" not in message
    assert lab.row(volume)["status"] == "extending"
    assert lab.reserved()[1] == 1


@pytest.mark.parametrize("size, change, reason", [
    (200, None, "has 99.00 GiB free, 199 GiB are needed"),
    (2, "update services set frozen = true, disabled = true", "is frozen"),
    (2, "update services set disabled = true", "is disabled"),
    (2, "update services set updated_at = localtimestamp - interval '1 h'", "is down"),
    (1, None, "which is not below 1"),
])
@pytest.mark.parametrize("before", ["available", "in-use"])
def test_an_extension_that_is_refused_leaves_nothing(lab, size, change, reason, before):
    volume = lab.volume("server1@fast#a", status="extending", previous_status=before)
    reservations = [lab.reserve("gigabytes", 1), lab.reserve("gigabytes_x", 1)]
    if change:
        lab.sql(change + " where host = 'server1@fast'")
    extend(lab, volume, size, reservations)
    back(lab, volume, before)
    assert (lab.row(volume)["previous_status"], lab.row(volume)["size"]) == (None, 1)
    assert lab.reserved() == (0, 0)
    assert message_of(lab, volume) == {
        "event_id": "VOLUME_VOLUME_007_003", "action_id": "007", "detail_id": "003",
        "resource_type": "VOLUME", "message_level": "ERROR", "project_id": "p"}
    lab.said(volume, reason)


def test_what_an_extension_takes_counts_until_the_next_report(lab):
    first, second = (lab.volume("server2@nfs-1#nfs1", status="extending",
                                previous_status="available") for _ in range(2))
    extend(lab, first, 15)
    extend(lab, second, 15)
    assert lab.take(NFS)["args"]["new_size"] == 15
    back(lab, second, "available")
    lab.said("has 6.00 GiB free, 14 GiB are needed")


def test_a_backend_may_not_extend_what_is_attached(lab):
    lab.report("server2@nfs-1", volume_backend_name="nfs1", online_extend_support=False,
               **POOL)
    attached = lab.volume("server2@nfs-1#nfs1", status="extending", previous_status="in-use",
                          attach_status="attached")
    other = lab.volume("server2@nfs-1#nfs1", status="extending",
                       previous_status="available")
    extend(lab, attached, 2)
    back(lab, attached, "in-use")
    extend(lab, other, 2)
    assert lab.take(NFS)["args"]["new_size"] == 2


@pytest.mark.parametrize("changes", [
    {"new_size": "5"}, {"new_size": None}, {"new_size": -1}, {"new_size": 2 ** 60},
    {"reservations": "x", "new_size": 0}, {"volume": None}, {"volume": []},
])
def test_a_malformed_extension_is_put_back(lab, changes):
    volume = lab.volume("server1@fast#a", status="extending", previous_status="available")
    extend(lab, volume, 2, **changes)
    if changes.get("volume") == []:  # whose it is cannot be told
        lab.pools()
        assert lab.row(volume)["status"] == "extending"
    else:
        back(lab, volume, "available")


def test_an_extension_of_nothing_frees_its_quota(lab):
    volume = lab.volume("server1@fast#a")
    before = lab.row(volume)
    extend(lab, str(uuid.uuid4()), 5, [lab.reserve("gigabytes", 4)])
    extend(lab, volume, 5, [lab.reserve("gigabytes", 4)])  # nobody asked for it
    lab.wait(lambda: lab.reserved() == (0, 0), "both are rolled back")
    assert lab.row(volume) == before and message_of(lab, volume) is None


# ---- create_snapshot ----

def snapshot(lab, volume, backend, **changes):
    row = str(uuid.uuid4())
    lab.sql("insert into snapshots (id, volume_id, volume_size, status, deleted, created_at,"
            " use_quota, volume_type_id, project_id) select %s, id, size, 'creating', false,"
            " created_at, false, volume_type_id, 'p' from volumes where id = %s",
            row, volume)
    data = {"id": row, "volume_id": volume, "status": "creating"}
    args = {"volume": lab.peer.volume_object(volume), "backend": backend,
            "snapshot": {"versioned_object.name": "Snapshot",
                         "versioned_object.namespace": "cinder",
                         "versioned_object.version": "1.6", "versioned_object.data": data},
            "request_spec": {"versioned_object.name": "RequestSpec",
                             "versioned_object.namespace": "cinder",
                             "versioned_object.version": "1.5",
                             "versioned_object.data": {"snapshot_id": row}},
            "filter_properties": None, **changes}
    lab.peer.scheduler().cast(lab.peer.context(), "create_snapshot", **args)
    return row, args


def test_a_snapshot_goes_to_where_its_volume_is(lab):
    volume = lab.volume("server1@fast#a", status="in-use")
    row, sent = snapshot(lab, volume, "server2@nfs-1#nfs1")  # before it moved
    message = lab.take(FAST)
    assert (message["method"], message["version"]) == ("create_snapshot", "3.0")
    assert message["args"] == {"snapshot": sent["snapshot"]}
    assert lab.sql1("select status from snapshots where id = %s", row)["status"] == "creating"


@pytest.mark.parametrize("size, change", [(200, None), (1, "frozen = true")])
def test_a_snapshot_without_room_is_in_error(lab, size, change):
    volume = lab.volume("server1@fast#a", size=size)
    if change:
        lab.sql(f"update services set {change} where host = 'server1@fast'")
    row, _ = snapshot(lab, volume, "server1@fast#a")
    lab.wait(lambda: lab.sql1("select status from snapshots where id = %s", row)["status"]
             == "error", "it is in error")
    assert lab.row(volume)["status"] == "available"


# ---- retype ----

def retype(lab, volume, type_id, policy="never", zones=("nova",), **changes):
    new = [lab.reserve("volumes_new", 1), lab.reserve("gigabytes_new", 1)]
    old = [lab.reserve("volumes_old", -1), lab.reserve("gigabytes_old", -1)]
    spec = {"volume_properties": {}, "volume_id": volume, "volume_type": {"id": type_id},
            "migration_policy": policy, "quota_reservations": new, "old_reservations": old,
            "availability_zones": list(zones), **changes}
    lab.peer.scheduler().cast(lab.peer.context(), "retype", request_spec=spec,
                              volume=lab.peer.volume_object(volume), filter_properties={})
    return new, old


@pytest.mark.parametrize("specs, policy, chosen", [
    ({}, "never", "server1@fast#a"),
    # Its own pool has room for what is there.
    ({"volume_backend_name": "<or> x <or> fast"}, "on-demand", "server1@fast#a"),
    ({"volume_backend_name": "slow"}, "on-demand", "server1@slow#slow"),
    ({"free_capacity_gb": "<= 60", "total_capacity_gb": ">= 100"}, "on-demand",
     "server1@fast#b"),
    # A Python manager's only when there is no other.
    ({"total_capacity_gb": ">= 100", "volume_backend_name": "<or> slow <or> nfs1"},
     "on-demand", "server1@slow#slow"),
    ({"volume_backend_name": "nfs1"}, "on-demand", "server2@nfs-1#nfs1"),
])
def test_a_retype_prefers_the_volumes_own_pool(lab, specs, policy, chosen):
    lab.report("server1@fast", {"a": {"free_capacity_gb": 0.5 if policy == "never" else 80.0},
                                "b": {"free_capacity_gb": 50.0}}, volume_backend_name="fast")
    lab.report("server1@slow", {"slow": {"free_capacity_gb": 60.5}},
               volume_backend_name="slow")
    volume = lab.volume("server1@fast#a", status="retyping", previous_status="available")
    type_id = lab.type(**specs)
    new, old = retype(lab, volume, type_id, policy)
    message = lab.take(FAST)
    assert (message["method"], message["version"]) == ("retype", "3.5")
    args = message["args"]
    assert set(args) == {"volume", "new_type_id", "host", "migration_policy", "reservations",
                         "old_reservations"}
    assert (args["new_type_id"], args["migration_policy"]) == (type_id, policy)
    assert (args["reservations"], args["old_reservations"]) == (new, old)
    assert args["host"]["host"] == chosen and args["host"]["cluster_name"] is None
    assert args["host"]["capabilities"]["total_capacity_gb"] == 100.0
    assert lab.row(volume)["status"] == "retyping" and lab.reserved()[1] == 4


@pytest.mark.parametrize("specs, policy, zone, reason", [
    ({"volume_backend_name": "slow"}, "never", "nova", "would have to migrate"),
    ({"volume_backend_name": "slow"}, None, "nova", "would have to migrate"),
    ({"volume_backend_name": "nowhere"}, "on-demand", "nova", "no pool can take it"),
    ({}, "on-demand", "mars", "is in another availability zone"),
])
def test_a_refused_retype_leaves_nothing(lab, specs, policy, zone, reason):
    lab.report("server1@slow", {"slow": {}}, volume_backend_name="slow")
    volume = lab.volume("server1@fast#a", status="retyping", previous_status="in-use")
    retype(lab, volume, lab.type(**specs), policy, [zone])
    back(lab, volume, "in-use")
    assert lab.reserved() == (0, 0)
    assert lab.row(volume)["previous_status"] == "in-use"
    lab.said(volume, reason)


@pytest.mark.parametrize("changes", [
    {"volume_type": None}, {"volume_type": {"id": "x'; drop table volumes"}},
    {"volume_type": []}, {"availability_zones": 5}, {"migration_policy": 7},
])
def test_a_malformed_retype_is_put_back(lab, changes):
    volume = lab.volume("server1@fast#a", status="retyping", previous_status="available")
    retype(lab, volume, lab.type(), **changes)
    back(lab, volume, "available")
    assert lab.reserved() == (0, 0)


# ---- types, zones, origins ----

def test_a_type_decides_where_a_volume_is_made(lab):
    lab.report("server1@slow", {"slow": {"free_capacity_gb": 30.0, "disks": {"kind": "ssd"},
                                         "protocols": ["x", "y"]}})
    volume = lab.volume(status="creating", volume_type_id=lab.type(
        capabilities__disks__kind="<or> nvme <or> ssd", protocols="y",
        thin_provisioning_support="<is> False", vendor__thing="ignored"))
    lab.create(volume)
    lab.wait(lambda: lab.row(volume)["host"], "it is placed")
    assert lab.row(volume)["host"] == "server1@slow#slow"
    other = lab.volume(status="creating",
                       volume_type_id=lab.type(volume_backend_name="nowhere"))
    lab.create(other)
    back(lab, other, "error")
    assert message_of(lab, other)["event_id"] == "VOLUME_VOLUME_001_003"


def test_thick_volumes_need_real_room(lab):
    lab.report("server1@slow", {"slow": {"free_capacity_gb": 30.0,
                                         "thin_provisioning_support": True}})
    for kind, status in (("thin", "creating"), ("thick", "error")):
        volume = lab.volume(status="creating", size=31,
                            volume_type_id=lab.type(provisioning__type=kind))
        lab.create(volume, target="server1@slow")
        lab.wait(lambda: lab.row(volume)["host"] or lab.row(volume)["status"] == "error",
                 "it is decided")
        assert lab.row(volume)["status"] == status


def test_a_migration_keeps_to_the_type(lab):
    lab.report("server1@slow", {"slow": {"tier": "gold"}})
    first, second = (lab.volume("server1@fast#a", volume_type_id=lab.type(tier="gold"))
                     for _ in range(2))
    row = lab.migrated(first, "server1@fast#b")
    assert (row["phase"], row["reason"]) == ("failed",
        "target 'server1@fast#b' does not meet 'tier' = 'gold' of the volume's type")
    assert lab.migrated(second, None)["target"] == "server1@slow#slow"


def test_a_copy_is_made_where_its_origin_is(lab):
    origin = lab.volume("server1@slow#slow", size=2)
    point = str(uuid.uuid4())
    lab.sql("insert into snapshots (id, volume_id, volume_size, status, deleted,"
            " created_at, use_quota, volume_type_id) select %s, id, 1, 'available', false,"
            " created_at, false, volume_type_id from volumes where id = %s", point, origin)
    for columns in ({"snapshot_id": point}, {"source_volid": origin}):
        volume = lab.volume(status="creating", size=2, **columns)
        lab.create(volume)
        row = lab.wait(lambda: lab.operation(volume), "an operation")
        assert (row["kind"], row["host"]) == ("create_volume", "server1@slow")
        assert lab.row(volume)["host"] == "server1@slow#slow"
    full = lab.volume(status="creating", size=40, source_volid=origin)
    lab.create(full)
    back(lab, full, "error")


def test_what_a_cinder_volume_could_not_make_is_made_elsewhere(lab):
    volume = lab.volume(status="creating")
    lab.create(volume, target="server2@nfs-1")
    retry = lab.take(NFS)["args"]["filter_properties"]["retry"]
    assert retry == {"num_attempts": 1, "backends": ["server2@nfs-1#nfs1"],
                     "hosts": ["server2@nfs-1#nfs1"]}
    lab.sql("update volumes set host = null where id = %s", volume)
    lab.create(volume, target="server2@nfs-1",
               filter_properties={"retry": {**retry, "num_attempts": 3}})
    back(lab, volume, "error")
    lab.said("3 backends have failed to make it")


# ---- services ----

def test_room_can_be_asked_for(lab):
    def fits(backend, size, **specs):
        return lab.peer.scheduler("3.8").call(
            lab.peer.context(), "validate_host_capacity", backend=backend,
            request_spec={"volume_properties": {"size": size},
                          "volume_type": {"extra_specs": specs}}, filter_properties={})
    assert fits("server1@small#small", 2) is True
    assert fits("server1@small#small", 1) is False  # that was taken
    assert fits("server1@fast", 60) is True
    assert fits("server1@slow", 1, volume_backend_name="x") is False
    assert fits("server9@x", 1) is False
    with pytest.raises(Exception):
        fits("x", 1)


def test_who_is_asked_to_clean_up(lab):
    def hosts(**request):
        request = {"versioned_object.name": "CleanupRequest",
                   "versioned_object.namespace": "cinder",
                   "versioned_object.version": "1.0",
                   "versioned_object.data": {"service_id": None, "host": None,
                                             "binary": None, "cluster_name": None,
                                             "is_up": False, "disabled": None, **request}}
        answer = lab.peer.scheduler("3.4").call(lab.peer.context(), "work_cleanup",
                                                cleanup_request=request)
        for service in answer[0] + answer[1]:
            assert service["versioned_object.name"] == "Service"
            assert isinstance(service["versioned_object.data"]["id"], int)
        return [[s["versioned_object.data"]["host"] for s in part] for part in answer]

    assert hosts() == [[], []]
    lab.sql("update services set updated_at = localtimestamp - interval '1 h'"
            " where host = 'server1@slow'")
    assert hosts() == [[], ["server1@slow"]]
    assert hosts(is_up=None, host="server1@fast") == [["server1@fast"], []]
    assert hosts(is_up=True, host="server2@nfs-1") == [["server2@nfs-1"], []]
    message = lab.take(NFS)
    assert (message["method"], message["version"]) == ("do_cleanup", "3.7")
    data = message["args"]["cleanup_request"]["versioned_object.data"]
    assert data["host"] == "server2@nfs-1"
    assert hosts(is_up=None, binary="cinder-scheduler") == [["server1"], []]


def test_log_levels_can_be_set(lab):
    def request(prefix, level=None):
        return {"versioned_object.name": "LogLevel", "versioned_object.namespace": "cinder",
                "versioned_object.version": "1.0",
                "versioned_object.data": {"prefix": prefix, "level": level}}
    client, context = lab.peer.scheduler("3.7"), lab.peer.context()

    def levels(prefix=""):
        answer = client.call(context, "get_log_levels", log_request=request(prefix))
        return [o["versioned_object.data"] for o in answer["versioned_object.data"]["objects"]]
    client.cast(context, "set_log_levels", log_request=request("", "debug"))
    assert levels() == [{"prefix": "cinder", "level": "DEBUG"}]
    client.cast(context, "set_log_levels", log_request=request("sqlalchemy", "error"))
    assert levels("cind") == [{"prefix": "cinder", "level": "DEBUG"}]
    assert levels("sqlalchemy") == []
    client.cast(context, "set_log_levels", log_request=request("cinder", "Info"))
    assert levels() == [{"prefix": "cinder", "level": "INFO"}]


# ---- what is not served ----

def refuse(lab, method, name, row, **more):
    lab.peer.scheduler("3.12").cast(
        lab.peer.context(), method,
        **{name: {"versioned_object.data": {"id": row}}, **more})


def test_what_is_not_served_is_put_back(lab):
    volume = lab.volume(status="managing")
    refuse(lab, "manage_existing", "volume", volume, request_spec={})
    back(lab, volume, "error_managing")
    group = str(uuid.uuid4())
    lab.sql("insert into groups (id, status, deleted, group_type_id)"
            " values (%s, 'creating', false, 'x')", group)
    refuse(lab, "create_group", "group", group)
    lab.wait(lambda: lab.sql1("select status from groups where id = %s", group)["status"]
             == "error", "the group is in error")
    backup = str(uuid.uuid4())
    volume = lab.volume("server1@fast#a", status="backing-up", previous_status="in-use")
    lab.sql("insert into backups (id, volume_id, status, deleted)"
            " values (%s, %s, 'creating', false)", backup, volume)
    refuse(lab, "create_backup", "backup", backup)
    back(lab, volume, "in-use")
    row = lab.sql1("select * from backups where id = %s", backup)
    assert (row["status"], row["fail_reason"]) == (
        "error", "backups are not supported by this scheduler")


def test_an_unknown_filter_is_named(empty):
    path = empty.cloud.write_config("filters.conf",
                                    default={"scheduler_default_filters": "JsonFilter"})
    result = subprocess.run([empty.cloud.program("scheduler"), "--config-file", path],
                            capture_output=True, text=True, timeout=20)
    assert result.returncode == 2
    assert "there is no 'JsonFilter', only: AvailabilityZoneFilter" in result.stderr
