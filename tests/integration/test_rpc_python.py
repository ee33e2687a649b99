# SPDX-License-Identifier: Apache-2.0
"""Our RPC beside python3-oslo.messaging's, on a real RabbitMQ that stays up."""
import json
import os
import subprocess
import time
import uuid

import pytest

pika = pytest.importorskip("pika", reason="skipped, because python3-pika is missing")
oslo_messaging = pytest.importorskip(
    "oslo_messaging", reason="skipped, because python3-oslo.messaging is missing")
exception = pytest.importorskip(
    "cinder.exception", reason="skipped, because cinder-common is missing")

import rpc_peers  # noqa: E402
import servers  # noqa: E402
from rpc_peers import Drover, PythonServer, call_with_drover, client  # noqa: E402


@pytest.fixture(scope="module")
def rabbit():
    try:
        with servers.Rabbit() as broker:
            yield broker
    except servers.Missing as missing:
        pytest.skip(f"skipped, because {missing}")


@pytest.fixture
def url(rabbit):
    return rabbit.url_of(rabbit.create_vhost())


@pytest.fixture
def drover(url):
    with Drover(url) as peer:
        peer.event("ready")
        yield peer


@pytest.fixture
def cinder(url):
    made = rpc_peers.transport(url)
    yield client(made, "t-one", "server1")
    made.cleanup()


@pytest.fixture
def raw(url):
    connection = pika.BlockingConnection(pika.URLParameters(
        url.replace("rabbit://", "amqp://")))
    channel = connection.channel()

    def publish(body, key="t-one.server1"):
        if not isinstance(body, bytes):
            body = rpc_envelope(body)
        channel.basic_publish("openstack", key, body)
    publish.channel = channel
    yield publish
    connection.close()


def rpc_envelope(message, version="2.0"):
    text = message if isinstance(message, str) else json.dumps(message)
    return json.dumps({"oslo.version": version, "oslo.message": text}).encode()


def request(method="echo", **more):
    return {"method": method, "args": {}, "version": "1.0",
            "_unique_id": uuid.uuid4().hex, **more}


def take(raw, queue, timeout=5):
    """The next message of a queue: its properties and what is in the envelope."""
    deadline = time.monotonic() + timeout
    while True:
        got = raw.channel.basic_get(queue, auto_ack=True)
        if got[0]:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    outer = json.loads(got[2])
    assert outer["oslo.version"] == "2.0"
    return got[1], json.loads(outer["oslo.message"])


def queues(rabbit, url):
    listed = rabbit.ctl("list_queues", "-p", url.rsplit("/", 1)[1], "--formatter", "json",
                        "name", "durable", "auto_delete", "arguments", "type",
                        "messages_ready", "messages_unacknowledged")
    return {q.pop("name"): q for q in json.loads(listed)}


def test_a_call_from_python_is_answered(drover, cinder):
    assert cinder.call({}, "echo", a=1, b=["x", None]) == {"a": 1, "b": ["x", None]}


def test_a_call_may_be_answered_later(drover, cinder):
    assert cinder.call({}, "later", seconds=0.3) == "later"


def test_the_context_says_who_asks(drover, cinder):
    context = {"user_id": "u1", "project_id": "p1", "request_id": "req-1",
               "is_admin": True}
    assert cinder.call(context, "whoami") == context
    nobody = cinder.call({}, "whoami")
    assert nobody["user_id"] is None and nobody["is_admin"] is False
    assert len(nobody["request_id"]) == 32


@pytest.mark.parametrize("code,name,http", [
    ("invalid_volume", "InvalidVolume", 400),
    ("volume_not_found", "VolumeNotFound", 404),
    ("not_found", "NotFound", 404),
    ("invalid_host", "InvalidHost", 400),
    ("invalid_input", "InvalidInput", 400),
    ("no_valid_backend", "NoValidBackend", 500),
    ("not_supported", "NotSupportedOperation", 405),
    ("backend", "VolumeBackendAPIException", 500),
    ("timeout", "VolumeBackendAPIException", 500),
    ("internal", "VolumeBackendAPIException", 500),
])
def test_a_failure_becomes_cinders_exception(drover, cinder, code, name, http):
    text = f"volume '7f' cannot do %s and %(x)s because of {code}"
    with pytest.raises(getattr(exception, name)) as caught:
        cinder.call({}, "fail", code=code, text=text)
    assert type(caught.value).__name__ == name + "_Remote"
    assert text in str(caught.value)
    assert caught.value.msg == text
    assert caught.value.kwargs["code"] == http


