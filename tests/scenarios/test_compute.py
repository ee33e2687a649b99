# SPDX-License-Identifier: Apache-2.0
"""Attached volumes: Nova is asked to move the guest, and says what became of it; or does
not, or not in time. A stand-in plays Keystone and Nova as captured."""
import os
import uuid

import pytest

from attachments import Attachments, connector
from conftest import BUILDDIR, SRCDIR
from compute import Nova, certificate
from peer import Peer
from two_hosts import TwoHosts, pool

SLOW = "server1@slow#slow"
FAST = "server1@fast#fast"


@pytest.fixture(scope="module")
def nova_server(tmp_path_factory):
    nova = Nova(str(tmp_path_factory.mktemp("nova")))
    yield nova
    nova.close()


@pytest.fixture(scope="module")
def module_cloud(make_cloud, nova_server):
    return make_cloud(
        drover={"compute_poll": "0.2", "compute_grace": "1.5", "rescan_interval": "0.3"},
        sections={"nova": nova_server.options()})


@pytest.fixture
def nova(cloud, peer, nova_server):
    nova_server.join(cloud, peer)
    return nova_server


@pytest.fixture
def configure(cloud, nova):
    """Other options of [nova] for workers from now on."""
    def change(**more):
        cloud.sections["nova"] = nova.options(**more)
        cloud.write_config("drover.conf")
    yield change
    change()


def guest(cloud, nova, **more):
    """A volume with something in it, attached to a guest."""
    volume = cloud.create(1)
    cloud.fill(volume, ((0, 70000), (100 << 20, 4096)))
    nova.attach(volume, **more)
    return volume


def begin(cloud, peer, volume, target=SLOW):
    """As cinder-api begins a migration; its row when Nova has been asked."""
    cloud.sql("update volumes set migration_status = 'starting', previous_status = status"
              " where id = %s", volume)
    before = cloud.migration(volume)
    peer.scheduler("3.3").cast(peer.context(), "migrate_volume",
                               **peer.migrate_arguments(volume, target))
    return cloud.wait_for(
        lambda: (m := cloud.migration(volume)) and m["id"] != (before or {}).get("id") and m,
        20, "the migration is admitted or refused")


def swap_row(cloud, volume):
    return cloud.sql1("select w.* from drover.swap w join drover.operation o on"
                      " o.id = w.operation_id where o.volume_id = %s"
                      " order by o.created_at desc limit 1", volume)


def accepted(cloud, volume):
    """The temporary volume of a migration that Nova has begun."""
    cloud.wait_for(lambda: (w := swap_row(cloud, volume)) and w["accepted_at"], 30,
                   "Nova has accepted")
    return cloud.migration(volume)["temporary_id"]


def ends(cloud, volume, phase):
    row = cloud.finished(volume, 40)
    assert row["phase"] == phase, (row["phase"], row["reason"])
    return row["reason"]


def assert_stayed(cloud, volume, attachment):
    row = cloud.volume(volume)
    assert (row["host"], row["status"], row["attach_status"], row["migration_status"]) == (
        FAST, "in-use", "attached", None)
    live = cloud.sql("select id from volume_attachment where volume_id = %s and"
                     " not deleted", volume)
    assert [r["id"] for r in live] == [attachment]


def garbage_of(cloud, temporary):
    return cloud.sql1("select * from drover.garbage where volume_id = %s and"
                      " removed_at is null", temporary)


def detach(cloud, nova, volume):
    nova.api.delete(volume, nova.attachment_of(volume)["id"])
    cloud.leftovers()


def assert_moved(cloud, volume, temporary, target=SLOW):
    cloud.wait_for(lambda: cloud.migration(volume)["phase"] == "done", 20, "it is settled")
    row = cloud.volume(volume)
    assert (row["host"], row["status"], row["attach_status"], row["migration_status"],
            row["_name_id"]) == (target, "in-use", "attached", None, temporary)
    gone = cloud.volume(temporary)
    assert gone["deleted"] and gone["status"] == "deleted"


