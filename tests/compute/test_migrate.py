# SPDX-License-Identifier: Apache-2.0
"""All of it: `drover migrate` of a volume that a guest writes to, with every part as it is."""
import os
import subprocess
import uuid

import pytest
import servers as server_module
from cloud import Cloud
from conftest import BUILDDIR, SRCDIR
from drover_compute import Hypervisor
from processes import wait_for

MIB = 1 << 20
OPTIONS = {"compute_api": "rpc", "compute_poll": "0.3", "compute_grace": "2",
           "compute_timeout": "60", "compute_find_timeout": "2", "peer_timeout": "3",
           "rescan_interval": "0.3"}
SLOW = "server1@slow#slow"


class Whole:
    """A cloud whose daemons run as the guests' user, so that both can use the files."""

    def __init__(self, libvirt, rabbit, postgres):
        self.libvirt = libvirt
        self.cloud = Cloud(BUILDDIR, (postgres, rabbit), srcdir=SRCDIR, start=False,
                           drover=OPTIONS, default={"rpc_response_timeout": "5"})
        user = f"{libvirt.user.pw_uid}:{libvirt.user.pw_gid}"
        subprocess.run(["chown", "-R", user, self.cloud.tmp], check=True)
        for daemon in (self.cloud.scheduler, self.cloud.manager):
            daemon.argv[:0] = libvirt.as_nobody()
        self.cloud.drover("db", "sync")
        self.cloud.scheduler.start()
        self.cloud.manager.start()
        self.cloud.wait_ready()
        self.compute = Hypervisor(BUILDDIR, libvirt, self.cloud.transport_url, "server1").start()
        self.guest = libvirt.guest()

    def close(self):
        self.compute.close()
        self.cloud.close()


@pytest.fixture(scope="module")
def whole(libvirt, rabbit):
    postgres = server_module.Postgres()
    postgres.start()
    whole = Whole(libvirt, rabbit, postgres)
    yield whole
    whole.close()
    postgres.close()


class Story:
    """One volume, from attach to detach."""

    def __init__(self, whole):
        self.whole, self.cloud, self.guest = whole, whole.cloud, whole.guest
        self.volume = self.cloud.create(1)
        self.device = self.cloud.drover_json("attach", self.volume, self.guest.uuid)["device"]
        self.guest.wait_disk(self.volume)
        self.old_path = self.cloud.path(self.volume)
        self.attachment = self.rows()[0]

    def rows(self):
        return self.cloud.sql("select * from volume_attachment where volume_id = %s and not"
                              " deleted", self.volume)

    def fill(self, mib):
        """Bytes behind the pattern, so that a copy takes its time."""
        with open(self.old_path, "r+b") as f:
            f.seek(64 * MIB)
            for _ in range(mib):
                f.write(os.urandom(MIB))

    def begin(self):
        self.cloud.migrate(self.volume, SLOW, wait=False)
        self.cloud.in_phase(self.volume, "swapping")

    def ends(self, deadline=60):
        row = self.cloud.finished(self.volume, deadline)
        return row["phase"]

    def keys(self):
        row = self.cloud.migration(self.volume)
        return {"instance_id": self.guest.uuid, "volume_id": self.volume,
                "target_id": str(row["temporary_id"])}

    def check_moved(self):
        assert self.ends() == "done", self.cloud.migration(self.volume)
        path = self.cloud.path(self.volume)
        assert path.startswith(self.cloud.directory("slow"))
        assert self.guest.place(self.volume) == path
        assert self.guest.place(self.volume, inactive=True) == path
        assert [r["id"] for r in self.rows()] == [self.attachment["id"]]
        assert self.cloud.volume(self.volume)["status"] == "in-use"
        self.cloud.wait_for(lambda: not os.path.exists(self.old_path), 30, "the old is gone")
        self.finish(path)

    def check_stayed(self, phase):
        assert self.ends() == phase, self.cloud.migration(self.volume)
        assert self.guest.place(self.volume, inactive=True) == self.old_path
        assert [r["id"] for r in self.rows()] == [self.attachment["id"]]
        target = f"{self.cloud.directory('slow')}/volume-{self.keys()['target_id']}"
        self.cloud.wait_for(lambda: not os.path.exists(target), 30, "the target is gone")

    def finish(self, path):
        """It writes on; then all that it wrote is there."""
        assert not self.guest.errors()
        self.guest.wait_writing()
        self.cloud.drover("detach", self.volume)
        assert self.guest.disk(self.volume) is None
        run, n = self.guest.acknowledged()
        result = self.guest.libvirt.kit.verify(path, run, n)
        assert result["written"] and not result["lost"] and not result["torn"], result


