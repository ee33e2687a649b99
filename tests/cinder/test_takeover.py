# SPDX-License-Identifier: Apache-2.0
"""What Debian's cinder-scheduler and cinder-volume have made is taken over by Drover and
given back, while a guest goes on writing; docs/from-cinder.md, step by step."""
import os
import threading

import pytest

import cinder_services
from cinder_cloud import CONNECTOR, SHARES

HERE, THERE = "server1@nfs-1#nfs1", "server2@nfs-1#nfs1"
INSTANCE = "5ad3c3f6-3bd4-4a44-9d6a-8f6ed1e4bb9c"


class Guest:
    """Has the file open and writes to it, as QEMU does on a compute host."""

    def __init__(self, path):
        self._fd = os.open(path, os.O_RDWR)
        self._stop = threading.Event()
        self.written, self.error = 0, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._stop.wait(0.05):
                os.pwrite(self._fd, b"%-16d" % (self.written + 1), 4096 * self.written)
                os.fsync(self._fd)
                self.written += 1
        except OSError as e:
            self.error = e

    def stop(self):
        self._stop.set()
        self._thread.join()
        os.close(self._fd)
        assert self.error is None, self.error

    def found_in(self, path):
        """How many of its writes the file has, from the first one on."""
        with open(path, "rb") as f:
            for number in range(self.written):
                f.seek(4096 * number)
                if f.read(16) != b"%-16d" % (number + 1):
                    return number
        return self.written


class Cinder:
    """Its scheduler and both hosts' managers."""

    def __init__(self, cloud):
        self.services = [cinder_services.Service(cloud, "cinder-scheduler", "server1"),
                         cinder_services.Service(cloud, "cinder-volume", "server1"),
                         cinder_services.Service(cloud, "cinder-volume", "server2")]

    def start(self):
        for service in self.services:
            service.launch()
        for service in self.services:
            service.wait_up()

    def stop(self):
        for service in self.services:
            service.stop()

    def errors(self):
        return [line for service in self.services for line in service.errors()]


@pytest.fixture
def cloud(make_cloud, request):
    """Made by 'cinder-manage db sync'; nothing of Drover runs or is in the database."""
    why = cinder_services.missing()
    if why:
        pytest.skip(f"skipped, because {why}")
    cloud = request.node.drover_cloud = make_cloud(cinder_first=True)
    for daemon in cloud.daemons():
        daemon.stop()
    cloud.sql("drop schema drover cascade")
    cloud.sql("delete from services where topic in ('cinder-volume', 'cinder-scheduler')")
    # Each host can mount what the other has.
    cloud.mount(SHARES["server2@nfs-1"], "server1")
    cloud.mount(SHARES["server1@nfs-1"], "server2")
    return cloud


def attach(cloud, volume):
    """As Nova does it; returns the attachment's id and the connection."""
    made = cloud.rest("POST", "/attachments", {"attachment": {
        "volume_uuid": volume, "instance_uuid": INSTANCE, "connector": CONNECTOR}})
    assert made.status == 200, made
    attachment = made.body["attachment"]["id"]
    done = cloud.rest("POST", f"/attachments/{attachment}/action", {"os-complete": {}})
    assert done.status == 204, done
    assert cloud.volume(volume)["status"] == "in-use"
    return attachment, made.body["attachment"]["connection_info"]


def detach(cloud, volume, attachment):
    done = cloud.rest("DELETE", f"/attachments/{attachment}")
    assert done.status == 200, done
    cloud.wait_for(lambda: cloud.volume(volume)["status"] == "available", 30, "detached")


def with_snapshot(cloud, volume):
    answer = cloud.rest("POST", "/snapshots", {"snapshot": {
        "volume_id": volume, "name": "of Cinder"}})
    assert answer.status == 202, answer
    snapshot = answer.body["snapshot"]["id"]
    cloud.wait_for(lambda: status_of(cloud, snapshot) == "available", 60, "a snapshot")
    return snapshot


