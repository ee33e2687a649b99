# SPDX-License-Identifier: Apache-2.0
"""Cables are cut while a migration stands in every phase, for longer than a lease: nothing
arrives and nobody is told so."""
import time

import pytest

from hosts import BEFORE_SWITCH, LEASE, PHASES, RELEASED
from processes import wait_for

# Seconds from the repair until all is over and tidy. TCP tries again ever more seldom; a
# connection to the database is given up after 15 s.
WITHIN = 60


def healed_after(hosts, seconds):
    hosts.go_on()
    time.sleep(seconds)
    hosts.network.heal()


def test_between_the_hosts(hosts):
    held = hosts.stage(PHASES)
    hosts.network.cut("server1", "server2")
    healed_after(hosts, LEASE + 2)
    hosts.ended(held, WITHIN)


def test_one_way_between_the_hosts(hosts):
    held = hosts.stage(BEFORE_SWITCH)
    hosts.network.cut_one_way("server2", "server1")
    healed_after(hosts, LEASE + 2)
    hosts.ended(held, WITHIN)


@pytest.mark.parametrize("cut", [["server1"], ["server2"], ["server1", "server2"]],
                         ids=["source", "target", "both"])
def test_from_the_database(hosts, cut):
    held = hosts.stage(PHASES)
    hosts.network.cut("db", *cut)
    healed_after(hosts, LEASE + 2)
    hosts.ended(held, WITHIN)


def test_the_source_from_everything_for_too_long(hosts):
    """Its migrations are taken back, and when it is there again it accepts that."""
    held = hosts.stage(PHASES)
    began = time.monotonic()
    hosts.network.cut_off("server1")
    hosts.go_on()
    wait_for(lambda: not hosts.workers_on("server1"), LEASE + 5,
             "nobody works there when the lease is over")
    hosts.released({p: held[p] for p in BEFORE_SWITCH}, RELEASED, since=began)
    hosts.network.heal()
    hosts.ended(held, WITHIN, failed=BEFORE_SWITCH)


def test_the_target_from_everything_for_too_long(hosts):
    held = hosts.stage(PHASES)
    began = time.monotonic()
    hosts.network.cut_off("server2")
    hosts.go_on()
    # What was only to be switched needs the target no more.
    back = [p for p in BEFORE_SWITCH if p != "migrate.switch"]
    hosts.released({p: held[p] for p in back}, RELEASED, since=began)
    hosts.network.heal()
    hosts.ended(held, WITHIN, failed=back)
