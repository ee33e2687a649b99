# SPDX-License-Identifier: Apache-2.0
"""The database has an asynchronous standby: what it does not know yet is not done outside
the database."""
import concurrent.futures
import os
import signal
import subprocess

import pytest

import processes
from servers import Postgres, Standby

TARGET = "server1@slow#slow"


class Pair:
    """A primary and its standby, whose receiver can be stopped."""

    def __init__(self):
        self.primary = Postgres()
        self.primary.start()
        self.standby = Standby(self.primary)
        self.standby.start()
        processes.wait_for(self.standby.in_step, 20, "the standby follows")

    def _receiver(self):
        def find():
            for pid in processes.descendants(self.standby.process.pid):
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    if f.read().startswith(b"postgres: walreceiver"):
                        return pid
            return None
        return processes.wait_for(find, 20, "the standby's receiver runs")

    def freeze(self):
        processes.wait_for(self.standby.in_step, 20, "the standby has followed")
        os.kill(self._receiver(), signal.SIGSTOP)

    def thaw(self):
        os.kill(self._receiver(), signal.SIGCONT)

    def close(self):
        self.standby.close()
        self.primary.close()


@pytest.fixture(scope="module")
def pair():
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def shared(make_cloud, pair, servers):
    return make_cloud(servers=(pair.primary, servers[1]),
                      drover={"rescan_interval": "1", "standby_timeout": "20"})


@pytest.fixture
def cloud(shared, pair, request):
    request.node.drover_cloud = shared
    yield shared
    pair.thaw()
    shared.points.release()


def files(cloud, backend="slow"):
    return {n for n in os.listdir(cloud.directory(backend)) if not n.startswith(".drover")}


def filled(cloud, name):
    volume = cloud.create(1, name)
    cloud.fill(volume)
    return volume, cloud.digest(volume)


def moved(cloud, volume, digest):
    done = cloud.finished(volume, 60)
    assert done["phase"] == "done", done["reason"]
    assert cloud.volume(volume)["host"] == TARGET
    assert cloud.digest(volume) == digest
    cloud.leftovers()


def test_nothing_is_made_before_the_standby_knows(cloud, pair):
    volume, digest = filled(cloud, "waits")
    cloud.points.hold("migrate.preparing.named")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.preparing.named")
    before = files(cloud)
    pair.freeze()
    cloud.points.hold("make.planned")
    cloud.points.release("migrate.preparing.named")
    cloud.points.reached("make.planned")
    cloud.points.release("make.planned")
    cloud.wait_for(lambda: pair.standby.missing_bytes() > 0, 10, "the plan is written down")
    with pytest.raises(processes.Timeout):
        cloud.wait_for(lambda: files(cloud) != before, 2, "")
    pair.thaw()
    moved(cloud, volume, digest)


def test_the_old_object_stays_until_the_standby_knows(cloud, pair):
    volume, digest = filled(cloud, "switched")
    old = cloud.path(volume)
    cloud.points.hold("migrate.switch")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.switch")
    pair.freeze()
    cloud.points.release("migrate.switch")
    cloud.in_phase(volume, "settling")
    # The volume is free and lives on the target already.
    row = cloud.volume(volume)
    assert (row["host"], row["migration_status"]) == (TARGET, None)
    with pytest.raises(processes.Timeout):
        cloud.wait_for(lambda: not os.path.exists(old), 2, "")
    pair.thaw()
    moved(cloud, volume, digest)
    assert not os.path.exists(old)


def test_a_volume_is_served_when_the_standby_knows(cloud, pair):
    volume, _ = filled(cloud, "served")
    pair.freeze()
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        connecting = threads.submit(cloud.drover, "connect", volume)
        cloud.wait_for(lambda: cloud.sql("select 1 from drover.export"
                                         " where state = 'wanted'"), 10, "it is asked for")
        with pytest.raises(processes.Timeout):
            cloud.wait_for(lambda: cloud.sql(
                "select 1 from drover.export where state = 'open'"), 2, "")
        pair.thaw()
        assert connecting.result(20).stdout.startswith("nbd://")
    cloud.drover("disconnect", volume)
    cloud.leftovers()


