# SPDX-License-Identifier: Apache-2.0
"""The transfer of an attached volume's data to another backend with a minimum of downtime,
as users do it with the client: snapshot of the volume in use, volume from it, another type,
attach, final synchronisation, exchange, read-only mark on the old one. This machine is the
server that both are attached to."""
import os
import shutil
import subprocess

import pytest

import processes
from test_attach import attached, connect, detach, reserve
from test_life import created, snapped, without

ONE, TWO = "server1@nfs-1#nfs1", "server1@nfs-2#nfs2"


def mounted(source, point, *options):
    """Skips where this machine cannot."""
    os.makedirs(point, exist_ok=True)
    done = subprocess.run(["mount", "-o", ",".join(["loop", *options]), source, point],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.skip(f"skipped, because this machine cannot mount: {done.stderr.strip()}")
    return point


@pytest.fixture(scope="module")
def session_cloud(make_cloud):
    """Its shares are of one XFS, which can clone: volumes in use can be snapshotted."""
    if os.getuid() != 0 or not shutil.which("rsync"):
        pytest.skip("skipped, because it needs root and rsync")
    base = processes.temporary_directory("drover-xfs-")
    image = f"{base}/image"
    with open(image, "wb") as f:
        f.truncate(512 << 20)
    subprocess.run(["mkfs.xfs", "-q", "-m", "reflink=1", image], check=True)
    point = mounted(image, f"{base}/m")
    yield make_cloud(exports=point)
    subprocess.run(["umount", "-l", point], check=False)
    processes.remove_directory(base)


class Guest:
    """A server that volumes are attached to: it mounts the file systems in them."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.root = processes.temporary_directory("drover-guest-")
        self._attachments = {}

    def attach(self, volume):
        """Path of the disk."""
        attachment, info = attached(self.cloud, volume)
        self._attachments[volume] = attachment
        path = os.path.join(self.cloud.directory(self.cloud.backend_of(
            self.cloud.volume(volume)["host"])), info["name"])
        assert os.path.exists(path), info
        return path

    def detach(self, volume):
        detach(self.cloud, self._attachments.pop(volume))

    def mount(self, disk, name, *options):
        return mounted(disk, os.path.join(self.root, name), *options)

    def umount(self, name):
        subprocess.run(["umount", os.path.join(self.root, name)], check=True)


@pytest.fixture
def guest(cloud):
    guest = Guest(cloud)
    yield guest
    for name in os.listdir(guest.root):
        subprocess.run(["umount", "-l", os.path.join(guest.root, name)], check=False,
                       stderr=subprocess.DEVNULL)
    processes.remove_directory(guest.root)


def write(point, name, text):
    path = os.path.join(point, name)
    with open(path, "w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())


def content(point):
    found = {}
    for name in sorted(os.listdir(point)):
        if name != "lost+found":
            with open(os.path.join(point, name)) as f:
                found[name] = f.read()
    return found


def test_transfer(cloud, guest):
    source = cloud.make("sourcevol", ONE)
    disk = guest.attach(source)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    old = guest.mount(disk, "srv")
    write(old, "first", "before the snapshot\n" * 1000)
    subprocess.run(["sync", "-f", old], check=True)

    # Snapshot, and a volume from it: the source goes on being written.
    answer = cloud.cinder("snapshot-create", source, check=False, version="3.65")
    assert answer.returncode == 1 and "HTTP 400" in answer.stderr
    snapshot = snapped(cloud, source, "--force", "True", "--name", "sourcevol-snap",
                       version="3.65")
    write(old, "second", "after the snapshot\n")
    target = created(cloud, "--snapshot-id", snapshot, "--name", "targetvol", 1)
    cloud.cinder("retype", "--migration-policy", "on-demand", target, "t-nfs2")
    cloud.wait_for(lambda: cloud.status(target)[0] != "retyping", 60, "it is retyped")
    assert cloud.shown(target)["os-vol-host-attr:host"] == TWO

    # Attached beside it; synchronised, and once more without the service running.
    new = guest.mount(guest.attach(target), "mnt")
    assert content(new) == {"first": "before the snapshot\n" * 1000}
    subprocess.run(["rsync", "-a", "--delete", f"{old}/", f"{new}/"], check=True)
    write(old, "third", "the last one\n")
    subprocess.run(["rsync", "-a", "--delete", f"{old}/", f"{new}/"], check=True)
    expected = content(old)
    guest.umount("srv")
    guest.umount("mnt")
    target_disk = os.path.join(cloud.directory("server1@nfs-2"),
                               f"volume-{cloud.volume(target)['name_id']}")
    assert content(guest.mount(target_disk, "srv")) == expected
    assert set(expected) == {"first", "second", "third"}

    # The old one is detached and marked.
    guest.detach(source)
    cloud.cinder("readonly-mode-update", source, "True")
    shown = cloud.shown(source)
    assert shown["status"] == "available" and "readonly : True" in shown["metadata"]
    again = reserve(cloud, source)
    assert connect(cloud, again)["access_mode"] == "ro"
    detach(cloud, again)

    guest.umount("srv")
    guest.detach(target)
    without(cloud, snapshot)
    cloud.delete(source)
    cloud.delete(target)


def test_a_snapshot_of_an_attached_volume(cloud):
    volume = cloud.make("in use")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    attachment, _ = attached(cloud, volume)
    assert cloud.cinder("snapshot-create", volume, check=False,
                        version="3.65").returncode == 1
    answer = cloud.rest("POST", "/snapshots", {"snapshot": {
        "volume_id": volume, "name": "forced", "force": True}}, version="3.65")
    assert answer.status == 202, answer
    snapshot = answer.body["snapshot"]["id"]
    cloud.wait_for(lambda: cloud.sql1("select status from snapshots where id = %s",
                                      snapshot)["status"] == "available", 30,
                   "the snapshot is made")
    made = cloud.rest("POST", "/volumes", {"volume": {
        "size": 1, "name": "copy", "snapshot_id": snapshot}})
    copy = made.body["volume"]["id"]
    cloud.wait_for(lambda: cloud.status(copy)[0] == "available", 30, "the copy is made")
    assert cloud.digest(copy) == digest
    cloud.cinder("snapshot-delete", snapshot)
    cloud.wait_for(lambda: cloud.sql1("select deleted from snapshots where id = %s",
                                      snapshot)["deleted"], 30, "the snapshot is deleted")
    detach(cloud, attachment)