def test_a_guest_moves(cloud, peer, nova):
    volume = guest(cloud, nova)
    digest, server = cloud.digest(volume), nova.server_of(volume)
    old = nova.attachment_of(volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    # The order as captured, once, with a token that was asked for.
    method, path, headers, body = nova.orders()[0]
    assert len(nova.orders()) == 1 and method == "PUT"
    assert path == f"/v2.1/servers/{server}/os-volume_attachments/{volume}"
    assert body == {"volumeAttachment": {"volumeId": temporary}}
    assert headers["X-OpenStack-Nova-API-Version"] == "2.1"
    assert headers["Accept"] == headers["Content-Type"] == "application/json"
    assert headers["X-Auth-Token"] in nova.tokens
    asked = next(r[3] for r in nova.requests if r[1] == "/v3/auth/tokens")
    assert asked == {"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": "cinder", "domain": {"name": "Default"}, "password": "a secret"}}},
        "scope": {"project": {"name": "service", "domain": {"name": "Default"}}}}}
    # Exactly this word, or Nova does not call back.
    assert cloud.volume(volume)["migration_status"] == "migrating"
    # What the guest does not need is refused; what it needs is not.
    assert cloud.drover("delete", volume, check=False).returncode == 1
    assert cloud.drover("migrate", volume, SLOW, check=False).returncode == 1
    for verb in (["rate", volume, "1M"], ["pause", volume]):
        refused = cloud.drover(*verb, check=False)
        assert refused.returncode == 1 and "Compute copies" in refused.stderr
    nova.copied(volume)
    new = nova.attachment_of(temporary)["id"]
    said = cloud.sql1("select * from drover.export where volume_id = %s and state = 'open'",
                      temporary)
    assert nova.complete(volume, temporary) == volume
    # The answer comes after the switch.
    row = nova.attachment_of(volume)
    assert (row["id"], row["attach_status"], row["instance_uuid"]) == (
        new, "attached", server)
    assert new != old
    assert cloud.volume(volume)["host"] == SLOW
    assert_moved(cloud, volume, temporary)
    # It came twice, and late.
    for host in (SLOW, FAST):
        assert nova.say(volume, temporary, host=host) == volume
        assert nova.say(volume, temporary, True, host=host) == volume
    assert cloud.digest(volume) == digest
    # The guest's connection is the volume's, and was never interrupted.
    now = cloud.sql1("select * from drover.export where volume_id = %s and state = 'open'",
                     volume)
    assert (now["id"], now["pid"]) == (said["id"], said["pid"])
    detach(cloud, nova, volume)


def test_the_older_way_of_attaching(cloud, peer, nova):
    api = Attachments(cloud, peer)
    volume, server = cloud.create(1), nova.boot()
    api.status(volume, "attaching")
    api.initialize(volume, connector())
    api.attach(volume, server=server)
    old = nova.attachment_of(volume)["id"]
    nova.servers[server]["volumes"][volume] = old
    nova.reserve = lambda *_: (202, None)
    try:
        begin(cloud, peer, volume)
        cloud.wait_for(lambda: nova.orders(), 30, "Nova is asked")
        temporary = cloud.migration(volume)["temporary_id"]
        api.status(temporary, "reserved")
        api.initialize(temporary, connector())
        api.terminate(volume, connector())
        assert nova.complete(volume, temporary) == volume
    finally:
        del nova.reserve
    assert_moved(cloud, volume, temporary)
    # Nobody made another attachment: this one counts.
    assert nova.attachment_of(volume)["id"] == old
    assert cloud.sql1("select count(*) as n from drover.export where volume_id = %s and"
                      " closed_at is null", volume)["n"] == 1
    api.terminate(volume, connector())
    api.detach(volume, old)
    cloud.leftovers()


