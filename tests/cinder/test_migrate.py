# SPDX-License-Identifier: Apache-2.0
"""'cinder migrate' through an unmodified cinder-api. After each test the fixture looks
that nothing is left over and that quotas say what the rows do."""
import pytest

from cinder_cloud import OTHER_PROJECT

ONE, TWO, FAR = "server1@nfs-1#nfs1", "server1@nfs-2#nfs2", "server2@nfs-1#nfs1"


def filled(cloud, name, host=ONE):
    """Of a type that any backend may have."""
    volume = cloud.make(name, host, volume_type="t-plain2")
    cloud.fill(volume)
    return volume, cloud.digest(volume)


def moved(cloud, volume, target, digest):
    """It is at its target and as it was."""
    assert_done(cloud.finished(volume))
    return arrived(cloud, volume, target, digest)


def assert_done(migration):
    assert migration["phase"] == "done", migration["reason"]


def moves(cloud, volume, target, digest, *options):
    assert_done(cloud.moves(volume, target, *options))
    return arrived(cloud, volume, target, digest)


def arrived(cloud, volume, target, digest):
    cloud.settled()
    shown = cloud.shown(volume)
    assert shown["os-vol-host-attr:host"] == target
    assert shown["status"] == "available"
    assert shown["migration_status"] == shown["os-vol-mig-status-attr:migstat"] == "None"
    assert cloud.digest(volume) == digest
    return shown


def stayed(cloud, volume, source, digest, result="None"):
    """It is where it was and as it was, and can be used."""
    cloud.settled()
    shown = cloud.shown(volume)
    assert shown["os-vol-host-attr:host"] == source
    assert (shown["status"], shown["migration_status"]) == ("available", result)
    assert cloud.digest(volume) == digest
    return shown


def held(cloud, volume, *arguments):
    """Its migration has begun to copy and waits there."""
    cloud.points.hold("migrate.copying")
    cloud.cinder("migrate", volume, *arguments)
    cloud.points.reached("migrate.copying")


# Where to.


@pytest.mark.parametrize("options", [[], ["--force-host-copy", "True"],
                                     ["--lock-volume", "True"]],
                         ids=["plain", "force", "lock"])
def test_migrate(cloud, options):
    volume, digest = filled(cloud, "options")
    before = cloud.shown(volume)
    cloud.points.hold("migrate.copying")
    done = cloud.cinder("migrate", *options, volume, FAR)
    assert done.stdout == f"Request to migrate volume {volume} has been accepted.\n"
    cloud.points.reached("migrate.copying")
    during = cloud.shown(volume)
    assert during["migration_status"] == "migrating"
    assert during["status"] == ("maintenance" if options[:1] == ["--lock-volume"] else
                                "available")
    assert during["os-vol-host-attr:host"] == ONE
    cloud.points.release()
    after = moved(cloud, volume, FAR, digest)
    assert cloud.migration(volume)["force_host_copy"] == (options[:1] == [
        "--force-host-copy"])
    changed = {k for k in after if after[k] != before[k]}
    assert changed <= {"os-vol-host-attr:host", "os-vol-mig-status-attr:name_id",
                       "updated_at", "service_uuid"}, changed
    # And back, to another backend of the first host.
    moves(cloud, volume, TWO, digest)


def test_between_two_backends_of_one_host(cloud):
    volume, digest = filled(cloud, "same host")
    moves(cloud, volume, TWO, digest)


def test_a_backend_without_its_pool(cloud):
    volume, digest = filled(cloud, "no pool")
    assert_done(cloud.moves(volume, "server2@nfs-1"))
    arrived(cloud, volume, FAR, digest)


def test_the_temporary_volume_is_an_admins_only(cloud):
    volume = cloud.make("temporary")
    held(cloud, volume, FAR)
    temporary = cloud.migration(volume)["temporary_id"]
    shown = cloud.shown(temporary)
    assert shown["migration_status"] == f"target:{volume}"
    assert shown["consumes_quota"] == "False"
    assert cloud.rest("DELETE", f"/volumes/{temporary}").status == 400
    assert cloud.action(temporary, "os-force_delete").status in (400, 403)
    cloud.points.release()
    cloud.finished(volume)
    cloud.settled()
    assert cloud.rest("GET", f"/volumes/{temporary}").status == 404


# Refused by cinder-api: nothing happens.


