# SPDX-License-Identifier: Apache-2.0
"""What administrators see of the services, through an unmodified cinder-api."""
import re

import shape
from cinder_cloud import BACKENDS

ONE, FAR = "server1@nfs-1#nfs1", "server2@nfs-1#nfs1"


def rows(text):
    """The lines of a list, as dictionaries by column."""
    (table,) = shape.output(text, shape.Names())
    return [dict(zip(table["columns"], row)) for row in table["rows"]]


def services(cloud):
    return {(r["Binary"], r["Host"]): r for r in rows(cloud.cinder("service-list").stdout)}


def test_service_list(cloud):
    found = services(cloud)
    assert set(found) == {("cinder-scheduler", "server1"),
                          *(("cinder-volume", address) for address in BACKENDS)}
    for row in found.values():
        assert (row["Zone"], row["Status"], row["State"]) == ("nova", "enabled", "up")


def test_cinder_manage(cloud):
    hosts = cloud.api.run("cinder-manage", "host", "list")
    assert hosts.returncode == 0, hosts.stderr
    assert {line.split()[0] for line in hosts.stdout.splitlines()[1:]} == {
        "server1", *BACKENDS}
    listed = cloud.api.run("cinder-manage", "service", "list").stdout
    assert len(re.findall(r"cinder-volume .* enabled +:-\) .* 3\.18 +1\.39", listed)) == 3
    assert re.search(r"cinder-scheduler .* enabled +:-\) .* 3\.12 +1\.39", listed)


def test_get_pools(cloud):
    found = shape.output(cloud.cinder("get-pools", "--detail").stdout, shape.Names())
    assert {p["name"] for p in found} == {f"{a}#{p}" for a, p in BACKENDS.items()}
    for pool in found:
        assert pool["volume_backend_name"] == pool["name"].split("#")[1]
        assert pool["total_capacity_gb"] == pool["free_capacity_gb"] == "<number>"
    only = cloud.cinder("get-pools", "--filters", "name=server1@nfs-2#nfs2").stdout
    assert "server1@nfs-2#nfs2" in only and "nfs1" not in only


def test_get_capabilities(cloud):
    text = cloud.cinder("get-capabilities", "server1@nfs-2").stdout
    assert re.search(r"volume_backend_name +\| nfs2 ", text)
    assert "OS::Storage::Capabilities::server1@nfs-2" in text
    missing = cloud.cinder("get-capabilities", "server9@nfs-2", check=False)
    assert missing.returncode == 1 and "HTTP 404" in missing.stderr


def test_a_disabled_service_takes_no_volumes(cloud):
    cloud.cinder("service-disable", "server1@nfs-2", "cinder-volume", "--reason", "repair")
    try:
        row = services(cloud)["cinder-volume", "server1@nfs-2"]
        assert (row["Status"], row["State"]) == ("disabled", "up")
        assert row["Disabled Reason"] == "repair"
        answer = cloud.rest("POST", "/volumes", {"volume": {
            "size": 1, "name": "nowhere", "volume_type": "t-nfs2"}})
        volume = answer.body["volume"]["id"]
        cloud.wait_for(lambda: cloud.status(volume)[0] == "error", 20, "it is refused")
        cloud.delete(volume)
    finally:
        cloud.cinder("service-enable", "server1@nfs-2", "cinder-volume")
    assert services(cloud)["cinder-volume", "server1@nfs-2"]["Status"] == "enabled"
    cloud.delete(cloud.make("again", "server1@nfs-2#nfs2"))


def test_freeze_and_thaw(cloud):
    volume = cloud.make("frozen")
    cloud.cinder("freeze-host", "server1@nfs-1")
    try:
        row = cloud.service(host="server1@nfs-1")
        assert (row["frozen"], row["disabled"], row["disabled_reason"]) == (
            True, True, "frozen")
        refused = cloud.rest("PUT", "/os-services/freeze", {"host": "server1@nfs-1"})
        assert refused.status == 400, refused
        # What is there stays usable; nothing new comes.
        cloud.cinder("rename", volume, "still frozen")
        answer = cloud.action(volume, "os-extend", {"new_size": 2})
        assert answer.status == 202
        cloud.wait_for(lambda: cloud.status(volume)[0] == "available" and
                       not cloud.books(), 20, "the extension is taken back")
        assert cloud.shown(volume)["size"] == "1"
    finally:
        cloud.cinder("thaw-host", "server1@nfs-1")
    row = cloud.service(host="server1@nfs-1")
    assert (row["frozen"], row["disabled"]) == (False, False)
    cloud.delete(volume)


def test_log_levels(cloud):
    found = rows(cloud.cinder("service-get-log", "--prefix", "cinder").stdout)
    hosts = {(r["Binary"], r["Host"]) for r in found}
    assert {("cinder-scheduler", "server1"),
            *(("cinder-volume", a) for a in BACKENDS)} <= hosts
    cloud.cinder("service-set-log", "debug", "--binary", "cinder-volume",
                 "--server", "server2@nfs-1")
    level = rows(cloud.cinder("service-get-log", "--binary", "cinder-volume",
                              "--server", "server2@nfs-1").stdout)
    assert {r["Level"] for r in level} == {"DEBUG"}
    cloud.cinder("service-set-log", "info", "--binary", "*")
    cloud.wait_for(lambda: {r["Level"] for r in rows(cloud.cinder(
        "service-get-log", "--binary", "cinder-volume").stdout)} == {"INFO"}, 10,
        "all levels are INFO")


def test_work_cleanup(cloud):
    assert cloud.cinder("work-cleanup").stdout == \
        "No cleanable services matched cleanup criteria.\n"


def test_reset_state(cloud):
    volume = cloud.make("reset")
    for state in ("error", "in-use", "available"):
        cloud.cinder("reset-state", "--state", state, volume, check=state != "in-use")
    cloud.cinder("reset-state", "--attach-status", "detached", volume)
    assert cloud.action(volume, "os-reset_status",
                        {"migration_status": "migrating"}).status == 202
    assert cloud.shown(volume)["migration_status"] == "migrating"
    cloud.cinder("reset-state", "--reset-migration-status", volume)
    assert cloud.status(volume) == ("available", None)
    cloud.delete(volume)


def test_one_cinder_conf_is_understood_by_all(cloud):
    """Neither Cinder nor Drover says that it does not know what it reads."""
    for daemon in cloud.daemons():
        options = [line for line in daemon.log().splitlines()
                   if " warning" in line and "option" in line]
        assert not options, options