@pytest.mark.parametrize("method,version,error,text", [
    ("nothing", "1.0", "NoSuchMethod", "'nothing' is no method"),
    ("_private", "1.0", "NoSuchMethod", "'_private' is no method"),
    ("echo", "1.6", "UnsupportedVersion", "version 1.6 of 'echo'"),
    ("echo", "2.0", "UnsupportedVersion", "version 2.0 of 'echo'"),
    ("echo", "0.1", "UnsupportedVersion", "version 0.1 of 'echo'"),
])
def test_what_is_not_served_is_refused_at_once(
        drover, cinder, method, version, error, text):
    began = time.monotonic()
    with pytest.raises(oslo_messaging.RemoteError) as caught:
        cinder.prepare(version=version).call({}, method)
    assert caught.value.exc_type == error and text in caught.value.value
    assert time.monotonic() - began < 2


def test_a_known_method_that_is_not_supported_says_so(drover, cinder):
    with pytest.raises(exception.NotSupportedOperation, match="'not_here' is not"):
        cinder.call({}, "not_here")


def test_an_older_minor_version_is_served(drover, cinder):
    assert cinder.prepare(version="1.5").call({}, "echo", a=1) == {"a": 1}


def test_casts_arrive_by_server_topic_and_fanout(drover, url):
    made = rpc_peers.transport(url)
    client(made, "t-one", "server1").cast({}, "echo", way="server")
    client(made, "t-one").cast({}, "echo", way="topic")
    client(made, "t-one", fanout=True).cast({}, "echo", way="fanout")
    ways = {drover.event("called")["args"]["way"] for _ in range(3)}
    assert ways == {"server", "topic", "fanout"}
    made.cleanup()


def test_python_servers_take_our_casts(drover, url):
    server = PythonServer(url, "t-two", "server2")
    for what, members in [("cast", {"server": "server2"}), ("cast", {}), ("fanout", {})]:
        sent = drover.send(what, topic="t-two", method="note", args={"x": 1}, **members)
        assert sent["code"] == "none", sent["text"]
        assert server.calls.get(timeout=5) == {"x": 1}
        context = server.contexts.get(timeout=5)
        assert context["is_admin"] is True and context["roles"] == ["admin"]
        assert context["user_identity"] == "- - - - -"
        if what == "cast":
            assert context["request_id"] == "req-of-the-test"
    server.close()


def test_our_client_calls_python_servers(url):
    server = PythonServer(url, "t-two", "server2")
    answer = call_with_drover(url, "t-two", "server2", "echo", "1.0", {"k": [1, "ü"]})
    assert answer["result"] == {"k": [1, "ü"]}
    answer = call_with_drover(url, "t-two", "server2", "refuse", "1.0", {"text": "no"})
    assert answer["code"] == "invalid_volume" and "Invalid volume: no" in answer["text"]
    server.close()


def test_our_client_calls_our_server(drover, url):
    answer = call_with_drover(url, "t-one", "server1", "fail", "1.0",
                              {"code": "invalid_host", "text": "it is down"})
    assert answer["code"] == "invalid_host" and answer["text"].endswith("it is down")
    answer = call_with_drover(url, "t-one", "server1", "later", "1.0", {"seconds": 3},
                              "--response-timeout", "1")
    assert answer["code"] == "timeout"


def test_a_cast_nobody_takes_is_unroutable(drover, url):
    assert drover.send(topic="t-nobody", server="x", method="m")["code"] == "unroutable"
    sent = drover.send(topic="t-nobody", server="x", method="m", mandatory=False)
    assert sent["code"] == "none"
    answer = call_with_drover(url, "t-nobody", "x", "m", "1.0", {})
    assert answer["code"] == "unroutable"


def test_a_thousand_casts_are_confirmed_quickly(drover):
    sent = drover.send(topic="t-one", server="server1", method="echo", count=1000)
    assert sent["code"] == "none" and sent["seconds"] < 4


