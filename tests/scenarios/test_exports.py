# SPDX-License-Identifier: Apache-2.0
"""Exports: those of attachments live on whatever happens to the manager and come back after
a reboot; nobody gets at one that is not meant for it; none of a migration stays."""
import concurrent.futures
import glob
import os
import re
import socket
import subprocess
import sys
import uuid

import nbd
import pytest

import processes
from cloud import MIB
from processes import wait_for

LOAD = os.path.join(os.path.dirname(__file__), "..", "harness", "nbd_load.py")
USER = "drover"  # of the TLS keys
TARGET = "server2@slow#slow"


def connect(cloud, name):
    """A new volume, connected: its id and the row of its export."""
    volume = cloud.create(1, name)
    cloud.drover("connect", volume)
    return volume, cloud.wait_for(lambda: attachment(cloud, volume), 30, "it is connected")


def attachment(cloud, volume, state="open"):
    return cloud.sql1("select *, id::text from drover.export where volume_id = %s and"
                      " kind = 'attachment' and state = %s", volume, state)


def disconnect(cloud, volume):
    cloud.drover("disconnect", volume)
    cloud.wait_for(lambda: cloud.volume(volume)["status"] == "available", 30,
                   "it is disconnected")


def uri(export, name=None):
    return f"nbd://127.0.0.1:{export['port']}/{export['id'] if name is None else name}"


def opened(export):
    handle = nbd.NBD()
    handle.connect_uri(uri(export))
    return handle


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read()
    except OSError:
        return b""


# They live on.

