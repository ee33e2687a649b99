# SPDX-License-Identifier: Apache-2.0
"""What a broker can do to us: be away, restart, close, cancel, block, hang. Each test
has a real RabbitMQ whose life it controls."""
import json
import os
import signal
import socket
import threading
import time
import uuid

import pytest

pytest.importorskip("pika", reason="skipped, because python3-pika is missing")
pytest.importorskip(
    "oslo_messaging", reason="skipped, because python3-oslo.messaging is missing")

import pika  # noqa: E402
import rpc_peers  # noqa: E402
import servers  # noqa: E402
from processes import wait_for  # noqa: E402
from rpc_peers import Drover, client  # noqa: E402


@pytest.fixture(scope="module")
def broker():
    try:
        made = servers.Rabbit()
    except servers.Missing as missing:
        pytest.skip(f"skipped, because {missing}")
    yield made
    made.close()


@pytest.fixture
def rabbit(broker):
    """Running; queues of earlier tests are gone."""
    if broker.process:
        broker.evaluate('[rabbit_amqqueue:delete(Q, false, false, <<"tests">>)'
                        " || Q <- rabbit_amqqueue:list()]")
    else:
        broker.start()
    return broker


@pytest.fixture
def drover(rabbit):
    with Drover(rabbit.url, "--heartbeat", "2", "--confirm-timeout", "2") as peer:
        peer.event("ready")
        yield peer


def publish(rabbit, method, key="t-one.server1", **more):
    message = {"method": method, "args": {}, "version": "1.0",
               "_unique_id": uuid.uuid4().hex, **more}
    connection = pika.BlockingConnection(pika.URLParameters(
        rabbit.url.replace("rabbit://", "amqp://")))
    connection.channel().basic_publish("openstack", key, json.dumps(
        {"oslo.version": "2.0", "oslo.message": json.dumps(message)}).encode())
    connection.close()
    return message


def works(rabbit, drover):
    made = rpc_peers.transport(rabbit.url)
    assert client(made, "t-one", "server1").call({}, "echo", a=1) == {"a": 1}
    made.cleanup()
    sent = drover.send(topic="t-one", server="server1", method="echo")
    assert sent["code"] == "none", sent["text"]


def close_connections(rabbit):
    rabbit.evaluate('[rabbit_networking:close_connection(C, "by the test")'
                    " || C <- rabbit_networking:connections()]")


def fanout_queues(rabbit):
    return [name for name in rabbit.ctl("list_queues", "name").split()
            if name.startswith("t-one_fanout_")]


def test_a_broker_that_is_away_at_the_start_is_waited_for(broker):
    broker.kill()
    with Drover(broker.url) as drover:
        drover.wait_logged("broker is away")
        sent = drover.send(topic="t-one", server="server1", method="echo")
        assert sent["code"] == "broker" and sent["seconds"] < 6
        broker.start()
        drover.event("ready", timeout=30)
        works(broker, drover)
        assert len(drover.logged("broker is away")) < 12


@pytest.mark.parametrize("crash", [False, True])
def test_after_a_restart_everything_is_declared_anew(rabbit, drover, crash):
    before = fanout_queues(rabbit)
    rabbit.restart(crash=crash)
    drover.event("ready", timeout=30)
    works(rabbit, drover)
    assert fanout_queues(rabbit) == before


def test_closed_connections_come_back(rabbit, drover):
    for _ in range(3):
        close_connections(rabbit)
        drover.event("ready")
        works(rabbit, drover)


def test_a_cast_on_a_connection_that_was_just_closed_is_sent(rabbit, drover):
    drover.command("cast", topic="t-one", server="server1", method="slow", args={})
    drover.event("sent")
    close_connections(rabbit)
    drover.command("cast", topic="t-one", server="server1", method="echo")
    assert drover.event("sent")["code"] == "none"


def test_a_deleted_queue_comes_back(rabbit, drover):
    rabbit.ctl("delete_queue", "t-one.server1")
    drover.event("ready")
    works(rabbit, drover)
    assert drover.logged("a queue was deleted under its consumer")


