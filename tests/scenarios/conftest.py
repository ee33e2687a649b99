# SPDX-License-Identifier: Apache-2.0
"""Fixtures. DROVER_BUILDDIR names a build with --enable-faults."""
import os
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(SRCDIR, "tests", "harness"))

import nfs_cloud  # noqa: E402
import processes  # noqa: E402
import servers as server_module  # noqa: E402
from cloud import Cloud  # noqa: E402
from nfs_cloud import NfsCloud  # noqa: E402
from peer import Peer  # noqa: E402

BUILDDIR = os.environ.get("DROVER_BUILDDIR", "")


def pytest_configure(config):
    if not os.path.exists(os.path.join(BUILDDIR, "volume-manager/drover-worker")):
        raise pytest.UsageError("DROVER_BUILDDIR must name a finished build")


@pytest.fixture(scope="session")
def servers():
    """One PostgreSQL and one RabbitMQ for all; a cloud takes a database and a virtual
    host of its own in them."""
    with server_module.started() as both:
        yield both


@pytest.fixture(scope="module")
def make_cloud(servers):
    """Clouds with options of their own; closed when the module is done."""
    made = []

    def make(**options):
        made.append(Cloud(BUILDDIR, options.pop("servers", servers), srcdir=SRCDIR, **options))
        return made[-1]

    yield make
    for cloud in made:
        cloud.close()


@pytest.fixture(scope="module")
def module_cloud(make_cloud):
    return make_cloud()


@pytest.fixture
def cloud(module_cloud, request):
    """The module's cloud: running, no point held, tidy before and after."""
    for daemon in (module_cloud.scheduler, module_cloud.manager):
        if not daemon.running():
            daemon.start()
            module_cloud.wait_ready()
    request.node.drover_cloud = module_cloud
    yield module_cloud
    module_cloud.points.release()


@pytest.fixture(scope="module")
def module_nfs(servers):
    """A cloud whose backends are NFS shares."""
    why = nfs_cloud.can_be_had()
    if why:
        pytest.skip(f"skipped, because {why}")
    cloud = NfsCloud(BUILDDIR, processes.temporary_directory("drover-nfs-"),
                     servers=servers, srcdir=SRCDIR, drover={"worker_timeout": "8"})
    yield cloud
    cloud.close()


@pytest.fixture
def nfs(module_nfs, request):
    request.node.drover_cloud = module_nfs
    yield module_nfs
    module_nfs.points.release()


@pytest.fixture
def peer(cloud):
    peer = Peer(cloud)
    yield peer
    peer.close()


@pytest.fixture
def mounted():
    """Mount a new file system of so many MiB; skips where that is not allowed."""
    yield from _mounts()


@pytest.fixture(scope="module")
def module_mounted():
    """The same for all tests of a module."""
    yield from _mounts()


def _mounts():
    points = []

    def mount(kind, size_mib, options=()):
        if os.getuid() != 0:
            pytest.skip("skipped, because mounting needs root")
        base = processes.temporary_directory("drover-mount-")
        point = os.path.join(base, "m")
        os.mkdir(point)
        if kind == "tmpfs":
            command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", point]
        else:
            image = os.path.join(base, "image")
            with open(image, "wb") as f:
                f.truncate(size_mib << 20)
            subprocess.run([f"mkfs.{kind}", "-q", *options, image], check=True,
                           stdout=subprocess.DEVNULL)
            command = ["mount", "-o", "loop", image, point]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            pytest.skip(f"skipped, because this machine cannot mount {kind}: "
                        f"{done.stderr.strip()}")
        points.append((base, point))
        return point

    yield mount
    for base, point in points:
        subprocess.run(["umount", "-l", point], check=False)
        processes.remove_directory(base)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the ends of the daemons' logs."""
    outcome = yield
    report = outcome.get_result()
    cloud = getattr(item, "drover_cloud", None)
    if report.when == "call" and report.failed and cloud:
        processes.show_logs(report, (cloud.scheduler, cloud.manager))