@pytest.fixture
def story(whole, request):
    if whole.guest.state() != "running":
        whole.guest.start()
    request.node.drover_compute = whole.compute
    story = Story(whole)
    yield story
    whole.cloud.points.release()
    if whole.compute.process.poll() is not None:
        whole.compute.start()
    if not whole.cloud.manager.running():
        whole.cloud.manager.start()
    whole.cloud.drover("detach", story.volume, check=False)


def test_a_guest_moves(story):
    story.cloud.drover("migrate", story.volume, SLOW, "--wait")
    story.check_moved()


def held(story, point):
    """drover-compute stands at a point."""
    file = f"{story.whole.compute.state}/{uuid.uuid4()}"
    story.whole.compute.restart(faults=f"{point}=hold:{file}")
    story.begin()
    wait_for(lambda: os.path.exists(file), 30, "the point is reached")
    return lambda: open(f"{file}.go", "w").close()


@pytest.mark.parametrize("point", ["compute.copying", "compute.pivoted", "compute.answer"])
def test_all_of_ours_dies(story, point):
    """Manager, worker and drover-compute, at once, with the broker's connections."""
    held(story, point)
    story.cloud.manager.kill()
    story.whole.compute.kill()
    story.guest.wait_writing()
    story.whole.compute.start()
    story.cloud.manager.start()
    story.check_moved()


def test_cancelled_before_it_goes_over(story):
    story.fill(200)
    go = held(story, "compute.copying")
    story.cloud.drover("cancel", story.volume)
    go()
    story.check_stayed("cancelled")
    story.finish(story.old_path)


def test_the_guest_is_destroyed_meanwhile(story):
    go = held(story, "compute.copying")
    story.guest.destroy()
    go()
    story.check_stayed("failed")
    assert "shut off" in story.cloud.drover("migration", "show", story.volume).stdout
    assert story.cloud.volume(story.volume)["status"] == "in-use"
    run, n = story.guest.acknowledged()
    assert story.guest.libvirt.kit.verify(story.old_path, run, n)["lost"] == 0
    # And one that does not run is refused, by its state.
    done = story.cloud.drover("migrate", story.volume, SLOW, "--wait", check=False)
    assert done.returncode != 0 and "shut off" in done.stderr + done.stdout


def test_nobody_can_say_where_it_is(story):
    """The guest dies while it goes over: held, not startable, and `drover resolve`."""
    held(story, "compute.pivoted")
    story.guest.wait_writing()
    story.guest.crash()
    wait_for(lambda: story.guest.state() == "shut off", 30, "the guest is off")
    story.whole.compute.restart()
    story.cloud.in_phase(story.volume, "held", 40)
    refused = story.guest.libvirt.virsh("start", story.guest.name, check=False)
    assert "drover-is-moving-volume" in refused.stdout
    story.cloud.drover("resolve", story.volume, "--moved")
    assert story.ends() == "done"
    path = story.cloud.path(story.volume)
    wait_for(lambda: story.guest.place(story.volume, inactive=True) == path, 20,
             "its definition is repaired")
    run, n = story.guest.acknowledged()
    result = story.guest.libvirt.kit.verify(path, run, n)
    assert result["lost"] == result["torn"] == 0, result
    story.guest.start()
    story.guest.wait_disk(story.volume)
    story.finish(path)
