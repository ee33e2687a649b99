# SPDX-License-Identifier: Apache-2.0
"""Storage that lies, fills up or goes away: the migration fails with that reason, the
source is untouched and usable, nothing is left over."""
import os

import pytest

from cloud import GIB, MIB


def target_path(cloud, volume):
    temporary = cloud.migration(volume)["temporary_id"]
    return f"{cloud.directory('slow')}/volume-{temporary}"


def failed_well(cloud, volume, digest, *words):
    """The migration failed for one of these reasons and S is as before."""
    done = cloud.finished(volume)
    assert done["phase"] == "failed", done
    assert any(w in done["reason"] for w in words), done["reason"]
    row = cloud.volume(volume)
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert row["host"] == "server1@fast#fast" and row["_name_id"] is None
    assert cloud.digest(volume) == digest
    return done


@pytest.mark.parametrize("where,offset", [
    ("data", 4096 * 3 + 5), ("hole", 40 * MIB + 12345), ("tail", GIB - 4096 + 7)])
def test_a_flipped_byte_in_the_target_is_found(cloud, where, offset):
    """Between write and read-back, in data and in a hole."""
    volume = cloud.create(1, f"flip-{where}")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("copy.flushed")
    cloud.migrate(volume, wait=False)
    # So little data is flushed once: all is written now and nothing verified.
    cloud.points.reached("copy.flushed")
    assert cloud.migration(volume)["checkpoint"] == 0
    path = target_path(cloud, volume)
    with open(path, "rb") as mine, open(cloud.path(volume), "rb") as source:
        mine.seek(GIB - 8192)
        source.seek(GIB - 8192)
        assert mine.read(8192) == source.read(8192)
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)
        f.seek(offset)
        f.write(bytes([byte[0] ^ 0x40]))
        f.flush()
        os.fsync(f.fileno())
    cloud.points.release()
    done = failed_well(cloud, volume, digest, "read back", "differ", "mismatch")
    assert done["error_code"] == "mismatch"
    # The offset that is named is that of the byte, or of the block around it.
    numbers = [int(w) for w in _words(done["reason"]) if w.isdigit()]
    assert any(n <= offset < n + 4 * MIB for n in numbers), (offset, done["reason"])
    cloud.leftovers()
    # The same volume moves when the storage does not lie.
    assert cloud.migrate(volume)["phase"] == "done"
    assert cloud.digest(volume) == digest
    cloud.leftovers()


def _words(text):
    return "".join(c if c.isalnum() else " " for c in text).split()


def test_a_foreign_object_of_the_same_name_is_never_touched(cloud):
    """Between name and creation somebody else's file takes the name."""
    volume = cloud.create(1, "foreign")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("migrate.preparing.named")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.preparing.named")
    path = target_path(cloud, volume)
    with open(path, "w") as f:
        f.write("precious")
    cloud.points.release()
    failed_well(cloud, volume, digest, os.path.basename(path), "exists")
    cloud.wait_for(lambda: not cloud.sql("select 1 from drover.garbage"
                                         " where removed_at is null"), 30, "garbage is done")
    with open(path) as f:
        assert f.read() == "precious"
    os.unlink(path)
    cloud.leftovers()


def test_a_replaced_target_is_found_by_its_identity(cloud):
    """After a crash another file stands where T was: it is not written to."""
    volume = cloud.create(1, "replaced")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("migrate.copying")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.copying")
    worker = cloud.worker()
    cloud.manager.kill()
    cloud.wait_for(lambda: worker not in cloud.workers(), 10, "the worker is gone")
    path = target_path(cloud, volume)
    os.rename(path, cloud.tmp + "/was-target")
    with open(path, "wb") as f:
        f.write(b"precious")
        f.truncate(GIB)
    cloud.points.release()
    cloud.manager.start()
    failed_well(cloud, volume, digest, os.path.basename(path), "identity", "other")
    with open(path, "rb") as f:
        assert f.read(8) == b"precious"
    os.unlink(path)
    os.unlink(cloud.tmp + "/was-target")
    cloud.wait_ready()
    cloud.leftovers()


