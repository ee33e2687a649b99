#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A private PostgreSQL and a private RabbitMQ: real Debian servers on free ports of
127.0.0.1, in a temporary directory, gone when this process is. With a place they run on a
host of a Network (network.py).

    servers.py run [--postgres] [--rabbit] -- COMMAND...

runs COMMAND with DROVER_TEST_DATABASE (the URL of an empty database) and
DROVER_TEST_AMQP set, and exits with its status.
"""
import argparse
import contextlib
import glob
import os
import pwd
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import processes  # noqa: E402
from processes import spawn, wait_for  # noqa: E402


class Missing(Exception):
    """A server is not installed; the text names the Debian package."""


def _newest(pattern, package):
    found = sorted(glob.glob(pattern))
    if not found:
        raise Missing(f"{package} is missing")
    return found[-1]


class Server:
    """What both have in common. The process is our child; kill() takes its whole tree.
    place: (network, host)."""

    start_deadline = 60

    def __init__(self, directory=None, place=None):
        self.address = place[0].address(place[1]) if place else "127.0.0.1"
        self._place = place[0].prefix(place[1]) if place else []
        self._own_directory = directory is None
        self.directory = directory or processes.temporary_directory()
        self.process = None

    def start(self):
        assert self.process is None
        self.process = self._spawn()
        wait_for(self._ready_or_dead, self.start_deadline, f"{self.name} is ready")
        return self

    def _ready_or_dead(self):
        if self.process.poll() is not None:
            raise RuntimeError(
                f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
        return self.ready()

    def kill(self):
        """A crash: SIGKILL, nothing is written any more."""
        if self.process:
            processes.kill_tree(self.process.pid)
            self.process.wait()
            self.process = None

    def stop(self):
        """An orderly end."""
        if not self.process:
            return
        self._ask_to_stop()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            pass
        self.kill()

    def restart(self, crash=False):
        """The same port, the same data."""
        if crash:
            self.kill()
        else:
            self.stop()
        return self.start()

    def close(self):
        self.kill()
        if self._own_directory:
            processes.remove_directory(self.directory)

    def log(self):
        try:
            with open(self._log, errors="replace") as f:
                return f.read()[-4000:]
        except OSError:
            return ""

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.close()


class Postgres(Server):
    """options: lines for postgresql.conf."""

    name = "PostgreSQL"

    def __init__(self, directory=None, place=None, options=""):
        super().__init__(directory, place)
        self._bin = os.path.dirname(
            _newest("/usr/lib/postgresql/*/bin/initdb", "postgresql-15"))
        self.port = processes.free_port()
        self._options = options
        self._data = os.path.join(self.directory, "postgres")
        while os.path.exists(self._data):  # the standby beside its primary
            self._data += "2"
        self._log = f"{self._data}.log"
        self._prefix = []
        os.mkdir(self._data, 0o700)
        if os.getuid() == 0:  # the server refuses to run as root
            user = pwd.getpwnam("postgres")
            os.chown(self._data, user.pw_uid, user.pw_gid)
            self._prefix = ["setpriv", "--reuid", str(user.pw_uid), "--regid",
                            str(user.pw_gid), "--init-groups", "--pdeathsig", "KILL"]
        self._make_data()
        self._made = 0

    def _make_data(self):
        self._tool("initdb", "-A", "trust", "-U", "drover", "-N", "-E", "UTF8",
                   "--locale=C", "-D", self._data)
        self._configure(
            "shared_buffers = 32MB\nmax_connections = 80\nunix_socket_directories = ''\n"
            "max_wal_size = 256MB\nfsync = on\nrestart_after_crash = on\n"
            # In its folder: what a killed one leaves in /dev/shm stays for ever.
            "dynamic_shared_memory_type = mmap\n"
            f"wal_retrieve_retry_interval = 200ms\n{self._options}")
        if self._place:
            with open(f"{self._data}/pg_hba.conf", "a") as f:
                f.write("host all all samenet trust\n"
                        "host replication all samenet trust\n")

    def _configure(self, lines=""):
        """The last of several lines for an option counts."""
        with open(f"{self._data}/postgresql.conf", "a") as f:
            f.write(f"listen_addresses = '{self.address}'\nport = {self.port}\n{lines}")

    def _tool(self, name, *arguments):
        subprocess.run(self._place + self._prefix + [f"{self._bin}/{name}", *arguments],
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       cwd="/")

    def _spawn(self):
        with open(self._log, "ab") as log:
            return spawn(
                self._place + self._prefix + [f"{self._bin}/postgres", "-D", self._data],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")

    def ready(self):
        import psycopg2

        try:
            psycopg2.connect(self.conninfo).close()
            return True
        except psycopg2.OperationalError:
            return False

    def _ask_to_stop(self):
        self.process.send_signal(signal.SIGINT)  # "fast": sessions are cut

    def conninfo_of(self, database):
        return (f"host={self.address} port={self.port} user=drover dbname={database}"
                " connect_timeout=5")

    def url_of(self, database):
        return f"postgresql+psycopg2://drover@{self.address}:{self.port}/{database}"

    @property
    def conninfo(self):
        return self.conninfo_of("postgres")

    @property
    def url(self):
        return self.url_of("postgres")

    def create_database(self, name=None):
        """A new empty database; returns its name."""
        import psycopg2

        if name is None:
            self._made += 1
            name = f"drover{self._made}"
        connection = psycopg2.connect(self.conninfo)
        connection.autocommit = True
        connection.cursor().execute(f'create database "{name}" template template0')
        connection.close()
        return name


class Standby(Postgres):
    """Follows primary (which runs) by asynchronous streaming; promote() makes it the
    primary of its own."""

    name = "PostgreSQL standby"

    def __init__(self, primary, directory=None, place=None):
        self._primary = primary
        super().__init__(directory or primary.directory, place)

    def _make_data(self):
        self._tool("pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-D", self._data,
                   "-d", self._primary.conninfo_of("postgres"))
        self._configure()

    def _one(self, server, statement):
        import psycopg2

        connection = psycopg2.connect(server.conninfo)
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchone()[0]
        finally:
            connection.close()

    def in_step(self):
        """Has it replayed what the primary has written up to now?"""
        at = self._one(self._primary, "select pg_current_wal_lsn()")
        return self._one(self, "select coalesce(pg_last_wal_replay_lsn() >="
                               f" '{at}'::pg_lsn, false)")

    def missing_bytes(self):
        """How far it is behind the primary."""
        at = self._one(self._primary, "select pg_current_wal_lsn()")
        return int(self._one(self, "select pg_wal_lsn_diff("
                                   f"'{at}', pg_last_wal_replay_lsn())"))

    def promote(self):
        self._tool("pg_ctl", "-s", "-w", "-D", self._data, "promote")
        wait_for(lambda: not self._one(self, "select pg_is_in_recovery()"), 30,
                 "the standby is a primary")


class Rabbit(Server):
    """tls_dir holds ca-cert.pem, server-cert.pem and server-key.pem; then .tls_port
    answers too and asks for a client's certificate."""

    name = "RabbitMQ"
    start_deadline = 120

    def __init__(self, directory=None, tls_dir=None, place=None):
        super().__init__(directory, place)
        # Not the wrapper in /usr/sbin: that one insists on the user rabbitmq.
        self._bin = os.path.dirname(_newest(
            "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server",
            "rabbitmq-server"))
        self.port = processes.free_port()
        self.tls_port = processes.free_port() if tls_dir else None
        self._epmd_port = processes.free_port()
        self._home = os.path.join(self.directory, "rabbit")
        self._log = os.path.join(self._home, "out.log")
        self._made = 0
        os.makedirs(f"{self._home}/mnesia")
        self._write_files(tls_dir)
        self._env = self._environment()

    def _write_files(self, tls_dir):
        lines = ["loopback_users = none", "vm_memory_high_watermark.absolute = 512MB",
                 "disk_free_limit.absolute = 10MB", "log.file.level = warning"]
        if tls_dir:
            lines += [f"listeners.ssl.1 = {self.address}:{self.tls_port}",
                      f"ssl_options.cacertfile = {tls_dir}/ca-cert.pem",
                      f"ssl_options.certfile = {tls_dir}/server-cert.pem",
                      f"ssl_options.keyfile = {tls_dir}/server-key.pem",
                      "ssl_options.verify = verify_peer",
                      "ssl_options.fail_if_no_peer_cert = true"]
        self._write("rabbitmq.conf", "\n".join(lines) + "\n")
        self._write("plugins", "[].\n")
        self._write(".erlang.cookie", os.urandom(20).hex())
        os.chmod(f"{self._home}/.erlang.cookie", 0o400)

    def _write(self, name, text):
        with open(os.path.join(self._home, name), "w") as f:
            f.write(text)

    def _environment(self):
        home, idle = self._home, "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
        env = {k: v for k, v in os.environ.items() if not k.startswith("RABBITMQ_")}
        env.update({
            "HOME": home, "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_NODENAME": "drover@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": self.address,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(processes.free_port()),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_MNESIA_BASE": f"{home}/mnesia", "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/none",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{home}/gen",
            "RABBITMQ_SCHEMA_DIR": f"{home}/schema",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                f"{idle} -kernel inet_dist_use_interface {{127,0,0,1}}",
            "RABBITMQ_CTL_ERL_ARGS": "+S 1:1 +sbwt none",
            processes.TOKEN_NAME: processes.token(),
        })
        return env

    def _spawn(self):
        with open(self._log, "ab") as log:
            return spawn(self._place + [f"{self._bin}/rabbitmq-server"],
                         stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env,
                         cwd=self._home)

    def ready(self):
        """The port opens late; then it must greet, and its application run, or its own
        commands are refused."""
        try:
            with socket.create_connection((self.address, self.port), 2) as s:
                s.settimeout(5)
                s.sendall(b"AMQP\x00\x00\x09\x01")
                if s.recv(1) != b"\x01":
                    return False
            return self.evaluate("rabbit:is_running()") == "true"
        except (OSError, RuntimeError, subprocess.CalledProcessError):
            return False

    def _ask_to_stop(self):
        with open(f"{self._home}/pid") as f:
            os.kill(int(f.read()), signal.SIGTERM)

    def ctl(self, *args):
        """rabbitmqctl; returns what it printed."""
        return subprocess.run(
            [*self._place, f"{self._bin}/rabbitmqctl", "-q", *args], check=True,
            env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
            cwd=self._home).stdout

    def evaluate(self, expression):
        """The value of an Erlang expression in the broker, as text. rabbitmqctl, which
        does nothing else, starts an Erlang of its own for it: seconds, not milliseconds."""
        done = subprocess.run(
            [*self._place, "erl_call", "-n", "drover@localhost", "-e"], check=True,
            env=self._env, input=f"{expression}.\n", stdout=subprocess.PIPE, text=True,
            cwd=self._home)
        if not done.stdout.startswith("{ok, ") or "'EXIT'" in done.stdout:
            raise RuntimeError(f"{expression}: {done.stdout}")
        return done.stdout[len("{ok, "):-1]

    def url_of(self, vhost=""):
        return f"rabbit://guest:guest@{self.address}:{self.port}/{vhost}"

    @property
    def url(self):
        return self.url_of()

    def create_vhost(self, name=None):
        """A new empty virtual host that guest may use; returns its name."""
        if name is None:
            self._made += 1
            name = f"drover{self._made}"
        self.evaluate(
            f'ok = rabbit_vhost:add(<<"{name}">>, <<"tests">>),'
            f' ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, <<"{name}">>,'
            ' <<".*">>, <<".*">>, <<".*">>, <<"tests">>)')
        return name


@contextlib.contextmanager
def started():
    """One of each, for as long as it is wanted."""
    directory = processes.temporary_directory()
    with Postgres(directory) as postgres, Rabbit(directory) as rabbit:
        yield postgres, rabbit


def _run(arguments):
    env = dict(os.environ)
    if arguments.postgres:
        postgres = Postgres()
    if arguments.rabbit:
        rabbit = Rabbit()
        rabbit.start()
        env["DROVER_TEST_AMQP"] = rabbit.url
    if arguments.postgres:
        postgres.start()
        env["DROVER_TEST_DATABASE"] = postgres.url_of(postgres.create_database())
    env[processes.TOKEN_NAME] = processes.token()
    status = spawn(arguments.command, env=env).wait()
    return 128 - status if status < 0 else status


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="run a command beside the servers")
    run.add_argument("--postgres", action="store_true")
    run.add_argument("--rabbit", action="store_true")
    run.add_argument("command", nargs="+")
    try:
        return _run(parser.parse_args())
    except Missing as missing:
        print(f"servers.py: {missing}", file=sys.stderr)
        return 77  # what a skipped test says


if __name__ == "__main__":
    sys.exit(main())