class Load:
    """A client in a process of its own, over one connection."""

    def __init__(self, export):
        self.rounds = 0
        self.process = processes.spawn(
            [sys.executable, LOAD, uri(export)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def goes_on(self):
        """It has made some more rounds since now."""
        wanted = 5
        while wanted:
            byte = self.process.stdout.read(1)
            assert byte == b".", self.process.stderr.read().decode()
            wanted -= 1
            self.rounds += 1

    def finish(self):
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err.decode()
        assert int(out.split()[-1]) >= self.rounds > 0


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_guest_does_not_notice_that_the_manager_is_restarted(cloud, how):
    volume, export = connect(cloud, f"busy-{how}")
    load = Load(export)
    load.goes_on()
    for _ in range(3):
        getattr(cloud.manager, how)()
        load.goes_on()
        cloud.manager.start()
        cloud.wait_ready()
        load.goes_on()
    now = attachment(cloud, volume)
    assert (now["pid"], now["port"], now["restarts"]) == (
        export["pid"], export["port"], 0)
    load.finish()
    # The manager of now knows whose process that is.
    disconnect(cloud, volume)
    assert not processes.alive(export["pid"])
    cloud.leftovers()


def test_a_volume_that_is_connected_while_the_manager_dies(cloud):
    """Wherever the making of an export is cut, it is made; and once."""
    for n in range(4):
        volume = cloud.create(1, f"cut-{n}")
        cloud.drover("connect", volume)
        if n:
            wait_for(lambda: n < 2 or cloud.workers() or attachment(cloud, volume), 30,
                     "somebody opens it", every=0.001)
        cloud.manager.kill()
        cloud.manager.start()
        cloud.wait_ready()
        export = cloud.wait_for(lambda: attachment(cloud, volume), 30, "it is open")
        opened(export).shutdown()
        servers = [p for p in processes.descendants() if export["id"].encode() in cmdline(p)
                   and b"exportname" in cmdline(p)]
        assert servers == [export["pid"]]
        disconnect(cloud, volume)
        assert not processes.alive(export["pid"])
    cloud.leftovers()


# They come back.

@pytest.fixture
def reboot(cloud):
    """Another run of the machine: all processes of the cloud are killed, and the manager
    starts where the kernel says that it is another run."""
    argv = cloud.manager.argv

    def boot(in_between=lambda: None):
        cloud.manager.kill()
        for row in cloud.sql("select pid from drover.export where state = 'open'"):
            processes.kill_tree(row["pid"])
        in_between()
        path = f"{cloud.tmp}/boot_id"
        with open(path, "w") as f:
            f.write(f"{uuid.uuid4()}\n")
        cloud.manager.argv = [
            "unshare", "-m", "sh", "-c",
            'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"', path, *argv]
        probe = subprocess.run(
            [*cloud.manager.argv[:6], "cat", "/proc/sys/kernel/random/boot_id"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if probe.returncode != 0:
            cloud.manager.argv = argv
            pytest.skip(f"skipped, because /proc cannot be covered: {probe.stderr}")
        cloud.manager.start()
        cloud.wait_ready()
        return probe.stdout.strip()

    yield boot
    cloud.manager.argv = argv
    cloud.manager.restart()
    cloud.wait_ready()


def test_after_a_reboot_it_is_where_it_was(cloud, reboot):
    volume, export = connect(cloud, "rebooted")
    guest = opened(export)
    data = os.urandom(MIB)
    guest.pwrite(data, 100 * MIB)
    guest.flush()
    boot = reboot()
    with pytest.raises(nbd.Error):
        guest.pread(512, 0)
    again = cloud.wait_for(lambda: (e := attachment(cloud, volume)) and
                           e["boot_id"] == boot and e, 30, "it is served again")
    assert (again["id"], again["port"]) == (export["id"], export["port"])
    guest = opened(again)
    assert bytes(guest.pread(MIB, 100 * MIB)) == data
    guest.pwrite(data, 200 * MIB)
    guest.shutdown()
    assert cloud.volume(volume)["status"] == "in-use"
    disconnect(cloud, volume)
    assert not processes.alive(again["pid"])
    cloud.leftovers()


def test_a_number_that_belongs_to_somebody_else_by_now(cloud, reboot):
    """After a reboot the pid in the row, even with its start time, may be anybody's."""
    volume, export = connect(cloud, "number-used-again")
    bystander = processes.spawn(["sleep", "1000"])
    with open(f"/proc/{bystander.pid}/stat") as f:
        start = int(f.read().rpartition(")")[2].split()[19])

    def take_the_number():
        cloud.sql("update drover.export set pid = %s, pid_start = %s where id = %s",
                  bystander.pid, start, export["id"])

    boot = reboot(take_the_number)
    again = cloud.wait_for(lambda: (e := attachment(cloud, volume)) and
                           e["boot_id"] == boot and e, 30, "it is served again")
    assert again["pid"] != bystander.pid
    disconnect(cloud, volume)
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()
    cloud.leftovers()


def forget_server(cloud, export):
    """What a fail-over of the database does that has lost the row's last change."""
    cloud.sql("update drover.export set state = 'wanted', pid = null, pid_start = null,"
              " boot_id = null where id = %s", export["id"])


def test_a_server_that_its_row_has_forgotten_is_gone_before_closed_is_written(cloud):
    volume, export = connect(cloud, "forgotten")
    handle = opened(export)
    cloud.manager.kill()
    forget_server(cloud, export)
    cloud.sql("update drover.export set state = 'closing' where id = %s", export["id"])
    cloud.manager.start()
    cloud.wait_for(lambda: attachment(cloud, volume, "closed"), 30, "it is closed")
    assert not processes.alive(export["pid"])
    with pytest.raises(nbd.Error):
        handle.pwrite(b"x" * 512, 0)
    cloud.leftovers()


def test_an_opener_that_dies_between_its_row_and_its_server(cloud):
    volume = cloud.create(1, "half-open")
    cloud.points.hold("export.opened")
    with concurrent.futures.ThreadPoolExecutor(1) as threads:
        connecting = threads.submit(cloud.drover, "connect", volume)
        cloud.points.reached("export.opened")
        first = attachment(cloud, volume)
        os.kill(first["pid"], 9)
        cloud.points.release()
        address = connecting.result(60).stdout.split()[-1]
    again = cloud.wait_for(
        lambda: (e := attachment(cloud, volume)) and e["pid"] != first["pid"] and e, 30,
        "it is open again")
    handle = nbd.NBD()
    cloud.wait_for(lambda: cmdline(again["pid"]).startswith(b"nbdkit"), 20, "it serves")
    handle.connect_uri(address)
    assert handle.get_size() == 1 << 30
    disconnect(cloud, volume)
    cloud.leftovers()


def test_a_server_that_its_row_has_forgotten_makes_room_for_another(cloud):
    volume, export = connect(cloud, "forgotten-open")
    cloud.manager.kill()
    forget_server(cloud, export)
    cloud.manager.start()
    fresh = cloud.wait_for(lambda: attachment(cloud, volume), 30, "it is open again")
    assert fresh["pid"] != export["pid"] and not processes.alive(export["pid"])
    assert opened(fresh).get_size() == 1 << 30
    disconnect(cloud, volume)
    cloud.leftovers()


# They are for one peer.

def listeners(port):
    """Local addresses, as the kernel writes them, of sockets that listen on port."""
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table) as f:
            for line in f.readlines()[1:]:
                address, number = line.split()[1].split(":")
                if line.split()[3] == "0A" and int(number, 16) == port:
                    found.append(address)
    return found


def test_an_attachment_is_reachable_from_this_host_only(cloud):
    volume, export = connect(cloud, "loopback")
    assert listeners(export["port"]) == ["0100007F"]
    others = subprocess.run(["hostname", "-I"], stdout=subprocess.PIPE, text=True).stdout
    for address in others.split():
        if "%" in address or address.startswith("fe80"):
            continue
        with pytest.raises(OSError):
            socket.create_connection((address, export["port"]), 5).close()
    disconnect(cloud, volume)


def names_shown(port, configure=lambda handle: None):
    """What a server shows to somebody who asks which exports it has."""
    handle, names = nbd.NBD(), []
    handle.set_opt_mode(True)
    configure(handle)
    handle.connect_tcp("127.0.0.1", str(port))
    try:
        handle.opt_list(lambda name, description: names.append((name, description)) or 0)
    except nbd.Error:
        pass
    handle.opt_abort()
    return names


def test_only_who_knows_the_name_gets_in(cloud):
    volume, export = connect(cloud, "named")
    for name in ("", "x", str(uuid.uuid4()), volume, export["id"].upper(),
                 export["id"] + "x", export["id"][:-1]):
        handle = nbd.NBD()
        with pytest.raises(nbd.Error):
            handle.connect_uri(uri(export, name))
    # The default name is all that is ever listed, and it is refused.
    assert names_shown(export["port"]) in ([], [("", "")])
    opened(export).shutdown()
    disconnect(cloud, volume)
    with pytest.raises(nbd.Error):
        opened(export)
    cloud.leftovers()


# Between hosts.

@pytest.fixture(scope="module")
def make_two(make_cloud):
    """Clouds whose backend "slow" belongs to a manager on server2: cloud.target."""
    made = []

    def make(**drover):
        cloud = make_cloud(start=False, drover=drover)
        cloud.start_as_two_hosts()
        cloud.wait_for(lambda: {"server1@fast#fast", TARGET} <= cloud.pools(), 60,
                       "both pools are known")
        made.append(cloud)
        return cloud

    yield make
    for cloud in made:
        cloud.points.release()
        cloud.target.stop()


@pytest.fixture(scope="module")
def two(make_two):
    return make_two()


@pytest.fixture
def hosts(two, request):
    request.node.drover_cloud = two
    yield two
    two.points.release()


def migration_export(hosts, volume):
    return hosts.sql1(
        "select x.*, x.id::text from drover.export x join drover.operation o on"
        " o.id = x.operation_id where o.volume_id = %s and x.state = 'open'"
        " order by x.created_at desc limit 1", volume)


@pytest.fixture
def copying(hosts):
    """copying(name): a volume whose migration is held in mid-copy, and its export."""
    volumes = []

    def start(name):
        volume = hosts.create(1, name)
        hosts.fill(volume)
        hosts.points.hold("copy.chunk")
        volumes.append((volume, hosts.digest(volume)))
        hosts.migrate(volume, TARGET, wait=False)
        hosts.points.reached("copy.chunk")
        return volume, hosts.wait_for(lambda: migration_export(hosts, volume), 30,
                                      "it is exported")

    yield start
    hosts.points.release()
    for volume, digest in volumes:
        done = hosts.finished(volume, 120)
        assert done["phase"] == "done", done["reason"]
        assert hosts.digest(volume) == digest
    hosts.leftovers()


def try_tls(tmp_path, export, key, user=USER, tls=nbd.TLS_REQUIRE, name=None):
    """A session with the export, by somebody who has this key; fails with nbd.Error."""
    path = tmp_path / "keys"
    path.write_text(f"{user}:{key}\n")
    path.chmod(0o600)
    handle = nbd.NBD()
    handle.set_tls(tls)
    handle.set_tls_psk_file(str(path))
    handle.set_tls_username(user)
    handle.set_export_name(export["id"] if name is None else name)
    handle.connect_tcp("127.0.0.1", str(export["port"]))
    return handle


def refused(call, *args, **more):
    with pytest.raises(nbd.Error):
        call(*args, **more)


def test_a_migration_is_for_who_has_its_key(hosts, copying, tmp_path):
    volume, export = copying("keyed")
    assert re.fullmatch("[0-9a-f]{64}", export["tls_key"])
    # This is how its own source gets in.
    handle = try_tls(tmp_path, export, export["tls_key"])
    assert handle.get_size() == hosts.volume(volume)["size"] << 30
    handle.shutdown()
    refused(opened, export)
    refused(try_tls, tmp_path, export, "", tls=nbd.TLS_DISABLE)
    refused(try_tls, tmp_path, export, "00" * 32)
    refused(try_tls, tmp_path, export, export["tls_key"][:-1] + "f0"[
        export["tls_key"][-1] == "f"])
    refused(try_tls, tmp_path, export, export["tls_key"], user="other")
    for name in ("", volume, str(uuid.uuid4())):
        refused(try_tls, tmp_path, export, export["tls_key"], name=name)
    assert names_shown(export["port"]) == []


def test_each_migration_and_each_epoch_has_a_key_of_its_own(hosts, copying, tmp_path):
    first, one = copying("key-one")
    # A new epoch: the worker dies, the next one asks for another export.
    hosts.points.release()
    hosts.points.hold("copy.chunk")
    hosts.kill_worker()
    again = hosts.wait_for(
        lambda: (e := migration_export(hosts, first)) and e["id"] != one["id"] and e, 60,
        "there is a new export")
    assert again["epoch"] > one["epoch"] and again["tls_key"] != one["tls_key"]
    refused(try_tls, tmp_path, again, one["tls_key"])
    refused(try_tls, tmp_path, {**again, "id": one["id"]}, one["tls_key"])
    refused(try_tls, tmp_path, {**again, "id": one["id"]}, again["tls_key"])
    if one["port"] != again["port"]:
        refused(try_tls, tmp_path, one, one["tls_key"])
    assert not processes.alive(one["pid"])
    _, other = copying("key-two")
    assert other["tls_key"] not in (one["tls_key"], again["tls_key"])
    refused(try_tls, tmp_path, other, again["tls_key"])
    refused(try_tls, tmp_path, again, other["tls_key"])


def test_the_key_is_seen_by_nobody(hosts, copying):
    volume, export = copying("secret")
    key = export["tls_key"].encode()
    mark = f"DROVER_CLOUD={hosts.id}".encode()
    seen = [p for p in processes.descendants() if processes._carries(p, mark)]
    assert any(b"nbdkit" in cmdline(p) for p in seen)
    for pid in seen:
        assert key not in cmdline(pid), cmdline(pid)
        with open(f"/proc/{pid}/environ", "rb") as f:
            assert key not in f.read(), cmdline(pid)
    # Both ends keep it in a file of their own; root of neither is anybody else's.
    holders = []
    for root, _, files in os.walk(hosts.tmp):
        for name in files:
            path = os.path.join(root, name)
            if os.path.getsize(path) < MIB and name.endswith(".psk"):
                with open(path, "rb") as f:
                    if key in f.read():
                        holders.append(path)
                assert os.stat(path).st_mode & 0o777 == 0o600, path
    assert len(holders) == 2, holders
    for path in glob.glob(f"{hosts.tmp}/*.log"):
        with open(path, "rb") as f:
            assert key not in f.read(), path
    operation = hosts.migration(volume)["id"]
    for words in (["show", volume], ["migration", "list"], ["migration", "show", operation],
                  ["export", "list"], ["list"]):
        for more in ([], ["--json"]):
            out = hosts.drover(*words, *more, check=False)
            assert export["tls_key"] not in out.stdout + out.stderr, words


def test_nothing_of_it_is_left_when_it_is_sealed(hosts, copying, tmp_path):
    volume, export = copying("sealed")
    hosts.points.hold("migrate.switch")
    hosts.points.release("copy.chunk")
    hosts.points.reached("migrate.switch")
    row = hosts.sql1("select * from drover.export where id = %s", export["id"])
    assert row["state"] == "closed"
    assert not processes.alive(export["pid"])
    assert not listeners(export["port"])
    refused(try_tls, tmp_path, export, export["tls_key"])
    assert not os.path.exists(f"{hosts.tmp}/state2/operations/{export['id']}.psk")
    hosts.points.release()
    hosts.finished(volume, 120)
    assert not glob.glob(f"{hosts.tmp}/state*/operations/*.psk")


def test_the_operator_may_do_without_tls(make_two, request, tmp_path):
    cloud = make_two(nbd_tls="false")
    request.node.drover_cloud = cloud
    volume = cloud.create(1, "plain")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("copy.chunk")
    cloud.migrate(volume, TARGET, wait=False)
    cloud.points.reached("copy.chunk")
    export = cloud.wait_for(lambda: migration_export(cloud, volume), 30, "it is exported")
    assert export["tls_key"] is None
    opened(export).shutdown()
    handle = nbd.NBD()
    refused(handle.connect_uri, uri(export, ""))
    cloud.points.release()
    assert cloud.finished(volume, 120)["phase"] == "done"
    assert cloud.digest(volume) == digest
    cloud.leftovers()
