# SPDX-License-Identifier: Apache-2.0
"""A stand-in for drover-compute, on the real broker: it has guests and what is attached to
them, and a swap goes on when a test says so. It can refuse, be silent, answer late, forget.

    guest = hypervisor.boot()                   # an instance
    hypervisor.script("swap_volume", "refuse:words", "lost", "late")
    hypervisor.copied(volume)                   # the guest is on the other volume
    hypervisor.answer(volume)                   # and it says so
"""
import json
import os
import subprocess
import threading
import time
import uuid

import pika

TOPIC = "drover-compute"


def certificates(directory):
    """A directory of an authority, and of a server for 127.0.0.1 and a client that it has
    signed; names as libvirt, nbdkit and libnbd want them."""
    os.makedirs(directory)

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=directory,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
            "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca-cert.pem")
    for name in ("server", "client"):
        with open(f"{directory}/{name}.ext", "w") as f:
            f.write("subjectAltName=IP:127.0.0.1\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
                f"{name}-key.pem", "-out", f"{name}.csr")
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", "ca-cert.pem",
                "-CAkey", "ca-key.pem", "-CAcreateserial", "-extfile", f"{name}.ext",
                "-out", f"{name}-cert.pem")
    return directory


class Refused(Exception):
    pass


class Hypervisor:
    def __init__(self, cloud, peer, host="server1"):
        self.cloud, self.peer, self.host = cloud, peer, host
        # id -> {"state", "disks": {volume: {"info", "mode", "on": whose bytes}}}
        self.instances = {}
        self.swaps = {}  # (instance, volume, target) -> {"state", ...}
        self.calls = []  # (method, args)
        self.scripts = {}
        self.late = 6.0
        self.lock = threading.RLock()
        self.start()

    # Guests.

    def boot(self, instance=None, state="running"):
        instance = instance or str(uuid.uuid4())
        self.instances[instance] = {"state": state, "disks": {}}
        return instance

    def connector(self, instance):
        return {"host": self.host, "ip": "127.0.0.1", "instance": instance, "nbd": True,
                "platform": "x86_64", "os_type": "linux", "multipath": False,
                "do_local_attach": False}

    def instance_of(self, volume):
        return next(i for i, g in self.instances.items() if volume in g["disks"])

    def order(self, volume):
        """The newest swap of a volume, and its key."""
        return next((k, s) for k, s in reversed(self.swaps.items()) if k[1] == volume)

    def script(self, method, *how):
        """For the next calls of it: "" as usual, refuse:WORDS, hang (not done, no answer),
        lost (done, no answer), late (done, answered when nobody waits)."""
        self.scripts[method] = list(how)

    def asked(self, method):
        return [a for m, a in self.calls if m == method]

    # What happens to a swap.

    def progress(self, volume, done, total, state="copying"):
        _, swap = self.order(volume)
        swap.update(done=done, total=total, state=state)

    def copied(self, volume, state="moved", path=None):
        """The bytes are there, and the guest goes on with them."""
        (instance, _, target), swap = self.order(volume)
        path = path or swap["info"]["data"]["device_path"]
        with open(self.cloud.path(volume), "rb") as a, open(path, "r+b") as b:
            for offset in (0, 100 << 20):
                a.seek(offset)
                b.seek(offset)
                b.write(a.read(1 << 20))
        with self.lock:
            self.instances[instance]["disks"][volume]["on"] = target
            swap["state"] = state

    def fails(self, volume, reason="the disk of the target failed", state="failed"):
        _, swap = self.order(volume)
        swap.update(state=state, reason=reason)

    def gone(self, instance):
        """The guest is deleted."""
        with self.lock:
            del self.instances[instance]
            for (i, _, _), swap in self.swaps.items():
                if i == instance and swap["state"] in ("copying", "ready"):
                    swap.update(state="failed", reason="the instance is gone")

    def answer(self, volume, host=None, by=None):
        """As drover-compute tells the end; what it is answered."""
        (_, _, target), swap = self.order(volume)
        host = host or swap["answer_to"]
        return self.peer.volume(host, "3.0").call(
            self.peer.context(), "migrate_volume_completion", volume_id=volume,
            new_volume_id=target, error=swap["state"] != "moved", host=by or self.host)

    # What it is asked.

    def find_instance(self, instance_id):
        guest = self.instances.get(instance_id)
        return guest and {"host": self.host, "state": guest["state"],
                          "connector": self.connector(instance_id)}

    def guest(self, instance_id):
        if instance_id not in self.instances:
            raise Refused(f"there is no instance '{instance_id}' here")
        return self.instances[instance_id]

    def attach_volume(self, instance_id, volume_id, attachment_id, mode, connection_info):
        disks = self.guest(instance_id)["disks"]
        disks.setdefault(volume_id, {"mode": mode, "info": connection_info})
        return {"device": f"/dev/vd{'bcdefgh'[list(disks).index(volume_id)]}"}

    def detach_volume(self, instance_id, volume_id):
        if instance_id in self.instances:
            self.instances[instance_id]["disks"].pop(volume_id, None)

    def status(self, key):
        instance, volume, target = key
        swap = self.swaps.get(key, {"state": "none"})
        guest = self.instances.get(instance)
        disk = guest["disks"].get(volume) if guest else None
        return {"state": swap["state"], "done": swap.get("done", 0),
                "total": swap.get("total", 0), "reason": swap.get("reason", ""),
                **({"rate": swap["rate"]} if "rate" in swap else {}),
                "instance": guest["state"] if guest else "gone",
                # Without an order there is the disk's serial number to go by.
                "source": bool(disk) and (
                    key not in self.swaps or disk.get("on") != target),
                "target": bool(disk) and key in self.swaps and disk.get("on") == target}

    def swap_volume(self, instance_id, volume_id, target_id, mode, connection_info,
                    answer_to, rate):
        key = (instance_id, volume_id, target_id)
        if key not in self.swaps:
            guest = self.guest(instance_id)
            if guest["state"] not in ("running", "paused"):
                raise Refused(f"instance '{instance_id}' is {guest['state']}")
            if volume_id not in guest["disks"]:
                raise Refused(f"instance '{instance_id}' has no disk '{volume_id}'")
            self.swaps[key] = {"state": "copying", "done": 0, "total": 1 << 30,
                               "info": connection_info, "mode": mode,
                               "answer_to": answer_to, "rate": rate}
        return self.status(key)

    def swap_status(self, instance_id, volume_id, target_id):
        return self.status((instance_id, volume_id, target_id))

    def swap_cancel(self, instance_id, volume_id, target_id):
        key = (instance_id, volume_id, target_id)
        swap = self.swaps.setdefault(key, {"state": "none"})
        if swap["state"] in ("none", "copying", "ready"):
            swap["state"] = "cancelled"
        return self.status(key)

    def swap_rate(self, instance_id, volume_id, target_id, rate):
        key = (instance_id, volume_id, target_id)
        if key in self.swaps:
            self.swaps[key]["rate"] = rate
        return self.status(key)

    def swap_resolve(self, instance_id, volume_id, target_id, moved):
        key = (instance_id, volume_id, target_id)
        if key in self.swaps:
            self.swaps[key]["state"] = "moved" if moved else "failed"
        return self.status(key)

    # The broker's side.

    def start(self):
        ready = threading.Event()
        self.connection = None
        self.thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self.thread.start()
        assert ready.wait(20), "the stand-in of drover-compute is connected"

    def stop(self):
        """Silent, as when the host is switched off: its queue is gone."""
        if self.thread.is_alive():
            self.connection.add_callback_threadsafe(self._end)
            self.thread.join(20)

    def _end(self):
        for queue in self.queues:
            self.channel.queue_delete(queue)
        self.channel.stop_consuming()

    def _serve(self, ready):
        self.connection = pika.BlockingConnection(pika.URLParameters(
            self.cloud.transport_url.replace("rabbit://", "amqp://")))
        channel = self.channel = self.connection.channel()
        fanout = f"{TOPIC}_fanout"
        channel.exchange_declare("openstack", "topic")
        channel.exchange_declare(fanout, "fanout", auto_delete=True)
        self.queues = [f"{TOPIC}.{self.host}", f"{fanout}_{uuid.uuid4().hex}"]
        for queue, exchange in zip(self.queues, ("openstack", fanout)):
            channel.queue_declare(queue)
            channel.queue_bind(queue, exchange, queue if exchange == "openstack" else TOPIC)
            channel.basic_consume(queue, self._on_message)
        ready.set()
        channel.start_consuming()
        self.connection.close()

    def _on_message(self, channel, deliver, _, body):
        channel.basic_ack(deliver.delivery_tag)
        message = json.loads(json.loads(body)["oslo.message"])
        method, args = message["method"], message["args"]
        how, _, words = (self.scripts.get(method) or [""]).pop(0).partition(":")
        self.calls.append((method, args))
        if how == "hang":
            return
        result = failure = None
        try:
            if how == "refuse":
                raise Refused(words)
            with self.lock:
                result = getattr(self, method)(**args)
        except Refused as error:
            failure = str(error)
        if how == "lost" or (method == "find_instance" and not result):
            return
        if how == "late":
            self.connection.call_later(
                self.late, lambda: self._reply(channel, message, result, failure))
        else:
            self._reply(channel, message, result, failure)

    def _reply(self, channel, message, result, failure):
        if failure:
            failure = json.dumps({
                "class": "VolumeBackendAPIException", "module": "cinder.exception",
                "message": failure, "tb": [], "args": [failure], "kwargs": {}})
        answer = {"result": result, "failure": failure, "ending": True,
                  "_msg_id": message["_msg_id"], "_unique_id": uuid.uuid4().hex}
        channel.basic_publish("", message["_reply_q"], json.dumps(
            {"oslo.version": "2.0", "oslo.message": json.dumps(answer)}).encode(),
            pika.BasicProperties(content_type="application/json", content_encoding="utf-8"))

    def wait(self, predicate, deadline=20):
        end = time.monotonic() + deadline
        while not predicate():
            assert time.monotonic() < end
            time.sleep(0.02)
