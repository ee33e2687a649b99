# SPDX-License-Identifier: Apache-2.0
"""The schema beside the real cinder-manage: what it makes and what we make is the
same, in either order. Runs schema_tool of the build directory, that is
DROVER_BUILDDIR or the current one. Needs DROVER_TEST_DATABASE, the URL of a database on
whose server others can be made."""
import os
import shutil
import subprocess
import sys
import time
import urllib.parse

import psycopg2
import pytest

URL = os.environ.get("DROVER_TEST_DATABASE")
TOOL = os.path.join(os.environ.get("DROVER_BUILDDIR", os.getcwd()),
                    "tests/integration/schema_tool")
LOCK = "pg_advisory_lock(hashtextextended('drover db sync', 0))"

pytestmark = pytest.mark.skipif(
    not URL, reason="skipped, because DROVER_TEST_DATABASE is not set")
needs_cinder = pytest.mark.skipif(
    not shutil.which("cinder-manage"),
    reason="skipped, because cinder-common is missing")

# All that Cinder's tools could notice, one line for each thing.
CATALOGUE = {
    "columns": """
        select format('%s %s.%s %s%s %s', a.attnum, c.relname, a.attname,
            format_type(a.atttypid, a.atttypmod),
            case when a.attnotnull then ' not null' else '' end,
            pg_get_expr(d.adbin, d.adrelid))
        from pg_class c join pg_attribute a on a.attrelid = c.oid
            left join pg_attrdef d on (d.adrelid, d.adnum) = (c.oid, a.attnum)
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
            and a.attnum > 0 and not a.attisdropped""",
    "keys": """
        select format('%s %s %s', conrelid::regclass, conname,
            pg_get_constraintdef(oid))
        from pg_constraint where connamespace = 'public'::regnamespace""",
    "indexes": "select indexdef from pg_indexes where schemaname = 'public'",
    "sequences": """
        select format('%s %s %s %s', sequencename, data_type, start_value, last_value)
        from pg_sequences where schemaname = 'public'""",
    "other objects": """
        select format('%s %s', relkind, relname) from pg_class
        where relnamespace = 'public'::regnamespace
        union all select tgname from pg_trigger where not tgisinternal
        union all select proname from pg_proc
        where pronamespace = 'public'::regnamespace""",
}
# The first rows, without what differs each time: ids and times.
ROWS = {
    "alembic_version": "version_num",
    "quota_classes": "id, class_name, resource, hard_limit, deleted, updated_at,"
                     " deleted_at, created_at > localtimestamp - '2d'::interval",
    "workers": "id, resource_type, resource_id, status, service_id, race_preventer,"
               " deleted, deleted_at, extract(microseconds from updated_at)::int"
               " % 1000000, created_at = updated_at",
    "volume_types": "length(id), name, description, qos_specs_id, is_public, deleted,"
                    " deleted_at, created_at = updated_at",
    "group_types": "length(id), name, description, is_public, deleted, deleted_at,"
                   " created_at = updated_at",
    "group_type_specs": "id, key, value, deleted, deleted_at,"
                        " group_type_id = (select id from group_types)",
}


class Database:
    def __init__(self, url):
        self.url = url

    def connect(self):
        connection = psycopg2.connect(self.url.replace("+psycopg2", "", 1))
        connection.autocommit = True
        return connection

    def run(self, sql):
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def catalogue(self):
        return {name: sorted(row[0] for row in self.run(sql))
                for name, sql in CATALOGUE.items()}

    def rows(self):
        tables = [name for name, in self.run(
            "select tablename from pg_tables where schemaname = 'public'")]
        return {table: sorted(self.run(f"select {ROWS.get(table, '*')} from {table}"))
                for table in tables}

    def everything(self):
        """The text of every row, to see that nothing was touched."""
        tables = [name for name, in self.run(
            "select tablename from pg_tables where schemaname = 'public'")]
        return {table: sorted(self.run(f"select xmin::text, t::text from {table} t"))
                for table in tables}


