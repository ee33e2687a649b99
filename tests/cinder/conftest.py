# SPDX-License-Identifier: Apache-2.0
"""Fixtures. DROVER_BUILDDIR names a build with --enable-faults."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(SRCDIR, "tests", "harness"))

import cinder_api  # noqa: E402
import cinder_cloud  # noqa: E402
import processes  # noqa: E402
import servers as server_module  # noqa: E402

BUILDDIR = os.environ.get("DROVER_BUILDDIR", "")


def pytest_configure(config):
    if not os.path.exists(os.path.join(BUILDDIR, "volume-manager/drover-worker")):
        raise pytest.UsageError("DROVER_BUILDDIR must name a finished build")


@pytest.fixture(scope="session")
def make_cloud():
    """The one cloud of this run; options as those of CinderCloud."""
    why = cinder_api.missing()
    if why:
        pytest.skip(f"skipped, because {why}")
    made = []

    def make(**options):
        made.append(cinder_cloud.CinderCloud(BUILDDIR, servers=both, srcdir=SRCDIR,
                                             **options))
        return made[-1]

    with server_module.started() as both:
        yield make
        for cloud in made:
            cloud.close()


@pytest.fixture(scope="session")
def session_cloud(make_cloud):
    return make_cloud()


@pytest.fixture
def cloud(session_cloud, request):
    """The cloud, empty, with everything running and no point held. When the test has
    passed, nothing may be left of it but volumes, and quotas must say what rows do; then
    its volumes are deleted, and nothing at all may be left."""
    for daemon in session_cloud.daemons():
        if not daemon.running():
            daemon.start()
    request.node.drover_cloud = session_cloud
    yield session_cloud
    session_cloud.points.release()
    if request.node.passed_call:
        session_cloud.tidy()
        session_cloud.delete_all()
        session_cloud.tidy()
    else:
        session_cloud.empty()
        session_cloud.excuse()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the ends of the daemons' logs."""
    outcome = yield
    report = outcome.get_result()
    if report.when == "setup":
        item.passed_call = False
    if report.when == "call":
        item.passed_call = report.passed
    cloud = getattr(item, "drover_cloud", None)
    if report.when != "setup" and report.failed and cloud:
        processes.show_logs(report, [*cloud.daemons(), cloud.api])
