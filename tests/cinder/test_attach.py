# SPDX-License-Identifier: Apache-2.0
"""Attachments, in the newer and in the older way, through an unmodified cinder-api. The
backends offer what Nova and os-brick can use."""
import uuid

from cinder_cloud import CONNECTOR

ONE, FAR = "server1@nfs-1#nfs1", "server2@nfs-1#nfs1"


def reserve(cloud, volume, **more):
    answer = cloud.rest("POST", "/attachments", {"attachment": {
        "volume_uuid": volume, "instance_uuid": str(uuid.uuid4()), **more}})
    assert answer.status == 200, answer
    return answer.body["attachment"]["id"]


def connect(cloud, attachment, **more):
    answer = cloud.rest("PUT", f"/attachments/{attachment}", {"attachment": {
        "connector": {**CONNECTOR, **more}}})
    assert answer.status == 200, answer
    return answer.body["attachment"]["connection_info"]


def complete(cloud, attachment):
    answer = cloud.rest("POST", f"/attachments/{attachment}/action",
                        {"os-complete": attachment})
    assert answer.status == 204, answer


def detach(cloud, attachment):
    answer = cloud.rest("DELETE", f"/attachments/{attachment}")
    assert answer.status == 200, answer


def attached(cloud, volume, **more):
    attachment = reserve(cloud, volume)
    info = connect(cloud, attachment, **more)
    complete(cloud, attachment)
    assert cloud.status(volume)[0] == "in-use"
    return attachment, info


def test_the_attachments_api(cloud):
    volume = cloud.make("attach")
    attachment = reserve(cloud, volume)
    assert cloud.status(volume)[0] == "reserved"
    info = connect(cloud, attachment)
    assert info["driver_volume_type"] == "nfs"
    assert info["name"] == f"volume-{cloud.volume(volume)['name_id']}"
    assert info["format"] == "raw" and info["access_mode"] == "rw"
    assert cloud.status(volume)[0] == "attaching"
    complete(cloud, attachment)
    shown = cloud.shown(volume)
    assert shown["status"] == "in-use" and attachment in shown["attachment_ids"]
    refused = cloud.cinder("delete", volume, check=False)
    assert refused.returncode == 1
    detach(cloud, attachment)
    assert cloud.shown(volume)["status"] == "available"


def test_a_moved_volume_is_attached_where_it_is(cloud):
    volume = cloud.make("moved")
    cloud.fill(volume)
    assert cloud.moves(volume, FAR)["phase"] == "done"
    cloud.settled()
    attachment, info = attached(cloud, volume)
    assert info["name"] == f"volume-{cloud.volume(volume)['_name_id']}"
    assert info["export"] == cloud.volume(volume)["provider_location"]
    detach(cloud, attachment)


def test_while_it_moves_it_cannot_be_connected(cloud):
    """cinder-api lets it be reserved; the connection is refused, and all is put back."""
    volume = cloud.make("moving")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("migrate.copying")
    cloud.cinder("migrate", volume, FAR)
    cloud.points.reached("migrate.copying")
    answer = cloud.rest("POST", "/attachments", {"attachment": {
        "volume_uuid": volume, "instance_uuid": str(uuid.uuid4())}})
    if answer.status == 200:
        attachment = answer.body["attachment"]["id"]
        answer = cloud.rest("PUT", f"/attachments/{attachment}",
                            {"attachment": {"connector": CONNECTOR}})
        # cinder-api makes no difference between errors here.
        assert answer.status == 500 and "it is already migrating" in str(answer.body), \
            answer
        assert cloud.rest("DELETE", f"/attachments/{attachment}").status == 200
    cloud.points.release()
    cloud.finished(volume)
    cloud.settled()
    assert cloud.status(volume) == ("available", None)
    assert cloud.digest(volume) == digest
    attachment, _ = attached(cloud, volume)
    detach(cloud, attachment)


def act(cloud, volume, status, name, body=None):
    answer = cloud.action(volume, name, body)
    assert answer.status == status, answer
    return answer.body


def test_the_older_actions(cloud):
    volume = cloud.make("older")
    instance = str(uuid.uuid4())
    act(cloud, volume, 202, "os-reserve")
    assert cloud.status(volume)[0] == "attaching"
    info = act(cloud, volume, 200, "os-initialize_connection", {"connector": CONNECTOR})
    assert info["connection_info"]["driver_volume_type"] == "nfs"
    act(cloud, volume, 202, "os-attach", {"instance_uuid": instance,
                                          "mountpoint": "/dev/vdb", "mode": "rw"})
    row = cloud.sql1("select * from volume_attachment where volume_id = %s"
                     " and not deleted", volume)
    assert (row["instance_uuid"], row["mountpoint"], row["attach_status"]) == (
        instance, "/dev/vdb", "attached")
    assert cloud.shown(volume)["status"] == "in-use"
    act(cloud, volume, 202, "os-begin_detaching")
    act(cloud, volume, 202, "os-terminate_connection", {"connector": CONNECTOR})
    act(cloud, volume, 202, "os-detach", {"attachment_id": row["id"]})
    assert cloud.shown(volume)["status"] == "available"


def test_read_only(cloud):
    volume = cloud.make("read only")
    cloud.cinder("readonly-mode-update", volume, "True")
    answer = cloud.action(volume, "os-attach", {
        "instance_uuid": str(uuid.uuid4()), "mountpoint": "/dev/vdb", "mode": "rw"})
    assert answer.status == 400, answer
    attachment = reserve(cloud, volume)
    assert connect(cloud, attachment)["access_mode"] == "ro"
    detach(cloud, attachment)
    cloud.cinder("readonly-mode-update", volume, "False")


def test_multiattach(cloud):
    cloud.create_type("t-shared", {"multiattach": "<is> True",
                                   "volume_backend_name": "nfs1"})
    volume = cloud.make("shared", volume_type="t-shared")
    assert cloud.shown(volume)["multiattach"] == "True"
    first, info = attached(cloud, volume)
    second, again = attached(cloud, volume, host="compute2")
    assert info["name"] == again["name"] and first != second
    assert len(cloud.shown(volume)["attachment_ids"].split(",")) == 2
    detach(cloud, first)
    assert cloud.shown(volume)["status"] == "in-use"
    detach(cloud, second)
    assert cloud.shown(volume)["status"] == "available"
    # One that is not said to be shared is not.
    alone = cloud.make("alone")
    attachment, _ = attached(cloud, alone)
    answer = cloud.rest("POST", "/attachments", {"attachment": {
        "volume_uuid": alone, "instance_uuid": str(uuid.uuid4())}})
    assert answer.status == 400, answer
    detach(cloud, attachment)