def refused(cloud, volume, target, *options, says="Invalid volume"):
    messages = cloud.sql1("select count(*) as n from drover.operation")["n"]
    done = cloud.cinder("migrate", *options, volume, target)
    # This command says what is wrong and exits with 0.
    assert "HTTP 400" in done.stdout and says in done.stdout, done.stdout
    assert cloud.sql1("select count(*) as n from drover.operation")["n"] == messages


def test_refused_by_cinder_api(cloud):
    volume, digest = filled(cloud, "refused")
    refused(cloud, volume, ONE)
    refused(cloud, volume, ONE, "--force-host-copy", "True")
    refused(cloud, volume, "server9@nfs-1#nfs1", says="No available service")
    refused(cloud, volume, "server9", says="No available service")
    for status in ("error", "reserved", "retyping", "extending", "maintenance"):
        cloud.sql("update volumes set status = %s where id = %s", status, volume)
        refused(cloud, volume, FAR)
    cloud.sql("update volumes set status = 'available' where id = %s", volume)
    stayed(cloud, volume, ONE, digest)


def test_a_disabled_target(cloud):
    volume, digest = filled(cloud, "disabled")
    cloud.cinder("service-disable", "server2@nfs-1", "cinder-volume", "--reason", "test")
    try:
        refused(cloud, volume, FAR, says="No available service")
    finally:
        cloud.cinder("service-enable", "server2@nfs-1", "cinder-volume")
    stayed(cloud, volume, ONE, digest)
    moves(cloud, volume, FAR, digest)


def test_twice_at_once(cloud):
    volume, digest = filled(cloud, "twice")
    held(cloud, volume, FAR)
    refused(cloud, volume, TWO)
    refused(cloud, volume, FAR)
    cloud.points.release()
    moved(cloud, volume, FAR, digest)


# Accepted by cinder-api, refused by the scheduler or the manager.


@pytest.mark.parametrize("target", ["server2@nfs-1#nopool", "server1@nfs-1"],
                         ids=["wrong pool", "own backend without pool"])
def test_refused_later(cloud, target):
    volume, digest = filled(cloud, "later")
    cloud.cinder("migrate", "--lock-volume", "True", volume, target)
    cloud.wait_for(lambda: cloud.status(volume) == ("available", None), 20,
                   "the request is taken back")
    stayed(cloud, volume, ONE, digest)
    last = cloud.drover_json("migration", "list")
    assert target in str(last) and "failed" in str(last)
    # It can be asked for again, rightly.
    moves(cloud, volume, FAR, digest)


def test_a_target_that_cannot_create(cloud):
    volume, digest = filled(cloud, "cannot create")
    repair = cloud.broken_backend("server2@nfs-1")
    try:
        done = cloud.moves(volume, FAR)
        assert done["phase"] == "failed" and done["reason"]
        assert cloud.status(volume) == ("available", None)
    finally:
        repair()
    stayed(cloud, volume, ONE, digest)
    moves(cloud, volume, FAR, digest)


def test_results_are_kept_as_cinder_does(cloud):
    """migration_result = keep: success and error stay, and do not stand in the way."""
    cloud.reconfigure(migration_result="keep")
    try:
        volume, digest = filled(cloud, "keep")
        cloud.cinder("migrate", volume, "server2@nfs-1#nopool")
        cloud.wait_for(lambda: cloud.status(volume) == ("available", "error"), 20,
                       "the error is kept")
        assert_done(cloud.moves(volume, FAR))
        cloud.settled()
        shown = cloud.shown(volume)
        assert shown["migration_status"] == "success"
        assert shown["os-vol-host-attr:host"] == FAR
        assert_done(cloud.moves(volume, ONE))
        assert cloud.shown(volume)["migration_status"] == "success"
        assert cloud.digest(volume) == digest
        cloud.cinder("reset-state", "--reset-migration-status", volume)
        assert cloud.shown(volume)["migration_status"] == "None"
    finally:
        cloud.reconfigure()


# While it runs.


def test_what_changes_no_storage_is_kept(cloud):
    volume, digest = filled(cloud, "before")
    held(cloud, volume, FAR)
    cloud.cinder("rename", volume, "after", "--description", "told meanwhile")
    cloud.cinder("metadata", volume, "set", "colour=green")
    cloud.cinder("set-bootable", volume, "True")
    cloud.cinder("readonly-mode-update", volume, "True")
    cloud.points.release()
    shown = moved(cloud, volume, FAR, digest)
    assert (shown["name"], shown["description"]) == ("after", "told meanwhile")
    assert "colour : green" in shown["metadata"]
    assert "readonly : True" in shown["metadata"]
    assert shown["bootable"] == "true"


