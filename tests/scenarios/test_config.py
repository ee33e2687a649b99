# SPDX-License-Identifier: Apache-2.0
"""Wrong configuration, servers that are not there yet, and the database's schema."""
import os
import subprocess

import pytest

import processes
from cloud import Cloud, Daemon
from conftest import BUILDDIR, SRCDIR

PROGRAMS = ["scheduler", "manager", "cli"]


@pytest.fixture(scope="module")
def idle(make_cloud):
    """A cloud of which nothing was started."""
    return make_cloud(start=False)


def run(cloud, program, *arguments, timeout=60):
    extra = ["list"] if program == "cli" else []
    return subprocess.run(
        [cloud.program(program), *arguments, *extra], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
        env=cloud.environment(), cwd="/")


# text, line that must be named, word that must be said
MALFORMED = [
    ("[DEFAULT]\nhost = a\nthis is not an option\n", 3, ""),
    ("[DEFAULT\nhost = a\n", 1, ""),
    ("[DEFAULT]\nreport_interval = soon\n", 2, "report_interval"),
    ("[DEFAULT]\nreport_interval = -1\n", 2, "report_interval"),
    ("[DEFAULT]\nhost = a\nvolume_name_template = volume\n", 3, "volume_name_template"),
    ("[DEFAULT]\ndebug = perhaps\n", 2, "debug"),
    ("[DEFAULT]\nhost = a@b\n", 2, "host"),
    ("[DEFAULT]\nhost = ../x\n", 2, "host"),
    ("[DEFAULT]\ntransport_url = http://127.0.0.1/\n", 2, "transport_url"),
    ("[DEFAULT]\ntransport_url = rabbit://u:p@h:99999/\n", 2, "transport_url"),
    ("[drover]\nmigration_result = perhaps\n", 2, "migration_result"),
    ("[database]\nconnection = mysql://u:p@h/cinder\n", 2, "mysql"),
    ("[database]\nconnection = mysql+pymysql://u:p@h/cinder\n", 2, "mysql"),
    (" = 7\n", 1, ""),
]


@pytest.mark.parametrize("text,line,word", MALFORMED, ids=[
    f"{n}-{t.split(chr(10))[-2][:20]}" for n, (t, _, _) in enumerate(MALFORMED)])
@pytest.mark.parametrize("program", ["scheduler", "manager"])
def test_malformed_configuration(idle, program, text, line, word):
    if "[database]" not in text:
        text += "[database]\nconnection = postgresql+psycopg2://x@127.0.0.1/none\n"
    path = idle.write_config("malformed.conf", text=text)
    result = run(idle, program, "--config-file", path)
    assert result.returncode == 2, result
    message = result.stderr
    assert f"{path}:{line}" in message and word in message, message
    assert "u:p@" not in message, "a password is shown"


def test_one_sentence_for_mysql(idle):
    path = idle.write_config("mysql.conf", database="mysql+pymysql://u:secret@h/cinder")
    for program in PROGRAMS:
        result = run(idle, program, "--config-file", path)
        assert result.returncode == 2, result
        assert "mysql" in result.stderr and "secret" not in result.stderr
        assert len(result.stderr.strip().splitlines()) <= 2, result.stderr


def test_a_missing_file_a_directory_and_an_unreadable_one(idle, tmp_path):
    for path in (tmp_path / "none.conf", tmp_path):
        for program in PROGRAMS:
            result = run(idle, program, "--config-file", str(path))
            assert result.returncode == 2 and str(path) in result.stderr, result


def test_a_backend_that_is_not_described(idle):
    path = idle.write_config("backend.conf", default={"enabled_backends": "fast, nope"})
    result = run(idle, "manager", "--config-file", path)
    assert result.returncode == 2 and "nope" in result.stderr, result


