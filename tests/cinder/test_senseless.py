# SPDX-License-Identifier: Apache-2.0
"""What makes no sense is asked of cinder-api with Drover's services behind it and then with
Debian's own: the same statuses, the same sentences, and the same is left in the rows."""
import json
import uuid

import pytest

import cinder_services
import shape
from cinder_cloud import AS_NOVA, CONNECTOR

ONE, TWO = "server1@nfs-1#nfs1", "server1@nfs-2#nfs2"
NOBODY = "0b6a6a9c-5b1f-4c6a-9a53-6d6f0a1c9f10"


def act(volume, name, body=None):
    return "POST", f"/volumes/{{{volume}}}/action", {name: body}


# (method, path, body). V, F and R are volumes that are free, R may only be read; U is in
# use; A is an attachment of V that is reserved.
SENSELESS = {
    "connector without host": ("PUT", "/attachments/{A}", {"attachment": {
        "connector": {"ip": "127.0.0.11"}}}),
    "connector that is empty": ("PUT", "/attachments/{A}", {"attachment": {
        "connector": {}}}),
    "host too long": ("PUT", "/attachments/{A}", {"attachment": {
        "connector": {**CONNECTOR, "host": "x" * 300}}}),
    "no connector": ("PUT", "/attachments/{A}", {"attachment": {}}),
    "unknown attachment connected": ("PUT", f"/attachments/{NOBODY}", {"attachment": {
        "connector": CONNECTOR}}),
    "unknown attachment completed": ("POST", f"/attachments/{NOBODY}/action", {
        "os-complete": NOBODY}),
    "unknown attachment deleted": ("DELETE", f"/attachments/{NOBODY}", None),
    "second attachment": ("POST", "/attachments", {"attachment": {
        "volume_uuid": "{U}", "instance_uuid": NOBODY, "connector": CONNECTOR}}),
    "older: connector is empty": act("U", "os-initialize_connection", {"connector": {}}),
    "older: no connector": act("U", "os-initialize_connection", {}),
    "older: unknown volume": ("POST", f"/volumes/{NOBODY}/action", {
        "os-initialize_connection": {"connector": CONNECTOR}}),
    "older: attached twice": act("U", "os-attach", {
        "instance_uuid": NOBODY, "mountpoint": "/dev/vdb", "mode": "rw"}),
    "older: mode unknown": act("V", "os-attach", {
        "instance_uuid": NOBODY, "mountpoint": "/dev/vdb", "mode": "wo"}),
    "older: nobody to attach to": act("V", "os-attach", {
        "mountpoint": "/dev/vdb", "mode": "rw"}),
    "older: unknown attachment detached": act("U", "os-detach", {
        "attachment_id": NOBODY}),
    "older: detached without being attached": act("F", "os-detach", {}),
    "older: read-write where read-only": act("R", "os-attach", {
        "instance_uuid": NOBODY, "mountpoint": "/dev/vdb", "mode": "rw"}),
    "older: unknown terminated": act("F", "os-terminate_connection", {"connector": {}}),
    "smaller": act("F", "os-extend", {"new_size": 1}),
    "as large": act("F", "os-extend", {"new_size": 2}),
    "no size": act("F", "os-extend", {}),
    "nothing of a size": act("F", "os-extend", {"new_size": "much"}),
    "to an unknown type": act("F", "os-retype", {"new_type": NOBODY}),
    "to where it is": act("F", "os-migrate_volume", {"host": TWO}),
    "to an unknown host": act("F", "os-migrate_volume", {"host": "server9@nfs-1#nfs1"}),
    "completed without being migrated": act("F", "os-migrate_volume_completion", {
        "new_volume": "{V}", "error": False}),
    "from an unknown snapshot": ("POST", "/volumes", {"volume": {
        "size": 1, "snapshot_id": NOBODY}}),
    "capabilities of an unknown backend": ("GET", "/capabilities/server1@nfs-9", None),
    "deleted in use": ("DELETE", "/volumes/{U}", None),
}


def attachments(cloud):
    return cloud.sql("select * from volume_attachment where not deleted order by id")


def detach(cloud, attachment):
    answer = cloud.rest("DELETE", f"/attachments/{attachment}", headers=AS_NOVA)
    assert answer.status == 200, answer


def without_trace(value):
    """oslo.messaging adds to a sentence where in Python it was said."""
    if isinstance(value, dict):
        return {k: without_trace(v) for k, v in value.items()}
    return value.split("Traceback")[0].rstrip() if isinstance(value, str) else value


