# SPDX-License-Identifier: Apache-2.0
"""All of it: `drover migrate` of a volume that a guest writes to, with every part as it is."""
import os
import time
import uuid

import pytest
import servers as server_module
from attached_cloud import FAST, SLOW, AttachedCloud, AttachedHosts
from conftest import BUILDDIR, SRCDIR
from processes import wait_for
from two_hosts import pool


@pytest.fixture(scope="module")
def postgres():
    postgres = server_module.Postgres()
    postgres.start()
    yield postgres
    postgres.close()


@pytest.fixture(scope="module")
def whole(libvirt, rabbit, postgres):
    cloud = AttachedCloud(BUILDDIR, libvirt, (postgres, rabbit), srcdir=SRCDIR)
    yield cloud
    cloud.close()


@pytest.fixture(scope="module")
def hosts(libvirt, rabbit, postgres):
    cloud = AttachedHosts(BUILDDIR, libvirt, (postgres, rabbit), srcdir=SRCDIR)
    yield cloud
    cloud.close()


class Story:
    """One volume, from attach to detach."""

    def __init__(self, cloud, source=FAST, target=SLOW):
        self.cloud, self.guest, self.target = cloud, cloud.guest, target
        self.volume = self.cloud.create(1, host=source)
        self.device = self.cloud.drover_json("attach", self.volume, self.guest.uuid)["device"]
        self.guest.wait_disk(self.volume)
        self.old_path = self.cloud.path(self.volume)
        self.attachment = self.rows()[0]

    def rows(self):
        return self.cloud.sql("select * from volume_attachment where volume_id = %s and not"
                              " deleted", self.volume)

    def begin(self):
        self.cloud.migrate(self.volume, self.target, wait=False)
        self.cloud.in_phase(self.volume, "swapping")

    def ends(self, deadline=60):
        row = self.cloud.finished(self.volume, deadline)
        return row["phase"]

    def keys(self):
        row = self.cloud.migration(self.volume)
        return {"instance_id": self.guest.uuid, "volume_id": self.volume,
                "target_id": str(row["temporary_id"])}

    def export(self):
        """The name of the only server that is open."""
        rows = self.cloud.sql("select * from drover.export where closed_at is null")
        assert len(rows) == 1, rows
        return str(rows[0]["id"])

    def check_moved(self):
        assert self.ends() == "done", self.cloud.migration(self.volume)
        path = self.cloud.path(self.volume)
        place = path if self.target == SLOW else self.export()
        assert path.startswith(self.cloud.directory(self.cloud.backend_of(self.target)))
        assert self.guest.place(self.volume) == place
        assert self.guest.place(self.volume, inactive=True) == place
        assert [r["id"] for r in self.rows()] == [self.attachment["id"]]
        assert self.cloud.volume(self.volume)["status"] == "in-use"
        self.cloud.wait_for(lambda: not os.path.exists(self.old_path), 30, "the old is gone")
        self.finish(path)

    def check_stayed(self, phase):
        assert self.ends() == phase, self.cloud.migration(self.volume)
        assert self.guest.place(self.volume, inactive=True) == self.old_path
        assert [r["id"] for r in self.rows()] == [self.attachment["id"]]
        backend = self.cloud.backend_of(self.target)
        target = f"{self.cloud.directory(backend)}/volume-{self.keys()['target_id']}"
        self.cloud.wait_for(lambda: not os.path.exists(target), 30, "the target is gone")

    def finish(self, path):
        """It writes on; then all that it wrote is there."""
        assert not self.guest.errors()
        self.guest.wait_writing()
        # A manager that has just come back may not hear yet; the same command goes on.
        wait_for(lambda: self.cloud.drover("detach", self.volume, check=False).returncode == 0,
                 60, "it is detached", every=1)
        assert self.guest.disk(self.volume) is None
        run, n = self.guest.acknowledged()
        result = self.guest.libvirt.kit.verify(path, run, n)
        assert result["written"] and not result["lost"] and not result["torn"], result


def tell(cloud, request, *places):
    if cloud.guest.state() != "running":
        cloud.guest.start()
    request.node.drover_compute = cloud.compute
    story = Story(cloud, *places)
    yield story
    cloud.points.release()
    if cloud.compute.process.poll() is not None:
        cloud.compute.start()
    for daemon in cloud.daemons():
        if not daemon.running():
            daemon.start()
    cloud.drover("detach", story.volume, check=False)


