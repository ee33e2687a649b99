# SPDX-License-Identifier: Apache-2.0
"""Attached volumes of guests without Nova: drover-compute on the guest's host is asked. A
stand-in plays it, so that it can refuse, be silent, forget and fail."""
import json
import os
import subprocess
import uuid

import pytest

from attachments import Attachments
from conftest import BUILDDIR, SRCDIR
from hypervisor import Hypervisor, certificates
from peer import Peer
from test_compute import (FAST, SLOW, accepted, assert_moved, assert_stayed, begin, ends,
                          garbage_of, swap_row)
from two_hosts import TwoHosts, pool

DROVER = {"compute_api": "rpc", "compute_poll": "0.2", "compute_grace": "1.5",
          "compute_timeout": "6", "compute_find_timeout": "0.7", "peer_timeout": "3",
          "rescan_interval": "0.3"}
DEFAULT = {"rpc_response_timeout": "2"}


@pytest.fixture(scope="module")
def module_cloud(make_cloud):
    return make_cloud(drover=DROVER, default=DEFAULT)


@pytest.fixture
def hypervisor(cloud, peer):
    hypervisor = Hypervisor(cloud, peer)
    yield hypervisor
    hypervisor.stop()


def attachment_of(cloud, volume):
    rows = cloud.sql("select * from volume_attachment where volume_id = %s and not deleted",
                     volume)
    assert len(rows) == 1, rows
    return rows[0]


def guest(cloud, hypervisor, mode="rw", host=None):
    """A volume with something in it, attached to a guest."""
    volume = cloud.create(1, **({"host": host} if host else {}))
    cloud.fill(volume, ((0, 70000), (100 << 20, 4096)))
    instance = hypervisor.boot()
    api = Attachments(cloud, hypervisor.peer)
    attachment = api.create(volume, server=instance, mode=mode)
    info = api.update(volume, attachment, hypervisor.connector(instance))
    hypervisor.attach_volume(instance, volume, attachment, mode, info)
    api.complete(volume, attachment)
    return volume


def detach(cloud, hypervisor, volume):
    Attachments(cloud, hypervisor.peer).delete(volume, attachment_of(cloud, volume)["id"])
    cloud.leftovers()


def stayed(cloud, hypervisor, volume, attachment, temporary):
    """As it was before; and T is gone."""
    assert_stayed(cloud, volume, attachment)
    assert not cloud.sql("select 1 from volumes where id = %s and not deleted", temporary)
    cloud.wait_for(lambda: not garbage_of(cloud, temporary), 20, "it is removed")
    detach(cloud, hypervisor, volume)


def test_a_guest_moves(cloud, peer, hypervisor):
    volume = guest(cloud, hypervisor)
    digest, before = cloud.digest(volume), attachment_of(cloud, volume)
    instance, old = hypervisor.instance_of(volume), cloud.path(volume)
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    # What it was told.
    order = hypervisor.asked("swap_volume")
    path = cloud.path(temporary)
    assert len(order) == 1 and order[0]["connection_info"]["data"]["device_path"] == path
    assert order[0]["connection_info"]["driver_volume_type"] == "local"
    assert (order[0]["mode"], order[0]["answer_to"], order[0]["rate"]) == (
        "rw", "server1@fast", 0)
    row = attachment_of(cloud, temporary)
    assert (row["instance_uuid"], row["attach_status"], row["attached_host"]) == (
        instance, "attaching", "server1")
    # How far it is.
    hypervisor.progress(volume, 1 << 29, 1 << 30)
    cloud.wait_for(lambda: cloud.drover_json("migration", "show", volume)["position_bytes"]
                   == 1 << 29, 20, "half of it is copied")
    assert cloud.drover("delete", volume, check=False).returncode == 1
    hypervisor.copied(volume)
    assert hypervisor.answer(volume) == volume
    assert_moved(cloud, volume, temporary)
    # The ids are what they were, and lead to the new place.
    after = attachment_of(cloud, volume)
    for key in ("id", "instance_uuid", "attach_status", "attach_mode", "mountpoint"):
        assert after[key] == before[key], key
    info = json.loads(after["connection_info"])
    assert info["device_path"] == path and info["attachment_id"] == before["id"]
    assert cloud.path(volume) == path and cloud.digest(volume) == digest
    cloud.wait_for(lambda: not os.path.exists(old), 20, "the old disk is gone")
    # It comes again, and late.
    assert hypervisor.answer(volume, SLOW) == volume
    detach(cloud, hypervisor, volume)


