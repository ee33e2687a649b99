# SPDX-License-Identifier: Apache-2.0
"""Debian's cinder-api and its command: how they are run, for cinder_cloud.py."""
import glob
import http.client
import json
import os
import pwd
import subprocess

import processes
from processes import wait_for

HERE = os.path.dirname(os.path.abspath(__file__))


def missing():
    """What is not installed, or None."""
    for path in ("/usr/bin/cinder-api", "/usr/bin/cinder-wsgi", "/usr/bin/cinder"):
        if not os.path.exists(path):
            return f"{path} is missing (cinder-api, python3-cinderclient)"
    if not glob.glob("/usr/lib/uwsgi/plugins/python3*_plugin.so"):
        return "uwsgi-plugin-python3 is missing"
    return None


class Answer:
    """status, and body: what the JSON says, or None."""

    def __init__(self, status, body):
        self.status = status
        self.body = body

    def __repr__(self):
        return f"{self.status} {json.dumps(self.body)}"


class Api:
    """cinder-api in uwsgi, as the user cinder where that is allowed."""

    name = "cinder-api"

    def __init__(self, cloud, config):
        self.port = processes.free_port()
        self.process = None
        self._directory = os.path.join(cloud.tmp, "api")
        self._log = os.path.join(self._directory, "uwsgi.log")
        self._environment = cloud.environment
        self._user = []
        os.makedirs(f"{self._directory}/locks", exist_ok=True)
        if os.getuid() == 0:
            user = pwd.getpwnam("cinder")
            for path in (self._directory, f"{self._directory}/locks"):
                os.chown(path, user.pw_uid, user.pw_gid)
            self._user = ["setpriv", "--reuid", str(user.pw_uid), "--regid",
                          str(user.pw_gid), "--init-groups", "--pdeathsig", "KILL"]
        self._ini = os.path.join(self._directory, "uwsgi.ini")
        self._config = config
        with open(self._ini, "w") as f:
            f.write("\n".join([
                "[uwsgi]", f"http-socket = 127.0.0.1:{self.port}", "plugins = python3",
                "wsgi-file = /usr/bin/cinder-wsgi", f"pyargv = --config-file {config}",
                "master = true", "lazy-apps = true", "need-app = true",
                "processes = 1", "threads = 8", "enable-threads = true",
                "buffer-size = 65535", "die-on-term = true", "no-orphans = true",
                "add-header = Connection: close", f"chdir = {self._directory}", ""]))

    def start(self, deadline=90):
        with open(self._log, "ab") as log:
            self.process = processes.spawn(
                [*self._user, "uwsgi", "--ini", self._ini], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=self._environment(), cwd="/")
        wait_for(self._answers, deadline, "cinder-api answers")
        return self

    def _answers(self):
        assert self.process.poll() is None, f"uwsgi ended:\n{self.log()[-3000:]}"
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            connection.request("GET", "/healthcheck")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def run(self, *command, timeout=120):
        """A command of Cinder's, cinder-manage for example, as the same user."""
        return subprocess.run(
            [*self._user, command[0], "--config-file", self._config, *command[1:]],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, timeout=timeout, cwd="/", env=self._environment())

    def log(self):
        try:
            with open(self._log, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def stop(self):
        if self.process:
            processes.kill_tree(self.process.pid)
            self.process.wait()
            self.process = None


class Commands:
    """The command cinder. One process loads its modules and forks for each command."""

    def __init__(self, cloud):
        self._cloud = cloud
        self._process = None

    def run(self, arguments, env):
        if self._process is None or self._process.poll() is not None:
            self._process = processes.spawn(
                ["/usr/bin/python3", os.path.join(HERE, "cinder_commands.py")],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/",
                env=self._cloud.environment())
        base = os.path.join(self._cloud.tmp, "command")
        self._process.stdin.write(json.dumps({
            "argv": ["cinder", *arguments], "env": env,
            "stdout": f"{base}.out", "stderr": f"{base}.err"}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the process that runs commands ended"
        with open(f"{base}.out") as out, open(f"{base}.err") as err:
            return subprocess.CompletedProcess(
                arguments, int(line), out.read(), err.read())

    def close(self):
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait(10)
            self._process = None
