# SPDX-License-Identifier: Apache-2.0
"""drover-scheduler alone, on a real broker and a real database. The volume services are
python3-oslo.messaging casting reports, and queues that are read. Needs
DROVER_BUILDDIR."""
import datetime
import json
import os
import subprocess
import sys
import uuid

import pytest

pika = pytest.importorskip("pika", reason="skipped, because python3-pika is missing")
oslo_messaging = pytest.importorskip(
    "oslo_messaging", reason="skipped, because python3-oslo.messaging is missing")
exception = pytest.importorskip(
    "cinder.exception", reason="skipped, because cinder-common is missing")

HERE = os.path.dirname(os.path.abspath(__file__))
BUILDDIR = os.environ.get("DROVER_BUILDDIR", os.getcwd())
sys.path.insert(0, os.path.join(HERE, "..", "harness"))

import processes  # noqa: E402
import servers as server_module  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_messaging._metrics import client as metrics  # noqa: E402
from cloud import Cloud  # noqa: E402
from peer import Peer, captured  # noqa: E402

POOL = {"total_capacity_gb": 100.0, "free_capacity_gb": 100.0, "reserved_percentage": 0,
        "provisioned_capacity_gb": 0.0, "allocated_capacity_gb": 0,
        "max_over_subscription_ratio": "20.0", "thin_provisioning_support": False,
        "thick_provisioning_support": True}


@pytest.fixture(scope="module")
def servers():
    directory = processes.temporary_directory()
    try:
        rabbit = server_module.Rabbit(directory)
        postgres = server_module.Postgres(directory)
    except server_module.Missing as missing:
        pytest.skip(f"skipped, because {missing}")
    postgres.start()
    rabbit.start()
    yield postgres, rabbit
    rabbit.close()
    postgres.close()


class ReportingPeer(Peer):
    def transport(self):
        """oslo.messaging 14.0 looks for these options in the configuration that it is
        given, but registers them in the global one."""
        if self._transport is None:
            conf = cfg.ConfigOpts()
            conf([], project="drover-test", default_config_files=[])
            conf.register_opts(metrics.oslo_messaging_metrics,
                               group="oslo_messaging_metrics")
            self._transport = oslo_messaging.get_rpc_transport(
                conf, url=self.cloud.transport_url,
                allowed_remote_exmods=["cinder.exception"])
        return self._transport