def test_a_read_only_attachment_stays_so(cloud, peer, nova):
    volume = guest(cloud, nova, mode="ro")
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    assert nova.connect(volume)["access_mode"] == "ro"
    nova.copied(volume)
    nova.complete(volume, temporary)
    assert_moved(cloud, volume, temporary)
    assert nova.attachment_of(volume)["attach_mode"] == "ro"
    detach(cloud, nova, volume)


def refuse(cloud, peer, volume, words):
    row = begin(cloud, peer, volume)
    row = cloud.finished(volume)
    assert row["phase"] == "failed" and words in row["reason"], row["reason"]
    # Before anything was made.
    assert not cloud.sql("select 1 from volumes where migration_status = %s",
                         f"target:{volume}")
    assert cloud.volume(volume)["migration_status"] is None
    return row


def test_what_compute_cannot_move_is_refused(cloud, peer, nova):
    volume = guest(cloud, nova)
    server, attachment = nova.server_of(volume), nova.attachment_of(volume)["id"]
    # A server that does not run: the reason names its state.
    nova.servers[server].update(status="SHUTOFF", vm_state="stopped")
    refuse(cloud, peer, volume, "is 'stopped'")
    nova.servers[server].update(status="ACTIVE", vm_state="active")
    volumes = nova.servers[server].pop("volumes")
    nova.servers[server]["volumes"] = {}
    refuse(cloud, peer, volume, "Compute does not know that")
    del nova.servers[server]
    refuse(cloud, peer, volume, "which Compute does not know")
    nova.boot(server, volumes=volumes)
    # Two guests, and a host without one.
    second = str(uuid.uuid4())
    cloud.sql("insert into volume_attachment (id, volume_id, instance_uuid, attach_status,"
              " deleted, created_at) values (%s, %s, %s, 'attached', false, now())", second,
              volume, str(uuid.uuid4()))
    refuse(cloud, peer, volume, "has 2 attachments")
    cloud.sql("delete from volume_attachment where id = %s", second)
    cloud.sql("update volume_attachment set instance_uuid = null where id = %s", attachment)
    refuse(cloud, peer, volume, "attached to a host without a server")
    cloud.sql("update volume_attachment set instance_uuid = %s where id = %s", server,
              attachment)
    assert not nova.orders()
    assert_stayed(cloud, volume, attachment)
    detach(cloud, nova, volume)


def test_every_refusal_is_kept_in_computes_words(cloud, peer, nova, configure, tmp_path):
    volume = guest(cloud, nova)
    attachment = nova.attachment_of(volume)["id"]
    for status, words in ((409, "Cannot 'swap_volume' instance while it is in task_state "
                                "migrating"), (403, "Policy doesn't allow it"),
                          (400, "Volume is not fit")):
        nova.behave(f"refuse:{status}:{words}")
        begin(cloud, peer, volume)
        reason = ends(cloud, volume, "failed")
        assert words in reason and str(status) in reason
        assert_stayed(cloud, volume, attachment)
    assert len(nova.orders()) == 3
    # Who cannot ask says why, before anything is made.
    for more, words in (({"password": "another"}, "requires authentication"),
                        ({"cafile": certificate(str(tmp_path), "other")}, "certificate"),
                        ({"auth_url": "https://127.0.0.1:1/v3"}, "Keystone"),
                        ({"region_name": "elsewhere"}, "no endpoint of Compute"),
                        ({"endpoint_override": f"https://127.0.0.1:{nova.port}/v3"},
                         "HTTP status 404")):
        configure(**more)
        refuse(cloud, peer, volume, words)
    assert len(nova.orders()) == 3
    detach(cloud, nova, volume)


