# SPDX-License-Identifier: Apache-2.0
"""Targets of other kinds, and managers that do not answer."""
import hashlib
import os
import subprocess
import uuid

import pytest
from conftest import local
from drover_compute import Refused
from processes import alive, free_port, spawn, wait_for

MIB = 1 << 20


class Nbd:
    """An nbdkit on a file; failing: the file whose presence makes writes fail."""

    def __init__(self, bench):
        self.path, self.port = bench.libvirt.image(bench.target), free_port()
        self.export, self.failing = str(uuid.uuid4()), f"{self.path}.failing"
        self.process = None

    def start(self, *options):
        self.process = spawn(
            ["nbdkit", "-f", *options, "-i", "127.0.0.1", "-p", str(self.port), "--filter=error",
             "file", self.path, "error-pwrite=EIO", "error-pwrite-rate=100%",
             f"error-pwrite-file={self.failing}"])
        return self

    def info(self, **more):
        return {"driver_volume_type": "nbd", "data": {
            "uri": f"nbd://127.0.0.1:{self.port}/{self.export}", "address": "127.0.0.1",
            "port": self.port, "export": self.export, **more}}

    def stop(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def nbd(bench):
    nbd = Nbd(bench).start()
    yield nbd
    if nbd.process.poll() is None:
        bench.detach()
        nbd.stop()


def test_to_a_server(bench, nbd):
    bench.attach(full=True)
    bench.order(nbd.info())
    bench.target_path = nbd.path
    bench.check_moved(path=nbd.export)
    bench.finish()
    bench.check_tails()


def test_to_a_server_with_certificates(bench, nbd):
    """Those of libvirt's own configuration."""
    nbd.stop()
    nbd.start("--tls=require", f"--tls-certificates={bench.libvirt.pki}",
              "--tls-verify-peer")
    bench.attach(full=True)
    bench.order(nbd.info(tls="certificates"))
    bench.target_path = nbd.path
    bench.check_moved(path=nbd.export)
    assert bench.guest.disk(bench.volume, inactive=True).find("source").get("tls") == "yes"
    bench.finish()
    bench.check_tails()


def test_the_target_fails_while_it_is_copied_to(bench, nbd):
    bench.attach(full=True)
    bench.order(nbd.info(), rate=4 * MIB)
    bench.wait_copying()
    with open(nbd.failing, "w"):
        pass
    status = bench.check_stayed()
    assert "could not be written" in status["reason"]
    assert not bench.guest.errors()
    bench.finish(bench.source_path)


def test_the_targets_server_is_killed(bench, nbd):
    bench.attach(full=True)
    bench.order(nbd.info(), rate=4 * MIB)
    bench.wait_copying()
    nbd.stop()
    bench.check_stayed()
    bench.finish(bench.source_path)


def test_to_a_block_device(bench):
    bench.target_path = bench.libvirt.image(bench.target)
    done = subprocess.run(["losetup", "-f", "--show", bench.target_path],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        pytest.skip(f"skipped, because there are no loop devices: {done.stderr.strip()}")
    device = done.stdout.strip()
    try:
        os.chmod(device, 0o666)
        bench.attach(full=True)
        bench.order(local(device))
        bench.check_moved(path=device)
        assert bench.guest.disk(bench.volume, inactive=True).get("type") == "block"
        bench.finish(device)
    finally:
        bench.detach()
        os.chmod(device, 0o660)
        subprocess.run(["losetup", "-d", device], check=True)


def test_to_a_share(bench):
    """Mounted where os-brick and a backend of driver nfs have it."""
    if os.getuid() != 0:
        pytest.skip("skipped, because mounting needs root")
    share, behind = "127.0.0.1:/shares/a", f"{bench.libvirt.images}/share"
    point = f"{bench.compute.directory}/mnt/{hashlib.md5(share.encode()).hexdigest()}"
    for path in (behind, point):
        os.makedirs(path)
    subprocess.run(["mount", "--bind", behind, point], check=True)
    try:
        bench.attach(full=True)
        bench.target_path = f"{point}/volume-{bench.target}"
        os.rename(bench.libvirt.image(bench.target), f"{behind}/volume-{bench.target}")
        bench.order({"driver_volume_type": "nfs", "data": {
            "export": share, "name": f"volume-{bench.target}", "format": "raw",
            "options": None}})
        bench.check_moved()
        bench.finish()
        bench.check_tails()
    finally:
        bench.detach()
        subprocess.run(["umount", "-l", point], check=True)
    with pytest.raises(Refused, match="is not mounted|only root"):
        bench.compute.call("attach_volume", instance_id=bench.guest.uuid,
                           volume_id=bench.volume, attachment_id="", mode="rw",
                           connection_info={"driver_volume_type": "nfs", "data": {
                               "export": share, "name": f"volume-{bench.target}"}})


def test_the_manager_is_told_until_it_answers(bench):
    bench.attach()
    bench.manager.silent = True
    try:
        bench.order()
        wait_for(lambda: len(bench.manager.of(bench.volume)) > 0, 30, "it is told")
        bench.compute.restart()
    finally:
        bench.manager.silent = False
    wait_for(lambda: len(bench.manager.of(bench.volume)) > 1, 30, "it is told again")
    wait_for(lambda: "the volume manager knows volume=" + bench.volume in
             bench.compute.log(), 20, "it has heard the answer")
    bench.check_moved()


def test_a_manager_that_refuses_is_not_asked_again(bench):
    bench.attach()
    bench.manager.refusal = "volume is not migrating"
    try:
        bench.order()
        bench.manager.wait_told(bench.volume)
        wait_for(lambda: "refuses the end of a swap" in bench.compute.log(), 10, "it is noted")
    finally:
        bench.manager.refusal = None
    bench.compute.restart()
    bench.guest.wait_writing()
    assert len(bench.manager.of(bench.volume)) == 1


def test_one_daemon_at_a_time(bench):
    second = type(bench.compute)(os.environ["DROVER_BUILDDIR"], bench.libvirt,
                                 bench.compute.url, "hyper2")
    second.config = bench.compute.config
    second.start(wait=False)
    assert second.process.wait(20) == 1
    assert "another drover-compute works with" in second.log()
    assert alive(bench.compute.process.pid)
    with pytest.raises(Refused):
        bench.compute.call("get_log_levels")