def test_an_idle_connection_lives_by_its_heartbeats(rabbit, drover):
    listed = json.loads(rabbit.ctl("list_connections", "--formatter", "json", "timeout"))
    assert [c["timeout"] for c in listed] == [2, 2]
    time.sleep(9)
    assert not drover.logged("broker is away")
    works(rabbit, drover)
    assert not drover.logged("broker is away")


def test_a_memory_alarm_never_hangs_and_passes(rabbit, drover):
    rabbit.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        first = drover.send(topic="t-one", server="server1", method="echo")
        assert first["code"] == "broker" and "memory" in first["text"]
        assert 1.5 < first["seconds"] < 3
        second = drover.send(topic="t-one", server="server1", method="echo")
        assert second["code"] == "broker" and second["seconds"] < 0.5
        drover.events_within(6)  # longer than two heartbeats
        assert not drover.logged("broker is away")
    finally:
        rabbit.ctl("set_vm_memory_high_watermark", "absolute", "512MB")
    drover.wait_logged("broker takes messages again")
    works(rabbit, drover)


def test_a_large_message_does_not_hang_in_a_memory_alarm(rabbit, drover):
    rabbit.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        sent = drover.send(topic="t-one", server="server1", method="echo", pad=16000000)
        assert sent["code"] == "broker" and sent["seconds"] < 5, sent
    finally:
        rabbit.ctl("set_vm_memory_high_watermark", "absolute", "512MB")
    deadline = time.monotonic() + 20
    while drover.send(topic="t-one", server="server1", method="echo")["code"] != "none":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    works(rabbit, drover)


def test_a_broker_that_hangs_never_hangs_us(rabbit, drover):
    with open(f"{rabbit.directory}/rabbit/pid") as f:
        node = int(f.read())
    os.kill(node, signal.SIGSTOP)
    try:
        for pad in (16000000, 0):
            sent = drover.send(topic="t-one", server="server1", method="echo", pad=pad)
            assert sent["code"] == "broker" and sent["seconds"] < 5, sent
    finally:
        os.kill(node, signal.SIGCONT)
    deadline = time.monotonic() + 30
    while drover.send(topic="t-one", server="server1", method="echo")["code"] != "none":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    drover.wait_logged("broker is back for=requests", 30)
    works(rabbit, drover)


def test_a_reply_waits_for_the_broker(rabbit, drover):
    made = rpc_peers.transport(rabbit.url)
    answers = []
    caller = threading.Thread(target=lambda: answers.append(
        client(made, "t-one", "server1", timeout=50).call({}, "later", seconds=1.5)))
    caller.start()
    drover.event("called", method="later")
    rabbit.kill()
    drover.events_within(2)
    rabbit.start()
    caller.join(50)
    assert answers == ["later"]
    made.cleanup()


def test_a_handled_message_whose_acknowledgement_was_lost_runs_once(rabbit, drover):
    publish(rabbit, "slow", args={"n": 1})
    drover.event("called", method="slow")
    close_connections(rabbit)
    drover.event("ready")
    publish(rabbit, "echo", args={"n": 2})
    called = drover.event("called")
    assert called["method"] == "echo" and called["args"] == {"n": 2}


def test_a_waiting_message_survives_the_loss_of_the_broker(rabbit, drover):
    publish(rabbit, "defer", args={"times": 3})
    drover.event("called", method="defer")
    rabbit.kill()
    rabbit.start()  # its queue and the message are gone
    calls = [drover.event("called", method="defer", timeout=30) for _ in range(3)]
    assert len({c["unique_id"] for c in calls}) == 1
    drover.wait_logged("broker is back for=requests", 30)
    works(rabbit, drover)


def test_a_waiting_message_is_not_poison_while_the_database_is_away(rabbit, drover):
    publish(rabbit, "defer", args={"times": 4})
    drover.event("called", method="defer")
    for _ in range(4):
        rabbit.ctl("close_all_connections", "again")
        drover.event("ready")
    works(rabbit, drover)
    assert not drover.logged("message rejected")


def test_a_message_that_breaks_each_transaction_is_rejected(rabbit, drover):
    poison = publish(rabbit, "defer", args={
        "times": 1000, "code": "commit_unknown", "x": "y" * 2000})
    drover.event("called", method="defer")
    for _ in range(3):
        rabbit.ctl("close_all_connections", "again")
        drover.event("ready")
    line, = drover.wait_logged("message rejected after too many redeliveries")
    assert poison["_unique_id"] in line and len(line) < 1400
    works(rabbit, drover)


