# SPDX-License-Identifier: Apache-2.0
"""Fixtures. DROVER_BUILDDIR names a build with --enable-faults."""
import os
import sys
import uuid

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(SRCDIR, "tests", "harness"))

import processes  # noqa: E402
import servers as server_module  # noqa: E402
from guest import Kit, Libvirt  # noqa: E402
from drover_compute import Hypervisor, Manager  # noqa: E402
from processes import wait_for  # noqa: E402

BUILDDIR = os.environ.get("DROVER_BUILDDIR", "")


def pytest_configure(config):
    if not os.path.exists(os.path.join(BUILDDIR, "compute/drover-compute")):
        raise pytest.UsageError("DROVER_BUILDDIR must name a finished build")


@pytest.fixture(scope="session")
def rabbit():
    rabbit = server_module.Rabbit(processes.temporary_directory())
    rabbit.start()
    yield rabbit
    rabbit.close()


@pytest.fixture(scope="session")
def kit():
    return Kit(BUILDDIR)


@pytest.fixture(scope="module")
def libvirt(kit):
    with Libvirt(kit) as libvirt:
        yield libvirt


@pytest.fixture(scope="module")
def manager(rabbit):
    manager = Manager(rabbit.url)
    yield manager
    manager.close()


@pytest.fixture(scope="module")
def compute(libvirt, rabbit):
    compute = Hypervisor(BUILDDIR, libvirt, rabbit.url)
    yield compute.start()
    compute.close()


@pytest.fixture(scope="module")
def module_guest(libvirt):
    return libvirt.guest()


class Bench:
    """One volume on one guest, from attach to verified bytes."""

    def __init__(self, guest, compute, manager):
        self.guest, self.compute, self.manager = guest, compute, manager
        self.libvirt, self.kit = guest.libvirt, guest.libvirt.kit
        self.volume = str(uuid.uuid4())
        self.target = str(uuid.uuid4())
        self.source_path = self.target_path = None

    def attach(self, full=False, mode="rw"):
        self.source_path = self.libvirt.image(self.volume, full=full)
        self.compute.call("attach_volume", instance_id=self.guest.uuid,
                          volume_id=self.volume, attachment_id=str(uuid.uuid4()), mode=mode,
                          connection_info=local(self.source_path))
        if mode == "rw":
            self.guest.wait_disk(self.volume)
        return self

    def keys(self):
        return {"instance_id": self.guest.uuid, "volume_id": self.volume,
                "target_id": self.target}

    def order(self, info=None, rate=0, **more):
        if info is None:
            self.target_path = self.libvirt.image(self.target)
            info = local(self.target_path)
        return self.compute.call("swap_volume", **self.keys(), mode="rw",
                                 connection_info=info, answer_to="server1@fast", rate=rate,
                                 **more)

    def status(self, **options):
        return self.compute.call("swap_status", **self.keys(), **options)

    def cancel(self):
        return self.compute.call("swap_cancel", **self.keys())

    def rate(self, rate):
        return self.compute.call("swap_rate", **self.keys(), rate=rate)

    def wait_state(self, *states, deadline=60):
        seen = []

        def there():
            seen[:] = [self.status()]
            return seen[0]["state"] in states

        try:
            wait_for(there, deadline, f"the swap is {' or '.join(states)}", every=0.1)
        except processes.Timeout as e:
            raise AssertionError(f"{e}; it says {seen}\n{self.compute.log()[-3000:]}")
        return seen[0]

    def wait_copying(self):
        """Some of it is copied."""
        wait_for(lambda: self.status()["done"] > 0, 30, "it copies")

    def finish(self, path=None):
        """The guest writes on, then the disk is taken from it and verified."""
        run, n = self.guest.wait_writing()
        self.detach()
        run, n = self.guest.acknowledged()
        self.verify(path or self.target_path, run, n)

    def verify(self, path, run, n):
        result = self.kit.verify(path, run, n)
        assert result["written"] > 0 and not result["lost"] and not result["torn"] and \
            not result["strange"], (result, run, n)

    def check_tails(self):
        """The random bytes that nobody writes are the same on both."""
        with open(self.source_path, "rb") as a, open(self.target_path, "rb") as b:
            for f in (a, b):
                f.seek(16 << 20)
            assert a.read() == b.read()

    def detach(self):
        self.compute.call("detach_volume", instance_id=self.guest.uuid,
                          volume_id=self.volume)

    def check_moved(self, path=None):
        """All that "moved" promises."""
        status = self.wait_state("moved", "failed", "held")
        assert status["state"] == "moved", (status, self.compute.log()[-3000:])
        assert status["target"] and not status["source"], status
        path = path or self.target_path
        assert self.guest.place(self.volume) == path
        assert self.guest.place(self.volume, inactive=True) == path
        assert not self.guest.mirrored(self.volume)
        assert self.manager.wait_told(self.volume) == (self.volume, self.target, False)
        assert not self.guest.errors()

    def check_stayed(self, state="failed"):
        """The guest is where it was, and nothing holds the target any more."""
        status = self.wait_state("moved", "failed", "cancelled", "held")
        assert status["state"] == state, (status, self.compute.log()[-3000:])
        assert status["source"] and not status["target"], status
        assert self.guest.place(self.volume) == self.source_path
        assert self.guest.place(self.volume, inactive=True) == self.source_path
        assert not self.guest.mirrored(self.volume)
        if state == "failed":
            assert self.manager.wait_told(self.volume) == (self.volume, self.target, True)
        return status


def local(path):
    """Connection info of a path on the hypervisor."""
    return {"driver_volume_type": "local", "data": {"device_path": path,
                                                    "access_mode": "rw"}}


@pytest.fixture
def bench(module_guest, compute, manager, request):
    """Everything runs, the guest has no disk."""
    guest = module_guest
    if guest.libvirt.pid is None:
        guest.libvirt.start()
    if compute.process.poll() is not None:
        compute.start()
    if guest.state() != "running":
        guest.start()
    bench = Bench(guest, compute, manager)
    request.node.drover_compute = compute
    yield bench
    if guest.libvirt.pid is None:
        guest.libvirt.start()
    if compute.process.poll() is not None:
        compute.start()
    if guest.state() == "paused":
        guest.resume()
    if bench.cancel()["state"] == "held":
        compute.call("swap_resolve", **bench.keys(), moved=False)
    bench.detach()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of the daemon's log."""
    outcome = yield
    report = outcome.get_result()
    compute = getattr(item, "drover_compute", None)
    if report.when == "call" and report.failed and compute:
        report.sections.append(("log of drover-compute", compute.log()[-2500:]))
