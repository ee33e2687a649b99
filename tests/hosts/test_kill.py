# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of each process while a migration stands in every phase."""
import time

from hosts import BEFORE_SWITCH, PEER, PHASES, POINTS

# Seconds until all is over and tidy: a few rounds of a worker that begins again.
WITHIN = 40


def test_the_workers_of_the_source(hosts):
    held = hosts.stage(POINTS)
    hosts.kill(hosts.workers_on("server1"))
    hosts.go_on()
    hosts.ended(held, WITHIN)


def test_everything_on_the_target_but_its_manager(hosts):
    """The servers of exports, who reads back, who makes the temporary volume."""
    held = hosts.stage(BEFORE_SWITCH)
    assert hosts.servers() and hosts.readers() and hosts.workers_on("server2")
    hosts.kill(hosts.servers() + hosts.readers() + hosts.workers_on("server2"))
    hosts.go_on()
    hosts.ended(held, WITHIN)


def test_servers_of_a_copy_that_is_slow(hosts):
    """A connection that is lost for the first time is made anew, however long the copy has
    taken until then."""
    held = hosts.stage(["copy.chunk"])
    time.sleep(PEER + 1)
    hosts.kill(hosts.servers())
    hosts.go_on()
    hosts.ended(held, WITHIN)


def test_the_manager_of_the_source(hosts):
    held = hosts.stage(PHASES)
    hosts.manager.kill()
    hosts.go_on()
    hosts.manager.start()
    hosts.ended(held, WITHIN)


def test_the_manager_of_the_target(hosts):
    held = hosts.stage(PHASES)
    hosts.target.kill()
    hosts.go_on()
    hosts.target.start()
    hosts.ended(held, WITHIN)


def test_the_scheduler(hosts):
    """Nobody misses it, not even for what was admitted already."""
    held = hosts.stage(["migrate.settling", "copy.chunk", "migrate.preparing.named"])
    hosts.scheduler.kill()
    hosts.go_on()
    hosts.ended(held, WITHIN)


def test_the_database(hosts):
    held = hosts.stage(PHASES)
    hosts.postgres.kill()
    hosts.go_on()
    hosts.postgres.start()
    hosts.ended(held, WITHIN)
