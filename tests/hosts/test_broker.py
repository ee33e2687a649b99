# SPDX-License-Identifier: Apache-2.0
"""The broker dies, stands still, or is out of reach, while a migration stands in every
phase. Work that is admitted does not need it."""
import signal

import pytest

import processes
from hosts import PHASES

# Seconds until all is over and tidy.
WITHIN = 40
# A manager waits for a silent broker for 5 s at a time, and does not renew its lease then.
LEASE = 12

pytestmark = pytest.mark.parametrize(
    "hosts", [{"lease_time": f"{LEASE}"}], indirect=True, ids=[""])


def as_before(hosts):
    hosts.network.heal()
    hosts.start_missing()
    held = hosts.stage(["migrate.settling"])
    hosts.go_on()
    hosts.ended(held, WITHIN)


def test_it_dies(hosts):
    held = hosts.stage(PHASES)
    hosts.rabbit.kill()
    hosts.go_on()
    hosts.ended(held, WITHIN)
    hosts.rabbit.start()
    as_before(hosts)


def test_it_stands_still(hosts):
    held = hosts.stage(PHASES)
    pids = [hosts.rabbit.process.pid] + processes.descendants(hosts.rabbit.process.pid)
    hosts.signal(signal.SIGSTOP, pids)
    hosts.go_on()
    hosts.ended(held, WITHIN)
    hosts.signal(signal.SIGCONT, pids)
    as_before(hosts)


@pytest.mark.parametrize("host", ["server1", "server2"])
def test_it_is_out_of_reach(hosts, host):
    held = hosts.stage(PHASES)
    hosts.network.cut(host, "broker")
    hosts.go_on()
    hosts.ended(held, WITHIN)
    as_before(hosts)
