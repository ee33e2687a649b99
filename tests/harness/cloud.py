# SPDX-License-Identifier: Apache-2.0
"""A whole Drover in a temporary directory: servers, scheduler, manager, two backends of
driver file, and verbs to use it. What a test holds:

	cloud.create(), .migrate(), .digest(), .leftovers(), .sql(), .drover()
	cloud.manager.kill() / .stop() / .start(), the same for cloud.scheduler
	cloud.points.hold("copy.flushed"): the next worker that gets there waits
"""
import fcntl
import hashlib
import json
import os
import random
import subprocess
import uuid

import processes
from processes import wait_for
from servers import Postgres, Rabbit

GIB = 1 << 30
MIB = 1 << 20
PROGRAMS = {
    "scheduler": "scheduler/drover-scheduler",
    "manager": "volume-manager/drover-volume-manager",
    "worker": "volume-manager/drover-worker",
    "cli": "cli/drover",
}


class Points:
    """Fault points (common/fault.h) that tests switch while the daemons run. Each known
    point is given as a hold whose .go file exists, so it is passed; hold() takes the .go
    file away, release() puts it back."""

    def __init__(self, directory, names):
        self.directory = directory
        self.names = sorted(names)
        os.makedirs(directory, exist_ok=True)
        for name in self.names:
            self._go(name)

    def variable(self):
        return ";".join(f"{n}=hold:{self.directory}/{n}" for n in self.names)

    def _go(self, name):
        with open(f"{self.directory}/{name}.go", "w"):
            pass

    def hold(self, name):
        assert name in self.names, f"no fault point '{name}' in the sources"
        for path in (f"{self.directory}/{name}.go", f"{self.directory}/{name}"):
            if os.path.exists(path):
                os.unlink(path)

    def reached(self, name, deadline=30.0):
        wait_for(lambda: os.path.exists(f"{self.directory}/{name}"), deadline,
                 f"some process is held at '{name}'", every=0.01)

    def release(self, *names):
        for name in names or self.names:
            self._go(name)


def fault_points(srcdir):
    """Every name that stands in a fault_point() of the sources, and its file."""
    import re

    found = {}
    for folder in ("common", "copy", "volume-manager", "scheduler"):
        for root, _, files in os.walk(os.path.join(srcdir, folder)):
            for name in files:
                if not name.endswith(".c"):
                    continue
                path = os.path.join(root, name)
                with open(path) as f:
                    for point in re.findall(r'fault_point\(\s*"([a-z._]+)"', f.read()):
                        found[point] = os.path.relpath(path, srcdir)
    return found


