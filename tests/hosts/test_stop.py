# SPDX-License-Identifier: Apache-2.0
"""SIGSTOP of each process for longer than a lease, and SIGCONT, while a migration stands
in every phase: who wakes up finds the world changed and does no harm."""
import signal
import time

import processes
from hosts import BEFORE_SWITCH, LEASE, PHASES

# Seconds from SIGCONT until all is over and tidy.
WITHIN = 40
PAUSE = LEASE + 2


def paused(hosts, pids, held):
    """What is held goes on while pids stand still."""
    hosts.signal(signal.SIGSTOP, pids)
    hosts.go_on()
    time.sleep(PAUSE)
    hosts.signal(signal.SIGCONT, pids)
    hosts.ended(held, WITHIN)


def tree(server):
    return [server.process.pid] + processes.descendants(server.process.pid)


def test_the_workers_of_the_source(hosts):
    held = hosts.stage(PHASES)
    paused(hosts, hosts.workers_on("server1"), held)


def test_everything_on_the_target_but_its_manager(hosts):
    held = hosts.stage(BEFORE_SWITCH)
    assert hosts.servers() and hosts.readers() and hosts.workers_on("server2")
    paused(hosts, hosts.servers() + hosts.readers() + hosts.workers_on("server2"), held)


def test_the_manager_of_the_source(hosts):
    held = hosts.stage(PHASES)
    paused(hosts, [hosts.manager.pid], held)


def test_the_manager_of_the_target(hosts):
    held = hosts.stage(PHASES)
    paused(hosts, [hosts.target.pid], held)


def test_all_of_the_source(hosts):
    """As a machine that hangs for a while."""
    held = hosts.stage(PHASES)
    paused(hosts, list(hosts.running("server1")), held)


def test_all_of_the_target(hosts):
    held = hosts.stage(PHASES)
    paused(hosts, list(hosts.running("server2")), held)


def test_the_database(hosts):
    held = hosts.stage(PHASES)
    paused(hosts, tree(hosts.postgres), held)
