# SPDX-License-Identifier: Apache-2.0
"""Two managers on hosts of their own in a small network, each with a disk of its own that
loses what was not flushed when the power goes; and faults.

    held = hosts.stage(PHASES)              # one volume held in each phase
    hosts.signal(signal.SIGKILL, hosts.workers_on("server1"))
    hosts.go_on()
    hosts.ended(held, within=40)

The operator (the tests' own process and `drover`) is a host too, and is never cut off.
"""
import fcntl
import os
import signal
import struct
import subprocess
import time
import uuid

import processes
from cloud import GIB, MIB, Cloud, Daemon, digest_of
from network import Network
from processes import wait_for
from servers import Postgres, Rabbit, Standby

NAMES = ["server1", "server2", "sched", "broker", "db", "db2", "operator"]
SOURCE, TARGET = "server1@fast#fast", "server2@slow#slow"
BACKENDS = {"server1": "fast", "server2": "slow"}
LEASE, PEER = 4, 8
# So many seconds after a host is gone for good the volumes of others are free. A request
# that is under way to it is waited for 30 s at most. The rest is for a busy machine.
RELEASED = LEASE + PEER + 30 + 10
# Where migrations are held, the last first: each is brought to its point while those that
# are further on are held already.
AFTER_SWITCH = ["migrate.settling"]
BEFORE_SWITCH = ["migrate.switch", "read_back.reading", "copy.chunk",
                 "file.create.recorded"]
PHASES = AFTER_SWITCH + BEFORE_SWITCH
# More of them, where it matters how far a phase has come.
POINTS = ["migrate.settling", "migrate.switch", "copy.checkpoint", "read_back.reading",
          "copy.chunk", "file.create.recorded", "migrate.preparing.named"]
PIECES = ((0, 3 * MIB), (300 * MIB + 4096, 70000), (1023 * MIB, MIB))

# ioctl(2) of xfs and ext4: stop at once and write nothing more, not even the log.
FS_IOC_SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2