class Daemon:
    """One of our programs with a log file. kill() is a crash, stop() is SIGTERM. prefix:
    a command that executes ours elsewhere."""

    def __init__(self, cloud, name, program, arguments, prefix=()):
        self.cloud = cloud
        self.name = name
        self.argv = [*prefix, cloud.program(program), *arguments]
        self.log_path = os.path.join(cloud.tmp, f"{name}.log")
        self.process = None
        self._runs = 0

    def start(self, env=None):
        assert not self.process or self.process.poll() is not None
        self._runs += 1
        with open(self.log_path, "ab") as log:
            log.write(f"--- start {self._runs}\n".encode())
            log.flush()
            self.process = processes.spawn(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=self.cloud.environment(env), cwd="/")
        return self

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Only this process: what dies with it has to do so by itself."""
        self.process.kill()
        self.process.wait()
        processes.reap()

    def stop(self, deadline=30):
        if not self.running():
            return
        self.process.terminate()
        status = self.process.wait(deadline)
        processes.reap()
        assert status == 0, f"{self.name} ended with {status}:\n{self.log()[-3000:]}"

    def restart(self, env=None):
        self.stop()
        return self.start(env)

    def log(self):
        """What it wrote, without the fault points that were passed."""
        try:
            with open(self.log_path, errors="replace") as f:
                return "".join(line for line in f if "fault point reached" not in line)
        except OSError:
            return ""


class Cloud:
    """servers: (Postgres, Rabbit) that run already; without them it starts its own.
    default, drover: more options of these sections. backends: name -> options.
    sections: others, name -> options."""

    def __init__(self, builddir, servers=None, srcdir=None, default=None, drover=None,
                 backends=None, start=True, faults=True, tmp=None, sections=None):
        self.builddir = os.path.abspath(builddir)
        self.id = uuid.uuid4().hex
        self.tmp = tmp or processes.temporary_directory("drover-cloud-")
        self._own_servers = servers is None
        if servers:
            self.postgres, self.rabbit = servers
        else:
            self.rabbit = Rabbit(self.tmp)
            self.rabbit.start()
            self.postgres = Postgres(self.tmp).start()
        self.database = self.postgres.create_database()
        self.vhost = "" if self._own_servers else self.rabbit.create_vhost()
        self.transport_url = self.rabbit.url_of(self.vhost)
        names = fault_points(srcdir) if srcdir and faults else []
        self.points = Points(os.path.join(self.tmp, "points"), names)
        self.backends = backends or {"fast": {}, "slow": {}}
        self.default = {"report_interval": "1", "periodic_interval": "2",
                        "service_down_time": "10", **(default or {})}
        self.drover_options = {"rescan_interval": "2", **(drover or {})}
        self.sections = sections or {}
        self.config = self.write_config("drover.conf")
        # Where the storage can clone, tests that want bytes copied have to say so.
        self.reflinks = _can_clone(*[self.directory(b) for b in list(self.backends)[:2]])
        self._connection = None
        self.scheduler = Daemon(self, "scheduler", "scheduler",
                                ["--config-file", self.config])
        self.manager = Daemon(self, "manager", "manager",
                              ["--config-file", self.config])
        if start:
            self.drover("db", "sync")
            self.scheduler.start()
            self.manager.start()
            self.wait_ready()

    def start_as_two_hosts(self):
        """For a cloud that was made with start=False: backend "slow" belongs to a manager of
        its own on server2, self.target, which whoever asked for it stops."""
        address = {"my_ip": "127.0.0.1"}
        one = self.write_config("one.conf", address, backends=["fast"])
        other = self.write_config("two.conf", {**address, "host": "server2",
                                               "state_path": f"{self.tmp}/state2"},
                                  backends=["slow"])
        self.manager = Daemon(self, "manager", "manager", ["--config-file", one])
        self.target = Daemon(self, "target", "manager", ["--config-file", other])
        self.drover("db", "sync")
        for daemon in (self.scheduler, self.manager, self.target):
            daemon.start()

    # Configuration and environment.

    def program(self, name):
        path = os.path.join(self.builddir, PROGRAMS[name])
        assert os.path.exists(path), f"{path} is not built"
        return path

    def directory(self, backend):
        return self.backends[backend].get("file_directory", f"{self.tmp}/{backend}")

    def database_url(self):
        return self.postgres.url_of(self.database)

    def write_config(self, name, default=None, drop=(), database=None, text=None,
                     backends=None):
        """A configuration file like that of the cloud with changes; returns its path."""
        values = {"host": "server1", "transport_url": self.transport_url,
                  "enabled_backends": ", ".join(backends or self.backends),
                  "state_path": f"{self.tmp}/state", **self.default, **(default or {})}
        lines = ["[DEFAULT]"] + [f"{k} = {v}" for k, v in values.items() if k not in drop]
        lines += ["[database]",
                  f"connection = {database or self.database_url()}",
                  "[drover]"] + [f"{k} = {v}" for k, v in self.drover_options.items()]
        for section, options in self.sections.items():
            lines += [f"[{section}]"] + [f"{k} = {v}" for k, v in options.items()]
        for backend in backends or self.backends:
            options = {"volume_driver": "file", "volume_backend_name": backend,
                       "file_directory": self.directory(backend),
                       **self.backends[backend]}
            os.makedirs(options["file_directory"], exist_ok=True)
            lines += [f"[{backend}]"] + [f"{k} = {v}" for k, v in options.items()]
        os.makedirs(f"{self.tmp}/state", exist_ok=True)
        path = os.path.join(self.tmp, name)
        with open(path, "w") as f:
            f.write(text if text is not None else "\n".join(lines) + "\n")
        return path

    def environment(self, more=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("DROVER_FAULTS")}
        env["DROVER_CLOUD"] = self.id
        env[processes.TOKEN_NAME] = processes.token()
        env.setdefault("ASAN_OPTIONS", "abort_on_error=1:detect_leaks=1")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        if self.points.names:
            env["DROVER_FAULTS"] = self.points.variable()
        env.update(more or {})
        return env

    # The command line.

    def drover(self, *arguments, check=True, timeout=60, config=None):
        """Run the CLI; returns the completed process (stdout and stderr are text)."""
        result = subprocess.run(
            [self.program("cli"), "--config-file", config or self.config,
             *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=self.environment(), timeout=timeout, cwd="/")
        assert "Sanitizer" not in result.stderr and "runtime error" not in result.stderr, \
            result.stderr
        if check:
            assert result.returncode == 0, (
                f"drover {' '.join(map(str, arguments))}: exit {result.returncode}\n"
                f"{result.stdout}{result.stderr}")
        return result

    def drover_json(self, *arguments):
        return json.loads(self.drover(*arguments, "--json").stdout)

    # The database.

    def sql(self, statement, *values):
        """Rows as dictionaries; [] for statements without a result."""
        import psycopg2
        import psycopg2.extras

        for attempt in (1, 2):
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = psycopg2.connect(
                        self.postgres.conninfo_of(self.database))
                    self._connection.autocommit = True
                with self._connection.cursor(
                        cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                    cursor.execute(statement, values or None)
                    return [dict(r) for r in cursor] if cursor.description else []
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self._connection = None
                if attempt == 2:
                    raise

    def sql1(self, statement, *values):
        rows = self.sql(statement, *values)
        return rows[0] if rows else None

    # Waiting.

    def wait_for(self, predicate, deadline=30.0, what="the condition"):
        return wait_for(lambda: self._alive() and predicate(), deadline, what)

    def daemons(self):
        return [self.scheduler, self.manager]

    def _alive(self):
        for daemon in self.daemons():
            if daemon.process and daemon.process.poll() not in (None, 0, -9):
                raise AssertionError(f"{daemon.name} ended with "
                                     f"{daemon.process.returncode}:\n{daemon.log()[-3000:]}")
        return True

    def wait_ready(self, deadline=60):
        """Every backend's service is up and the scheduler knows every pool."""
        want = {f"server1@{b}#{o.get('volume_backend_name', b)}"
                for b, o in self.backends.items()}
        self.wait_for(lambda: want <= self.pools(), deadline, f"pools {want} are known")

    def pools(self):
        result = self.drover("pool", "list", "--json", check=False)
        if result.returncode != 0:
            return set()
        rows = json.loads(result.stdout)
        rows = rows if isinstance(rows, list) else rows.get("pools", [])
        return {r.get("pool") or r.get("name") for r in rows}

    # Volumes.

    def create(self, size_gib=1, name=None, host="server1@fast#fast"):
        """A new volume, available; returns its id."""
        name = name or f"v-{uuid.uuid4().hex[:8]}"
        self.drover("create", size_gib, "--name", name, *(["--host", host] if host else []))
        return self.wait_for(
            lambda: self._created(name), 30, f"volume '{name}' is available")

    def _created(self, name):
        row = self.sql1("select id, status from volumes where display_name = %s"
                        " and not deleted", name)
        assert not row or row["status"] in ("creating", "available"), row
        return row["id"] if row and row["status"] == "available" else None

    def volume(self, volume):
        row = self.sql1("select *, coalesce(_name_id, id) as name_id from volumes"
                        " where id = %s", volume)
        assert row, f"no volume {volume}"
        return row

    def backend_of(self, host):
        return host.split("@")[1].split("#")[0]

    def object_pattern(self, backend):
        """What hosts of rows of drover.object are like that belong to the backend."""
        return f"%@{backend}"

    def path(self, volume):
        """The file that holds the volume's bytes."""
        row = self.volume(volume)
        return f"{self.directory(self.backend_of(row['host']))}/volume-{row['name_id']}"

    def fill(self, volume, pieces=((0, MIB), (100 * MIB + 4096, 300000), (GIB - 8192, 8192)),
             seed=None):
        """Put random bytes at (offset, length) pieces; the rest stays as it is."""
        source = random.Random(seed if seed is not None else volume)
        with open(self.path(volume), "r+b") as f:
            for offset, length in pieces:
                f.seek(offset)
                f.write(source.randbytes(length))
            f.flush()
            os.fsync(f.fileno())

    def digest(self, volume):
        return digest_of(self.path(volume))

    # Migrations.

    def migrate(self, volume, target="server1@slow#slow", *options, wait=True, deadline=60,
                clone=False):
        """Ask for a migration, by copying unless clone. With wait: until it ended;
        returns its row."""
        if self.reflinks and not clone and "--force-host-copy" not in options:
            options += ("--force-host-copy",)
        before = self.migration(volume)
        self.drover("migrate", volume, *([target] if target else []), *options)
        self.wait_for(lambda: (m := self.migration(volume)) and
                      m["id"] != (before or {}).get("id"), deadline,
                      f"the migration of {volume} is admitted or refused")
        return self.finished(volume, deadline) if wait else self.migration(volume)

    def migration(self, volume):
        """The volume's newest migration: the columns of operation and migration."""
        return self.sql1(
            "select m.*, o.* from drover.operation o"
            " join drover.migration m on m.operation_id = o.id"
            " where o.volume_id = %s order by o.created_at desc limit 1", volume)

    def finished(self, volume, deadline=60):
        return self.wait_for(
            lambda: (m := self.migration(volume)) and m["finished_at"] and m, deadline,
            f"the migration of {volume} ends")

    def in_phase(self, volume, phase, deadline=30):
        return self.wait_for(
            lambda: (m := self.migration(volume)) and m["phase"] == phase and m,
            deadline, f"the migration of {volume} is {phase}")

    def processes(self):
        """Pids of all that this cloud runs: daemons, workers, nbdkits."""
        mark = f"DROVER_CLOUD={self.id}".encode()
        return [p for p in processes.descendants() if processes._carries(p, mark)]

    def workers(self):
        """Pids of this cloud's workers."""
        mark = f"DROVER_CLOUD={self.id}".encode()
        return [p for p in processes.descendants() if _is_worker(p, mark)]

    def worker(self, deadline=15):
        return self.wait_for(self.workers, deadline, "a worker runs")[0]

    def kill_worker(self, pid=None):
        pid = pid or self.worker()
        os.kill(pid, 9)
        wait_for(lambda: not processes.alive(pid), 10, f"worker {pid} is gone")

    def service(self, binary="cinder-volume", host="server1@slow"):
        return self.sql1("select * from services where \"binary\" = %s and host = %s"
                         " and not deleted", binary, host)

    # Nothing may be left over.

    def untidy(self):
        """What should not be there now, as a list of sentences."""
        left = []
        for table, what in (
                ("drover.operation where finished_at is null", "unfinished operation"),
                ("drover.garbage where removed_at is null", "garbage"),
                ("drover.export where closed_at is null", "export row"),
                ("volumes where migration_status like 'target:%%' and not deleted",
                 "temporary volume")):
            left += [f"{what}: {row}" for row in self.sql(f"select * from {table}")]
        left += [f"worker process {pid}" for pid in self.workers()]
        left += [f"lock held: {name}" for name in self._held_locks()]
        volumes = self.sql("select host, coalesce(_name_id, id) as name_id from volumes"
                           " where not deleted and host is not null"
                           " and status not in ('error', 'creating')")
        want = {}
        for row in volumes:
            want.setdefault(self.directory(self.backend_of(row["host"])), set()).add(
                f"volume-{row['name_id']}")
        for row in self.sql("select s.id, v.host from snapshots s join volumes v"
                            " on v.id = s.volume_id where not s.deleted"
                            " and s.status not in ('error', 'creating')"
                            " and exists (select 1 from drover.object o"
                            "  where o.volume_id = s.id)"):
            want.setdefault(self.directory(self.backend_of(row["host"])), set()).add(
                f"snapshot-{row['id']}")
        for backend in self.backends:
            have = set(os.listdir(self.directory(backend)))
            have -= {"lost+found", ".drover-backend", ".cinderSecureEnvIndicator"}
            rows = {r["name"] for r in self.sql(
                "select name from drover.object where host like %s",
                self.object_pattern(backend))}
            wanted = want.get(self.directory(backend), set())
            for name in have ^ wanted:
                left.append(f"{'file' if name in have else 'no file'} {backend}/{name}")
            for name in rows - wanted:
                left.append(f"row of drover.object {backend}/{name}")
        return left

    def _held_locks(self):
        folder = f"{self.tmp}/state/operations"
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            try:
                with open(f"{folder}/{name}") as f:
                    fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield name
            except FileNotFoundError:
                pass

    def leftovers(self, deadline=40):
        """Wait until nothing is left over; fail naming what is."""
        try:
            self.wait_for(lambda: not self.untidy(), deadline, "")
        except processes.Timeout:
            raise AssertionError("left over: " + "\n".join(self.untidy())) from None

    # The end.

    def complaints(self):
        """What sanitizers and asserts wrote into the logs."""
        marks = ("Sanitizer", "runtime error:", "Assertion `")
        found = []
        for daemon in self.daemons():
            lines = daemon.log().splitlines()
            for number, line in enumerate(lines):
                if any(m in line for m in marks):
                    found.append("\n".join(lines[number:number + 25]))
                    break
        return found

    def close(self, check=True):
        try:
            self.points.release()
            for daemon in self.daemons():
                daemon.stop()
            if check:
                assert not self.complaints(), "\n".join(self.complaints())
        finally:
            for daemon in self.daemons():
                if daemon.running():
                    daemon.kill()
            for pid in self.processes():
                try:
                    os.kill(pid, 9)
                except ProcessLookupError:
                    pass
            if self._connection is not None:
                self._connection.close()
            if self._own_servers:
                self.rabbit.close()
                self.postgres.close()
            processes.remove_directory(self.tmp)


