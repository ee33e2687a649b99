# SPDX-License-Identifier: Apache-2.0
"""drover-compute beside a Libvirt (guest.py), and the parties it talks to.

    compute = Hypervisor(builddir, libvirt, rabbit)
    compute.start(faults="compute.pivot=kill")
    compute.call("swap_status", instance_id=..., ...)
    compute.find(instance)              # to all hosts; None: nobody answers
    manager = Manager(rabbit)           # is told of the ends of swaps
"""
import json
import os
import subprocess
import threading
import time
import uuid

import pika

from processes import spawn, wait_for

TOPIC = "drover-compute"


class Refused(Exception):
    """The peer answered with a failure."""


def seal(message):
    return json.dumps({"oslo.version": "2.0", "oslo.message": json.dumps(message)})


def request(method, args, reply_queue=None, message_id=None):
    message = {"method": method, "args": args, "version": "1.0", "namespace": None,
               "_unique_id": uuid.uuid4().hex, "_timeout": 60,
               "_context_request_id": f"req-{uuid.uuid4()}"}
    if reply_queue:
        message.update(_msg_id=message_id, _reply_q=reply_queue)
    return message


class Hypervisor:
    def __init__(self, builddir, libvirt, url, host="hyper1", **options):
        self.program = os.path.join(builddir, "compute", "drover-compute")
        self.libvirt, self.url, self.host = libvirt, url, host
        # Several of one name may be there one after another, each with its own broker.
        self.directory = f"{libvirt.directory}/{host}"
        while os.path.exists(self.directory):
            self.directory += "x"
        self.state = f"{self.directory}/state"
        self.log_path = f"{self.directory}/log"
        self.config = f"{self.directory}/drover.conf"
        self.process = None
        os.makedirs(self.state)
        os.chmod(self.directory, 0o755)
        os.chown(self.state, libvirt.user.pw_uid, libvirt.user.pw_gid)
        lines = {"compute_libvirt_uri": "qemu:///session",
                 "nfs_mount_point_base": f"{self.directory}/mnt", **options}
        with open(self.config, "w") as f:
            f.write(f"[DEFAULT]\nhost = {host}\ntransport_url = {url}\n"
                    f"state_path = {self.state}\nrpc_response_timeout = 5\n[drover]\n")
            f.writelines(f"{k} = {v}\n" for k, v in lines.items())

    # The daemon.

    def start(self, faults="", wait=True):
        env = {**self.libvirt.env, "DROVER_FAULTS": faults}
        log = open(self.log_path, "ab")
        self.process = spawn(
            [*self.libvirt.as_nobody(), self.program, "--config-file", self.config],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        log.close()
        if wait:
            wait_for(self.serves, 30, "drover-compute answers")
        return self

    def serves(self):
        assert self.process.poll() is None, self.log()[-2000:]
        try:
            self.call("get_log_levels", timeout=2)
            return True
        except Refused:  # it needs an argument
            return True
        except (TimeoutError, pika.exceptions.AMQPError):
            return False

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.terminate()
        status = self.process.wait(60)
        assert status == 0, (status, self.log()[-3000:])

    def wait_dead(self, deadline=60):
        wait_for(lambda: self.process.poll() is not None, deadline, "it has died")

    def restart(self, faults=""):
        if self.process and self.process.poll() is None:
            self.kill()
        return self.start(faults)

    def log(self):
        try:
            with open(self.log_path, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()

    # Calls.

    def _connect(self):
        return pika.BlockingConnection(
            pika.URLParameters(self.url.replace("rabbit://", "amqp://")))

    def _ask(self, exchange, key, method, args, timeout):
        connection = self._connect()
        try:
            channel = connection.channel()
            queue = f"reply_{uuid.uuid4().hex}"
            channel.queue_declare(queue, exclusive=True)
            message_id = uuid.uuid4().hex
            channel.basic_publish(
                exchange, key, seal(request(method, args, queue, message_id)),
                pika.BasicProperties(content_type="application/json",
                                     content_encoding="utf-8"))
            return self._answer(connection, channel, queue, message_id, timeout)
        finally:
            connection.close()

    @staticmethod
    def _answer(connection, channel, queue, message_id, timeout):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            _, _, body = channel.basic_get(queue, auto_ack=True)
            if body is None:
                connection.sleep(0.01)
                continue
            reply = json.loads(json.loads(body)["oslo.message"])
            if reply.get("_msg_id") != message_id or reply.get("ending") is False:
                continue
            if reply.get("failure"):
                raise Refused(json.loads(reply["failure"])["message"])
            return reply.get("result")
        raise TimeoutError("nobody answers")

    def call(self, method, timeout=30, **args):
        return self._ask("openstack", f"{TOPIC}.{self.host}", method, args, timeout)

    def find(self, instance, timeout=3):
        """What the one that has it says; None: nobody."""
        try:
            return self._ask(f"{TOPIC}_fanout", "", "find_instance",
                             {"instance_id": instance}, timeout)
        except TimeoutError:
            return None


class Manager(threading.Thread):
    """The volume manager of a backend as far as swaps go: it hears of their ends. answer:
    None, or words to refuse with; silent: it says nothing."""

    def __init__(self, url, backend="server1@fast"):
        super().__init__(daemon=True)
        self.url, self.backend = url.replace("rabbit://", "amqp://"), backend
        self.told = []  # (volume, target, error)
        self.refusal, self.silent = None, False
        self._ending = False
        self.ready, self.news = threading.Event(), threading.Event()
        self.start()
        assert self.ready.wait(30)

    def run(self):
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        channel = connection.channel()
        queue = f"cinder-volume.{self.backend}.{self.backend.split('@')[0]}"
        channel.exchange_declare("openstack", "topic", durable=False, auto_delete=False)
        channel.queue_declare(queue, durable=False, auto_delete=False)
        channel.queue_bind(queue, "openstack", queue)
        channel.basic_consume(queue, self._on_message, auto_ack=True)
        self.ready.set()
        while not self._ending:
            connection.process_data_events(0.2)
        connection.close()

    def _on_message(self, channel, method, properties, body):
        self._hear(channel, json.loads(json.loads(body)["oslo.message"]))

    def _hear(self, channel, message):
        assert message["method"] == "migrate_volume_completion", message
        args = message["args"]
        ids = [args[k]["versioned_object.data"]["id"] for k in ("volume", "new_volume")]
        self.told.append((*ids, args["error"]))
        self.news.set()
        if self.silent:
            return
        reply = {"_msg_id": message["_msg_id"], "_unique_id": uuid.uuid4().hex,
                 "result": ids[0], "failure": None, "ending": True}
        if self.refusal:
            reply["result"] = None
            reply["failure"] = json.dumps({
                "class": "InvalidVolume", "module": "cinder.exception", "args": [],
                "kwargs": {"code": 400}, "message": self.refusal, "tb": []})
        channel.basic_publish("", message["_reply_q"], seal(reply))

    def of(self, volume):
        return [t for t in self.told if t[0] == volume]

    def wait_told(self, volume, deadline=30):
        wait_for(lambda: self.of(volume), deadline, "the manager is told")
        return self.of(volume)[-1]

    def close(self):
        self._ending = True
        self.join(10)