def test_application_credentials_and_expired_tokens(cloud, peer, nova, configure):
    configure(auth_type="v3applicationcredential", application_credential_id="an id",
              application_credential_secret="a secret", username="", password="",
              endpoint_override=f"https://127.0.0.1:{nova.port}/v2.1")
    volume = guest(cloud, nova)
    nova.behave("expire", "accept")
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    asked = next(r[3] for r in nova.requests if r[1] == "/v3/auth/tokens")
    assert asked == {"auth": {"identity": {
        "methods": ["application_credential"],
        "application_credential": {"id": "an id", "secret": "a secret"}}}}
    # Refused because of the token, so it was not done: asked once more with a new one.
    first, second = [r[2]["X-Auth-Token"] for r in nova.orders()]
    assert first != second
    # One that ends soon is not used twice.
    nova.token_life = "2001-01-01T00:00:00.000000Z"
    before = nova.tokens_given()
    cloud.wait_for(lambda: nova.tokens_given() > before + 1, 20, "new tokens are asked for")
    nova.copied(volume)
    nova.complete(volume, temporary)
    assert_moved(cloud, volume, temporary)
    detach(cloud, nova, volume)


@pytest.mark.parametrize("how", ["refuse:500:broken", "hang", "truncate", "close"])
def test_answers_that_do_not_come(cloud, peer, nova, how):
    volume = guest(cloud, nova)
    nova.behave(how, "accept")
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    assert len(nova.orders()) == 2
    nova.copied(volume)
    nova.complete(volume, temporary)
    assert_moved(cloud, volume, temporary)
    detach(cloud, nova, volume)


def test_an_order_that_was_heard_is_not_repeated(cloud, peer, nova):
    volume = guest(cloud, nova)
    nova.behave("lost")
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    assert len(nova.orders()) == 1
    nova.copied(volume)
    nova.complete(volume, temporary)
    assert_moved(cloud, volume, temporary)
    assert len(nova.orders()) == 1
    detach(cloud, nova, volume)


def test_it_is_asked_three_times_at_most(cloud, peer, nova):
    volume = guest(cloud, nova)
    attachment = nova.attachment_of(volume)["id"]
    nova.behave(*["refuse:503:nobody is at home"] * 5)
    begin(cloud, peer, volume)
    assert "nobody is at home" in ends(cloud, volume, "failed")
    assert len(nova.orders()) == 3
    assert_stayed(cloud, volume, attachment)
    detach(cloud, nova, volume)


