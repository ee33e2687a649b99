# SPDX-License-Identifier: Apache-2.0
"""The operator's command."""
import json
import os
import subprocess

import pytest

from cloud import GIB, MIB

HAVE_NBD = all(os.path.exists(f"/usr/bin/{p}") for p in ("nbdcopy", "nbdinfo")) \
    and os.path.exists("/usr/sbin/nbdkit") or os.path.exists("/usr/bin/nbdkit")


def test_show_is_the_property_table(cloud):
    volume = cloud.create(1, "shown")
    lines = cloud.drover("show", "shown").stdout.splitlines()
    assert lines[0].startswith("+-") and "| Property" in lines[1]
    table = {}
    for line in lines[3:-1]:
        key, value = [p.strip() for p in line.strip("|").split("|", 1)]
        table[key] = value
    assert table["id"] == volume
    assert table["os-vol-host-attr:host"] == "server1@fast#fast"
    assert table["os-vol-mig-status-attr:migstat"] == "None"
    assert table["os-vol-mig-status-attr:name_id"] == "None"
    assert table["size"] == "1" and table["status"] == "available"
    done = cloud.migrate(volume)
    shown = cloud.drover("show", volume).stdout
    assert done["temporary_id"] in shown and "server1@slow#slow" in shown


def test_host_list_is_as_cinder_manages(cloud):
    lines = [line.split() for line in cloud.drover("host", "list").stdout.splitlines()]
    for host in ("server1@fast", "server1@slow"):
        assert [host, "nova"] in lines, lines


def test_service_list(cloud):
    rows = cloud.drover_json("service", "list")
    rows = rows if isinstance(rows, list) else rows["services"]
    found = {(r["binary"], r["host"]) for r in rows}
    assert {("cinder-scheduler", "server1"), ("cinder-volume", "server1@fast"),
            ("cinder-volume", "server1@slow")} <= found
    text = cloud.drover("service", "list").stdout
    assert "cinder-scheduler" in text and "up" in text


def test_every_reading_verb_speaks_json(cloud):
    volume = cloud.create(1, "json")
    done = cloud.migrate(volume)
    for verb in (["service", "list"], ["host", "list"], ["pool", "list"], ["list"],
                 ["show", volume], ["migration", "list"], ["migration", "show", done["id"]],
                 ["garbage"]):
        json.loads(cloud.drover(*verb, "--json").stdout)


def test_migration_show_tells_everything(cloud):
    volume = cloud.create(1, "told")
    done = cloud.migrate(volume)
    text = cloud.drover("migration", "show", done["id"]).stdout
    for word in (volume, "server1@fast#fast", "server1@slow#slow", "done", "copy"):
        assert word in text, word


def test_migrate_wait_and_watch(cloud):
    volume = cloud.create(1, "waited")
    cloud.fill(volume)
    cloud.drover("migrate", volume, "server1@slow", "--wait")
    row = cloud.volume(volume)
    assert (row["host"], row["migration_status"]) == ("server1@slow#slow", None)
    cloud.drover("watch", volume)


