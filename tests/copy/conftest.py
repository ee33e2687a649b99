# SPDX-License-Identifier: Apache-2.0
"""drover-copy alone. DROVER_BUILDDIR names a build with --enable-faults."""
import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
SRCDIR = os.path.abspath(os.path.join(HERE, "..", ".."))
sys.path.insert(0, os.path.join(SRCDIR, "tests", "harness"))

BUILDDIR = os.environ.get("DROVER_BUILDDIR", "")


def pytest_configure(config):
    if not os.path.exists(os.path.join(BUILDDIR, "copy/drover-copy")):
        raise pytest.UsageError("DROVER_BUILDDIR must name a finished build")
