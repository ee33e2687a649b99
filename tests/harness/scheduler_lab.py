# SPDX-License-Identifier: Apache-2.0
"""drover-scheduler alone, on a real broker and a real database, for the tests in
tests/integration. The volume services are python3-oslo.messaging casting reports, and
queues that are read. Needs DROVER_BUILDDIR."""
import datetime
import json
import os
import subprocess
import uuid

import pytest

import processes
import servers as server_module
from cloud import Cloud
from peer import Peer, captured

pika = pytest.importorskip("pika", reason="skipped, because python3-pika is missing")
oslo_messaging = pytest.importorskip(
    "oslo_messaging", reason="skipped, because python3-oslo.messaging is missing")
exception = pytest.importorskip(
    "cinder.exception", reason="skipped, because cinder-common is missing")

from oslo_config import cfg  # noqa: E402
from oslo_messaging._metrics import client as metrics  # noqa: E402

BUILDDIR = os.environ.get("DROVER_BUILDDIR", os.getcwd())

POOL = {"total_capacity_gb": 100.0, "free_capacity_gb": 100.0, "reserved_percentage": 0,
        "provisioned_capacity_gb": 0.0, "allocated_capacity_gb": 0,
        "max_over_subscription_ratio": "20.0", "thin_provisioning_support": False,
        "thick_provisioning_support": True}


@pytest.fixture(scope="module")
def servers():
    try:
        with server_module.started() as both:
            yield both
    except server_module.Missing as missing:
        pytest.skip(f"skipped, because {missing}")


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

    def said(self, *words):
        """Waits for a line of the log with all of them, which comes after what is done."""
        self.wait(lambda: any(all(word in line for word in words)
                              for line in self.log().splitlines()), f"it says {words}")

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

    def nothing_in(self, queue):
        """Whatever was sent to the scheduler before is done."""
        self.pools()
        return self.channel.basic_get(queue, auto_ack=True)[0] is None

    # Types and quota.

    def default_type(self):
        return self.sql1("select id from volume_types where name = '__DEFAULT__'")["id"]

    def type(self, **specs):
        """A volume type with these extra specs; '__' in a name stands for ':'."""
        row = str(uuid.uuid4())
        self.sql("insert into volume_types (id, name, is_public, deleted)"
                 " values (%s, %s, true, false)", row, f"type-{row[:8]}")
        for key, value in specs.items():
            self.sql("insert into volume_type_extra_specs (volume_type_id, key, value,"
                     " deleted) values (%s, %s, %s, false)", row, key.replace("__", ":"),
                     value)
        return row

    def reserve(self, resource, delta):
        """A reservation as cinder-api makes it; its id."""
        row = str(uuid.uuid4())
        self.sql("insert into quota_usages (project_id, resource, in_use, reserved, deleted,"
                 " race_preventer) values ('p', %s, 5, 0, false, true)"
                 " on conflict do nothing", resource)
        self.sql("insert into reservations (uuid, usage_id, project_id, resource, delta,"
                 " deleted, created_at) select %s, id, 'p', %s, %s, false, localtimestamp"
                 " from quota_usages where resource = %s", row, resource, delta, resource)
        self.sql("update quota_usages set reserved = reserved + greatest(%s, 0)"
                 " where resource = %s", delta, resource)
        return row

    def reserved(self):
        """What is reserved yet, of all resources, and how many reservations are open."""
        row = self.sql1("select (select coalesce(sum(reserved), 0) from quota_usages)"
                        " as usage, (select count(*) from reservations where not deleted)"
                        " as open")
        return int(row["usage"]), row["open"]

    # Volumes.

    def volume(self, host=None, status="available", size=1, **columns):
        values = {"id": str(uuid.uuid4()), "host": host, "status": status, "size": size,
                  "display_name": "v", "attach_status": "detached", "deleted": False,
                  "project_id": "p", "user_id": "u", "use_quota": False,
                  "shared_targets": False, "multiattach": False, "bootable": False,
                  "availability_zone": "nova",
                  "volume_type_id": self.default_type(),
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


def fresh(shared):
    """The shared one as if nothing had happened."""
    shared.sql("delete from reservations")
    shared.sql("delete from quota_usages")
    shared.sql("update services set disabled = false, frozen = false")
    shared.sql("truncate drover.operation cascade")
    # Volumes of earlier tests would count on their pools.
    shared.sql("update volumes set deleted = true where not deleted")
    shared.beat()
    shared.report("server1@fast", {"a": {}, "b": {"free_capacity_gb": 50.0}})
    shared.report("server1@slow", {"slow": {"free_capacity_gb": 30.0}})
    shared.report("server1@small", {"small": {"free_capacity_gb": 2.0}})
    shared.report("server2@nfs-1", volume_backend_name="nfs1", storage_protocol="nfs",
                  **{**POOL, "free_capacity_gb": 20.0})
    yield shared


@pytest.fixture
def lab(shared):
    yield from fresh(shared)