def test_compute_fails_before_it_connects(cloud, peer, nova):
    volume = guest(cloud, nova)
    attachment = nova.attachment_of(volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    nova.gives_up(volume)
    assert nova.complete(volume, temporary, error=True) == volume
    assert "could not move" in ends(cloud, volume, "failed")
    assert_stayed(cloud, volume, attachment)
    # Nobody can have used it.
    cloud.wait_for(lambda: not garbage_of(cloud, temporary), 20, "it is removed")
    for error in (False, True):
        with pytest.raises(Exception) as caught:
            nova.say(volume, temporary, error)
        assert type(caught.value).__name__.startswith("InvalidVolume"), caught.value
    detach(cloud, nova, volume)


def test_what_a_guest_may_have_used_is_quarantined(cloud, peer, nova):
    volume = guest(cloud, nova)
    attachment = nova.attachment_of(volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    path = cloud.path(temporary)
    nova.connect(volume)
    nova.gives_up(volume)
    assert nova.complete(volume, temporary, error="false") == volume
    ends(cloud, volume, "failed")
    assert_stayed(cloud, volume, attachment)
    row = garbage_of(cloud, temporary)
    assert row["quarantined"] and "guest may have written" in row["reason"]
    listed = [g for g in cloud.drover_json("garbage") if g["volume_id"] == temporary]
    assert listed[0]["state"] == "quarantined"
    # It stays, under its name, until somebody says otherwise.
    cloud.manager.restart()
    cloud.wait_ready()
    assert os.path.exists(path) and garbage_of(cloud, temporary)["state"] == "waiting"
    cloud.drover("garbage", "remove", os.path.basename(path))
    cloud.wait_for(lambda: not os.path.exists(path), 20, "it is removed")
    detach(cloud, nova, volume)


def test_a_call_back_that_is_lost(cloud, peer, nova):
    # The guest has moved: its attachments prove it.
    volume = guest(cloud, nova)
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    nova.copied(volume)
    assert_moved(cloud, volume, temporary)
    assert nova.say(volume, temporary) == volume
    detach(cloud, nova, volume)
    # Compute has given up without a word.
    volume = guest(cloud, nova)
    attachment = nova.attachment_of(volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    nova.gives_up(volume)
    assert "without saying why" in ends(cloud, volume, "failed")
    assert_stayed(cloud, volume, attachment)
    # The guest is deleted in the middle.
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    nova.connect(volume)
    server = nova.server_of(volume)
    nova.gives_up(volume)
    nova.let_go(volume, attachment)
    del nova.servers[server]
    assert "server is gone" in ends(cloud, volume, "failed")
    row = cloud.volume(volume)
    assert (row["status"], row["attach_status"], row["host"]) == (
        "available", "detached", FAST)
    cloud.leftovers()


def test_what_nobody_can_tell_is_held(cloud, peer, nova):
    for answer in ("--not-moved", "--moved"):
        volume = guest(cloud, nova)
        attachment = nova.attachment_of(volume)["id"]
        begin(cloud, peer, volume)
        temporary = accepted(cloud, volume)
        nova.connect(volume)
        # After the pivot: it is not cleaned up, and called a failure.
        assert nova.complete(volume, temporary, error=True) == volume
        cloud.in_phase(volume, "held")
        assert cloud.volume(volume)["migration_status"] == "migrating"
        assert "temporary volume is attached" in cloud.migration(volume)["reason"]
        assert cloud.drover("resolve", volume, check=False).returncode == 2
        cloud.drover("resolve", volume, answer)
        refused = cloud.drover("resolve", volume, answer, check=False)
        assert refused.returncode == 1 and "held" in refused.stderr
        if answer == "--moved":
            assert_moved(cloud, volume, temporary)
        else:
            assert "operator says" in ends(cloud, volume, "failed")
            assert_stayed(cloud, volume, attachment)
            assert garbage_of(cloud, temporary)["quarantined"]
            cloud.wait_for(lambda: not cloud.sql(
                "select 1 from drover.export where volume_id = %s and closed_at is null",
                temporary), 20, "its server has ended")
            cloud.drover("garbage", "remove", f"volume-{temporary}")
        detach(cloud, nova, volume)


def test_held_until_compute_is_there_again(cloud, peer, nova, configure):
    volume = guest(cloud, nova)
    attachment = nova.attachment_of(volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    nova.gives_up(volume)
    configure(auth_url="https://127.0.0.1:1/v3")
    nova.complete(volume, temporary, error=True)
    cloud.in_phase(volume, "held")
    configure()
    ends(cloud, volume, "failed")
    assert_stayed(cloud, volume, attachment)
    detach(cloud, nova, volume)


def test_cancel(cloud, peer, nova):
    # Before Compute is asked: at once.
    volume = guest(cloud, nova)
    attachment = nova.attachment_of(volume)["id"]
    cloud.points.hold("compute.asking")
    begin(cloud, peer, volume)
    cloud.points.reached("compute.asking")
    cloud.drover("cancel", volume)
    cloud.points.release("compute.asking")
    ends(cloud, volume, "cancelled")
    assert_stayed(cloud, volume, attachment)
    assert not nova.orders()
    # After that it is noted, and counts when Compute fails.
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    assert "Compute cannot end" in cloud.drover("cancel", volume).stdout
    assert cloud.migration(volume)["phase"] == "swapping"
    nova.gives_up(volume)
    nova.complete(volume, temporary, error=True)
    ends(cloud, volume, "cancelled")
    assert_stayed(cloud, volume, attachment)
    # When it succeeds, the guest has moved.
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    cloud.drover("cancel", volume)
    nova.copied(volume)
    nova.complete(volume, temporary)
    assert_moved(cloud, volume, temporary)
    detach(cloud, nova, volume)


def test_a_completion_that_comes_too_early(cloud, peer, nova):
    volume = guest(cloud, nova)
    cloud.points.hold("compute.asking")
    begin(cloud, peer, volume)
    cloud.points.reached("compute.asking")
    temporary = cloud.migration(volume)["temporary_id"]
    for said in (lambda: nova.complete(volume, temporary),
                 lambda: nova.say(volume, str(uuid.uuid4()))):
        with pytest.raises(Exception) as caught:
            said()
        assert type(caught.value).__name__.startswith("InvalidVolume"), caught.value
    cloud.points.release("compute.asking")
    accepted(cloud, volume)
    nova.copied(volume)
    nova.complete(volume, temporary)
    assert_moved(cloud, volume, temporary)
    detach(cloud, nova, volume)


POINTS = ["migrate.preparing.named", "migrate.preparing.made", "compute.swapping",
          "compute.asking", "compute.asked", "compute.answered", "compute.accepted"]


@pytest.mark.parametrize("victim", ["worker", "manager"])
def test_killed_between_every_two_steps(cloud, peer, nova, victim):
    volume = guest(cloud, nova)
    for point in POINTS:
        cloud.points.hold(point)
    begin(cloud, peer, volume)
    for point in POINTS:
        cloud.points.reached(point)
        if victim == "worker":
            cloud.kill_worker()
        else:
            cloud.manager.kill()
        cloud.points.release(point)
        if victim == "manager":
            cloud.manager.start()
    temporary = accepted(cloud, volume)
    # Asked, heard, and asked again only where nothing came of it.
    live = cloud.sql("select 1 from volume_attachment where volume_id = %s and not deleted",
                     temporary)
    assert len(live) == 1
    nova.copied(volume)
    # The switch is there, though whoever made it is not any more.
    cloud.points.hold("migrate.settling")
    assert nova.complete(volume, temporary) == volume
    cloud.points.reached("migrate.settling")
    cloud.kill_worker() if victim == "worker" else cloud.manager.kill()
    cloud.points.release("migrate.settling")
    if victim == "manager":
        cloud.manager.start()
        cloud.wait_ready()
    assert_moved(cloud, volume, temporary)
    detach(cloud, nova, volume)


def test_killed_on_the_way_back(cloud, peer, nova):
    volume = guest(cloud, nova)
    attachment = nova.attachment_of(volume)["id"]
    begin(cloud, peer, volume)
    temporary = accepted(cloud, volume)
    nova.gives_up(volume)
    cloud.points.hold("compute.give_up")
    nova.complete(volume, temporary, error=True)
    cloud.points.reached("compute.give_up")
    cloud.kill_worker()
    cloud.points.release("compute.give_up")
    ends(cloud, volume, "failed")
    assert_stayed(cloud, volume, attachment)
    detach(cloud, nova, volume)


def test_to_another_host(servers, nova_server):
    cloud = TwoHosts(BUILDDIR, servers=servers, srcdir=SRCDIR,
                     drover={"compute_poll": "0.2", "compute_grace": "1.5",
                             "rescan_interval": "0.3"},
                     sections={"nova": nova_server.options()})
    peer = Peer(cloud)
    try:
        nova_server.join(cloud, peer)
        volume = cloud.create(1, host=pool("server1"))
        cloud.fill(volume, ((0, 70000), (100 << 20, 4096)))
        digest = cloud.digest(volume)
        nova_server.attach(volume)
        begin(cloud, peer, volume, pool("server2"))
        temporary = accepted(cloud, volume)
        nova_server.copied(volume)
        assert nova_server.complete(volume, temporary) == volume
        assert_moved(cloud, volume, temporary, pool("server2"))
        assert cloud.digest(volume) == digest
        assert nova_server.say(volume, temporary, host=pool("server1")) == volume
        nova_server.api.delete(volume, nova_server.attachment_of(volume)["id"])
        cloud.leftovers()
    finally:
        peer.close()
        cloud.close()