def test_wait_tells_of_a_failure(cloud):
    volume = cloud.create(1, "wait-fails")
    cloud.points.hold("copy.start")
    process = subprocess.Popen(
        [cloud.program("cli"), "--config-file", cloud.config, "migrate", volume,
         "server1@slow", "--wait"], env=cloud.environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    cloud.points.reached("copy.start")
    os.truncate(cloud.path(volume), 1 * MIB)
    cloud.points.release()
    out, err = process.communicate(timeout=60)
    os.truncate(cloud.path(volume), GIB)
    assert process.returncode == 1, (out, err)
    assert cloud.migration(volume)["reason"] in out + err
    cloud.leftovers()


def test_usage_errors(cloud):
    for wrong in (["frobnicate"], [], ["migrate"], ["create"], ["create", "x"],
                  ["create", "0"], ["create", "-1"], ["create", "99999999999999999999"],
                  ["show"], ["list", "extra", "words"], ["migrate", "a", "b", "c"],
                  ["list", "--no-such"], ["service"], ["service", "frob"],
                  ["rate", "a"], ["rate", "a", "1X"], ["rate", "a", "-1"], ["pause"],
                  ["migrate", "a", "--rate", "fast"], ["migrate", "a", "--rate", "default"],
                  ["pause", "a", "--rate", "1M"]):
        result = cloud.drover(*wrong, check=False)
        assert result.returncode == 2 and result.stderr.strip(), (wrong, result)


def test_not_found(cloud):
    for verb in (["show"], ["delete"], ["connect"], ["disconnect"], ["cancel"], ["watch"],
                 ["detach"], ["migration", "show"], ["pause"], ["continue"], ["rate"]):
        result = cloud.drover(*verb, "no-such-thing", *(["5M"] if verb == ["rate"] else []),
                              check=False)
        assert result.returncode == 3 and "no-such-thing" in result.stderr, (verb, result)


def test_a_leftover_that_is_kept_may_be_removed_now(make_cloud, request):
    cloud = make_cloud(drover={"source_keep": "86400"})
    request.node.drover_cloud = cloud
    volume = cloud.create(1, "kept")
    cloud.migrate(volume)
    row = cloud.wait_for(lambda: [g for g in cloud.drover_json("garbage")
                                  if g["state"] == "renamed"], 20, "it is renamed")[0]
    assert row["trash_name"] in cloud.drover("garbage").stdout
    result = cloud.drover("garbage", "remove", row["trash_name"] + "x", check=False)
    assert result.returncode == 3 and "drover garbage" in result.stderr
    assert os.path.exists(f"{cloud.directory('fast')}/{row['trash_name']}")
    cloud.drover("garbage", "remove", row["trash_name"])
    cloud.leftovers()


def test_help_of_every_verb(cloud):
    for verb in (["db", "sync"], ["service", "list"], ["host", "list"], ["pool", "list"],
                 ["create"], ["list"], ["show"], ["delete"], ["connect"], ["disconnect"],
                 ["attach"], ["detach"], ["migrate"], ["migration", "list"], ["migration", "show"], ["watch"],
                 ["cancel"], ["rate"], ["pause"], ["continue"], ["garbage"]):
        result = cloud.drover(*verb, "--help")
        assert verb[0] in result.stdout and not result.stderr, (verb, result)


@pytest.mark.skipif(not HAVE_NBD, reason="skipped, because nbdkit or libnbd-bin is missing")
def test_connect_puts_data_in_and_takes_it_out(cloud, tmp_path):
    volume = cloud.create(1, "exported")
    image = tmp_path / "in"
    image.write_bytes(os.urandom(3 * MIB) + bytes(MIB) + os.urandom(5000 * 512))
    uri = cloud.drover("connect", volume).stdout.split()[-1]
    assert uri.startswith("nbd://127.0.0.1:")
    assert cloud.drover_json("connect", volume)["uri"].startswith("nbd://127.0.0.1:")
    subprocess.run(["nbdcopy", str(image), uri], check=True, timeout=60)
    cloud.drover("disconnect", volume)
    cloud.leftovers()
    with open(cloud.path(volume), "rb") as f:
        assert f.read(image.stat().st_size) == image.read_bytes()

    assert cloud.migrate(volume)["phase"] == "done"
    uri = cloud.drover("connect", volume).stdout.split()[-1]
    out = tmp_path / "out"
    subprocess.run(["nbdcopy", uri, str(out)], check=True, timeout=60)
    cloud.drover("disconnect", volume)
    with open(out, "rb") as f:
        assert f.read(image.stat().st_size) == image.read_bytes()
    assert out.stat().st_size == GIB
    cloud.leftovers()


@pytest.mark.skipif(not HAVE_NBD, reason="skipped, because nbdkit or libnbd-bin is missing")
def test_an_export_outlives_the_manager(cloud):
    volume = cloud.create(1, "outlives")
    uri = cloud.drover("connect", volume).stdout.split()[-1]
    cloud.manager.kill()
    subprocess.run(["nbdinfo", "--size", uri], check=True, timeout=30,
                   stdout=subprocess.DEVNULL)
    cloud.manager.start()
    cloud.wait_ready()
    subprocess.run(["nbdinfo", "--size", uri], check=True, timeout=30,
                   stdout=subprocess.DEVNULL)
    cloud.drover("disconnect", volume)
    cloud.leftovers()
    dead = subprocess.run(["nbdinfo", "--size", uri], timeout=30, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL)
    assert dead.returncode != 0


def test_delete_gives_the_file_back(cloud):
    volume = cloud.create(1, "deleted")
    path = cloud.path(volume)
    assert os.path.exists(path)
    cloud.drover("delete", "deleted")
    cloud.wait_for(lambda: cloud.volume(volume)["deleted"] and not os.path.exists(path),
                   30, "row and file are gone")
    cloud.leftovers()


def test_create_chooses_a_backend(cloud):
    volume = cloud.create(2, "chosen", host=None)
    row = cloud.volume(volume)
    assert row["host"] in ("server1@fast#fast", "server1@slow#slow")
    assert os.path.getsize(cloud.path(volume)) == 2 * GIB
    # Sparse, and no more than that.
    assert os.stat(cloud.path(volume)).st_blocks == 0