def test_queues_have_the_flags_of_the_peers(rabbit, url, drover, cinder):
    server = PythonServer(url, "t-one", "server2")
    cinder.call({}, "echo")
    found = queues(rabbit, url)
    for name in ["t-one", "t-one.server1", "t-one.server2"]:
        assert not found[name]["durable"] and not found[name]["auto_delete"]
        assert not found[name]["arguments"]
    fanouts = [q for n, q in found.items() if n.startswith("t-one_fanout_")]
    assert len(fanouts) == 2 and fanouts[0]["arguments"] == fanouts[1]["arguments"]
    server.close()


@pytest.mark.parametrize("option,oslo_options", [
    ("--durable", {"amqp_durable_queues": True}),
    ("--auto-delete", {"amqp_auto_delete": True}),
    ("--quorum", {"rabbit_quorum_queue": True}),
])
def test_other_flags_match_the_peers_too(rabbit, url, option, oslo_options):
    with Drover(url, option) as drover:
        drover.event("ready")
        server = PythonServer(url, "t-one", "server2", **oslo_options)
        made = rpc_peers.transport(url, **oslo_options)
        assert client(made, "t-one", "server1").call({}, "echo", a=1) == {"a": 1}
        sent = drover.send(topic="t-one", server="server2", method="note", args={"x": 1})
        assert sent["code"] == "none", sent["text"]
        assert server.calls.get(timeout=5) == {"x": 1}
        found = queues(rabbit, url)
        ours, theirs = found["t-one.server1"], found["t-one.server2"]
        for key in ["durable", "auto_delete", "arguments", "type"]:
            assert ours[key] == theirs[key]
        made.cleanup()
        server.close()


def test_transient_queues_may_be_quorum_queues(rabbit, url):
    with Drover(url, "--transient-quorum") as drover:
        drover.event("ready")
        sent = drover.send("fanout", topic="t-one", method="echo", args={"n": 1})
        assert sent["code"] == "none", sent["text"]
        assert drover.event("called")["args"] == {"n": 1}
        (name, found), = [(n, q) for n, q in queues(rabbit, url).items()
                          if n.startswith("t-one_fanout_")]
        assert found["durable"] and found["type"] == "quorum", found
        exchanges = rabbit.ctl("list_exchanges", "-p", url.rsplit("/", 1)[1],
                               "--formatter", "json", "name", "durable", "auto_delete")
        fanout, = [e for e in json.loads(exchanges) if e["name"] == "t-one_fanout"]
        assert fanout["durable"] and fanout["auto_delete"]


def test_a_queue_with_other_flags_is_named_once(url, raw):
    raw.channel.queue_declare("t-one.server1", durable=True)
    with Drover(url) as drover:
        drover.wait_logged("t-one.server1")
        drover.events_within(2)
        lines = [line for line in drover.log if "t-one.server1" in line]
        assert len(lines) == 1 and "amqp_durable_queues" in lines[0]
        raw.channel.queue_delete("t-one.server1")
        drover.event("ready")


def test_queues_of_two_services_are_shared(rabbit, url):
    topics = ("t-v", "t-v.h@b")
    with Drover(url, topics=topics, server="h@b") as drover:
        drover.event("ready")
        made = rpc_peers.transport(url)
        client(made, "t-v", "h@b").cast({}, "echo", n=1)
        client(made, "t-v.h@b").cast({}, "echo", n=2)
        client(made, "t-v.h@b", "h@b").cast({}, "echo", n=3)
        assert {drover.event("called")["args"]["n"] for _ in range(3)} == {1, 2, 3}
        assert drover.events_within(0.5) == []
        made.cleanup()