def test_an_extension_is_refused_and_its_quota_given_back(cloud):
    volume, digest = filled(cloud, "extend")
    held(cloud, volume, FAR)
    before = cloud.sql("select resource, in_use from quota_usages order by 1")
    cloud.cinder("extend", volume, 2)
    cloud.wait_for(lambda: cloud.status(volume) == ("available", "migrating") and
                   not cloud.books(), 20, "the extension is taken back")
    assert cloud.sql("select resource, in_use from quota_usages order by 1") == before
    cloud.points.release()
    assert moved(cloud, volume, FAR, digest)["size"] == "1"


def test_a_reservation_outlives_the_migration(cloud):
    volume, digest = filled(cloud, "reserve")
    held(cloud, volume, FAR)
    assert cloud.action(volume, "os-reserve").status == 202
    cloud.points.release()
    done = cloud.finished(volume)
    cloud.settled()
    row = cloud.volume(volume)
    assert (row["status"], row["migration_status"]) == ("attaching", None)
    assert row["host"] == (FAR if done["phase"] == "done" else ONE)
    assert cloud.action(volume, "os-unreserve").status == 202
    assert cloud.shown(volume)["status"] == "available"
    assert cloud.digest(volume) == digest


def test_a_transfer_outlives_the_migration(cloud):
    volume, digest = filled(cloud, "transfer")
    held(cloud, volume, FAR)
    answer = cloud.rest("POST", "/volume-transfers", {"transfer": {
        "volume_id": volume, "name": "to others"}})
    assert answer.status == 202, answer
    transfer = answer.body["transfer"]
    cloud.points.release()
    done = cloud.finished(volume)
    cloud.settled()
    row = cloud.volume(volume)
    assert (row["status"], row["migration_status"]) == ("awaiting-transfer", None)
    assert row["host"] == (FAR if done["phase"] == "done" else ONE)
    answer = cloud.rest("DELETE", f"/volume-transfers/{transfer['id']}")
    assert answer.status == 202, answer
    assert cloud.shown(volume)["status"] == "available"
    assert cloud.volume(volume)["project_id"] != OTHER_PROJECT
    assert cloud.digest(volume) == digest


def test_what_cinder_api_refuses_meanwhile(cloud):
    volume, digest = filled(cloud, "meanwhile")
    held(cloud, volume, FAR)
    assert cloud.rest("DELETE", f"/volumes/{volume}").status == 400
    answer = cloud.rest("POST", "/snapshots", {"snapshot": {"volume_id": volume,
                                                           "force": True}},
                        version="3.65")
    assert answer.status == 400, answer
    answer = cloud.action(volume, "os-retype", {"new_type": "t-plain2",
                                                "migration_policy": "never"})
    assert answer.status == 400, answer
    cloud.points.release()
    moved(cloud, volume, FAR, digest)


def test_an_admins_reset_means_cancel(cloud):
    volume, digest = filled(cloud, "reset")
    held(cloud, volume, FAR)
    cloud.cinder("reset-state", "--reset-migration-status", volume)
    cloud.points.release()
    assert cloud.finished(volume)["phase"] == "cancelled"
    stayed(cloud, volume, ONE, digest)


# os-migrate_volume_completion is for Nova.


def complete(cloud, volume, new, error=False):
    return cloud.action(volume, "os-migrate_volume_completion",
                        {"new_volume": new, "error": error})


def test_completion_is_refused(cloud):
    volume, digest = filled(cloud, "complete")
    other = cloud.make("other")
    assert complete(cloud, volume, "e5176733-1266-4dbf-94bf-8b1f0f6002fa").status == 404
    assert cloud.action(volume, "os-migrate_volume_completion", {}).status == 400
    held(cloud, volume, FAR)
    temporary = cloud.migration(volume)["temporary_id"]
    assert complete(cloud, volume, other).status == 400
    assert complete(cloud, other, temporary).status == 400
    # The right pair: but nobody but its worker says when it is over.
    for error in (False, True):
        answer = complete(cloud, volume, temporary, error)
        assert 400 <= answer.status < 500, answer
    assert cloud.status(volume) == ("available", "migrating")
    cloud.points.release()
    moved(cloud, volume, FAR, digest)
