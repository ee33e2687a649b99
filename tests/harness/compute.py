# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Keystone and Nova that plays the captured dialogues: the REST API that a
worker asks, and, called by tests, what Nova's API and compute host do to Cinder then.

    nova.behave("refuse:409:words", "accept")   # for the next orders, one after another
    nova.boot(server); nova.attach(volume)      # a guest with a volume
    nova.copied(volume, temporary)              # the guest is on the temporary volume
    nova.complete(volume, temporary)            # and Nova says so
"""
import http.server
import json
import ssl
import subprocess
import threading
import time
import uuid

from attachments import Attachments, connector

EXPIRES = "2099-01-01T00:00:00.000000Z"


def certificate(directory, name):
    """A self-signed one for 127.0.0.1; its path, with its key in the same file."""
    path = f"{directory}/{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key",
         "-out", path], check=True, stderr=subprocess.DEVNULL)
    return path


class Nova:
    def __init__(self, directory):
        self.certificate = certificate(directory, "nova")
        self.cloud = self.api = self.peer = None
        self.servers = {}
        self.requests = []  # (method, path, headers, body)
        self.tokens = set()
        self.script = []
        self.token_life = EXPIRES
        self.lock = threading.Lock()
        handler = type("Handler", (Handler,), {"nova": self})
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.httpd.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, f"{self.certificate}.key")
        self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True,
                                                do_handshake_on_connect=False)
        self.port = self.httpd.server_address[1]
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def options(self, **more):
        """Section [nova] of a configuration."""
        return {"auth_url": f"https://127.0.0.1:{self.port}/v3", "username": "cinder",
                "password": "a secret", "cafile": self.certificate, "timeout": "2", **more}

    def join(self, cloud, peer):
        self.cloud, self.peer, self.api = cloud, peer, Attachments(cloud, peer)
        self.reset()

    def reset(self):
        self.script, self.requests, self.token_life = [], [], EXPIRES

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()

    def behave(self, *script):
        """What happens to the next orders: accept, refuse:STATUS:WORDS, hang, truncate,
        lost (done, without an answer), close (not done, without an answer), expire."""
        self.script = list(script)

    def orders(self):
        return [r for r in self.requests if r[0] == "PUT"]

    def tokens_given(self):
        return len([r for r in self.requests if r[1] == "/v3/auth/tokens"])

    # Guests.

    def boot(self, server=None, **more):
        server = server or str(uuid.uuid4())
        self.servers[server] = {"status": "ACTIVE", "vm_state": "active", "volumes": {},
                                **more}
        return server

    def attach(self, volume, server=None, mode=None):
        """The volume becomes a guest's; the server's id."""
        server = server or self.boot()
        attachment = self.api.create(volume, server=server, mode=mode or "null")
        self.api.update(volume, attachment, connector())
        self.api.complete(volume, attachment)
        self.servers[server]["volumes"][volume] = attachment
        return server

    def server_of(self, volume):
        return next(s for s, v in self.servers.items() if volume in v["volumes"])

    def attachment_of(self, volume):
        rows = self.cloud.sql("select * from volume_attachment where volume_id = %s and"
                              " not deleted", volume)
        assert len(rows) == 1, rows
        return rows[0]

    # What its API does before it says yes.

    def reserve(self, server, source, target):
        with self.lock:
            if self.cloud.volume(target)["status"] != "available":
                return 400, {"badRequest": {"code": 400, "message": "volume is reserved"}}
            attachment = self.api.create(target, server=server)
        self.servers[server].setdefault("swaps", {})[source] = (target, attachment)
        return 202, None

    # What its compute host does then.

    def connect(self, source):
        """The guest's host is connected to the temporary volume; returns what it was told."""
        server = self.server_of(source)
        target, attachment = self.servers[server]["swaps"][source]
        return self.api.update(target, attachment, connector())

    def copied(self, source):
        """All of it: the guest runs on the temporary volume, the old attachment is gone."""
        self.connect(source)
        server = self.server_of(source)
        target, attachment = self.servers[server]["swaps"][source]
        self.pivot(source, target)
        self.api.complete(target, attachment)
        self.let_go(source, self.servers[server]["volumes"][source])

    def pivot(self, source, target):
        with open(self.cloud.path(source), "rb") as a, \
                open(self.cloud.path(target), "r+b") as b:
            for offset in (0, 100 << 20):
                a.seek(offset)
                b.seek(offset)
                b.write(a.read(1 << 20))

    def let_go(self, volume, attachment):
        """An attachment ends; the status of a volume that migrates stays."""
        before = self.cloud.volume(volume)["status"]
        self.api.delete(volume, attachment)
        self.cloud.sql("update volumes set status = %s where id = %s and migration_status"
                       " is not null", before, volume)

    def gives_up(self, source):
        """Clean up as after a copy that failed."""
        server = self.server_of(source)
        target, attachment = self.servers[server]["swaps"].pop(source)
        self.let_go(target, attachment)

    def complete(self, source, target, error=False):
        """os-migrate_volume_completion, as cinder-api passes it on."""
        volume, new = self.cloud.volume(source), self.cloud.volume(target)
        assert volume["migration_status"], "cinder-api: HTTP 400"
        assert new["migration_status"] == f"target:{source}", "cinder-api: HTTP 400"
        return self.say(source, target, error)

    def say(self, source, target, error=False, host=None):
        host = host or self.cloud.volume(source)["host"]
        return self.peer.volume(host, "3.0").call(
            self.peer.context(), "migrate_volume_completion",
            volume=self.peer.volume_object(source),
            new_volume=self.peer.volume_object(target), error=error)