@pytest.fixture(scope="module")
def small(make_cloud, tmp_path_factory):
    """A cloud whose backend 'slow' is a small disk that promises much."""
    import subprocess

    import processes

    if os.getuid() != 0:
        pytest.skip("skipped, because mounting needs root")
    base = processes.temporary_directory("drover-small-")
    point = f"{base}/m"
    os.mkdir(point)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", point],
                          stderr=subprocess.PIPE, text=True)
    if done.returncode:
        pytest.skip(f"skipped, because tmpfs cannot be mounted: {done.stderr.strip()}")
    yield make_cloud(backends={"fast": {}, "slow": {
        "file_directory": point, "max_over_subscription_ratio": "1000"}})


def test_a_full_disk(small, request):
    """Thin: the volume is bigger than the disk, its data too."""
    request.node.drover_cloud = small
    volume = small.create(1, "fills")
    small.fill(volume, [(n * 8 * MIB, 2 * MIB) for n in range(64)])
    digest = small.digest(volume)
    small.drover("migrate", volume, "server1@slow#slow")
    done = failed_well(small, volume, digest, "No space left", "full", "no space")
    assert done["error_code"] == "no_space"
    small.leftovers()
    # What fits goes there.
    little = small.create(1, "fits")
    small.fill(little)
    assert small.migrate(little)["phase"] == "done"
    small.drover("delete", little)
    small.leftovers()


def test_a_read_only_directory(small, request):
    import subprocess

    request.node.drover_cloud = small
    volume = small.create(1, "read-only")
    small.fill(volume)
    digest = small.digest(volume)
    point = small.directory("slow")
    small.points.hold("migrate.preparing.named")
    small.migrate(volume, wait=False)
    small.points.reached("migrate.preparing.named")
    subprocess.run(["mount", "-o", "remount,ro", point], check=True)
    try:
        small.points.release()
        failed_well(small, volume, digest, "Read-only", "read-only")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", point], check=True)
    small.leftovers()


def test_a_vanished_directory(cloud):
    volume = cloud.create(1, "vanished")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("migrate.preparing.named")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.preparing.named")
    folder = cloud.directory("slow")
    os.rename(folder, folder + ".away")
    try:
        cloud.points.release()
        failed_well(cloud, volume, digest, "No such file", folder)
        assert cloud.manager.running()
    finally:
        os.rename(folder + ".away", folder)
    cloud.wait_ready()
    cloud.leftovers()
    assert cloud.migrate(volume)["phase"] == "done"
    assert cloud.digest(volume) == digest
    cloud.leftovers()


def test_a_directory_that_is_renamed_in_mid_copy(cloud):
    """Whatever the worker makes of it, the bytes are where the row says."""
    volume = cloud.create(1, "vanishes")
    cloud.fill(volume)
    digest = cloud.digest(volume)
    cloud.points.hold("copy.written")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("copy.written")
    folder = cloud.directory("slow")
    os.rename(folder, folder + ".away")
    cloud.points.release()
    try:
        done = cloud.finished(volume)
    finally:
        os.rename(folder + ".away", folder)
    row = cloud.volume(volume)
    where = "slow" if done["phase"] == "done" else "fast"
    assert row["host"] == f"server1@{where}#{where}"
    assert (row["status"], row["migration_status"]) == ("available", None)
    assert cloud.digest(volume) == digest
    cloud.wait_ready()
    cloud.leftovers()


def test_a_source_that_cannot_be_read(cloud):
    """Shorter than it should be: told, and left alone."""
    volume = cloud.create(1, "short")
    cloud.fill(volume)
    cloud.points.hold("migrate.copying")
    cloud.migrate(volume, wait=False)
    cloud.points.reached("migrate.copying")
    os.truncate(cloud.path(volume), GIB // 2)
    cloud.points.release()
    done = cloud.finished(volume)
    assert done["phase"] == "failed" and done["reason"]
    assert os.path.getsize(cloud.path(volume)) == GIB // 2
    os.truncate(cloud.path(volume), GIB)
    cloud.leftovers()