def test_a_message_that_ends_the_process_is_rejected_in_the_end(rabbit, tmp_path):
    notes = tmp_path / "suspects"
    poison = None
    for crash in range(3):
        drover = Drover(rabbit.url, "--suspects", str(notes))
        drover.event("ready")
        if not poison:
            poison = publish(rabbit, "abort", args={"x": "y" * 2000},
                             _context_auth_token="secret")
        assert drover.event("called")["redelivered"] == (crash > 0)
        assert drover.crashed() == -signal.SIGABRT
        found = notes.read_text() if notes.exists() else ""
        assert found == crash * (poison["_unique_id"] + "\n")
    with Drover(rabbit.url, "--suspects", str(notes)) as drover:
        drover.event("ready")
        works(rabbit, drover)
        line, = drover.logged("message rejected")
        assert " ERROR" in line.upper() and "y" * 500 in line
        assert poison["_unique_id"] in line and "secret" not in line
        assert len(line) < 1400
    # The broker counts after the fact.
    wait_for(lambda: "t-one.server1\t0" in rabbit.ctl("list_queues", "name", "messages"), 30,
             "the queue is empty")


def test_a_call_that_is_rejected_is_answered(rabbit, tmp_path):
    notes = tmp_path / "suspects"
    made = rpc_peers.transport(rabbit.url)
    failures = []

    def call():
        try:
            client(made, "t-one", "server1", timeout=50).call({}, "abort")
        except Exception as failure:
            failures.append(str(failure))
    caller = threading.Thread(target=call)
    for crash in range(3):
        drover = Drover(rabbit.url, "--suspects", str(notes))
        drover.event("ready")
        if not crash:
            caller.start()
        assert drover.crashed() == -signal.SIGABRT
    with Drover(rabbit.url, "--suspects", str(notes)) as drover:
        drover.event("ready")
        caller.join(40)
        assert len(failures) == 1 and "ended this process before" in failures[0]
    made.cleanup()


def test_a_message_that_was_handled_is_no_suspect(rabbit, tmp_path):
    notes = tmp_path / "suspects"
    for _ in range(4):
        drover = Drover(rabbit.url, "--suspects", str(notes))
        drover.event("ready")
        if not notes.exists():
            publish(rabbit, "defer", args={"times": 1000})
            notes.write_text("another\n")
        # It returned, if only to wait; the end of the process is none of its doing.
        drover.wait_logged("request waits for the database")
        assert notes.read_text() == "another\n"
        drover.kill()
    with Drover(rabbit.url, "--suspects", str(notes)) as drover:
        drover.event("called", method="defer")
        assert not drover.logged("message rejected")


def test_a_file_that_cannot_be_written_is_one_warning(rabbit, tmp_path):
    first = Drover(rabbit.url)
    first.event("ready")
    for n in range(5):
        publish(rabbit, "slow", args={"n": n})
    first.event("called")
    first.kill()
    with Drover(rabbit.url, "--suspects", f"{tmp_path}/none/suspects") as drover:
        drover.event("ready")
        for n in range(5):
            called = drover.event("called")
            assert called["args"] == {"n": n} and called["redelivered"]
        lines = drover.logged("will not be recognised")
        assert len(lines) == 1 and "No such file" in lines[0]


def test_a_host_that_never_answers_is_passed_over(rabbit):
    silent = socket.create_server(("127.0.0.1", 0))
    url = rabbit.url.replace(
        "rabbit://", f"rabbit://guest:guest@127.0.0.1:{silent.getsockname()[1]},")
    began = time.monotonic()
    with Drover(url) as drover:
        drover.event("ready", timeout=15)
        assert time.monotonic() - began < 10
        works(rabbit, drover)
    silent.close()


def test_wrong_credentials_are_named_once(rabbit):
    url = rabbit.url.replace("guest:guest@", "guest:wrong@")
    with Drover(url) as drover:
        drover.events_within(3)
        lines = drover.logged("ACCESS_REFUSED")
        assert len(lines) == 2  # one for each of the two connections