class Senseless:
    """Volumes for it, and the answers."""

    def __init__(self, cloud):
        self.cloud = cloud
        used = cloud.make("u", ONE)
        made = cloud.rest("POST", "/attachments", {"attachment": {
            "volume_uuid": used, "instance_uuid": str(uuid.uuid4()),
            "connector": CONNECTOR}}).body["attachment"]["id"]
        cloud.rest("POST", f"/attachments/{made}/action", {"os-complete": made})
        self.ids = {"U": used, "B": made}
        self.ids["V"] = cloud.make("v", ONE)
        self.ids["F"] = cloud.make("f", TWO, size=2)
        self.ids["R"] = cloud.make("r", TWO)
        cloud.cinder("readonly-mode-update", self.ids["R"], "True")

    def _state(self):
        """What there is besides the answers."""
        names = self._names()
        rows = self.cloud.sql("select id, status, attach_status, migration_status, size"
                              " from volumes where not deleted and id = any(%s)"
                              " order by id", [self.ids[k] for k in "UVFR"])
        attached = self.cloud.sql(
            "select volume_id, attach_status, attach_mode, attached_host from"
            " volume_attachment where not deleted and volume_id = any(%s) order by"
            " volume_id", [self.ids[k] for k in "UVFR"])
        volumes = sorted(({**r, "id": names.of[r["id"]]} for r in rows),
                         key=lambda r: r["id"])
        return names.value(json.loads(json.dumps([volumes, attached])))

    def _names(self):
        names = shape.Names()
        for name, id in self.ids.items():
            names.name(id, name)
        return names

    def _reserve(self):
        """A new attachment of V, and it alone."""
        for row in attachments(self.cloud):
            if row["id"] != self.ids["B"]:
                detach(self.cloud, row["id"])
        for volume in "VFR":
            self.cloud.sql("update volumes set status = 'available', attach_status ="
                           " 'detached' where id = %s and status <> 'available'",
                           self.ids[volume])
        answer = self.cloud.rest("POST", "/attachments", {"attachment": {
            "volume_uuid": self.ids["V"], "instance_uuid": str(uuid.uuid4())}})
        assert answer.status == 200, answer
        self.ids["A"] = answer.body["attachment"]["id"]

    def ask(self):
        """name -> [status, text, what there is then]"""
        found = {}
        for name, (method, path, body) in SENSELESS.items():
            self._reserve()
            text = json.dumps([path, body])
            for key, id in self.ids.items():
                text = text.replace("{%s}" % key, id)
            path, body = json.loads(text)
            answer = self.cloud.rest(method, path, body)
            self.cloud.wait_for(lambda: not self.cloud.sql(
                "select id from volumes where status in ('extending', 'retyping')"), 30,
                f"{name}: it ends")
            found[name] = [answer.status, without_trace(self._names().value(
                answer.body)), self._state()]
        self._reserve()
        detach(self.cloud, self.ids["A"])
        return found


@pytest.fixture
def both(cloud):
    """A function: what is done with Drover's services, is done with Cinder's too."""
    why = cinder_services.missing()
    if why:
        pytest.skip(f"skipped, because {why}")
    ours = [cloud.scheduler, cloud.managers["server1"]]
    theirs = [cinder_services.Service(cloud, program, "server1")
              for program in ("cinder-volume", "cinder-scheduler")]

    def run(what):
        said = what()
        for daemon in ours:
            daemon.stop()
        for service in theirs:
            service.launch()
        for service in theirs:
            service.wait_up()
        try:
            return said, what()
        finally:
            for service in theirs:
                service.stop()
            for daemon in ours:
                daemon.start()
            cloud.wait_pools()

    return run


def test_both_answer_alike(cloud, both):
    senseless = Senseless(cloud)
    ours, theirs = both(senseless.ask)
    wrong = [f"{name}:\n  Cinder {theirs[name]}\n  Drover {ours[name]}"
             for name in SENSELESS if theirs[name] != ours[name]]
    assert not wrong, "\n".join(wrong)
    # Whoever was told how to connect, with whatever connector, has to say that it is over.
    done = cloud.action(senseless.ids["U"], "os-terminate_connection", {"connector": {}})
    assert done.status == 202, done
    detach(cloud, senseless.ids["B"])
    cloud.cinder("readonly-mode-update", senseless.ids["R"], "False")