class Disk:
    """A file system of its own for one host. power_off() loses all that was not flushed
    to it: the page cache is gone, the file system is as after a crash."""

    def __init__(self, directory, size_gib=400):
        self.path = os.path.join(directory, "disk")
        self._image = os.path.join(directory, "image")
        os.makedirs(self.path)
        with open(self._image, "wb") as f:
            f.truncate(size_gib << 30)
        subprocess.run(["mkfs.xfs", "-q", "-l", "size=64m", self._image], check=True)
        self.mount()

    def mount(self):
        subprocess.run(["mount", "-o", "loop", self._image, self.path], check=True)

    def power_off(self):
        directory = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(directory, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(directory)
        wait_for(self._unmounted, 10, f"nobody uses {self.path}")

    def _unmounted(self):
        done = subprocess.run(["umount", self.path], stderr=subprocess.DEVNULL)
        return done.returncode == 0


class Machines:
    """The network and the servers on it: what several clouds can use one after another.
    This thread moves to the operator's host."""

    def __init__(self):
        self.network = Network(NAMES)
        self.directory = processes.temporary_directory()
        self._inside = self.network.inside("operator")
        self._inside.__enter__()
        self.rabbit = Rabbit(self.directory, place=(self.network, "broker"))
        self.postgres = self.new_postgres()
        self.rabbit.start()

    def new_postgres(self):
        # Its processes die, its machine does not: what it wrote is in the page cache.
        return Postgres(processes.temporary_directory(), (self.network, "db"),
                        "max_connections = 200\nfsync = off\n").start()

    def new_standby(self, primary):
        return Standby(primary, place=(self.network, "db2")).start()

    def close(self):
        self.network.heal()
        self.rabbit.close()
        self.postgres.close()
        self._inside.__exit__(None, None, None)
        self.network.close()
        processes.remove_directory(self.directory)


class Hosts(Cloud):
    """standby: of the database; the connection URL then names both."""

    def __init__(self, machines, builddir, srcdir, postgres=None, standby=None,
                 drover=None):
        self.network = machines.network
        self.standby = standby
        tmp = processes.temporary_directory("drover-hosts-")
        self.disks = {}
        for host in BACKENDS:
            os.mkdir(f"{tmp}/{host}")
            self.disks[host] = Disk(f"{tmp}/{host}")
        super().__init__(
            builddir, (postgres or machines.postgres, machines.rabbit), srcdir, tmp=tmp,
            start=False,
            drover={"rescan_interval": "1", "lease_time": f"{LEASE}",
                    "peer_timeout": f"{PEER}", "switch_settle": "2",
                    "standby_timeout": "20", "max_operations": "40",
                    "checkpoint_bytes": f"{MIB}", **(drover or {})},
            backends={backend: {"file_directory": f"{self.disks[host].path}/{backend}"}
                      for host, backend in BACKENDS.items()})
        self.scheduler = self._daemon("scheduler", "scheduler", "sched", self.config)
        self.manager, self.target = [
            self._daemon(host, "manager", host, self._config_of(host))
            for host in BACKENDS]
        self.drover("db", "sync")
        self.start_missing()

    def _daemon(self, name, program, host, config):
        return Daemon(self, name, program, ["--config-file", config],
                      self.network.prefix(host))

    def _config_of(self, host):
        return self.write_config(
            f"{host}.conf",
            {"host": host, "my_ip": self.network.address(host),
             "state_path": f"{self.disks[host].path}/state"}, backends=[BACKENDS[host]])

    def environment(self, more=None):
        # Leaks are looked for elsewhere, for less.
        return super().environment(
            {"ASAN_OPTIONS": "abort_on_error=1:detect_leaks=0", **(more or {})})

    def database_url(self):
        if not self.standby:
            return super().database_url()
        return (f"postgresql://drover@/{self.database}?" + "&".join(
            f"host={s.address}:{s.port}" for s in (self.postgres, self.standby)))

    def daemons(self):
        # Cloud.__init__ has its own two, which are not started.
        target = getattr(self, "target", None)
        return [self.scheduler, self.manager] + ([target] if target else [])

    def manager_of(self, host):
        return {"server1": self.manager, "server2": self.target}[host]

    def start_missing(self):
        for daemon in self.daemons():
            if not daemon.running():
                daemon.start()
        wait_for(lambda: {SOURCE, TARGET} <= self.pools(), 60, "both pools are known")

    # Volumes.

    def filled(self, count):
        """So many new volumes with something in them: {volume: digest}."""
        names = [f"v-{uuid.uuid4().hex[:8]}" for _ in range(count)]
        for name in names:
            self.drover("create", 1, "--name", name, "--host", SOURCE, "--no-wait")
        volumes = [self.wait_for(lambda: self._created(name), 30, f"'{name}' is there")
                   for name in names]
        for volume in volumes:
            self.fill(volume, PIECES)
        return {volume: self.digest(volume) for volume in volumes}

    def stage(self, points):
        """A filled volume for each point, held there; points: the last first. Returns
        {point: (volume, digest)}."""
        held = dict(zip(points, self.filled(len(points)).items()))
        for point, (volume, _) in held.items():
            self.points.hold(point)
            self.drover("migrate", volume, TARGET)
            self.points.reached(point)
        return held

    def go_on(self):
        self.points.release()

    def ended(self, held, within, failed=(), since=None):
        """Every migration ends within so many seconds (since: a monotonic time), done, or
        failed where the point is in failed; nothing is lost and nothing is left over."""
        end = (since or time.monotonic()) + within
        for point, (volume, digest) in held.items():
            what = f"the migration held at {point} ends within {within} s"
            done = wait_for(
                lambda: (m := self.migration(volume)) and m["finished_at"] and m,
                max(end - time.monotonic(), 0.01), what, every=0.1)
            phase, host = ("failed", SOURCE) if point in failed else ("done", TARGET)
            assert done["phase"] == phase, f"{point}: {done['phase']}: {done['reason']}"
            row = self.volume(volume)
            assert (row["host"], row["status"], row["migration_status"]) == \
                (host, "available", None), f"{point}: {row}"
            assert self.digest(volume) == digest, f"{point}: other bytes"
        self.leftovers(max(end - time.monotonic(), 20))

    def released(self, held, within, since):
        """Users have their volumes back where they were, within so many seconds since."""
        for point, (volume, _) in held.items():
            row = wait_for(
                lambda: (v := self.volume(volume)) and not v["migration_status"] and v,
                max(since + within - time.monotonic(), 0.01),
                f"the volume whose migration was held at {point} is free within {within} s",
                every=0.1)
            assert (row["host"], row["status"]) == (SOURCE, "available"), point

    def read(self, volume, host):
        """The digest of what somebody on host reads who connects the volume there."""
        uri = self.drover_json("connect", volume)["uri"]
        folder = processes.temporary_directory()
        with open(f"{folder}/copy", "wb") as f:
            f.truncate(GIB)
        subprocess.run(self.network.prefix(host) + ["nbdcopy", uri, f.name], check=True)
        digest = digest_of(f.name)
        processes.remove_directory(folder)
        self.drover("disconnect", volume)
        return digest

    def leftovers(self, deadline=40):
        try:
            wait_for(lambda: not self.untidy(), deadline, "", every=0.4)
        except processes.Timeout:
            raise AssertionError("left over: " + "\n".join(self.untidy())) from None

    def untidy(self):
        left = super().untidy()
        own = {d.pid for d in self.daemons() if d.running()}
        left += [f"process {pid}: {words}" for pid, words in self.running().items()
                 if pid not in own and "stats" not in words]
        return left

    def _held_locks(self):
        for host in BACKENDS:
            folder = f"{self.disks[host].path}/state/operations"
            yield from (f"{host}/{name}" for name in os.listdir(folder))

    # Processes.

    def running(self, host=None):
        """pid -> words of the command line, of all or of those on host."""
        found = {}
        for pid in self.processes():
            try:
                if host and os.stat(f"/proc/{pid}/ns/net").st_ino != \
                        self.network.inode(host):
                    continue
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().decode().split("\0")
            except OSError:
                continue
            if words != [""]:
                found[pid] = words
        return found

    def _of(self, host, program, word):
        return [pid for pid, words in self.running(host).items()
                if words[0].endswith(program) and word in words]

    def workers_on(self, host):
        """The processes that do operations."""
        return self._of(host, "drover-worker", "operation")

    def readers(self):
        return self._of("server2", "drover-worker", "read_back")

    def servers(self):
        return self._of("server2", "nbdkit", "--foreground")

    @staticmethod
    def signal(number, pids):
        """Some may have ended by themselves by now, not all."""
        told = 0
        for pid in pids:
            try:
                os.kill(pid, number)
                told += 1
            except ProcessLookupError:
                pass
        assert told, "nobody is there to get the signal"

    def kill(self, pids):
        self.signal(signal.SIGKILL, pids)
        wait_for(lambda: not any(processes.alive(p) for p in pids), 10, "they are gone")

    # Power.

    def power_off(self, host):
        """Everything on host dies, and what its disk was not told to keep is lost."""
        self.kill(list(self.running(host)))
        self.manager_of(host).process.wait()
        self.disks[host].power_off()

    def power_on(self, host):
        self.disks[host].mount()
        self.manager_of(host).start()

    def close(self, check=True):
        self.network.heal()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
        super().close(check)
