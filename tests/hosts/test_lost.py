# SPDX-License-Identifier: Apache-2.0
"""Power failures: processes and page cache are gone at once. The host comes back, or does
not."""
import os
import time

import processes
from cloud import MIB
from hosts import (AFTER_SWITCH, BEFORE_SWITCH, PHASES, POINTS, RELEASED, SOURCE, TARGET,
                   Disk)

# Seconds from the moment the host is there again until all is over and tidy.
WITHIN = 60


def test_the_disk_forgets_what_was_not_flushed(machines):
    """What the other tests rely on."""
    directory = processes.temporary_directory()
    disk = Disk(directory, 1)
    kept, lost = f"{disk.path}/kept", f"{disk.path}/lost"
    with open(kept, "wb") as f:
        f.write(b"a" * MIB)
        f.flush()
        os.fsync(f.fileno())
        f.seek(0)
        f.write(b"b" * MIB)
    with open(lost, "wb") as f:
        f.write(b"c" * MIB)
    disk.power_off()
    disk.mount()
    assert os.listdir(disk.path) == ["kept"]
    with open(kept, "rb") as f:
        assert f.read() == b"a" * MIB
    processes.remove_directory(directory)


def test_what_is_below_the_checkpoint_is_on_the_disk(hosts):
    volume = hosts.create(1, "checkpoint", SOURCE)
    hosts.fill(volume, [(n * 8 * MIB, 5 * MIB) for n in range(100)])
    digest = hosts.digest(volume)
    hosts.points.hold("migrate.sealing")
    hosts.drover("migrate", volume, TARGET)
    hosts.wait_for(
        lambda: (m := hosts.migration(volume)) and m["checkpoint"] > 20 * MIB, 30,
        "there is a checkpoint")
    source = hosts.path(volume)
    hosts.power_off("server2")
    migration = hosts.migration(volume)
    assert migration["phase"] == "copying", "the copy was too fast for this test"
    hosts.disks["server2"].mount()
    target = f"{hosts.directory('slow')}/volume-{migration['temporary_id']}"
    with open(source, "rb") as a, open(target, "rb") as b:
        left = migration["checkpoint"]
        while left:
            assert a.read(min(left, MIB)) == b.read(min(left, MIB)), a.tell()
            left -= min(left, MIB)
    hosts.target.start()
    hosts.go_on()
    hosts.ended({"copy.chunk": (volume, digest)}, WITHIN)


def test_the_target_reboots(hosts):
    held = hosts.stage(POINTS)
    hosts.power_off("server2")
    hosts.go_on()
    hosts.power_on("server2")
    hosts.ended(held, WITHIN)


def test_the_source_reboots(hosts):
    held = hosts.stage(POINTS)
    hosts.power_off("server1")
    hosts.go_on()
    hosts.power_on("server1")
    hosts.ended(held, WITHIN)


def test_the_target_is_gone_for_good(hosts):
    """Its volumes-to-be are given up; the volumes are free where they were."""
    held = hosts.stage(BEFORE_SWITCH)
    began = time.monotonic()
    hosts.network.cut_off("server2")
    hosts.power_off("server2")
    hosts.go_on()
    stay = {p: held[p] for p in BEFORE_SWITCH if p != "migrate.switch"}
    hosts.released(stay, RELEASED, since=began)
    for volume, digest in stay.values():
        assert hosts.digest(volume) == digest
    # What it has left over is found when it comes back after all.
    hosts.network.heal()
    hosts.power_on("server2")
    hosts.ended(held, WITHIN, failed=stay)


def test_the_source_is_gone_for_good(hosts):
    """Before the switch the volume is free again, after it is usable on the target."""
    held = hosts.stage(PHASES)
    began = time.monotonic()
    hosts.network.cut_off("server1")
    hosts.power_off("server1")
    hosts.go_on()
    for point in AFTER_SWITCH:
        volume, digest = held[point]
        assert hosts.read(volume, "server2") == digest
    hosts.released({p: held[p] for p in BEFORE_SWITCH}, RELEASED, since=began)
    hosts.network.heal()
    hosts.power_on("server1")
    hosts.ended(held, WITHIN, failed=BEFORE_SWITCH)
