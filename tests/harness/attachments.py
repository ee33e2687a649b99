# SPDX-License-Identifier: Apache-2.0
"""cinder-api's part of attaching and detaching: its row changes and calls, in its order."""
import json
import uuid

from peer import captured

NOW = "now() at time zone 'utc'"


def connector(**more):
    args = captured("volume-initialize_connection")["message"]["args"]
    return {**args["connector"], "nbd": True, **more}


class Attachments:
    """The attachments API. Calls go to the volume's host of the moment."""

    def __init__(self, cloud, peer):
        self.cloud = cloud
        self.peer = peer

    def row(self, attachment):
        return self.cloud.sql1("select * from volume_attachment where id = %s", attachment)

    def call(self, volume, version, method, context=None, /, **args):
        host = self.cloud.volume(volume)["host"]
        return self.peer.volume(host, version).call(
            context or self.peer.context(), method, **args)

    def reserve(self, volume, server=None):
        attachment = str(uuid.uuid4())
        self.cloud.sql(f"update volumes set status = 'reserved', updated_at = {NOW}"
                       " where id = %s", volume)
        self.cloud.sql("insert into volume_attachment (id, volume_id, instance_uuid,"
                       " attach_status, created_at, deleted) values (%s, %s, %s, 'reserved',"
                       f" {NOW}, false)", attachment, volume, server or str(uuid.uuid4()))
        return attachment

    def answered(self, attachment, info, mode=None):
        self.cloud.sql("update volume_attachment set connection_info = %s, attach_mode ="
                       f" coalesce(%s, attach_mode), updated_at = {NOW} where id = %s",
                       json.dumps(info), mode, attachment)

    def create(self, volume, connector=None, mode="null", server=None):
        """The id of an attachment; with a connector also the connection info."""
        attachment = self.reserve(volume, server)
        info = self.ask(volume, attachment, connector) if connector else {}
        self.answered(attachment, info, mode)
        return (attachment, info) if connector else attachment

    def ask(self, volume, attachment, connector, context=None):
        return self.call(volume, "3.9", "attachment_update", context,
                         vref=self.peer.volume_object(volume), connector=connector,
                         attachment_id=attachment)

    def update(self, volume, attachment, connector):
        info = self.ask(volume, attachment, connector)
        self.answered(attachment, info)
        return info

    def complete(self, volume, attachment):
        self.cloud.sql("update volume_attachment set attach_status = 'attached'"
                       " where id = %s", attachment)
        self.cloud.sql("update volumes set status = 'in-use', attach_status = 'attached'"
                       " where id = %s", volume)

    def delete(self, volume, attachment):
        if self.row(attachment)["attach_status"] != "reserved":
            assert self.call(volume, "3.9", "attachment_delete", attachment_id=attachment,
                             vref=self.peer.volume_object(volume)) is None
        self.cloud.sql("update volume_attachment set deleted = true, attach_status ="
                       f" 'detached', deleted_at = {NOW}, detach_time = {NOW}"
                       " where id = %s", attachment)
        left = self.cloud.sql1(
            "select attach_status from volume_attachment where volume_id = %s and"
            " not deleted order by attach_status limit 1", volume)
        left = left["attach_status"] if left else "detached"
        self.cloud.sql("update volumes set attach_status = %s, status = %s where id = %s",
                       left, {"attached": "in-use", "detached": "available"}.get(left, left),
                       volume)

    # The older actions.

    def status(self, volume, status):
        """os-reserve and os-begin_detaching are no more than this."""
        self.cloud.sql(f"update volumes set status = %s, updated_at = {NOW} where id = %s",
                       status, volume)

    def initialize(self, volume, connector, context=None):
        return self.call(volume, "3.0", "initialize_connection", context,
                         volume=self.peer.volume_object(volume), connector=connector)

    def terminate(self, volume, connector, force=False):
        return self.call(volume, "3.0", "terminate_connection", volume_id=volume,
                         connector=connector, force=force)

    def attach(self, volume, server=None, host=None, mode="rw", mountpoint="/dev/vdb",
               context=None):
        self.cloud.sql("insert into volume_admin_metadata (volume_id, key, value, deleted,"
                       f" created_at) select %s, 'readonly', 'False', false, {NOW} where"
                       " not exists (select 1 from volume_admin_metadata where volume_id ="
                       " %s and key = 'readonly' and not deleted)", volume, volume)
        return self.call(volume, "3.3", "attach_volume", context, volume_id=volume,
                         instance_uuid=server, host_name=host, mountpoint=mountpoint,
                         mode=mode, volume=self.peer.volume_object(volume))

    def detach(self, volume, attachment=None):
        return self.call(volume, "3.4", "detach_volume", volume_id=volume,
                         attachment_id=attachment, volume=self.peer.volume_object(volume))

    def readonly(self, volume, flag):
        """readonly-mode-update."""
        self.cloud.sql("delete from volume_admin_metadata where volume_id = %s and"
                       " key = 'readonly'", volume)
        self.cloud.sql("insert into volume_admin_metadata (volume_id, key, value, deleted,"
                       f" created_at) values (%s, 'readonly', %s, false, {NOW})", volume,
                       str(flag))
