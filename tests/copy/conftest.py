# SPDX-License-Identifier: Apache-2.0
"""drover-copy alone. DROVER_BUILDDIR names a build with --enable-faults."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(SRCDIR, "tests", "harness"))

import processes  # noqa: E402
from endpoints import Server  # noqa: E402

BUILDDIR = os.environ.get("DROVER_BUILDDIR", "")


def pytest_configure(config):
    if not os.path.exists(os.path.join(BUILDDIR, "copy/drover-copy")):
        raise pytest.UsageError("DROVER_BUILDDIR must name a finished build")


@pytest.fixture
def place():
    """A directory."""
    directory = processes.temporary_directory("drover-copy-")
    yield directory
    processes.remove_directory(directory)


@pytest.fixture
def closing(place):
    """Give it what is to be closed, before the directory goes."""
    things = []

    def remember(thing):
        things.append(thing)
        return thing

    yield remember
    for thing in reversed(things):
        thing.close()


@pytest.fixture
def serve(place, closing):
    """Start nbdkit with these arguments."""
    return lambda *arguments, **options: closing(Server(place, *arguments, **options))