def test_read_only_and_by_a_server(cloud, peer, hypervisor):
    volume = guest(cloud, hypervisor, mode="ro")
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    order, = hypervisor.asked("swap_volume")
    assert order["mode"] == order["connection_info"]["data"]["access_mode"] == "ro"
    hypervisor.copied(volume)
    # Nobody says so: it is seen.
    assert_moved(cloud, volume, temporary)
    assert attachment_of(cloud, volume)["attach_mode"] == "ro"
    detach(cloud, hypervisor, volume)


def refuse(cloud, peer, volume, words):
    row = begin(cloud, peer, volume)
    row = cloud.finished(volume)
    assert row["phase"] == "failed" and words in row["reason"], row["reason"]
    assert not cloud.sql("select 1 from volumes where migration_status = %s",
                         f"target:{volume}")
    assert cloud.volume(volume)["migration_status"] is None


def test_what_cannot_be_moved_is_refused(cloud, peer, hypervisor):
    volume = guest(cloud, hypervisor)
    instance, attachment = hypervisor.instance_of(volume), attachment_of(cloud, volume)["id"]
    running = hypervisor.instances[instance]
    running["state"] = "shut off"
    refuse(cloud, peer, volume, "is 'shut off'")
    running["state"] = "running"
    disks, running["disks"] = running["disks"], {}
    refuse(cloud, peer, volume, "has no such disk")
    running["disks"] = disks
    del hypervisor.instances[instance]
    refuse(cloud, peer, volume, "no host that answers has instance")
    hypervisor.instances[instance] = running
    second = str(uuid.uuid4())
    cloud.sql("insert into volume_attachment (id, volume_id, instance_uuid, attach_status,"
              " deleted, created_at) values (%s, %s, %s, 'attached', false, now())", second,
              volume, str(uuid.uuid4()))
    refuse(cloud, peer, volume, "has 2 attachments")
    cloud.sql("delete from volume_attachment where id = %s", second)
    cloud.sql("update volume_attachment set instance_uuid = null where id = %s", attachment)
    refuse(cloud, peer, volume, "attached to a host without a server")
    cloud.sql("update volume_attachment set instance_uuid = %s where id = %s", instance,
              attachment)
    assert not hypervisor.asked("swap_volume")
    # It says no itself: in its words.
    hypervisor.script("swap_volume", "refuse:the disk is on fire")
    begin(cloud, peer, volume)
    assert "the disk is on fire" in ends(cloud, volume, "failed")
    stayed(cloud, hypervisor, volume, attachment, cloud.migration(volume)["temporary_id"])


@pytest.mark.parametrize("how", ["hang", "lost", "late"])
def test_answers_that_do_not_come(cloud, peer, hypervisor, how):
    volume = guest(cloud, hypervisor)
    hypervisor.script("swap_volume", how)
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    assert len(hypervisor.swaps) == 1
    hypervisor.copied(volume)
    assert hypervisor.answer(volume) == volume
    assert_moved(cloud, volume, temporary)
    detach(cloud, hypervisor, volume)


