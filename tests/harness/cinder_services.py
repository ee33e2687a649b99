# SPDX-License-Identifier: Apache-2.0
"""Debian's own cinder-scheduler and cinder-volume, in place of Drover's or beside them, in
the cloud of cinder_cloud.py: same database, broker and shares.

	service = Service(cloud, "cinder-volume", "server2").start()
"""
import os
import pwd
import re
import subprocess

import processes
from cinder_cloud import BACKENDS

PROGRAMS = {"cinder-volume": "/usr/bin/cinder-volume",
            "cinder-scheduler": "/usr/bin/cinder-scheduler"}
# What the services say of this environment, whatever they are used for.
_HARMLESS = re.compile(
    r"Unable to get a unique host|NFS.*(secure|permissions)|nas_secure|deprecat"
    r"|is not (in the allowed|configured)|systemd", re.I)


def missing():
    """What is not installed, or None."""
    for path in (*PROGRAMS.values(), "/usr/bin/sudo", "/usr/bin/cinder-rootwrap"):
        if not os.path.exists(path):
            return f"{path} is missing (cinder-volume, cinder-scheduler, sudo)"
    return None if os.getuid() == 0 else "this is not root"


class Service:
    """One process, run by the user cinder as in production."""

    def __init__(self, cloud, program, host):
        self.cloud, self.program, self.host = cloud, program, host
        self.name = f"{program}-{host}"
        self.process = None
        self._beats, self._since = set(), None
        self._log = os.path.join(cloud.tmp, f"{self.name}.log")
        user = pwd.getpwnam("cinder")
        state = os.path.join(cloud.tmp, f"cinder-state-{host}")
        for path in (state, f"{state}/locks"):
            os.makedirs(path, exist_ok=True)
            os.chown(path, user.pw_uid, user.pw_gid)
        # Both kinds of services make and remove files there.
        self.backends = [b for b in BACKENDS if b.startswith(f"{host}@")]
        for backend in self.backends:
            os.chmod(cloud.directory(backend), 0o777)
        config = cloud.write_config(f"{self.name}.conf", host=host, default={
            "state_path": state, "lock_path": f"{state}/locks",
            "rootwrap_config": "/etc/cinder/rootwrap.conf", "use_stderr": "True",
            "debug": "False"})
        self._argv = ["setpriv", "--reuid", str(user.pw_uid), "--regid",
                      str(user.pw_gid), "--init-groups", "--pdeathsig", "KILL",
                      PROGRAMS[program], "--config-file", config]

    def _path(self):
        """A mount.nfs has to be there, and is never asked to mount anything."""
        directory = os.path.join(self.cloud.tmp, "cinder-bin")
        if not os.path.exists(directory):
            os.makedirs(directory)
            with open(f"{directory}/mount.nfs", "w") as f:
                f.write("#!/bin/sh\nexit 1\n")
            os.chmod(f"{directory}/mount.nfs", 0o755)
        return f"{directory}:/usr/sbin:/usr/bin:/sbin:/bin"

    def start(self, deadline=240):
        self.launch()
        return self.wait_up(deadline)

    def launch(self):
        """Begin; several may, and be waited for afterwards."""
        with open(self._log, "ab") as log:
            self.process = processes.spawn(
                self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                env={**self.cloud.environment(), "PATH": self._path()})
        self._since = self.cloud.sql1("select localtimestamp as now")["now"]
        self._beats = set()

    def wait_up(self, deadline=240):
        self.cloud.wait_for(lambda: self._is_up(self._since), deadline,
                            f"{self.name} is up")
        return self

    def _is_up(self, since):
        """Its heart has beaten; the row is written once before that."""
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log()[-3000:]}"
        rows = self.cloud.sql(
            "select updated_at from services where \"binary\" = %s and not deleted"
            " and (host = %s or host like %s) and updated_at > %s",
            self.program, self.host, f"{self.host}@%", since)
        now = {r["updated_at"] for r in rows}
        self._beats |= now
        wanted = 1 if self.program == "cinder-scheduler" else len(self.backends)
        return len(rows) >= wanted and len(self._beats) >= 3 * wanted

    def log(self):
        try:
            with open(self._log, errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def errors(self):
        """Its lines of level ERROR and above."""
        return [line for line in self.log().splitlines()
                if re.search(r" (ERROR|CRITICAL) ", line) and not _HARMLESS.search(line)]

    def stop(self):
        if self.process:
            processes.kill_tree(self.process.pid)
            self.process.wait()
            self.process = None