def test_an_unknown_driver(idle):
    with open(idle.config) as f:
        text = f.read().replace("volume_driver = file", "volume_driver = wardrobe", 1)
    path = idle.write_config("driver.conf", text=text)
    result = run(idle, "manager", "--config-file", path)
    assert result.returncode == 2 and "wardrobe" in result.stderr, result
    assert path in result.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_version_and_usage(idle, program):
    for option in ("--help", "--version"):
        result = subprocess.run([idle.program(program), option], text=True, timeout=30,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert result.returncode == 0 and result.stdout.strip() and not result.stderr
    result = subprocess.run([idle.program(program), "--no-such-option"], text=True,
                            timeout=30, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert result.returncode == 2 and "no-such-option" in result.stderr


@pytest.mark.parametrize("program", ["scheduler", "manager"])
def test_show_config(idle, program):
    result = subprocess.run(
        [idle.program(program), "--config-file", idle.config, "--show-config"],
        text=True, timeout=30, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert result.returncode == 0, result
    for line in ("host = server1", "[database]", "[drover]"):
        assert line in result.stdout


def test_an_unknown_option_is_warned_of_with_the_nearest_name(idle):
    path = idle.write_config("unknown.conf", default={"raport_interval": "7"})
    result = subprocess.run(
        [idle.program("manager"), "--config-file", path, "--show-config"], text=True,
        timeout=30, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert result.returncode == 0
    assert "raport_interval" in result.stderr and "report_interval" in result.stderr


def test_no_database_and_no_broker_at_the_start(make_cloud, request):
    """They wait, say so, and begin by themselves when the servers come."""
    cloud = make_cloud(start=False)
    request.node.drover_cloud = cloud
    cloud.drover("db", "sync")
    cloud.postgres.stop()
    cloud.rabbit.stop()
    try:
        cloud.scheduler.start()
        cloud.manager.start()
        for daemon in (cloud.scheduler, cloud.manager):
            processes.wait_for(
                lambda d=daemon: f":{cloud.rabbit.port}" in d.log() or "broker" in d.log(),
                30, f"{daemon.name} says that the broker is missing")
            processes.wait_for(lambda d=daemon: "database" in d.log(), 30,
                               f"{daemon.name} says that the database is missing")
            assert daemon.running()
        result = cloud.drover("list", check=False)
        assert result.returncode == 1 and "database" in result.stderr, result
    finally:
        cloud.postgres.start()
        cloud.rabbit.start()
    cloud.wait_ready(90)
    volume = cloud.create(1, "late")
    assert cloud.migrate(volume)["phase"] == "done"
    cloud.leftovers()


def test_waiting_daemons_stop_at_once(make_cloud, request):
    cloud = make_cloud(start=False)
    request.node.drover_cloud = cloud
    path = cloud.write_config(
        "nobody.conf", database="postgresql+psycopg2://x@127.0.0.1:1/none",
        default={"transport_url": "rabbit://guest:guest@127.0.0.1:1/"})
    for program in ("scheduler", "manager"):
        daemon = Daemon(cloud, f"lonely-{program}", program, ["--config-file", path])
        daemon.start()
        processes.wait_for(lambda: "127.0.0.1" in daemon.log(), 30,
                           f"{program} says what is missing")
        daemon.stop(15)


# The schema.

def dump(cloud):
    return cloud.sql(
        "select table_schema, table_name, column_name, data_type from"
        " information_schema.columns where table_schema in ('public', 'drover')"
        " order by 1, 2, 3")


def test_db_sync_of_an_empty_database(make_cloud):
    cloud = make_cloud(start=False)
    cloud.drover("db", "sync")
    first = dump(cloud)
    tables = {(r["table_schema"], r["table_name"]) for r in first}
    for table in ("volumes", "services", "snapshots", "workers", "volume_types",
                  "quota_usages", "reservations", "volume_attachment"):
        assert ("public", table) in tables
    assert ("drover", "operation") in tables
    assert cloud.sql("select 1 from volume_types where name = '__DEFAULT__'")
    cloud.drover("db", "sync")
    assert dump(cloud) == first


def test_db_sync_of_a_cinder_database_adds_only_our_schema(make_cloud):
    cloud = make_cloud(start=False)
    cloud.drover("db", "sync")
    cloud.sql("drop schema drover cascade")
    before = dump(cloud)
    cloud.drover("db", "sync")
    after = dump(cloud)
    assert [r for r in after if r["table_schema"] == "public"] == before
    assert any(r["table_schema"] == "drover" for r in after)


def test_db_sync_refuses_half_a_database(make_cloud):
    cloud = make_cloud(start=False)
    cloud.drover("db", "sync")
    cloud.sql("drop schema drover cascade")
    cloud.sql("alter table volumes drop column provider_geometry")
    result = cloud.drover("db", "sync", check=False)
    assert result.returncode == 1 and "provider_geometry" in result.stderr, result
    assert not cloud.sql("select 1 from information_schema.schemata"
                         " where schema_name = 'drover'")


def test_db_sync_refuses_a_newer_one(make_cloud):
    cloud = make_cloud(start=False)
    cloud.drover("db", "sync")
    cloud.sql("insert into drover.schema_version (number, name) values (9999, 'future')")
    result = cloud.drover("db", "sync", check=False)
    assert result.returncode == 1 and "9999" in result.stderr, result


def test_daemons_say_that_db_sync_is_missing(make_cloud, request):
    cloud = make_cloud(start=False)
    request.node.drover_cloud = cloud
    result = cloud.drover("list", check=False)
    assert result.returncode == 1 and "db sync" in result.stderr, result


def test_two_managers_of_one_name(make_cloud, request):
    """The second says so and waits; when the first is gone it takes over."""
    cloud = make_cloud()
    request.node.drover_cloud = cloud
    path = cloud.write_config("second.conf", default={"state_path": f"{cloud.tmp}/state2"})
    os.mkdir(f"{cloud.tmp}/state2")
    second = Daemon(cloud, "second", "manager", ["--config-file", path])
    second.start()
    try:
        processes.wait_for(lambda: "server1@fast" in second.log() and second.running(), 30,
                           "the second manager says that it waits")
        volume = cloud.create(1, "one-owner")
        assert cloud.migrate(volume)["phase"] == "done"
        cloud.manager.stop()
        processes.wait_for(lambda: cloud.drover("migrate", volume, "server1@fast#fast",
                                                check=False).returncode == 0, 60,
                           "the second manager takes the backends over")
        cloud.wait_for(lambda: cloud.volume(volume)["host"] == "server1@fast#fast", 40,
                       "the second manager has migrated the volume")
        cloud.leftovers()
    finally:
        second.stop()


def test_srcdir_is_this_tree():
    assert os.path.exists(os.path.join(SRCDIR, "configure.ac")) and BUILDDIR
    assert Cloud