def test_it_fails(cloud, peer, hypervisor):
    volume = guest(cloud, hypervisor)
    attachment = attachment_of(cloud, volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    hypervisor.fails(volume)
    assert hypervisor.answer(volume) == volume
    assert "the disk of the target failed" in ends(cloud, volume, "failed")
    # Late, and again.
    with pytest.raises(Exception) as caught:
        hypervisor.answer(volume)
    assert type(caught.value).__name__.startswith("InvalidVolume"), caught.value
    # An administrator says that it was done: it was not.
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    with pytest.raises(Exception) as caught:
        peer.volume(FAST, "3.0").call(
            peer.context(), "migrate_volume_completion",
            volume=peer.volume_object(volume),
            new_volume=peer.volume_object(temporary), error=False)
    assert "only drover-compute on host" in str(caught.value)
    seen = swap_row(cloud, volume)["looked_at"]
    cloud.wait_for(lambda: swap_row(cloud, volume)["looked_at"] > seen, 20, "it is looked at")
    assert cloud.migration(volume)["phase"] == "swapping"
    hypervisor.fails(volume)
    ends(cloud, volume, "failed")
    stayed(cloud, hypervisor, volume, attachment, temporary)


def test_cancel(cloud, peer, hypervisor):
    volume = guest(cloud, hypervisor)
    attachment = attachment_of(cloud, volume)["id"]
    # Before it is asked.
    cloud.points.hold("compute.connected")
    begin(cloud, peer, volume)
    cloud.points.reached("compute.connected")
    cloud.drover("cancel", volume)
    cloud.points.release("compute.connected")
    ends(cloud, volume, "cancelled")
    assert not hypervisor.asked("swap_volume")
    # While it copies.
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    said = cloud.drover("cancel", volume).stdout
    assert "will be cancelled" in said
    ends(cloud, volume, "cancelled")
    assert hypervisor.order(volume)[1]["state"] == "cancelled"
    # An order that comes late is refused: it is written down there.
    cloud.points.hold("compute.asked")
    begin(cloud, peer, volume)
    cloud.points.reached("compute.asked")
    cloud.drover("cancel", volume)
    cloud.kill_worker()
    cloud.points.release("compute.asked")
    ends(cloud, volume, "cancelled")
    assert hypervisor.order(volume)[1]["state"] == "cancelled"
    assert_stayed(cloud, volume, attachment)
    # Too late.
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    hypervisor.copied(volume, "pivoting")
    cloud.drover("cancel", volume)
    hypervisor.wait(lambda: hypervisor.asked("swap_cancel")[-1]["target_id"] == temporary)
    hypervisor.order(volume)[1]["state"] = "moved"
    assert_moved(cloud, volume, temporary)
    detach(cloud, hypervisor, volume)


def test_the_rate(cloud, peer, hypervisor):
    """The order has the limit, and a change is told once, however often it is looked at."""
    volume = guest(cloud, hypervisor)
    cloud.drover("migrate", volume, SLOW, "--rate", "3M")
    cloud.wait_for(lambda: cloud.migration(volume), 20, "it is admitted")
    accepted(cloud, volume)
    assert [o["rate"] for o in hypervisor.asked("swap_volume")] == [3 << 20]

    def looked_at(times):
        for _ in range(times):
            seen = len(hypervisor.asked("swap_status"))
            hypervisor.wait(lambda: len(hypervisor.asked("swap_status")) > seen)

    def told():
        return [o["rate"] for o in hypervisor.asked("swap_rate")]

    looked_at(2)
    assert told() == []
    # A call that fails is made again.
    hypervisor.script("swap_rate", "refuse:not now")
    cloud.drover("rate", volume, "1G")
    hypervisor.wait(lambda: told() == [1 << 30, 1 << 30])
    looked_at(2)
    assert told() == [1 << 30, 1 << 30] and hypervisor.order(volume)[1]["rate"] == 1 << 30
    shown = cloud.drover_json("migration", "show", volume)
    assert shown["rate_limit_bytes_per_second"] == 1 << 30 and not shown["paused"]
    cloud.drover("rate", volume, "default")
    hypervisor.wait(lambda: told()[2:] == [0])
    # One that does not say what it was told is not told anything else.
    del hypervisor.order(volume)[1]["rate"]
    cloud.drover("rate", volume, "5")
    looked_at(2)
    assert told()[2:] == [0]
    refused = cloud.drover("pause", volume, check=False)
    assert refused.returncode == 1 and "slows it down" in refused.stderr
    hypervisor.copied(volume)
    assert hypervisor.answer(volume) == volume
    assert_moved(cloud, volume, cloud.migration(volume)["temporary_id"])
    detach(cloud, hypervisor, volume)


def test_the_instance_is_deleted(cloud, peer, hypervisor):
    volume = guest(cloud, hypervisor)
    attachment = attachment_of(cloud, volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    hypervisor.gone(hypervisor.instance_of(volume))
    assert "instance is gone" in ends(cloud, volume, "failed")
    stayed(cloud, hypervisor, volume, attachment, temporary)


def test_what_was_forgotten(cloud, peer, hypervisor):
    volume = guest(cloud, hypervisor)
    attachment = attachment_of(cloud, volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    hypervisor.swaps.clear()
    # The guest's disk keeps its serial number, so nobody can tell which one it has.
    assert "forgotten" in cloud.in_phase(volume, "held")["reason"]
    cloud.drover("resolve", volume, "--not-moved")
    ends(cloud, volume, "failed")
    assert_stayed(cloud, volume, attachment)
    # What it has begun may go on.
    assert garbage_of(cloud, temporary)["quarantined"]
    cloud.drover("garbage", "remove", f"volume-{temporary}")
    # It had been done by then.
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    cloud.points.hold("compute.swapping")
    cloud.points.reached("compute.swapping")
    hypervisor.copied(volume)
    hypervisor.swaps.clear()
    cloud.points.release("compute.swapping")
    assert "forgotten" in cloud.in_phase(volume, "held")["reason"]
    cloud.drover("resolve", volume, "--moved")
    assert_moved(cloud, volume, temporary)
    detach(cloud, hypervisor, volume)


def test_silence_proves_nothing(cloud, peer, hypervisor):
    volume = guest(cloud, hypervisor)
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    hypervisor.stop()
    cloud.wait_for(lambda: "no drover-compute is running" in (
        cloud.migration(volume)["reason"] or ""), 20, "the reason is noted")
    held = cloud.in_phase(volume, "held")
    assert "has said nothing" in held["reason"]
    assert cloud.volume(volume)["migration_status"] == "migrating"
    # It was there all the time.
    hypervisor.copied(volume)
    hypervisor.start()
    assert_moved(cloud, volume, temporary)
    # It has said so by its call, and is silent since; others cannot say it.
    begin(cloud, peer, volume, FAST)
    temporary = accepted(cloud, volume)
    hypervisor.copied(volume)
    cloud.points.hold("compute.swapping")
    cloud.points.reached("compute.swapping")
    hypervisor.stop()
    with pytest.raises(Exception) as caught:
        hypervisor.answer(volume, by="somebody")
    assert "only drover-compute on host" in str(caught.value)
    assert hypervisor.answer(volume) == volume
    cloud.points.release("compute.swapping")
    assert_moved(cloud, volume, temporary, FAST)
    hypervisor.start()
    detach(cloud, hypervisor, volume)


def test_what_it_cannot_tell_is_held(cloud, peer, hypervisor):
    for answer in ("--not-moved", "--moved"):
        volume = guest(cloud, hypervisor)
        attachment = attachment_of(cloud, volume)["id"]
        begin(cloud, peer, volume)
        temporary = accepted(cloud, volume)
        if answer == "--moved":
            hypervisor.copied(volume, "held")
        hypervisor.fails(volume, "the guest died in the pivot", "held")
        held = cloud.in_phase(volume, "held")
        assert "the guest died in the pivot" in held["reason"]
        if answer == "--moved":
            # Whoever is not there cannot be asked; the rows count.
            hypervisor.stop()
        else:
            # Whoever is there and sees it knows better.
            refused = cloud.drover("resolve", volume, "--moved", check=False)
            assert refused.returncode == 1 and "on the old volume" in refused.stderr
        said = cloud.drover("resolve", volume, answer)
        if answer == "--moved":
            assert "no drover-compute is running" in said.stderr
            assert_moved(cloud, volume, temporary)
        else:
            assert hypervisor.asked("swap_resolve") == [{
                "instance_id": hypervisor.instance_of(volume), "volume_id": volume,
                "target_id": temporary, "moved": False}]
            cloud.finished(volume)
            assert_stayed(cloud, volume, attachment)
            if garbage_of(cloud, temporary):
                cloud.drover("garbage", "remove", f"volume-{temporary}", check=False)
        if answer == "--moved":
            hypervisor.start()
        detach(cloud, hypervisor, volume)


def test_attach_and_detach(cloud, peer, hypervisor):
    volume, instance = cloud.create(1), hypervisor.boot()
    said = json.loads(cloud.drover("attach", volume, instance, "--json").stdout)
    row = attachment_of(cloud, volume)
    assert said == {"volume_id": volume, "attachment_id": row["id"], "server_id": instance,
                    "host_name": "server1", "device": "/dev/vdb", "mode": "rw"}
    assert (row["attach_status"], row["attached_host"], row["mountpoint"],
            row["attach_mode"]) == ("attached", "server1", "/dev/vdb", "rw")
    assert json.loads(row["connection_info"])["device_path"] == cloud.path(volume)
    assert cloud.volume(volume)["status"] == "in-use"
    disk = hypervisor.instances[instance]["disks"][volume]
    assert disk["info"]["data"]["device_path"] == cloud.path(volume)
    shown, = cloud.drover_json("show", volume)["attachments"]
    assert (shown["server_id"], shown["device"]) == (instance, "/dev/vdb")
    assert instance in cloud.drover("show", volume).stdout
    # Again is nothing new; another mode and another instance are refused.
    cloud.drover("attach", volume, instance)
    assert attachment_of(cloud, volume)["id"] == row["id"]
    for more in ([instance, "--mode", "ro"], [hypervisor.boot()]):
        assert cloud.drover("attach", volume, *more, check=False).returncode == 1
    # It moves like others.
    done = cloud.drover("migrate", volume, SLOW).returncode
    temporary = accepted(cloud, volume)
    assert done == 0
    assert "migrating" in cloud.drover("detach", volume, check=False).stderr
    hypervisor.copied(volume)
    assert_moved(cloud, volume, temporary)
    disks = hypervisor.instances[instance]["disks"]
    cloud.drover("detach", volume)
    assert not disks and cloud.volume(volume)["status"] == "available"
    assert cloud.drover("detach", volume, check=False).returncode == 3
    # Read-only.
    cloud.drover("attach", volume, instance, "--mode", "ro")
    assert disks[volume]["mode"] == attachment_of(cloud, volume)["attach_mode"] == "ro"
    cloud.drover("detach", volume, instance)
    cloud.leftovers()


def test_attach_and_detach_that_fail(cloud, peer, hypervisor):
    volume, instance = cloud.create(1), hypervisor.boot()

    def attach(status, words, *arguments, verb="attach"):
        result = cloud.drover(verb, volume, *(arguments or [instance]), check=False)
        assert result.returncode == status and words in result.stderr, result

    def nothing():
        row = cloud.volume(volume)
        assert (row["status"], row["attach_status"]) == ("available", "detached")
        assert not cloud.sql("select 1 from volume_attachment where volume_id = %s and"
                             " not deleted", volume)

    attach(2, "no id of an instance", "web")
    attach(2, "no mode", instance, "--mode", "x")
    attach(3, "no host that answers", str(uuid.uuid4()))
    hypervisor.script("attach_volume", "refuse:no more slots")
    attach(1, "no more slots")
    nothing()
    # It is not known whether it was done: again goes on.
    hypervisor.script("attach_volume", "lost")
    attach(1, "again goes on")
    assert cloud.volume(volume)["status"] == "attaching"
    attach(0, "")
    hypervisor.script("detach_volume", "refuse:the guest does not let it go")
    attach(1, "does not let it go", volume and instance, verb="detach")
    assert cloud.volume(volume)["status"] == "in-use"
    hypervisor.script("detach_volume", "hang")
    attach(1, "again goes on", instance, verb="detach")
    assert cloud.volume(volume)["status"] == "detaching"
    cloud.drover("detach", volume)
    nothing()
    # Killed on its way.
    cloud.points.hold("compute.connected")
    with subprocess.Popen([cloud.program("cli"), "--config-file", cloud.config, "attach",
                           volume, instance], env=cloud.environment()) as process:
        cloud.points.reached("compute.connected")
        process.kill()
    cloud.points.release("compute.connected")
    attach(0, "")
    # Its host is away; the instance was deleted meanwhile.
    hypervisor.stop()
    attach(1, "no drover-compute is running", instance, verb="detach")
    del hypervisor.instances[instance]
    hypervisor.start()
    cloud.drover("detach", volume)
    nothing()
    cloud.drover("delete", volume)
    cloud.leftovers()


POINTS = ["compute.swapping", "compute.reserving", "compute.reserved", "compute.connected",
          "compute.asking", "compute.asked", "compute.answered", "compute.accepted"]


def kill_at(cloud, volume, point):
    """The next worker comes at once: how long it is waited with after crashes is another
    test's. After the last point it may have ended before it is seen."""
    def goes_on():
        unfinished = cloud.sql(
            "update drover.operation set attempts = 0, not_before = now()"
            " where volume_id = %s and finished_at is null returning 1", volume)
        return not unfinished or cloud.workers()

    cloud.points.reached(point)
    cloud.kill_worker()
    cloud.points.release(point)
    cloud.wait_for(lambda: not cloud.workers(), 10, "the manager knows that")
    cloud.wait_for(goes_on, 20, "another worker")


@pytest.mark.parametrize("end", ["moved", "cancelled"])
def test_killed_between_every_two_steps(cloud, peer, hypervisor, end):
    volume = guest(cloud, hypervisor)
    attachment = attachment_of(cloud, volume)["id"]
    before, after = {
        "moved": (POINTS, ["compute.moved", "migrate.settling"]),
        "cancelled": ([], ["compute.cancelling", "compute.cancelled", "compute.give_up"]),
    }[end]
    for point in before + after:
        cloud.points.hold(point)
    begin(cloud, peer, volume)
    for point in before:
        kill_at(cloud, volume, point)
    temporary = accepted(cloud, volume)
    assert len(hypervisor.swaps) == 1
    assert attachment_of(cloud, temporary)["id"] == swap_row(
        cloud, volume)["target_attachment_id"]
    if end == "moved":
        hypervisor.copied(volume)
    else:
        cloud.drover("cancel", volume)
    for point in after:
        kill_at(cloud, volume, point)
    if end == "moved":
        assert hypervisor.answer(volume) == volume
        assert_moved(cloud, volume, temporary)
        detach(cloud, hypervisor, volume)
    else:
        ends(cloud, volume, "cancelled")
        stayed(cloud, hypervisor, volume, attachment, temporary)


@pytest.fixture
def two(servers, tmp_path):
    """Two machines with files of their own, and a hypervisor on the first."""
    made = []

    def make(**drover):
        cloud = TwoHosts(BUILDDIR, servers=servers, srcdir=SRCDIR,
                         drover={**DROVER, **drover}, default=DEFAULT)
        peer = Peer(cloud)
        made.append((cloud, peer, Hypervisor(cloud, peer)))
        return made[0]

    yield make
    for cloud, peer, hypervisor in made:
        hypervisor.stop()
        peer.close()
        cloud.close()


def test_to_another_host_that_serves_nobody(two):
    cloud, peer, hypervisor = two()
    volume = guest(cloud, hypervisor, host=pool("server1"))
    attachment = attachment_of(cloud, volume)["id"]
    begin(cloud, peer, volume, pool("server2"))
    # A file of another machine: the reason says what could be done.
    assert "nbd_tls = certificates" in ends(cloud, volume, "failed")
    row = cloud.volume(volume)
    assert (row["status"], row["host"]) == ("in-use", pool("server1"))
    assert attachment_of(cloud, volume)["id"] == attachment
    detach(cloud, hypervisor, volume)


def test_to_another_host_by_certificates(two, tmp_path):
    theirs, ours = certificates(str(tmp_path / "ca")), certificates(str(tmp_path / "other"))
    cloud, peer, hypervisor = two(nbd_tls="certificates", nbd_certificates=theirs)
    volume = guest(cloud, hypervisor, host=pool("server1"))
    digest, before = cloud.digest(volume), attachment_of(cloud, volume)["id"]
    begin(cloud, peer, volume, pool("server2"))
    temporary = accepted(cloud, volume)
    info = hypervisor.asked("swap_volume")[0]["connection_info"]
    data = info["data"]
    assert (info["driver_volume_type"], data["tls"], data["address"]) == (
        "nbd", "certificates", "127.0.0.1")

    def size(uri):
        done = subprocess.run(["nbdinfo", "--size", uri], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=30)
        return done.stdout.strip() if done.returncode == 0 else None

    # Who has a certificate that they trust, and nobody else.
    assert size(f"{data['uri']}?tls-certificates={theirs}") == str(1 << 30)
    assert size(f"{data['uri']}?tls-certificates={ours}") is None
    assert size(data["uri"].replace("nbds:", "nbd:")) is None
    hypervisor.copied(volume, path=cloud.path(temporary))
    assert_moved(cloud, volume, temporary, pool("server2"))
    assert cloud.digest(volume) == digest
    after = attachment_of(cloud, volume)
    said = json.loads(after["connection_info"])
    assert (after["id"], said["uri"], said["volume_id"]) == (before, data["uri"], volume)
    # The server is the same that the guest is connected to.
    assert size(f"{data['uri']}?tls-certificates={theirs}") == str(1 << 30)
    detach(cloud, hypervisor, volume)
    assert size(f"{data['uri']}?tls-certificates={theirs}") is None