class Handler(http.server.BaseHTTPRequestHandler):
    nova = None
    protocol_version = "HTTP/1.1"
    timeout = 20

    def log_message(self, *args):
        pass

    def answer(self, status, body=None, headers=(), cut=0):
        text = b"" if body is None else body if isinstance(body, bytes) \
            else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text) + cut))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
        if cut:
            self.close_connection = True

    def take(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.nova.requests.append((self.command, self.path, dict(self.headers), body))
        return body

    def do_POST(self):
        body = self.take()
        if self.path != "/v3/auth/tokens":
            return self.answer(404, {"error": {"code": 404, "message": "no such URL"}})
        identity = body["auth"]["identity"]
        secret = identity.get("password", {}).get("user", {}).get("password") or \
            identity.get("application_credential", {}).get("secret")
        if secret != "a secret":
            return self.answer(401, {"error": {
                "code": 401, "title": "Unauthorized",
                "message": "The request you have made requires authentication."}})
        token = uuid.uuid4().hex
        self.nova.tokens = {token}
        url = f"https://127.0.0.1:{self.nova.port}/v2.1"
        endpoints = [{"interface": i, "region": "RegionOne", "region_id": "RegionOne",
                      "url": f"{url}/" if i == "public" else "https://nowhere.invalid"}
                     for i in ("admin", "public")]
        self.answer(201, {"token": {
            "expires_at": self.nova.token_life, "methods": ["password"],
            "catalog": [{"type": "volume", "endpoints": []},
                        {"type": "compute", "endpoints": endpoints}]}},
            [("X-Subject-Token", token)])

    def refused(self):
        if self.headers.get("X-Auth-Token") in self.nova.tokens:
            return False
        self.answer(401, {"error": {"code": 401, "message": "a token is needed"}})
        return True

    def gone(self, server):
        self.answer(404, {"itemNotFound": {
            "code": 404, "message": f"Instance {server} could not be found."}})

    def do_GET(self):
        self.take()
        if not self.path.startswith("/v2.1/servers/"):
            return self.answer(404, b"<html>not found</html>")
        if self.refused():
            return None
        server = self.path.split("/")[3]
        found = self.nova.servers.get(server)
        if found is None:
            return self.gone(server)
        if self.path.endswith("/os-volume_attachments"):
            return self.answer(200, {"volumeAttachments": [
                {"id": v, "volumeId": v, "serverId": server} for v in found["volumes"]]})
        return self.answer(200, {"server": {
            "id": server, "status": found["status"],
            "OS-EXT-STS:vm_state": found["vm_state"]}})

    def do_PUT(self):
        body = self.take()
        if self.refused():
            return None
        what, _, rest = (self.nova.script.pop(0) if self.nova.script
                         else "accept").partition(":")
        _, _, _, server, _, source = self.path.split("/")
        if what == "expire":
            self.nova.tokens.clear()
            return self.answer(401, {"error": {"code": 401, "message": "expired"}})
        if what == "refuse":
            status, _, words = rest.partition(":")
            return self.answer(int(status), {"refused": {"code": int(status),
                                                         "message": words}})
        if what == "hang":
            time.sleep(4)
            self.close_connection = True
            return None
        if what == "close":
            self.close_connection = True
            return None
        if what == "truncate":
            return self.answer(500, {"computeFault": {"message": "cut"}}, cut=100)
        if server not in self.nova.servers:
            return self.gone(server)
        status, reply = self.nova.reserve(server, source,
                                          body["volumeAttachment"]["volumeId"])
        if what == "lost":
            self.close_connection = True
            return None
        return self.answer(status, reply)