BAD = {
    "no JSON": b"hello",
    "empty": b"",
    "truncated": rpc_envelope(request())[:-9],
    "not UTF-8": b'{"oslo.version": "2.0", "oslo.message": "\xff\xfe"}',
    "an array": b"[1]",
    "envelope without message": b'{"oslo.version": "2.0"}',
    "bare message": json.dumps(request()).encode(),
    "version 3": rpc_envelope(request(), "3.0"),
    "version is a number": b'{"oslo.version": 2.0, "oslo.message": "{}"}',
    "message is an object": b'{"oslo.version": "2.0", "oslo.message": {}}',
    "inner text is no JSON": rpc_envelope("{"),
    "inner text is a list": rpc_envelope("[]"),
    "no method": rpc_envelope({"args": {}, "_unique_id": "1"}),
    "method is a number": rpc_envelope(request(method=7)),
    "method with NUL": rpc_envelope(request(method="echo\0x")),
    "args are a list": rpc_envelope(request(args=[])),
    "no unique id": rpc_envelope({"method": "echo", "args": {}}),
    "long unique id": rpc_envelope(request(_unique_id="x" * 64)),
    "call without id": rpc_envelope(request(_reply_q="reply_1")),
    "call without queue": rpc_envelope(request(_msg_id="1")),
    "long reply queue": rpc_envelope(request(_reply_q="r" * 200, _msg_id="1")),
    "is_admin is a text": rpc_envelope(request(_context_is_admin="yes")),
    "user is an object": rpc_envelope(request(_context_user_id={})),
    "deep": rpc_envelope('{"args":' + "[" * 5000 + "]" * 5000 + "}"),
    "NaN": rpc_envelope('{"method": "echo", "_unique_id": "1", "args": {"x": NaN}}'),
    "huge": rpc_envelope(request(args={"x": "y" * 300000})),
}


def test_malformed_messages_are_rejected_with_one_line_each(rabbit, url, raw):
    with Drover(url, "--max-bytes", "200000") as drover:
        drover.event("ready")
        for body in BAD.values():
            raw(body)
        raw(request(args={"last": True}))
        assert drover.event("called")["args"] == {"last": True}
        lines = drover.wait_logged("message rejected", count=len(BAD))
        assert len(lines) == len(BAD), "\n".join(lines)
        found = queues(rabbit, url)["t-one.server1"]
        assert found["messages_ready"] == found["messages_unacknowledged"] == 0


def test_a_message_as_captured_from_cinder_is_understood(drover, raw):
    here = os.path.dirname(os.path.abspath(__file__))
    raw.channel.queue_declare("reply_cbf735901b684b1ca858c493e4b25201")
    with open(os.path.join(here, "../data/rpc-call.json"), "rb") as f:
        raw(f.read())
    _, reply = take(raw, "reply_cbf735901b684b1ca858c493e4b25201")
    assert reply["_msg_id"] == "6b4dd841af344021bb93038ad7593ab9"
    failure = json.loads(reply["failure"])
    assert failure["class"] == "UnsupportedVersion"  # it is Cinder's 3.0, not our 1.5
    assert "initialize_connection" in failure["message"]


def test_a_repeated_message_runs_once(drover, raw):
    first = request(args={"n": 1})
    raw(first)
    for n in range(20):
        raw(request(args={"n": n + 2}))
    raw(first)
    raw(request(args={"n": 99}))
    seen = []
    while not seen or seen[-1] != 99:
        seen.append(drover.event("called")["args"]["n"])
    assert seen == [*range(1, 22), 99]


def test_a_message_waits_for_the_database_and_nothing_overtakes(rabbit, url, drover, raw):
    raw(request("defer", args={"times": 4}))
    raw(request(args={"n": 1}))
    raw(request(args={"n": 2}))
    drover.event("called", method="defer")
    began = time.monotonic()
    held = queues(rabbit, url)["t-one.server1"]
    assert held["messages_unacknowledged"] == 3
    seen = [drover.event("called") for _ in range(6)]
    assert [c["method"] for c in seen] == ["defer"] * 4 + ["echo", "echo"]
    assert [c["args"].get("n") for c in seen[4:]] == [1, 2]
    assert time.monotonic() - began > 11  # 1 + 2 + 4 + 5, but what was over before
    deadline = time.monotonic() + 5
    while queues(rabbit, url)["t-one.server1"]["messages_unacknowledged"]:
        assert time.monotonic() < deadline


def test_a_deferred_call_is_answered_in_the_end(drover, cinder):
    assert cinder.call({}, "defer", times=1) == "done"


def test_a_message_is_acknowledged_after_its_handler(url, raw):
    drover = Drover(url)
    drover.event("ready")
    raw(request("slow"))
    drover.event("called", method="slow")
    drover.process.kill()
    drover.process.wait()
    with Drover(url) as second:
        assert second.event("called", method="slow")["redelivered"]


