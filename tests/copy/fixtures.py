# SPDX-License-Identifier: Apache-2.0
"""What several of the files want besides conftest.py: from fixtures import ..."""
import os

import pytest

from shapes import MIB, Shape, write_old

# Three MiB of data, one of nothing, two of data.
VOLUME = Shape("faults", 6 * MIB, [(0, 3 * MIB, True), (4 * MIB, 2 * MIB, True)])
IN_DATA, IN_HOLE = 2 * MIB + 5000, 3 * MIB + (500 << 10)
# So long a copy may take; what hangs would hang longer.
SOON = 50


@pytest.fixture
def source(place):
    return VOLUME.write(os.path.join(place, "source"))


@pytest.fixture
def old(place):
    """A target full of old data, as large as the volume."""
    return write_old(os.path.join(place, "target"), VOLUME.size)


@pytest.fixture
def new(place):
    return os.path.join(place, "target")
