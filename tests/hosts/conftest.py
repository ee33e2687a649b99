# SPDX-License-Identifier: Apache-2.0
"""Fixtures. DROVER_BUILDDIR names a build with --enable-faults."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(SRCDIR, "tests", "harness"))

import network  # noqa: E402
from hosts import Hosts, Machines  # noqa: E402

BUILDDIR = os.environ.get("DROVER_BUILDDIR", "")


def pytest_configure(config):
    if not os.path.exists(os.path.join(BUILDDIR, "volume-manager/drover-worker")):
        raise pytest.UsageError("DROVER_BUILDDIR must name a finished build")


@pytest.fixture(scope="session")
def machines():
    why = "it needs root" if os.getuid() != 0 else network.missing()
    if why:
        pytest.skip(f"skipped, because {why}")
    machines = Machines()
    yield machines
    machines.close()


@pytest.fixture(scope="module")
def kept(machines):
    """The cloud of the tests of a module, as long as they pass."""
    holder = {}
    yield holder
    if "hosts" in holder:
        holder.pop("hosts").close()


@pytest.fixture
def hosts(machines, kept, request):
    """Two hosts with nothing going on, everything running and every cable plugged in. The
    parameter: options of [drover]."""
    if "hosts" not in kept:
        kept["hosts"] = Hosts(machines, BUILDDIR, SRCDIR,
                              drover=getattr(request, "param", None))
    hosts = request.node.drover_cloud = kept["hosts"]
    hosts.start_missing()
    yield hosts
    hosts.points.release()
    hosts.network.heal()
    if request.node.failed_call:
        kept.pop("hosts").close(check=False)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the ends of the daemons' logs."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "setup":
        item.failed_call = False
    if report.when == "call" and report.failed:
        item.failed_call = True
        cloud = getattr(item, "drover_cloud", None)
        processes.show_logs(report, cloud.daemons() if cloud else [], 3000)
