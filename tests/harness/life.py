# SPDX-License-Identifier: Apache-2.0
"""The life of volumes as cinder-api asks for it: the rows it writes, quota included, and
the messages that reach the volume manager."""
import os
import uuid

from peer import captured

PROJECT = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
NOW = "now() at time zone 'utc'"


class Life:
    """One project on one cloud. Ids are returned; wait_volume and wait_snapshot wait."""

    def __init__(self, cloud, peer):
        self.cloud = cloud
        self.peer = peer
        self.type = cloud.sql1("select id, name from volume_types"
                               " where name = '__DEFAULT__'")

    # Quota, as cinder-api keeps it.

    def use(self, resource, count, reserve=False):
        """in_use grows at once, or a reservation is made; ids of the reservations."""
        made = []
        for name in (resource, f"{resource}_{self.type['name']}"):
            self.cloud.sql(
                "insert into quota_usages (created_at, deleted, project_id, resource,"
                f" in_use, reserved, race_preventer) values ({NOW}, false, %s, %s, 0, 0,"
                " true) on conflict do nothing", PROJECT, name)
            self.cloud.sql(
                "update quota_usages set in_use = in_use + %s, reserved = reserved + %s"
                " where project_id = %s and resource = %s",
                0 if reserve else count, count if reserve else 0, PROJECT, name)
            if reserve:
                made.append(str(uuid.uuid4()))
                self.cloud.sql(
                    "insert into reservations (created_at, deleted, uuid, usage_id,"
                    " project_id, resource, delta, expire) select"
                    f" {NOW}, false, %s, id, project_id, resource, %s, {NOW}"
                    " + interval '1 day' from quota_usages where project_id = %s"
                    " and resource = %s", made[-1], count, PROJECT, name)
        return made

    def check_quota(self):
        """quota_usages and reservations equal the rows, exactly."""
        volumes = self.cloud.sql1(
            "select count(*) as n, coalesce(sum(size), 0) as gib from volumes"
            " where not deleted and use_quota and project_id = %s", PROJECT)
        snapshots = self.cloud.sql1(
            "select count(*) as n, coalesce(sum(volume_size), 0) as gib from snapshots"
            " where not deleted and use_quota and project_id = %s", PROJECT)
        want = {"volumes": volumes["n"], "snapshots": snapshots["n"],
                "gigabytes": volumes["gib"] + snapshots["gib"]}
        for row in self.cloud.sql("select * from quota_usages where project_id = %s",
                                  PROJECT):
            resource = row["resource"].split("_")[0]
            assert (row["in_use"], row["reserved"]) == (want[resource], 0), (row, want)
        assert not self.cloud.sql("select * from reservations where not deleted")

    # Rows and messages.

    def _worker(self, kind, identity, status):
        self.cloud.sql(
            "insert into workers (created_at, updated_at, deleted, resource_type,"
            f" resource_id, status, race_preventer) values ({NOW}, {NOW}, false, %s, %s,"
            " %s, 0) on conflict (resource_type, resource_id) do update set"
            " status = excluded.status", kind, identity, status)

    def snapshot_object(self, snapshot, name="volume-create_snapshot"):
        captive = captured(name)["message"]["args"]["snapshot"]
        row = self.cloud.sql1("select * from snapshots where id = %s", snapshot)
        data = captive["versioned_object.data"]
        data["id"] = snapshot
        for key in ("volume_id", "status", "volume_size", "display_name",
                    "volume_type_id", "progress"):
            if row:
                data[key] = row[key]
        return captive

    def create(self, size=1, name=None, snapshot=None, source=None, backend="fast",
               wait=True, **spec):
        volume = str(uuid.uuid4())
        self.use("volumes", 1)
        self.use("gigabytes", size)
        self.cloud.sql(
            "insert into volumes (created_at, deleted, id, user_id, project_id, host,"
            " size, availability_zone, status, attach_status, display_name, snapshot_id,"
            " source_volid, volume_type_id, bootable, multiattach, use_quota,"
            f" scheduled_at) values ({NOW}, false, %s, 'u', %s, %s, %s, 'nova',"
            f" 'creating', 'detached', %s, %s, %s, %s, false, false, true, {NOW})",
            volume, PROJECT, f"server1@{backend}#{backend}", size, name, snapshot, source,
            self.type["id"])
        self._worker("Volume", volume, "creating")
        args = captured("volume-create_volume")["message"]["args"]
        args["volume"] = self.peer.volume_object(volume)
        args["volume"]["versioned_object.data"].update(snapshot_id=snapshot,
                                                       source_volid=source)
        args["request_spec"]["versioned_object.data"].update(spec, volume_id=volume)
        self.peer.volume(f"server1@{backend}").cast(self.peer.context(), "create_volume",
                                                    **args)
        return self.wait_volume(volume) if wait else volume

    def snapshot(self, volume, wait=True, context=None):
        row = self.cloud.volume(volume)
        snapshot = str(uuid.uuid4())
        self.use("snapshots", 1)
        self.use("gigabytes", row["size"])
        self.cloud.sql(
            "insert into snapshots (created_at, deleted, id, volume_id, user_id,"
            " project_id, status, progress, volume_size, volume_type_id, use_quota)"
            f" values ({NOW}, false, %s, %s, 'u', %s, 'creating', '0%%', %s, %s, true)",
            snapshot, volume, PROJECT, row["size"], row["volume_type_id"])
        self._worker("Snapshot", snapshot, "creating")
        self.peer.volume(row["host"]).cast(
            context or self.peer.context(), "create_snapshot",
            snapshot=self.snapshot_object(snapshot))
        return self.wait_snapshot(snapshot) if wait else snapshot

    def delete_snapshot(self, snapshot, unmanage=False):
        row = self.cloud.sql1("select v.host from snapshots s join volumes v"
                              " on v.id = s.volume_id where s.id = %s", snapshot)
        self.cloud.sql("update snapshots set status = %s where id = %s",
                       "unmanaging" if unmanage else "deleting", snapshot)
        self.peer.volume(row["host"]).cast(
            self.peer.context(), "delete_snapshot",
            snapshot=self.snapshot_object(snapshot, "volume-delete_snapshot"),
            unmanage_only=unmanage)

    def delete(self, volume, cascade=False, unmanage=False):
        self.cloud.sql(
            "update volumes set status = %s, terminated_at = now() at time zone 'utc'"
            " where id = %s", "unmanaging" if unmanage else "deleting", volume)
        if cascade:
            self.cloud.sql("update snapshots set status = 'deleting' where volume_id = %s"
                           " and not deleted", volume)
        self._worker("Volume", volume, "deleting")
        self.peer.volume(self.cloud.volume(volume)["host"]).cast(
            self.peer.context(), "delete_volume", volume=self.peer.volume_object(volume),
            unmanage_only=unmanage, cascade=cascade)

    def begin_extend(self, volume, size):
        """What cinder-api writes; the arguments of its message."""
        row = self.cloud.volume(volume)
        self.cloud.sql("update volumes set status = 'extending', previous_status = status"
                       " where id = %s", volume)
        reservations = self.use("gigabytes", max(0, size - row["size"]), reserve=True)
        return {"volume": self.peer.volume_object(volume), "new_size": size,
                "reservations": reservations}

    def extend(self, volume, size):
        args = self.begin_extend(volume, size)
        self.peer.volume(self.cloud.volume(volume)["host"]).cast(
            self.peer.context(), "extend_volume", **args)

    # Waiting and looking.

    def wait_volume(self, volume, *statuses):
        statuses = statuses or ("available",)

        def there():
            status = self.cloud.volume(volume)["status"]
            assert status in statuses or not status.startswith("error"), status
            return status in statuses

        self.cloud.wait_for(there, 40, f"volume {volume} is {statuses}")
        return volume

    def wait_snapshot(self, snapshot, status="available"):
        def there():
            now = self.snapshot_row(snapshot)["status"]
            assert now == status or not now.startswith("error"), now
            return now == status

        self.cloud.wait_for(there, 40, f"snapshot {snapshot} is {status}")
        return snapshot

    def snapshot_row(self, snapshot):
        return self.cloud.sql1("select * from snapshots where id = %s", snapshot)

    def gone(self, identity):
        self.cloud.wait_for(
            lambda: not self.cloud.sql(
                "select 1 from volumes where id = %s and not deleted union all"
                " select 1 from snapshots where id = %s and not deleted",
                identity, identity), 40, f"{identity} is deleted")

    def snapshot_path(self, snapshot, backend="fast"):
        return os.path.join(self.cloud.directory(backend), f"snapshot-{snapshot}")

    def messages(self, identity):
        return [row["event_id"] for row in self.cloud.sql(
            "select event_id from messages where resource_uuid = %s order by created_at",
            identity)]

    def workers(self):
        return self.cloud.sql("select * from workers where resource_type <> 'SENTINEL'")

    def connect(self, volume):
        """As attached to a guest that has a connection of its own."""
        self.cloud.sql("update volumes set status = 'in-use', attach_status = 'attached'"
                       " where id = %s", volume)
        self.cloud.sql(
            "insert into volume_attachment (created_at, deleted, id, volume_id,"
            " attached_host, instance_uuid, mountpoint, attach_mode, attach_status,"
            f" connector) values ({NOW}, false, %s, %s, 'h', %s, '/dev/vdb', 'rw',"
            " 'attached', '{}')", str(uuid.uuid4()), volume, str(uuid.uuid4()))

    def disconnect(self, volume):
        self.cloud.sql("update volume_attachment set deleted = true where volume_id = %s",
                       volume)
        self.cloud.sql("update volumes set status = 'available', attach_status ="
                       " 'detached' where id = %s", volume)