@pytest.fixture
def make_database():
    parts = urllib.parse.urlsplit(URL)
    admin = Database(URL)
    names = []

    def make():
        name = f"db_sync_{os.getpid()}_{len(names)}"
        admin.run(f"create database {name} template template0")
        names.append(name)
        return Database(parts._replace(path="/" + name).geturl())

    yield make
    for name in names:
        admin.run(f"drop database {name} with (force)")


@pytest.fixture
def database(make_database):
    return make_database()


def start(database, verb):
    return subprocess.Popen([TOOL, database.url, verb], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tool(database, verb="sync"):
    process = start(database, verb)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.splitlines()


def refusal(database, verb="sync"):
    process = start(database, verb)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (1, "")
    return err


@pytest.fixture
def cinder_sync(tmp_path):
    def run(database):
        config = tmp_path / "cinder.conf"
        config.write_text(f"[DEFAULT]\nstate_path = {tmp_path}\n"
                          f"[database]\nconnection = {database.url}\n")
        done = subprocess.run(["cinder-manage", "--config-file", config, "db", "sync"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


@needs_cinder
def test_our_tables_are_those_of_cinder(make_database, cinder_sync):
    ours, cinders = make_database(), make_database()
    tool(ours)
    assert "Running upgrade" in cinder_sync(cinders)
    want = cinders.catalogue()
    assert want["columns"] and want["keys"] and want["indexes"]
    assert ours.catalogue() == want
    assert ours.rows() == cinders.rows()


@needs_cinder
def test_cinder_manage_has_nothing_to_do_after_us(database, cinder_sync):
    tool(database)
    before = database.catalogue(), database.everything()
    assert "Running upgrade" not in cinder_sync(database)
    assert (database.catalogue(), database.everything()) == before
    assert tool(database, "check") == []


@needs_cinder
def test_a_real_cinder_database_gets_only_our_schema(database, cinder_sync):
    cinder_sync(database)
    before = database.catalogue(), database.everything()
    assert refusal(database, "check").startswith(
        "the database does not have Drover's tables yet: run 'drover db sync'")
    assert "left Cinder's 36 tables as they are" in tool(database)
    assert (database.catalogue(), database.everything()) == before
    assert tool(database, "check") == []
    schemas = database.run("select nspname from pg_namespace where nspname !~ '^pg_'"
                           " and nspname <> 'information_schema' order by nspname")
    assert schemas == [("drover",), ("public",)]


@needs_cinder
def test_an_unfinished_cinder_sync_is_refused(database, cinder_sync):
    cinder_sync(database)
    database.run("alter table volumes drop column service_uuid")
    assert refusal(database).startswith(
        "column volumes.service_uuid is missing: finish 'cinder-manage db sync' first")
    assert database.run("select to_regnamespace('drover')::text") == [(None,)]


def waiting(database):
    return database.run("select count(*) from pg_locks where locktype = 'advisory'"
                        " and not granted and database ="
                        " (select oid from pg_database"
                        " where datname = current_database())")[0][0]


def test_two_at_once_make_one_schema(database):
    holder = database.connect()
    holder.cursor().execute(f"select {LOCK}")
    both = [start(database, "sync"), start(database, "sync")]
    deadline = time.monotonic() + 20
    while waiting(database) < 2:
        assert time.monotonic() < deadline, "the two do not wait for the lock"
        time.sleep(0.05)
    holder.close()
    said = []
    for process in both:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        said.append(out)
    said.sort()
    assert said[0].startswith("made 36 tables of the Block Storage schema\n")
    assert said[1] == "nothing to do: the schema is current\n"
    assert database.run("select count(*) from volume_types") == [(1,)]
    assert tool(database, "check") == []


def test_a_sync_refused_in_the_middle_leaves_nothing(database):
    database.run("create function refuse() returns event_trigger language plpgsql as"
                 " $$ begin if exists (select from pg_event_trigger_ddl_commands()"
                 " where schema_name = 'drover') then raise 'not here'; end if; end $$;"
                 " create event trigger refuse on ddl_command_end"
                 " execute function refuse()")
    assert "apply schema file '0002-drover': " in refusal(database)
    assert database.run("select count(*) from pg_tables"
                        " where schemaname = 'public'") == [(0,)]


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