def status_of(cloud, snapshot):
    return cloud.sql1("select status from snapshots where id = %s", snapshot)["status"]


def files_of(cloud, volume):
    return sorted(f for f in os.listdir(cloud.directory("server1@nfs-1")) if volume in f)


def leave(cloud):
    """'drover doctor' names what is in the way, the last of all the running managers."""
    def obstacles():
        said = cloud.drover("doctor", "--ready-to-leave", check=False).stdout
        return "leftover" not in said and "operation" not in said and said

    said = cloud.wait_for(obstacles, 30, "all work has ended")
    assert "run by drover-volume-manager" in said
    for daemon in cloud.daemons():
        daemon.stop()
    assert "ready to leave" in cloud.drover("doctor", "--ready-to-leave").stdout


def test_there_and_back_again(cloud):
    cinder = Cinder(cloud)
    cinder.start()
    used = cloud.make("used", HERE)
    plain = cloud.make("plain", HERE)
    chain = cloud.make("chain", HERE)
    for volume in (plain, chain):
        cloud.fill(volume)
    snapshot = with_snapshot(cloud, chain)
    attachment, connection = attach(cloud, used)
    guest = Guest(cloud.path(used))
    digest = cloud.digest(plain)
    cinder.stop()

    # Over.
    cloud.drover("db", "sync")
    for daemon in cloud.daemons():
        daemon.start()
    cloud.wait_pools()
    cloud.drover("doctor")
    now = cloud.rest("GET", f"/attachments/{attachment}").body["attachment"]
    assert now["connection_info"] == connection and now["status"] == "attached"
    assert not cloud.sql("select 1 from drover.export")
    assert cloud.rest("DELETE", f"/volumes/{used}").status == 400
    assert cloud.volume(used)["status"] == "in-use"

    # What is as Drover wants it is served, what is not is refused and left as it is.
    done = cloud.moves(plain, THERE)
    assert done["phase"] == "done", done["reason"]
    assert cloud.digest(plain) == digest
    row = cloud.volume(plain)
    assert row["host"] == THERE and row["name_id"] != plain
    files = files_of(cloud, chain)
    assert f"volume-{chain}.{snapshot}" in files, files
    refused = cloud.cinder("migrate", chain, THERE, check=False)
    assert "have snapshots" in refused.stdout, refused
    cloud.cinder("snapshot-delete", snapshot)
    cloud.wait_for(lambda: status_of(cloud, snapshot) == "error_deleting", 30,
                   "what Cinder made is not removed")
    assert files_of(cloud, chain) == files
    cloud.cinder("snapshot-reset-state", "--state", "available", snapshot)
    cloud.settled()

    # Back.
    leave(cloud)
    assert guest.error is None and guest.written > 0
    cinder.start()
    _, info = attach(cloud, plain)
    assert info["name"] == f"volume-{row['name_id']}" and info["export"] == SHARES[
        "server2@nfs-1"]
    detach(cloud, plain, _)
    path = cloud.path(plain)
    assert os.path.exists(path)
    cloud.delete(plain)
    cloud.cinder("snapshot-delete", snapshot)
    cloud.wait_for(lambda: cloud.sql1("select deleted from snapshots where id = %s",
                                      snapshot)["deleted"], 60, "its snapshot goes")
    cloud.delete(chain)
    guest.stop()
    assert guest.found_in(cloud.path(used)) == guest.written
    detach(cloud, used, attachment)
    cloud.delete(used)
    cloud.wait_for(lambda: not [f for b in ("server1@nfs-1", "server2@nfs-1")
                                for f in os.listdir(cloud.directory(b))
                                if f.startswith("volume-")], 30, "no file is left")
    cinder.stop()
    assert not cinder.errors(), "\n".join(cinder.errors())
    # Cinder forgets rows of its workers.
    assert not [wrong for wrong in cloud.books() if not wrong.startswith("worker")]
