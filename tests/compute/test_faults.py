# SPDX-License-Identifier: Apache-2.0
"""Every part dies at every moment; the guest's writes are all there, once."""
import os
import uuid

import pytest
from conftest import local
from processes import wait_for

MIB = 1 << 20

# What drover-compute passes on the way of a swap, in order. The saves between them (compute.save)
# come right behind another point; one stands for all.
POINTS = ["compute.order", "compute.ordered", "compute.copy", "compute.copying",
          "compute.save#3", "compute.block", "compute.blocked", "compute.pivot",
          "compute.pivoted", "compute.define", "compute.defined", "compute.answer",
          "compute.answered"]


def order_until_taken(bench):
    """A caller that hears nothing asks again."""
    bench.target_path = bench.target_path or bench.libvirt.image(bench.target)
    try:
        bench.order(local(bench.target_path), timeout=3)
    except TimeoutError:
        pass


@pytest.mark.parametrize("point", POINTS)
def test_the_daemon_is_killed(bench, point):
    bench.attach()
    bench.compute.restart(faults=f"{point}=kill")
    order_until_taken(bench)
    bench.compute.wait_dead()
    bench.compute.start()
    order_until_taken(bench)
    bench.check_moved()
    bench.finish()


def test_the_daemon_is_killed_while_it_copies(bench):
    bench.attach(full=True)
    bench.order(rate=4 * MIB)
    bench.wait_copying()
    bench.compute.restart()
    assert bench.status()["state"] == "copying"
    bench.wait_copying()
    bench.rate(0)
    bench.check_moved()
    bench.finish()
    bench.check_tails()


def test_the_daemon_is_killed_while_it_withdraws(bench):
    bench.attach(full=True)
    bench.compute.restart(faults="compute.withdraw=kill")
    bench.order(rate=4 * MIB)
    bench.wait_copying()
    with pytest.raises(TimeoutError):
        bench.compute.call("swap_cancel", timeout=2, **bench.keys())
    bench.compute.wait_dead()
    bench.compute.start()
    bench.check_stayed("cancelled")
    bench.finish(bench.source_path)


def test_a_stop_in_good_order(bench):
    """Nothing leaks, and the copy goes on without it."""
    bench.attach(full=True)
    bench.order(rate=4 * MIB)
    bench.wait_copying()
    bench.compute.stop()
    assert bench.guest.mirrored(bench.volume)
    bench.compute.start()
    bench.rate(0)
    bench.check_moved()
    bench.finish()


def test_libvirt_is_killed_while_it_copies(bench):
    bench.attach(full=True)
    bench.order(rate=4 * MIB)
    bench.wait_copying()
    bench.libvirt.kill()
    # Not an answer that could be taken for a refusal.
    with pytest.raises(TimeoutError):
        bench.status(timeout=2)
    bench.guest.wait_writing()
    bench.libvirt.start()
    bench.wait_copying()
    bench.rate(0)
    bench.check_moved()
    bench.finish()
    bench.check_tails()


class Held:
    """The daemon stands at a point until it is let go."""

    def __init__(self, bench, point):
        self.bench, self.file = bench, f"{bench.compute.state}/{uuid.uuid4()}"
        bench.compute.restart(faults=f"{point}=hold:{self.file}")

    def wait(self):
        wait_for(lambda: os.path.exists(self.file), 60, "the point is reached")

    def release(self):
        with open(f"{self.file}.go", "w"):
            pass


@pytest.mark.parametrize("point", ["compute.copying", "compute.blocked", "compute.pivot",
                                   "compute.pivoted", "compute.defined"])
def test_libvirt_is_killed_between_two_steps(bench, point):
    bench.attach()
    held = Held(bench, point)
    bench.order()
    held.wait()
    bench.libvirt.kill()
    held.release()
    bench.libvirt.start()
    bench.check_moved()
    bench.finish()


def start_refused(bench):
    done = bench.libvirt.virsh("start", bench.guest.name, check=False)
    return done.returncode != 0 and "drover-is-moving-volume" in done.stdout


def wait_off(bench):
    wait_for(lambda: bench.guest.state() == "shut off", 30, "the guest is off")


@pytest.mark.parametrize("point", ["compute.copying", "compute.block", "compute.blocked"])
def test_the_guest_dies_before_it_goes_over(bench, point):
    """It is started with its old disk again, which has all it wrote."""
    bench.attach()
    held = Held(bench, point)
    bench.order()
    held.wait()
    bench.guest.crash()
    wait_off(bench)
    assert point != "compute.blocked" or start_refused(bench)
    held.release()
    status = bench.wait_state("failed", "held")
    assert status["state"] == "failed"
    assert status["source"] and not status["target"]
    assert bench.guest.place(bench.volume, inactive=True) == bench.source_path
    assert bench.manager.wait_told(bench.volume)[2] is True
    bench.verify(bench.source_path, *bench.guest.acknowledged())
    bench.guest.start()
    bench.guest.wait_disk(bench.volume)


@pytest.mark.parametrize("moved", [True, False])
def test_the_guest_dies_while_it_goes_over(bench, moved):
    """Nobody can say where its last writes are; it cannot be started; somebody decides."""
    bench.attach()
    held = Held(bench, "compute.pivoted" if moved else "compute.pivot")
    bench.order()
    held.wait()
    bench.guest.wait_writing()
    bench.guest.crash()
    wait_off(bench)
    bench.compute.restart()
    status = bench.wait_state("held")
    assert "cannot be proven" in status["reason"]
    assert start_refused(bench)
    assert not bench.manager.of(bench.volume)
    assert bench.cancel()["state"] == "held"
    status = bench.compute.call("swap_resolve", **bench.keys(), moved=moved)
    assert status["state"] == ("moved" if moved else "failed")
    path = bench.target_path if moved else bench.source_path
    assert bench.guest.place(bench.volume, inactive=True) == path
    assert bench.manager.wait_told(bench.volume)[2] is not moved
    bench.verify(path, *bench.guest.acknowledged())
    bench.guest.start()
    bench.guest.wait_disk(bench.volume)


def test_the_guest_dies_when_it_has_gone_over(bench):
    bench.attach()
    held = Held(bench, "compute.define")
    bench.order()
    held.wait()
    bench.guest.wait_writing()
    bench.guest.crash()
    wait_off(bench)
    assert start_refused(bench)
    held.release()
    status = bench.wait_state("moved", "held", "failed")
    assert status["state"] == "moved" and status["target"] and not status["source"]
    bench.verify(bench.target_path, *bench.guest.acknowledged())
    bench.guest.start()
    bench.guest.wait_disk(bench.volume)


def test_the_instance_is_destroyed_while_its_disk_is_copied(bench):
    bench.attach(full=True)
    bench.order(rate=4 * MIB)
    bench.wait_copying()
    bench.guest.destroy()
    status = bench.wait_state("failed")
    # "shut off", or "in shutdown" when its end was seen first.
    assert "shut" in status["reason"] and status["source"]
    bench.verify(bench.source_path, *bench.guest.acknowledged())


def test_the_instance_is_started_anew_while_its_disk_is_copied(bench):
    bench.attach(full=True)
    held = Held(bench, "compute.copying")
    bench.order(rate=4 * MIB)
    held.wait()
    bench.guest.destroy()
    bench.guest.start()
    bench.guest.wait_disk(bench.volume)
    held.release()
    status = bench.check_stayed()
    assert "anew" in status["reason"]
    bench.finish(bench.source_path)
