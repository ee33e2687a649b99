# SPDX-License-Identifier: Apache-2.0
"""A stand-in for Keystone and Nova: as much of their HTTP interfaces as cinder-api and a
volume service ask for. One thread of the test's process. Every server runs and has the
volumes that attached(server) lists; Nova moves none of them by itself.

	nova.requests: what was asked, (method, path, body)
	nova.answers[(method, part of the path)] = (status, body): another answer
"""
import http.server
import json
import threading

import processes


def _token(url):
    endpoints = [{"id": kind, "interface": kind, "region": "RegionOne",
                  "region_id": "RegionOne", "url": f"{url}/v2.1"}
                 for kind in ("public", "internal", "admin")]
    domain = {"id": "default", "name": "Default"}
    return {"token": {
        "methods": ["password"], "is_domain": False, "audit_ids": ["one"],
        "issued_at": "2020-01-01T00:00:00.000000Z",
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "user": {"id": "cinder", "name": "cinder", "domain": domain},
        "project": {"id": "service", "name": "service", "domain": domain},
        "roles": [{"id": "admin", "name": "admin"}],
        "catalog": [{"id": "nova", "type": "compute", "name": "nova",
                     "endpoints": endpoints}]}}


def _keystone(url):
    return {"version": {"id": "v3.14", "status": "stable", "media-types": [],
                        "updated": "2020-04-07T00:00:00Z",
                        "links": [{"rel": "self", "href": f"{url}/v3/"}]}}


def _compute(url):
    return {"version": {"id": "v2.1", "status": "CURRENT", "version": "2.93",
                        "min_version": "2.1", "media-types": [],
                        "updated": "2013-07-23T11:33:21Z",
                        "links": [{"rel": "self", "href": f"{url}/v2.1/"}]}}


def _server(server):
    return {"server": {"id": server, "status": "ACTIVE", "OS-EXT-STS:vm_state": "active"}}


class Nova:
    def __init__(self, attached=lambda server: []):
        self._attached = attached
        self.port = processes.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.requests = []
        self.answers = {}
        self._server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", self.port), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def config(self):
        """Lines of cinder.conf."""
        return ["[nova]", "auth_type = password", f"auth_url = {self.url}/v3",
                f"token_auth_url = {self.url}/v3", "username = cinder",
                "password = secret", "project_name = service",
                "user_domain_name = Default", "project_domain_name = Default",
                "interface = public"]

    def _answer(self, method, path, body):
        """(status, body, headers)"""
        for (verb, part), answer in self.answers.items():
            if verb == method and part in path:
                return (*answer, {})
        if (method, path) == ("GET", "/v3"):
            return 200, _keystone(self.url), {}
        if (method, path) == ("POST", "/v3/auth/tokens"):
            return 201, _token(self.url), {"X-Subject-Token": "secret"}
        if (method, path) == ("GET", "/v2.1"):
            return 200, _compute(self.url), {}
        if method == "PUT" and "/os-volume_attachments/" in path:
            return 202, None, {}
        if method == "GET" and path.startswith("/v2.1/servers/"):
            _, _, _, server, *rest = path.split("/")
            if not rest:
                return 200, _server(server), {}
            if rest == ["os-volume_attachments"]:
                return 200, {"volumeAttachments": [
                    {"id": v, "volumeId": v, "serverId": server}
                    for v in self._attached(server)]}, {}
        if (method, path) == ("POST", "/v2.1/os-server-external-events"):
            events = [{**e, "code": 200, "status": "completed"} for e in body["events"]]
            return 200, {"events": events}, {}
        return 404, {"itemNotFound": {"code": 404, "message": "not found"}}, {}

    def _handler(nova):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *unused):
                pass

            def _any(self):
                length = int(self.headers.get("Content-Length") or 0)
                text = self.rfile.read(length)
                body = json.loads(text) if text else None
                path = self.path.split("?")[0].rstrip("/")
                status, reply, headers = nova._answer(self.command, path, body)
                if not path.startswith("/v3"):
                    nova.requests.append((self.command, path, body))
                data = b"" if reply is None else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _any

        return Handler