@pytest.fixture
def story(whole, request):
    yield from tell(whole, request)


@pytest.fixture
def far_story(hosts, request):
    yield from tell(hosts, request, pool("server1"), pool("server2"))


def test_a_guest_moves(story):
    story.cloud.drover("migrate", story.volume, SLOW, "--wait")
    story.check_moved()


def test_its_rate_is_chosen_and_changed(story):
    """At the first one it would take longer than it is waited for."""
    guest = story.guest
    story.cloud.fill_behind(story.volume, 200)
    story.cloud.drover("migrate", story.volume, SLOW, "--rate", "1M")
    story.cloud.in_phase(story.volume, "swapping")
    device = guest.disk(story.volume).find("target").get("dev")

    def rate():
        return guest.libvirt.virsh("blockjob", guest.name, device, "--info", "--raw",
                                   "--bytes", check=False).stdout

    wait_for(lambda: "bandwidth=1048576" in rate(), 30, "libvirt was told")
    story.cloud.drover("rate", story.volume, "2M")
    wait_for(lambda: "bandwidth=2097152" in rate(), 30, "libvirt was told again")
    story.cloud.drover("rate", story.volume, "none")
    story.check_moved()


def held(story, point):
    """drover-compute stands at a point."""
    file = f"{story.cloud.compute.state}/{uuid.uuid4()}"
    story.cloud.compute.restart(faults=f"{point}=hold:{file}")
    story.begin()
    wait_for(lambda: os.path.exists(file), 30, "the point is reached")
    return lambda: open(f"{file}.go", "w").close()


@pytest.mark.parametrize("point", ["compute.copying", "compute.pivoted", "compute.answer"])
def test_all_of_ours_dies(story, point):
    """Manager, worker and drover-compute, at once, with the broker's connections."""
    held(story, point)
    story.cloud.manager.kill()
    story.cloud.compute.kill()
    story.guest.wait_writing()
    story.cloud.compute.start()
    story.cloud.manager.start()
    story.check_moved()


def test_cancelled_before_it_goes_over(story):
    """The copy has not begun when the order to cancel is on its way."""
    story.cloud.fill_behind(story.volume, 200)
    go = held(story, "compute.copy")
    story.cloud.drover("cancel", story.volume)
    time.sleep(1)  # three looks of the worker
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
    story.cloud.compute.restart()
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


def test_to_another_host(far_story):
    """Both managers and the hypervisor's daemon die while it goes over."""
    held(far_story, "compute.pivoted")
    for manager in far_story.cloud.managers.values():
        manager.kill()
    far_story.cloud.compute.kill()
    far_story.guest.wait_writing()
    far_story.cloud.compute.start()
    for manager in far_story.cloud.managers.values():
        manager.start()
    far_story.check_moved()


def test_the_targets_server_dies(far_story):
    """The guest stays where it is, and does not notice. There is too much to be copied for it
    to try to go over before."""
    far_story.cloud.fill_behind(far_story.volume, 400)
    go = held(far_story, "compute.copying")
    row = far_story.cloud.sql1("select * from drover.export where closed_at is null")
    os.kill(row["pid"], 9)
    go()
    far_story.check_stayed("failed")
    assert far_story.guest.place(far_story.volume) == far_story.old_path
    far_story.finish(far_story.old_path)


def test_a_read_only_attachment(whole):
    """The guest never writes; it stays read-only."""
    volume = whole.create(1)
    whole.fill(volume)
    digest = whole.digest(volume)
    if whole.guest.state() != "running":
        whole.guest.start()
    whole.drover("attach", volume, whole.guest.uuid, "--mode", "ro")
    whole.drover("migrate", volume, SLOW, "--wait")
    for inactive in (False, True):
        assert whole.guest.disk(volume, inactive).find("readonly") is not None
        assert whole.guest.place(volume, inactive) == whole.path(volume)
    row = whole.sql1("select attach_mode from volume_attachment where volume_id = %s and not"
                     " deleted", volume)
    assert row["attach_mode"] == "ro"
    whole.drover("detach", volume)
    assert whole.digest(volume) == digest


def test_the_broker_dies(story, rabbit):
    go = held(story, "compute.copying")
    rabbit.restart(crash=True)
    story.guest.wait_writing()
    go()
    story.check_moved()
