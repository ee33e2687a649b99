# SPDX-License-Identifier: Apache-2.0
"""bench/api works. What it says of speed beside other tests is worth nothing."""
import json
import os
import subprocess

import pytest

import cinder_api
import cinder_services
from conftest import BUILDDIR, SRCDIR


def test_both_sides_are_measured():
    why = cinder_api.missing() or cinder_services.missing()
    if why:
        pytest.skip(f"skipped, because {why}")
    done = subprocess.run(
        [os.path.join(SRCDIR, "bench", "api"), "--json", "--runs", "1", "--builddir",
         BUILDDIR], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=800)
    assert done.returncode == 0, done.stderr[-3000:]
    result = json.loads(done.stdout)
    for who in ("drover", "cinder"):
        assert result[who]["pss_mib"] > 0
        for key in ("create_seconds", "migrate_seconds"):
            one = result[who][key]
            assert 0 < one["min"] <= one["median"] <= one["max"]
    assert set(result["ratios"]) == {"migrate", "create", "memory"}
