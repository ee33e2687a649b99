# SPDX-License-Identifier: Apache-2.0
"""Two managers of one host name: one owns the backends, the other waits, takes over when
the first has ended, and finishes what it began. Whoever has lost the lease does no harm."""
import os
import signal

import nbd
import pytest

import processes
from cloud import MIB, Daemon
from processes import wait_for
from relay import Relay

WAITS = "waiting for its lease to end"
QUEUE = "cinder-volume.server1@fast.server1"


class Pair:
    """cloud.manager is the one that has the lease: who is told to be alive."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.relay = Relay(cloud.postgres.port)
        self.daemons = {}
        for name in ("first", "second"):
            for lease in ("5", "15", "600"):
                cloud.drover_options["lease_time"] = lease
                config = cloud.write_config(
                    f"{name}-{lease}.conf", {"state_path": f"{cloud.tmp}/{name}"})
                self.daemons[name, lease] = Daemon(
                    cloud, f"{name}-{lease}", "manager", ["--config-file", config])
        # A first one that can be cut off from the database.
        cloud.drover_options["lease_time"] = "5"
        config = cloud.write_config(
            "first-cut.conf", {"state_path": f"{cloud.tmp}/first"},
            database=cloud.postgres.url_of(cloud.database).replace(
                str(cloud.postgres.port), str(self.relay.port)))
        self.daemons["first", "cut"] = Daemon(
            cloud, "first-cut", "manager", ["--config-file", config])
        self.daemons["second", "cut"] = self.daemons["second", "5"]

    def start(self, lease):
        """The first has the lease; the second has said that it waits."""
        self.first = self.daemons["first", lease]
        self.second = self.daemons["second", lease]
        self.cloud.manager = self.first.start()
        self.cloud.wait_ready()
        self.second.start()
        self.wait_for(lambda: WAITS in self.said(self.second), "the second waits")

    def said(self, daemon):
        """Since its last start."""
        return daemon.log().rpartition("--- start")[2]

    def wait_for(self, predicate, what, deadline=60):
        return wait_for(lambda: self._sound() and predicate(), deadline, what)

    def _sound(self):
        status = self.second.process and self.second.process.poll()
        assert status in (None, 0, -9), self.said(self.second)[-3000:]
        return True

    def worker_dies(self, worker):
        """While the second is kept from looking, so that this is not its doing."""
        self.second.process.send_signal(signal.SIGSTOP)
        self.wait_for(lambda: not processes.alive(worker), "its worker is killed")
        assert self.lease()["pid"] == self.first.pid
        marker = f"{self.cloud.points.directory}/copy.chunk"
        if os.path.exists(marker):  # the second's worker makes it anew
            os.unlink(marker)

    def lease(self):
        """The lease on server1@fast; that on the other backend is the same."""
        return self.cloud.sql1(
            "select *, expires_at as until from drover.manager where host ="
            " 'server1@fast'")

    def taken_over(self):
        """The second has both leases; what is asked for now is its."""
        self.second.process.send_signal(signal.SIGCONT)
        self.wait_for(lambda: self.cloud.sql1(
            "select count(*) as n from drover.manager where pid = %s",
            self.second.pid)["n"] == 2, "the second has taken over")
        self.cloud.manager = self.second

    def end(self):
        for daemon in (self.second, self.first):
            if daemon.running():
                daemon.process.send_signal(signal.SIGCONT)
                daemon.stop()
        self.cloud.manager = self.daemons["first", "5"]


@pytest.fixture(scope="module")
def module_pair(make_cloud):
    cloud = make_cloud(start=False)
    pair = Pair(cloud)
    cloud.drover("db", "sync")
    cloud.scheduler.start()
    yield pair
    pair.relay.close()


@pytest.fixture
def pair(module_pair, request):
    request.node.drover_cloud = module_pair.cloud
    # A lease of a killed manager would be waited for.
    module_pair.cloud.sql("delete from drover.manager")
    module_pair.start(getattr(request, "param", "5"))
    yield module_pair
    module_pair.cloud.points.release()
    module_pair.end()
    module_pair.relay.mend()


def filled(cloud, name):
    volume = cloud.create(1, name)
    cloud.fill(volume, ((0, 3 * MIB), (300 * MIB + 4096, 70000), (1023 * MIB, MIB)))
    return volume, cloud.digest(volume)


def held_in_copy(cloud, name):
    """A migration whose worker stands in the middle of the copy."""
    volume, digest = filled(cloud, name)
    cloud.points.hold("copy.chunk")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("copy.chunk")
    return volume, digest, cloud.worker()


def moved(pair, volume, digest):
    done = pair.wait_for(
        lambda: (m := pair.cloud.migration(volume)) and m["finished_at"] and m,
        "the migration ends", 120)
    assert done["phase"] == "done", done["reason"]
    assert pair.cloud.volume(volume)["host"] == "server1@slow#slow"
    assert pair.cloud.digest(volume) == digest
    return done


class Guest:
    """Somebody who has a volume connected and goes on using it."""

    def __init__(self, cloud, volume):
        self.cloud, self.volume = cloud, volume
        cloud.drover("connect", volume)
        self.export = cloud.wait_for(lambda: cloud.sql1(
            "select * from drover.export where volume_id = %s and state = 'open'",
            volume), 30, "the export is open")
        self.handle = nbd.NBD()
        self.handle.connect_uri(
            f"nbd://127.0.0.1:{self.export['port']}/{self.export['id']}")
        self.count = 0

    def use(self):
        """Write, flush, read back, over the first connection."""
        self.count += 1
        data = self.count.to_bytes(8, "big") * 512
        self.handle.pwrite(data, self.count * 4096)
        self.handle.flush()
        assert self.handle.pread(4096, self.count * 4096) == data

    def is_served_as_before(self):
        self.use()
        now = self.cloud.sql1("select * from drover.export where id = %s",
                              str(self.export["id"]))
        assert (now["state"], now["pid"]) == ("open", self.export["pid"])
        assert now["restarts"] == 0

    def leave(self):
        self.handle.shutdown()
        self.cloud.drover("disconnect", self.volume)
        self.cloud.wait_for(
            lambda: self.cloud.volume(self.volume)["status"] == "available", 30,
            "it is disconnected")
        assert not processes.alive(self.export["pid"])


def consumers(cloud, queue=QUEUE):
    for line in cloud.rabbit.ctl("list_queues", "-p", cloud.vhost, "name", "consumers",
                                 "--no-table-headers").splitlines():
        name, _, count = line.partition("\t")
        if name == queue:
            return int(count)
    return 0


def test_the_second_says_so_once_and_does_nothing(pair):
    cloud = pair.cloud
    volume, digest = filled(cloud, "first-does-it")
    cloud.migrate(volume)
    moved(pair, volume, digest)
    # It has looked several times by then.
    begun = pair.lease()["renewed_at"]
    for _ in range(4):
        pair.wait_for(lambda: pair.lease()["renewed_at"] > begun, "the lease is renewed")
        begun = pair.lease()["renewed_at"]
    said = pair.said(pair.second)
    assert said.count(WAITS) == 1
    line = next(line for line in said.splitlines() if WAITS in line)
    assert f"process {pair.first.pid}," in line
    assert line.endswith("backends=server1@fast,server1@slow")
    assert "claimed" not in said and "is served" not in said
    assert consumers(cloud) == 1
    assert not processes.descendants(pair.second.pid)
    assert not os.path.exists(f"{cloud.tmp}/second/operations")
    assert pair.lease()["pid"] == pair.first.pid


def test_ending_the_second_changes_nothing(pair):
    pair.second.stop()
    assert pair.lease()["pid"] == pair.first.pid
    assert pair.cloud.service(host="server1@fast")
    volume, digest = filled(pair.cloud, "alone-again")
    pair.cloud.migrate(volume)
    moved(pair, volume, digest)
    pair.cloud.leftovers()


@pytest.mark.parametrize("pair", ["600"], indirect=True)
def test_the_second_takes_over_when_the_first_is_stopped(pair):
    """At once: the lease would have lasted for ten minutes."""
    cloud = pair.cloud
    guest = Guest(cloud, cloud.create(1, "connected"))
    volume, digest, worker = held_in_copy(cloud, "stopped-in-copy")
    epoch = cloud.migration(volume)["epoch"]
    pair.first.process.send_signal(signal.SIGTERM)
    pair.wait_for(lambda: not processes.alive(worker), "the worker ends")
    cloud.points.release()
    pair.taken_over()
    assert pair.first.process.wait(30) == 0
    assert moved(pair, volume, digest)["epoch"] > epoch
    assert f"operation claimed id={cloud.migration(volume)['id']}" in \
        pair.said(pair.second)
    guest.is_served_as_before()
    guest.leave()
    # Requests come to it.
    cloud.wait_ready()
    cloud.drover("delete", cloud.create(1, "afterwards"))
    assert consumers(cloud) == 1
    cloud.leftovers()


def test_the_second_takes_over_when_the_first_was_killed(pair):
    """After its lease, not before."""
    cloud = pair.cloud
    guest = Guest(cloud, cloud.create(1, "connected"))
    volume, digest, worker = held_in_copy(cloud, "killed-in-copy")
    pair.first.kill()
    until = pair.lease()["until"]
    pair.wait_for(lambda: not processes.alive(worker), "its worker dies too")
    # What is asked now waits in the queue.
    cloud.drover("create", 1, "--name", "meanwhile", "--host", "server1@fast#fast")
    cloud.points.release()
    pair.taken_over()
    assert pair.lease()["started_at"] >= until
    moved(pair, volume, digest)
    pair.wait_for(lambda: cloud._created("meanwhile"), "the other is made")
    guest.is_served_as_before()
    guest.leave()
    cloud.leftovers()


@pytest.mark.parametrize("pair", ["15"], indirect=True)
def test_a_stopped_first_does_no_harm_and_ends(pair):
    """SIGSTOP for longer than the lease: its worker dies though nobody can tell it, before
    the second begins; and when it goes on it ends by itself."""
    cloud = pair.cloud
    volume, digest, worker = held_in_copy(cloud, "hung-in-copy")
    pair.first.process.send_signal(signal.SIGSTOP)
    until = pair.lease()["until"]
    pair.worker_dies(worker)
    assert cloud.sql1("select clock_timestamp() < %s as early", until)["early"]
    pair.taken_over()
    assert pair.lease()["started_at"] >= until
    cloud.points.reached("copy.chunk")
    # Some of these are handed to the one that hangs; none is lost.
    names = [f"handed-out-{n}" for n in range(6)]
    for name in names:
        cloud.drover("create", 1, "--name", name, "--host", "server1@fast#fast")
    pair.first.process.send_signal(signal.SIGCONT)
    assert pair.first.process.wait(60) == 1
    said = pair.said(pair.first)
    assert "the lease was not renewed in time" in said
    assert f"was taken over by another manager (process {pair.second.pid}," in said
    assert "operation claimed" not in said.partition("the lease was not renewed")[2]
    cloud.points.release()
    moved(pair, volume, digest)
    for name in names:
        pair.wait_for(lambda: cloud._created(name), f"{name} is made")
    cloud.leftovers()


@pytest.mark.parametrize("pair", ["cut"], indirect=True)
def test_a_first_without_the_database_leaves_the_requests_to_the_second(pair):
    """The broker would go on giving it every other one."""
    cloud = pair.cloud
    volume, digest, worker = held_in_copy(cloud, "cut-off")
    until = pair.lease()["until"]
    pair.relay.cut()
    try:
        pair.worker_dies(worker)
        pair.taken_over()
        assert pair.lease()["started_at"] >= until
        cloud.points.reached("copy.chunk")
        cloud.points.release()
        moved(pair, volume, digest)
        pair.wait_for(lambda: consumers(cloud) == 1, "the first takes nothing")
        names = [f"for-the-second-{n}" for n in range(6)]
        for name in names:
            cloud.drover("create", 1, "--name", name, "--host", "server1@fast#fast")
        for name in names:
            pair.wait_for(lambda: cloud._created(name), f"{name} is made")
        assert pair.first.running()
    finally:
        pair.relay.mend()
    assert pair.first.process.wait(60) == 1
    assert f"(process {pair.second.pid}," in pair.said(pair.first)
    cloud.leftovers()


def test_a_first_that_was_stopped_goes_on_when_nobody_took_over(pair):
    cloud = pair.cloud
    pair.second.stop()
    volume, digest, worker = held_in_copy(cloud, "hung-alone")
    pair.first.process.send_signal(signal.SIGSTOP)
    pair.wait_for(lambda: not processes.alive(worker), "its worker is killed")
    pair.first.process.send_signal(signal.SIGCONT)
    cloud.points.release()
    moved(pair, volume, digest)
    assert pair.first.running()
    assert pair.lease()["pid"] == pair.first.pid
    cloud.leftovers()


def test_a_database_that_is_away_for_longer_than_the_lease(pair):
    """Nobody can tell who owns what: nothing is written. Then it goes on."""
    cloud = pair.cloud
    pair.second.stop()
    volume, digest, worker = held_in_copy(cloud, "no-database")
    cloud.postgres.stop()
    pair.wait_for(lambda: not processes.alive(worker), "the worker is killed")
    assert pair.first.running()
    cloud.points.release()
    cloud.postgres.start()
    moved(pair, volume, digest)
    assert "the lease was not renewed in time" in pair.said(pair.first)
    cloud.leftovers()
