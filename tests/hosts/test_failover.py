# SPDX-License-Identifier: Apache-2.0
"""The database is failed over to an asynchronous standby that misses the last commits; the
old primary never comes back."""
import time

import pytest

from conftest import BUILDDIR, SRCDIR
from hosts import POINTS, SOURCE, TARGET, Hosts

# Seconds from the promotion until all is over and tidy.
WITHIN = 60


@pytest.fixture
def hosts(machines, request):
    """A database and a standby of its own for each test."""
    primary = machines.new_postgres()
    standby = machines.new_standby(primary)
    hosts = request.node.drover_cloud = Hosts(machines, BUILDDIR, SRCDIR, primary, standby)
    yield hosts
    hosts.close(check=not request.node.failed_call)
    standby.close()
    primary.close()


def fail_over(hosts):
    assert hosts.standby.missing_bytes() > 0, "the standby misses nothing"
    hosts.postgres.kill()
    hosts.standby.promote()
    hosts.postgres = hosts.standby


@pytest.mark.parametrize("seconds", [0.3, 2])
def test_in_every_phase(hosts, seconds):
    """What each migration did for so many seconds is forgotten."""
    held = hosts.stage(POINTS)
    hosts.wait_for(hosts.standby.in_step, 10, "the standby has followed")
    hosts.network.cut("db", "db2")
    hosts.go_on()
    time.sleep(seconds)
    fail_over(hosts)
    hosts.ended(held, WITHIN)


def test_a_request_is_forgotten(hosts):
    """A migration that began after the standby stood still either ends as ever or was
    never asked for."""
    volumes = hosts.filled(3)
    hosts.wait_for(hosts.standby.in_step, 10, "the standby has followed")
    hosts.network.cut("db", "db2")
    for volume in volumes:
        hosts.drover("migrate", volume, TARGET)
    time.sleep(2)
    fail_over(hosts)
    for volume, digest in volumes.items():
        row = hosts.wait_for(
            lambda: (v := hosts.volume(volume)) and not v["migration_status"] and v, WITHIN,
            f"the volume is free within {WITHIN} s")
        done = hosts.migration(volume)
        assert row["status"] == "available"
        assert row["host"] == (TARGET if done and done["phase"] == "done" else SOURCE)
        assert hosts.digest(volume) == digest
    hosts.leftovers(WITHIN)
