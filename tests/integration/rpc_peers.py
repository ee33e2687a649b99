# SPDX-License-Identifier: Apache-2.0
"""Both ends of the RPC tests: our rpc_peer, and python3-oslo.messaging as it is."""
import json
import os
import queue
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../harness"))

import oslo_messaging  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_messaging._metrics import client as metrics  # noqa: E402

PROGRAM = os.path.join(os.environ.get("DROVER_BUILDDIR", os.getcwd()),
                       "tests/integration/rpc_peer")


class Drover:
    """A running rpc_peer; its events arrive in order."""

    def __init__(self, url, *options, topics=("t-one",), server="server1"):
        arguments = [PROGRAM, "serve", "--url", url, "--server", server, *options]
        for topic in topics:
            arguments += ["--topic", topic]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.log = []
        self._events = queue.Queue()
        self._threads = [threading.Thread(target=self._read_events, daemon=True),
                         threading.Thread(target=self._read_log, daemon=True)]
        for thread in self._threads:
            thread.start()

    def _read_events(self):
        for line in self.process.stdout:
            self._events.put(json.loads(line))

    def _read_log(self):
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))

    def event(self, name, timeout=20, **wanted):
        """The next event of this name (and these members); others are passed over."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            try:
                event = self._events.get(timeout=max(left, 0.01))
            except queue.Empty:
                raise AssertionError(
                    f"no event '{name}' {wanted}:\n" + "\n".join(self.log[-30:]))
            if event["event"] == name and all(
                    event.get(k) == v for k, v in wanted.items()):
                return event

    def events_within(self, seconds):
        time.sleep(seconds)
        found = []
        while not self._events.empty():
            found.append(self._events.get())
        return found

    def command(self, what, **members):
        self.process.stdin.write(json.dumps({"do": what, **members}) + "\n")
        self.process.stdin.flush()

    def send(self, what="cast", timeout=30, **members):
        self.command(what, **members)
        return self.event("sent", timeout)

    def logged(self, text):
        return [line for line in self.log if text in line]

    def wait_logged(self, text, timeout=20, count=1):
        deadline = time.monotonic() + timeout
        while len(self.logged(text)) < count:
            assert time.monotonic() < deadline, "\n".join(self.log[-30:])
            time.sleep(0.05)
        return self.logged(text)

    def close(self):
        """An orderly end; sanitizers and leaks show as another status."""
        if self.process.poll() is None:
            self.command("quit")
        status = self.process.wait(30)
        for thread in self._threads:
            thread.join(5)
        assert status == 0, "\n".join(self.log[-60:])

    def crashed(self):
        """Wait for the end that it comes to by itself; the status."""
        status = self.process.wait(30)
        for thread in self._threads:
            thread.join(5)
        return status

    def kill(self):
        self.process.kill()
        self.crashed()

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        if kind is None:
            self.close()
        else:
            self.kill()


def call_with_drover(url, topic, server, method, version, args, *options):
    """One rpc_client_call(): its answer or failure event."""
    done = subprocess.run(
        [PROGRAM, "call", "--url", url, *options, topic, server, method, version,
         json.dumps(args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=60)
    assert done.returncode in (0, 1), done.stderr
    return json.loads(done.stdout)


def transport(url, **rabbit_options):
    conf = cfg.ConfigOpts()
    conf([], project="test")
    # This release looks for them in the configuration but registers them globally.
    conf.register_opts(metrics.oslo_messaging_metrics, group="oslo_messaging_metrics")
    made = oslo_messaging.get_rpc_transport(
        conf, url=url, allowed_remote_exmods=["cinder.exception"])
    for name, value in rabbit_options.items():
        conf.set_override(name, value, group="oslo_messaging_rabbit")
    return made


class Context(oslo_messaging.serializer.NoOpSerializer):
    def serialize_context(self, context):
        return context

    def deserialize_context(self, context):
        return context


def client(made, topic, server=None, version="1.0", fanout=None, timeout=15):
    target = oslo_messaging.Target(
        topic=topic, server=server, version=version, fanout=fanout)
    return oslo_messaging.get_rpc_client(made, target, timeout=timeout, serializer=Context())


class PythonServer:
    """An oslo.messaging RPC server; what it was asked lies in .calls."""

    def __init__(self, url, topic, server, **rabbit_options):
        self.calls = queue.Queue()
        self.contexts = queue.Queue()
        self._transport = transport(url, **rabbit_options)
        self._server = oslo_messaging.get_rpc_server(
            self._transport, oslo_messaging.Target(topic=topic, server=server),
            [self], executor="threading", serializer=Context())
        self._server.start()

    target = oslo_messaging.Target(version="1.5")

    def note(self, context, **args):
        self.contexts.put(context)
        self.calls.put(args)

    def echo(self, context, **args):
        return args

    def refuse(self, context, text):
        from cinder import exception
        raise exception.InvalidVolume(reason=text)

    def close(self):
        self._server.stop()
        self._server.wait()
        self._transport.cleanup()
