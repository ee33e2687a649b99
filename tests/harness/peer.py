# SPDX-License-Identifier: Apache-2.0
"""What cinder-api does to us, done to us: its row changes and its messages, sent with
python3-oslo.messaging, or as captured bodies (tests/data/wire) through pika."""
import copy
import json
import os
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
WIRE = os.path.join(HERE, "..", "data", "wire")
DATES = {"created_at", "updated_at", "deleted_at", "scheduled_at", "launched_at",
         "terminated_at"}


def captured(name):
    with open(f"{WIRE}/{name}.json") as f:
        return json.load(f)


def envelope(message):
    """The body as oslo.messaging 2.0 sends it. A text or bytes go as they are."""
    if isinstance(message, bytes):
        return message
    text = message if isinstance(message, str) else json.dumps(message)
    return json.dumps({"oslo.version": "2.0", "oslo.message": text}).encode()


class Peer:
    def __init__(self, cloud, timeout=20):
        self.cloud = cloud
        self.timeout = timeout
        self._transport = None

    # Volume objects as cinder-api would send them now.

    def volume_object(self, volume):
        """The Volume 1.9 of a captured message with the values of the row."""
        captive = captured("scheduler-migrate_volume")["message"]["args"]["volume"]
        row = self.cloud.sql1("select * from volumes where id = %s", volume)
        if row is None:
            captive["versioned_object.data"]["id"] = volume
            return captive
        data = captive["versioned_object.data"]
        for key in list(data):
            if key in row:
                value = row[key]
                if key in DATES and value is not None:
                    value = value.strftime("%Y-%m-%dT%H:%M:%SZ")
                data[key] = value
        data["volume_type"]["versioned_object.data"]["id"] = row["volume_type_id"]
        return captive

    def migrate_arguments(self, volume, target, force=False):
        """args of cinder-api's migrate_volume to the scheduler."""
        args = captured("scheduler-migrate_volume")["message"]["args"]
        args["volume"] = self.volume_object(volume)
        args["backend"] = target
        args["force_copy"] = force or self.cloud.reflinks
        data = args["volume"]["versioned_object.data"]
        spec = args["request_spec"]
        spec["volume_id"] = volume
        spec["volume_type"]["id"] = data["volume_type_id"]
        for key in ("id", "size", "host", "status", "migration_status", "display_name",
                    "volume_type_id", "previous_status", "_name_id"):
            spec["volume_properties"][key] = data[key]
        spec["volume_properties"]["name"] = f"volume-{volume}"
        spec["volume_properties"]["name_id"] = data["_name_id"] or volume
        return args

    def admit(self, volume, lock=False):
        """The one update that cinder-api makes before it casts migrate_volume."""
        self.cloud.sql(
            "update volumes set migration_status = 'starting', previous_status = status,"
            " status = case when %s and status = 'available' then 'maintenance'"
            " else status end, updated_at = now() at time zone 'utc' where id = %s",
            lock, volume)

    # Through oslo.messaging.

    def transport(self):
        if self._transport is None:
            import cinder.exception  # noqa: F401  the classes that failures become
            import oslo_messaging
            from oslo_config import cfg
            from oslo_messaging._metrics import client as metrics

            conf = cfg.ConfigOpts()
            conf([], project="drover-test", default_config_files=[])
            # This release reads these from conf but registers them elsewhere.
            conf.register_opts(metrics.oslo_messaging_metrics,
                               group="oslo_messaging_metrics")
            self._transport = oslo_messaging.get_rpc_transport(
                conf, url=self.cloud.transport_url,
                allowed_remote_exmods=["cinder.exception"])
        return self._transport

    def context(self, **more):
        """A request context, flattened, with a new request id."""
        message = captured("scheduler-migrate_volume")["message"]
        context = {k[len("_context_"):]: v for k, v in message.items()
                   if k.startswith("_context_")}
        context["request_id"] = f"req-{uuid.uuid4()}"
        context.update(more)
        return context

    def _client(self, topic, version, server=None, timeout=None):
        import oslo_messaging

        target = oslo_messaging.Target(topic=topic, version=version.split(".")[0] + ".0")
        client = oslo_messaging.get_rpc_client(self.transport(), target,
                                               timeout=timeout or self.timeout)
        return client.prepare(version=version, server=server)

    def scheduler(self, version="3.0"):
        return self._client("cinder-scheduler", version)

    def volume(self, host="server1@fast", version="3.0", timeout=None):
        """The client for a backend, as cinder's rpcapi addresses it."""
        backend = host.split("#")[0]
        return self._client(f"cinder-volume.{backend}", version, backend.split("@")[0],
                            timeout)

    def migrate(self, volume, target, force=False, lock=False, context=None):
        """All that cinder-api does for os-migrate_volume."""
        self.admit(volume, lock)
        self.scheduler("3.3").cast(context or self.context(), "migrate_volume",
                                   **self.migrate_arguments(volume, target, force))

    # Bare messages.

    def publish(self, routing_key, message, exchange="openstack", properties=None):
        """Publish once, confirmed. message: inner message, or bytes of a whole body."""
        import pika

        connection = pika.BlockingConnection(pika.URLParameters(
            self.cloud.transport_url.replace("rabbit://", "amqp://")))
        try:
            channel = connection.channel()
            channel.confirm_delivery()
            values = properties or {"content_type": "application/json",
                                    "content_encoding": "utf-8", "delivery_mode": 2,
                                    "priority": 0, "headers": {}}
            channel.basic_publish(exchange, routing_key, envelope(message),
                                  pika.BasicProperties(**values), mandatory=True)
        finally:
            connection.close()

    def replay_migrate(self, volume, target, new_id=False, new_request=True):
        """The captured cast of cinder-api with the ids and hosts of here, as raw bytes.
        Returns the inner message, to be published again."""
        message = copy.deepcopy(captured("scheduler-migrate_volume")["message"])
        message["args"] = self.migrate_arguments(volume, target)
        if new_id:
            message["_unique_id"] = uuid.uuid4().hex
        if new_request:
            message["_context_request_id"] = f"req-{uuid.uuid4()}"
        return message

    def volume_migrate_message(self, volume, target):
        """The captured cast of cinder-scheduler to the source's volume service."""
        capture = captured("volume-migrate_volume")
        message = capture["message"]
        message["args"]["volume"] = self.volume_object(volume)
        message["args"]["host"]["host"] = target
        message["args"]["force_host_copy"] = self.cloud.reflinks
        message["_context_request_id"] = f"req-{uuid.uuid4()}"
        message["_unique_id"] = uuid.uuid4().hex
        return message

    def queue_length(self, queue):
        for line in self.cloud.rabbit.ctl(
                "list_queues", "-p", self.cloud.vhost or "/", "name", "messages",
                "--no-table-headers").splitlines():
            name, _, count = line.partition("\t")
            if name == queue:
                return int(count)
        return None

    def close(self):
        if self._transport is not None:
            self._transport.cleanup()
            self._transport = None