def test_a_handler_may_stop_the_service(rabbit, url, drover, raw):
    raw(request("stop_me"))
    drover.event("called", method="stop_me")
    raw(request(args={"n": 1}))
    deadline = time.monotonic() + 5
    while True:
        found = queues(rabbit, url)["t-one.server1"]
        if found["messages_ready"] == 1 and found["messages_unacknowledged"] == 0:
            break
        assert time.monotonic() < deadline, found
    assert drover.events_within(0.2) == []
    sent = drover.send(topic="t-one", server="server1", method="echo")
    assert sent["code"] == "none"


def test_a_reply_without_a_queue_is_dropped_with_one_line(drover, raw):
    raw(request(_msg_id="1", _reply_q="reply_nobody"))
    drover.wait_logged("reply dropped queue=reply_nobody", 15)
    assert len(drover.logged("reply_nobody")) == 1
    assert "NO_ROUTE" in drover.logged("reply_nobody")[0]


def test_a_reply_queue_that_comes_late_gets_its_reply(drover, raw):
    raw(request(_msg_id="1", _reply_q="reply_late", args={"x": 1}))
    drover.event("called")
    time.sleep(0.5)
    raw.channel.queue_declare("reply_late")
    properties, reply = take(raw, "reply_late")
    assert (properties.content_type, properties.content_encoding) == (
        "application/json", "utf-8")
    assert (properties.delivery_mode, properties.priority) == (2, 0)
    assert len(reply.pop("_unique_id")) == 32
    assert reply == {"result": {"x": 1}, "failure": None, "ending": True, "_msg_id": "1"}


def openssl(directory, *arguments):
    subprocess.run(["openssl", *arguments], check=True, cwd=directory,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates(directory):
    openssl(directory, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", "/CN=test ca", "-keyout", "ca-key.pem", "-out", "ca-cert.pem")
    for name, alternative in [("server", "DNS:localhost"), ("wrong", "DNS:elsewhere"),
                              ("client", "DNS:client")]:
        with open(f"{directory}/{name}.ext", "w") as f:
            f.write(f"subjectAltName={alternative}\n")
        openssl(directory, "req", "-newkey", "rsa:2048", "-nodes", "-subj",
                f"/CN={name}", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr")
        openssl(directory, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca-cert.pem",
                "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}-cert.pem")


def test_tls_wants_the_right_ca_host_and_client(tmp_path):
    pki = str(tmp_path)
    make_certificates(pki)
    ours = ["--tls", "--ca", f"{pki}/ca-cert.pem"]
    known = ["--cert", f"{pki}/client-cert.pem", "--key", f"{pki}/client-key.pem"]
    try:
        broker = servers.Rabbit(tls_dir=pki)
    except servers.Missing as missing:
        pytest.skip(f"skipped, because {missing}")
    with broker:
        at = f"rabbit://guest:guest@localhost:{broker.tls_port}/"
        with Drover(at, *ours, *known) as drover:
            drover.event("ready")
            sent = drover.send(topic="t-one", server="server1", method="echo",
                               pad=1000000)
            assert sent["code"] == "none"
            assert len(drover.event("called")["args"]["pad"]) == 1000000
            assert call_with_drover(at, "t-one", "server1", "echo", "1.0", {"a": 1},
                                    *ours, *known)["result"] == {"a": 1}
        refused = [
            [*ours],  # no client certificate
            ["--tls", *known],  # the system's CAs do not know it
            ["--tls", "--ca", f"{pki}/client-cert.pem", *known],
            ["--tls", "--ca", f"{pki}/missing.pem", *known],
        ]
        for options in refused:
            answer = call_with_drover(at, "t-one", "server1", "echo", "1.0", {}, *options)
            assert answer["event"] == "failed", options
            assert answer["code"] in ("broker", "config")
        elsewhere = at.replace("localhost", "127.0.0.1")
        answer = call_with_drover(elsewhere, "t-one", "x", "echo", "1.0", {},
                                  *ours, *known)
        assert answer["code"] == "broker" and "verif" in answer["text"].lower()
        answer = call_with_drover(elsewhere, "t-one", "x", "echo", "1.0", {}, *ours,
                                  *known, "--no-verify")
        assert answer["code"] == "unroutable"