def _can_clone(source, target=None):
    """Can the file system make target's file share the bytes of source's?"""
    ficlone = 0x40049409
    one, two = f"{source}/.probe", f"{target or source}/.probe2"
    try:
        with open(one, "w+b") as a, open(two, "w+b") as b:
            a.write(bytes(4096))
            a.flush()
            fcntl.ioctl(b.fileno(), ficlone, a.fileno())
        return True
    except OSError:
        return False
    finally:
        for path in (one, two):
            if os.path.exists(path):
                os.unlink(path)


def _is_worker(pid, mark):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            program = f.read().split(b"\0")[0]
    except OSError:
        return False
    return program.endswith(b"drover-worker") and processes._carries(pid, mark)


def digest_of(path, size=None):
    """SHA-256 of the content. Zeroes count the same whether stored or a hole, and are
    not read where the file system knows them."""
    digest = hashlib.sha256()
    zero = bytes(MIB)
    with open(path, "rb", buffering=0) as f:
        end = size or os.fstat(f.fileno()).st_size
        digest.update(str(end).encode())
        at = 0
        while at < end:
            try:
                data = os.lseek(f.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = max(at, data // MIB * MIB)
            block = os.pread(f.fileno(), min(MIB, end - at), at)
            if block != zero[:len(block)]:
                digest.update(b"%d:" % at + block)
            at += MIB
    return digest.hexdigest()