def test_a_standby_that_stays_behind_is_not_waited_for_for_ever(
        make_cloud, pair, servers, request):
    cloud = make_cloud(servers=(pair.primary, servers[1]),
                       drover={"rescan_interval": "1", "standby_timeout": "2"})
    request.node.drover_cloud = cloud
    volume, digest = filled(cloud, "gives-up")
    pair.freeze()
    done = cloud.migrate(volume, deadline=60)
    assert done["phase"] == "failed"
    assert "standby 'walreceiver' of the database is behind" in done["reason"]
    row = cloud.volume(volume)
    assert (row["host"], row["status"], row["migration_status"]) == (
        "server1@fast#fast", "available", None)
    assert cloud.digest(volume) == digest
    pair.thaw()
    cloud.leftovers(60)


def test_who_may_not_see_the_standbys_waits(make_cloud, pair, servers, request):
    cloud = make_cloud(servers=(pair.primary, servers[1]), start=False,
                       drover={"rescan_interval": "1", "switch_settle": "6"})
    request.node.drover_cloud = cloud
    cloud.drover("db", "sync")
    cloud.sql("drop role if exists plain")
    cloud.sql("create role plain login")
    for schema in ("public", "drover"):
        cloud.sql(f"grant usage on schema {schema} to plain")
        cloud.sql(f"grant all on all tables in schema {schema} to plain")
        cloud.sql(f"grant all on all sequences in schema {schema} to plain")
    url = pair.primary.url_of(cloud.database).replace("drover@", "plain@")
    cloud.write_config("drover.conf", database=url)
    cloud.scheduler.start()
    cloud.manager.start()
    cloud.wait_ready()
    volume, digest = filled(cloud, "hidden")
    old = cloud.path(volume)
    done = cloud.migrate(volume)
    assert done["phase"] == "done", done["reason"]
    left = cloud.sql1("select extract(epoch from now() - created_at) as age"
                      " from drover.garbage where removed_at is null")
    assert left, "it was removed although nobody can know whether that is safe"
    assert os.path.exists(old)
    said = cloud.wait_for(lambda: cloud.sql1(
        "select last_error, extract(epoch from removed_at - created_at) as kept"
        " from drover.garbage where last_error is not null or removed_at is not null"),
        20, "it says why it waits")
    assert said["last_error"] and "pg_monitor" in said["last_error"]
    moved(cloud, volume, digest)
    kept = cloud.sql1("select extract(epoch from removed_at - created_at) as kept"
                      " from drover.garbage")["kept"]
    assert kept >= 6


def test_an_archive_of_the_log_is_no_standby(cloud, pair, tmp_path):
    """pg_receivewal flushes whole segments only."""
    archive = subprocess.Popen(
        [f"{pair.primary._bin}/pg_receivewal", "-D", str(tmp_path), "--slot", "archive",
         "--create-slot", "--if-not-exists", "-d", pair.primary.conninfo])
    assert archive.wait(20) == 0
    archive = processes.spawn(
        [f"{pair.primary._bin}/pg_receivewal", "-D", str(tmp_path), "--slot", "archive",
         "-d", pair.primary.conninfo])
    try:
        cloud.wait_for(lambda: cloud.sql(
            "select 1 from pg_stat_replication where application_name = 'pg_receivewal'"
            " and backend_start < now() - interval '11 s'"), 30, "it receives")
        volume, digest = filled(cloud, "archived")
        assert cloud.sql1("select flush_lsn < pg_current_wal_flush_lsn() as behind"
                          " from pg_stat_replication"
                          " where application_name = 'pg_receivewal'")["behind"]
        cloud.migrate(volume)
        moved(cloud, volume, digest)
    finally:
        archive.terminate()
        archive.wait()
        cloud.sql("select pg_drop_replication_slot('archive')")
