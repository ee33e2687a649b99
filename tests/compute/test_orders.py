# SPDX-License-Identifier: Apache-2.0
"""Whose an instance is; attach and detach; swaps that go well or are cancelled."""
import uuid

import pytest
from conftest import local
from drover_compute import Refused

MIB = 1 << 20


def test_the_host_that_has_it_answers(bench):
    found = bench.compute.find(bench.guest.uuid)
    assert found["host"] == "hyper1" and found["state"] == "running"
    assert found["connector"]["instance"] == bench.guest.uuid
    assert found["connector"]["nbd"] is True and found["connector"]["host"] == "hyper1"
    assert bench.compute.find(str(uuid.uuid4()), timeout=1) is None
    with pytest.raises(Refused, match="is no id"):
        bench.compute.find("no id")


def test_attach_and_detach_may_come_twice(bench):
    bench.attach()
    assert bench.guest.place(bench.volume) == bench.source_path
    assert bench.guest.place(bench.volume, inactive=True) == bench.source_path
    order = {"instance_id": bench.guest.uuid, "volume_id": bench.volume,
             "attachment_id": str(uuid.uuid4()), "mode": "rw"}
    again = bench.compute.call("attach_volume", connection_info=local(bench.source_path),
                               **order)
    assert again == {"device": "/dev/vda"}
    with pytest.raises(Refused, match="from another place"):
        bench.compute.call("attach_volume", connection_info=local(bench.libvirt.image()),
                           **order)
    bench.detach()
    assert bench.guest.disk(bench.volume) is None
    assert bench.guest.disk(bench.volume, inactive=True) is None
    bench.verify(bench.source_path, *bench.guest.acknowledged())
    bench.detach()


@pytest.mark.parametrize("info, words", [
    ({"driver_volume_type": "iscsi", "data": {}}, "type 'iscsi'"),
    ({"driver_volume_type": "local", "data": {"device_path": "/nowhere"}}, "cannot reach"),
    ({"driver_volume_type": "local", "data": {"device_path": "/tmp/../etc"}}, "no path"),
    ({"driver_volume_type": "local", "data": {"device_path": "/dev/null"}}, "neither a file"),
    ({"driver_volume_type": "local", "data": {}}, "device_path"),
    ({"driver_volume_type": "nbd", "data": {
        "uri": "nbd://10.0.0.1:1/x", "address": "10.0.0.1", "port": 1, "export": "x"}},
     "nbd_tls = certificates"),
    ({"driver_volume_type": "nbd", "data": {
        "uri": "nbds://127.0.0.1:1/x?tls-psk-file=/k", "address": "127.0.0.1", "port": 1,
        "export": "x"}}, "nbd_tls = certificates"),
    ({"driver_volume_type": "nfs", "data": {"export": "-o x", "name": "y"}}, "no share"),
])
def test_connections_that_cannot_be_used(bench, info, words):
    with pytest.raises(Refused, match=words):
        bench.compute.call("attach_volume", instance_id=bench.guest.uuid,
                           volume_id=bench.volume, attachment_id="", mode="rw",
                           connection_info=info)
    assert bench.guest.disk(bench.volume, inactive=True) is None


def test_refused_orders(bench):
    with pytest.raises(Refused, match="does not have volume"):
        bench.order()
    with pytest.raises(Refused, match="is not on host"):
        bench.compute.call("swap_volume", **{**bench.keys(), "instance_id": bench.target},
                           mode="rw", connection_info=local(bench.target_path),
                           answer_to="server1@fast", rate=0)
    with pytest.raises(Refused, match="is no id"):
        bench.compute.call("swap_status", **{**bench.keys(), "volume_id": "../x"})
    with pytest.raises(Refused, match="swap_everything"):
        bench.compute.call("swap_everything")
    assert bench.status() == {
        "state": "none", "done": 0, "total": 0, "reason": "", "pivoted": False, "rate": 0,
        "instance": "running", "source": False, "target": False}


def test_what_was_done_and_forgotten_is_done(bench):
    """The guest has the disk that it is to go over to."""
    bench.attach()
    bench.order(local(bench.source_path))
    bench.wait_state("moved")
    assert bench.guest.place(bench.volume) == bench.source_path
    assert bench.guest.place(bench.volume, inactive=True) == bench.source_path


def test_a_guest_that_writes_goes_over(bench):
    bench.attach(full=True)
    first = bench.order()
    assert first["state"] == "copying" and first["instance"] == "running"
    bench.check_moved()
    again = bench.order(local(bench.target_path))
    assert again["state"] == "moved"
    bench.finish()
    bench.check_tails()
    assert len(bench.manager.of(bench.volume)) == 1


def test_a_cancelled_swap_leaves_the_guest_where_it_was(bench):
    bench.attach(full=True)
    bench.order(rate=4 * MIB)
    bench.wait_copying()
    other = str(uuid.uuid4())
    with pytest.raises(Refused, match="already going over"):
        bench.compute.call("swap_volume", **{**bench.keys(), "target_id": other},
                           mode="rw", connection_info=local(bench.libvirt.image(other)),
                           answer_to="server1@fast", rate=0)
    with pytest.raises(Refused, match="is going over"):
        bench.detach()
    status = bench.cancel()
    assert status["state"] == "cancelled" and status["source"] and not status["target"]
    bench.check_stayed("cancelled")
    with pytest.raises(Refused, match="was cancelled"):
        bench.order(local(bench.target_path))
    assert bench.cancel()["state"] == "cancelled"
    bench.finish(bench.source_path)
    assert not bench.manager.of(bench.volume)


def test_a_cancel_that_comes_before_its_order(bench):
    bench.attach()
    assert bench.cancel()["state"] == "cancelled"
    with pytest.raises(Refused, match="was cancelled"):
        bench.order()
    assert not bench.guest.mirrored(bench.volume)


def test_the_rate_can_be_changed(bench):
    bench.attach(full=True)
    bench.order(rate=MIB)
    bench.wait_copying()
    status = bench.status()
    assert 0 < status["done"] < status["total"] and status["rate"] == MIB
    assert bench.rate(2 * MIB)["rate"] == 2 * MIB
    assert bench.rate(0)["rate"] == 0
    bench.check_moved()
    assert bench.rate(5)["state"] == "moved"
    assert bench.cancel()["state"] == "moved"
    bench.finish()
    bench.check_tails()


def test_a_paused_guest_goes_over(bench):
    bench.attach(full=True)
    bench.guest.suspend()
    bench.order()
    bench.check_moved()
    assert bench.status()["instance"] == "paused"
    bench.guest.resume()
    bench.finish()


def test_a_guest_that_reboots_meanwhile(bench):
    """Its process stays, and so does the copy."""
    bench.attach(full=True)
    bench.order(rate=8 * MIB)
    bench.wait_copying()
    bench.guest.reset()
    bench.guest.wait_disk(bench.volume)
    bench.rate(0)
    bench.check_moved()
    bench.finish()


def test_a_read_only_disk(bench):
    bench.attach(full=True, mode="ro")
    bench.order()
    status = bench.wait_state("moved", "failed")
    assert status["state"] == "moved", status
    assert bench.guest.disk(bench.volume).find("readonly") is not None
    assert bench.guest.disk(bench.volume, inactive=True).find("readonly") is not None
    bench.detach()
    bench.check_tails()


def test_an_instance_that_does_not_run(bench):
    bench.attach()
    bench.guest.destroy()
    with pytest.raises(Refused, match="is shut off"):
        bench.order()
    assert bench.status()["instance"] == "shut off"
    bench.detach()
    assert bench.guest.disk(bench.volume, inactive=True) is None