class Lab:
    """A scheduler, its database, and what a volume service would send and get."""

    def __init__(self, servers, sync=True, **default):
        self.cloud = Cloud(BUILDDIR, servers, start=False, default=default)
        self.peer = ReportingPeer(self.cloud)
        self.broker = pika.BlockingConnection(pika.URLParameters(
            self.cloud.transport_url.replace("rabbit://", "amqp://")))
        self.channel = self.broker.channel()
        self.sql, self.sql1 = self.cloud.sql, self.cloud.sql1
        if sync:
            self.sync()

    def sync(self):
        url = self.cloud.postgres.url_of(self.cloud.database)
        subprocess.run([f"{BUILDDIR}/tests/integration/schema_tool", url, "sync"],
                       check=True, stdout=subprocess.DEVNULL)

    def start(self):
        self.cloud.scheduler.start()
        self.wait(lambda: self.service("server1", "cinder-scheduler"),
                  "the scheduler has a row")
        return self

    def wait(self, predicate, what, deadline=20):
        return processes.wait_for(predicate, deadline, what)

    def log(self):
        return self.cloud.scheduler.log()

    def close(self):
        self.broker.close()
        self.peer.close()
        try:
            if self.cloud.scheduler.running():
                self.cloud.scheduler.stop()
            assert "Sanitizer" not in self.log() and "runtime error" not in self.log()
        finally:
            self.cloud.close()

    # Volume services.

    def service(self, host, binary="cinder-volume"):
        return self.sql1(
            "select *, updated_at > localtimestamp - interval '10 s' as up from services"
            " where host = %s and \"binary\" = %s and not deleted", host, binary)

    def add_service(self, host, drover=True, zone="nova"):
        self.sql("insert into services (host, \"binary\", topic, report_count, created_at,"
                 " updated_at, deleted, disabled, availability_zone, frozen, uuid,"
                 " replication_status) values (%s, 'cinder-volume', 'cinder-volume', 0,"
                 " localtimestamp, localtimestamp + interval '9 s', false, false, %s, false,"
                 " %s, 'not-capable')", host, zone, str(uuid.uuid4()))
        if drover:
            owner = str(uuid.uuid5(uuid.NAMESPACE_DNS, host.split("@")[0]))
            self.sql("insert into drover.manager (host, owner, pid, expires_at)"
                     " values (%s, %s, 1, now() + interval '1 h')", host, owner)

    def beat(self):
        self.sql("update services set updated_at = localtimestamp + interval '9 s'"
                 " where \"binary\" = 'cinder-volume'")

    def report(self, host, pools=None, timestamp=None, wait=True, **capabilities):
        """A fanout cast, as cinder-volume does it; waits until it is known."""
        if isinstance(pools, dict):
            capabilities["pools"] = [{**POOL, "pool_name": n, **v}
                                     for n, v in pools.items()]
        elif pools is not None:
            capabilities["pools"] = pools
        now = datetime.datetime.utcnow().isoformat()
        target = oslo_messaging.Target(topic="cinder-scheduler", version="3.0", fanout=True)
        client = oslo_messaging.RPCClient(self.peer.transport(), target)
        client.prepare(version="3.3").cast(
            self.peer.context(), "update_service_capabilities", service_name="volume",
            host=host, capabilities=capabilities, cluster_name=None,
            timestamp=timestamp or now)
        if wait:
            wanted = timestamp or now
            self.wait(lambda: any(
                p["name"].startswith(host) and p["capabilities"]["timestamp"] == wanted
                for p in self.pools()), f"the report of {host} is known")

    def pools(self, **filters):
        return self.peer.scheduler().call(self.peer.context(), "get_pools",
                                          filters=filters)

    def queue(self, name, exchange="openstack", kind="topic", auto_delete=False):
        self.channel.exchange_declare(exchange, kind, auto_delete=auto_delete)
        self.channel.queue_declare(name)
        self.channel.queue_bind(name, exchange, name)

    def take(self, queue):
        """The next message there, waiting for it."""
        def look():
            got = self.channel.basic_get(queue, auto_ack=True)
            return got[0] and json.loads(json.loads(got[2])["oslo.message"])
        return self.wait(look, f"a message in {queue}")

    # Volumes.

    def volume(self, host=None, status="available", size=1, **columns):
        values = {"id": str(uuid.uuid4()), "host": host, "status": status, "size": size,
                  "display_name": "v", "attach_status": "detached", "deleted": False,
                  "project_id": "p", "user_id": "u", "use_quota": False,
                  "shared_targets": False, "multiattach": False, "bootable": False,
                  "availability_zone": "nova",
                  "volume_type_id": self.sql1("select id from volume_types")["id"],
                  **columns}
        names = ", ".join(values)
        marks = ", ".join(["%s"] * len(values))
        self.sql(f"insert into volumes ({names}, created_at)"
                 f" values ({marks}, localtimestamp)", *values.values())
        return values["id"]

    def row(self, volume):
        return self.sql1("select * from volumes where id = %s", volume)

    def create(self, volume, context=None, /, **changes):
        args = captured("scheduler-create_volume")["message"]["args"]
        args["volume"]["versioned_object.data"]["id"] = volume
        args["request_spec"]["versioned_object.data"]["volume_id"] = volume
        args.update(changes)
        self.peer.scheduler().cast(context or self.peer.context(), "create_volume", **args)

    def operation(self, volume):
        return self.sql1("select o.*, m.target from drover.operation o"
                         " left join drover.migration m on m.operation_id = o.id"
                         " where o.volume_id = %s order by o.created_at desc limit 1",
                         volume)

    def migrated(self, volume, target, **options):
        """Cast as cinder-api does; the row of the operation."""
        self.peer.migrate(volume, target, **options)
        return self.wait(lambda: self.operation(volume), f"an operation for {volume}")


@pytest.fixture
def empty(servers):
    lab = Lab(servers, sync=False)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def shared(servers):
    """Three backends of one Drover manager, and one of a Python cinder-volume."""
    lab = Lab(servers).start()
    for host in ("server1@fast", "server1@slow", "server1@small"):
        lab.add_service(host)
    lab.add_service("server2@nfs-1", drover=False)
    lab.queue("cinder-volume.server2@nfs-1.server2")
    yield lab
    lab.close()


@pytest.fixture
def lab(shared):
    shared.sql("update services set disabled = false, frozen = false")
    shared.sql("delete from drover.migration")
    shared.sql("delete from drover.operation")
    # Volumes of earlier tests would count on their pools.
    shared.sql("update volumes set deleted = true where not deleted")
    shared.beat()
    shared.report("server1@fast", {"a": {}, "b": {"free_capacity_gb": 50.0}})
    shared.report("server1@slow", {"slow": {"free_capacity_gb": 30.0}})
    shared.report("server1@small", {"small": {"free_capacity_gb": 2.0}})
    shared.report("server2@nfs-1", volume_backend_name="nfs1", storage_protocol="nfs",
                  **{**POOL, "free_capacity_gb": 20.0})
    return shared


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
    empty.wait(lambda: empty.log().count("waits for reports") == 2, "both wait")
    assert empty.operation(volume) is None
    empty.report("server1@slow", {"s": {}}, wait=False)
    row = empty.wait(lambda: empty.operation(volume), "it is admitted")
    assert (row["target"], row["phase"]) == ("server1@slow#s", "queued")
    assert empty.row(created)["host"] is None
    empty.report("server1@fast", {"a": {"free_capacity_gb": 200.0}}, wait=False)
    empty.wait(lambda: empty.row(created)["host"], "it is placed")


def test_a_stop_decides_what_still_waits(empty):
    empty.sync()
    empty.add_service("server1@fast")
    empty.add_service("server1@slow")
    empty.start()
    volume = empty.volume("server1@fast#a")
    empty.peer.migrate(volume, "server1@slow")
    empty.wait(lambda: "waits for reports" in empty.log(), "it waits")
    empty.cloud.scheduler.stop()
    row = empty.operation(volume)
    assert (row["phase"], row["reason"]) == (
        "failed", "target 'server1@slow' has not reported its pools yet")
    assert empty.row(volume)["migration_status"] is None


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
    (1, {"snapshot_id": str(uuid.uuid4())}, {}, "made from a snapshot is not supported"),
    (1, {"source_volid": str(uuid.uuid4())}, {}, "made from another volume"),
])
def test_a_volume_that_fits_nowhere_is_in_error(lab, size, columns, changes, reason):
    volume = lab.volume(status="creating", size=size, **columns)
    lab.create(volume, **changes)
    lab.wait(lambda: lab.row(volume)["status"] == "error", "it is in error")
    message = lab.sql1("select * from messages where resource_uuid = %s", volume)
    assert (message["detail_id"], message["resource_type"]) == ("003", "VOLUME")
    assert [line for line in lab.log().splitlines() if volume in line and reason in line]
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
    ("server2@nfs-1#nfs1", None, "has no drover-volume-manager"),
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


# ---- what is not served ----

def test_a_refused_extension_is_put_back(lab):
    volume = lab.volume("server1@fast#a", status="extending", previous_status="available")
    lab.peer.scheduler().cast(
        lab.peer.context(), "extend_volume", volume=lab.peer.volume_object(volume),
        new_size=5, reservations=[str(uuid.uuid4())], request_spec={},
        filter_properties=None)
    lab.wait(lambda: lab.row(volume)["status"] == "available", "it is available again")
    assert lab.row(volume)["size"] == 1


def test_a_refused_retype_is_put_back(lab):
    volume = lab.volume("server1@fast#a", status="retyping", previous_status="in-use")
    lab.peer.scheduler().cast(
        lab.peer.context(), "retype", volume=lab.peer.volume_object(volume),
        request_spec={"quota_reservations": [], "volume_id": volume}, filter_properties={})
    lab.wait(lambda: lab.row(volume)["status"] == "in-use", "it is in use again")


def test_other_calls_are_answered_at_once(lab):
    call = lab.peer.scheduler("3.8").call
    context = lab.peer.context()
    assert call(context, "work_cleanup", cleanup_request={}) == [[], []]
    with pytest.raises(Exception) as refused:
        call(context, "validate_host_capacity", backend="x", request_spec={},
             filter_properties={})
    assert "not supported" in str(refused.value)


def test_log_levels_can_be_set(lab):
    request = {"versioned_object.name": "LogLevel", "versioned_object.namespace": "cinder",
               "versioned_object.version": "1.0",
               "versioned_object.data": {"prefix": "", "level": "debug"}}
    client = lab.peer.scheduler("3.7")
    client.cast(lab.peer.context(), "set_log_levels", log_request=request)
    answer = client.call(lab.peer.context(), "get_log_levels", log_request=request)
    (level,) = answer["versioned_object.data"]["objects"]
    assert level["versioned_object.data"] == {"prefix": "cinder", "level": "DEBUG"}
    request["versioned_object.data"]["level"] = "info"
    client.cast(lab.peer.context(), "set_log_levels", log_request=request)


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
