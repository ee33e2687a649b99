# SPDX-License-Identifier: Apache-2.0
"""A cloud with backends of driver nfs. Each manager lives in a mount namespace of its own,
where /usr/sbin has a mount.nfs that binds local directories: EXPORTS/SERVER/PATH stands for
the share SERVER:/PATH. What it mounts goes away with its manager, and the tests see the
files in EXPORTS.

	server1: nfs-1 (share one), nfs-2 (share two), plain (driver file)
	server2: far (share one, too)
"""
import hashlib
import os
import subprocess

from cloud import Cloud, Daemon

DRIVER = "cinder.volume.drivers.nfs.NfsDriver"
ONE, TWO = "127.0.0.1:/one", "127.0.0.1:/two"
SHARES = {"nfs-1": ONE, "nfs-2": TWO, "far": ONE}
HOSTS = {"server1": ["nfs-1", "nfs-2", "plain"], "server2": ["far"]}

MOUNT_NFS = """#!/bin/sh
while [ -e "{tmp}/mount-hangs" ]; do sleep 0.1; done
d={exports}/$(echo "$1" | sed 's,:/,/,')
[ -d "$d" ] || {{ echo "mount.nfs: $1 is not exported" >&2; exit 32; }}
exec mount --bind "$d" "$2"
"""
IN_NAMESPACE = 'mount -t overlay -o "lowerdir=$0:/usr/sbin" overlay /usr/sbin && exec "$@"'


def can_be_had():
    """None, or why there are no such clouds here."""
    if os.getuid() != 0:
        return "mounting needs root"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", IN_NAMESPACE, "/tmp", "true"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    return None if done.returncode == 0 else f"no overlay can be mounted: {done.stderr}"


class NfsCloud(Cloud):
    """cloud.managers: host -> Daemon."""

    def __init__(self, builddir, tmp, **options):
        self.exports = f"{tmp}/exports"
        self.sbin = f"{tmp}/sbin"
        self._make_mount_nfs(tmp)
        backends = {"plain": {}}
        for name, share in SHARES.items():
            backends[name] = {
                "volume_driver": DRIVER, "nfs_shares_config": f"{tmp}/{name}.shares",
                "file_directory": self.exported(share),
                "nas_secure_file_permissions": "false"}
            with open(f"{tmp}/{name}.shares", "w") as f:
                f.write(f"# of {name}\n{share}\n")
        super().__init__(builddir, backends=backends, start=False, tmp=tmp, **options)
        self.managers = {host: self._manager(host) for host in HOSTS}
        self.manager = self.managers["server1"]
        self.drover("db", "sync")
        for daemon in self.daemons():
            daemon.start()
        self.wait_ready()

    def _make_mount_nfs(self, tmp):
        os.makedirs(self.sbin)
        with open(f"{self.sbin}/mount.nfs", "w") as f:
            f.write(MOUNT_NFS.format(tmp=tmp, exports=self.exports))
        os.chmod(f"{self.sbin}/mount.nfs", 0o755)
        # The namespace's /usr/sbin takes its mode from here.
        os.chmod(self.sbin, 0o755)

    def _manager(self, host):
        config = self.write_config(
            f"{host}.conf", backends=HOSTS[host],
            default={"host": host, "my_ip": "127.0.0.1",
                     "state_path": f"{self.tmp}/state-{host}"})
        os.makedirs(f"{self.tmp}/state-{host}", exist_ok=True)
        prefix = ["unshare", "-m", "sh", "-c", IN_NAMESPACE, self.sbin]
        return Daemon(self, host, "manager", ["--config-file", config], prefix)

    def daemons(self):
        return [self.scheduler, *getattr(self, "managers", {}).values()]

    def wait_ready(self, deadline=60):
        want = {f"{host}@{b}#{b}" for host, names in HOSTS.items() for b in names}
        self.wait_for(lambda: want <= self.pools(), deadline, f"pools {want} are known")

    def exported(self, share, name=""):
        return f"{self.exports}/{share.replace(':/', '/')}{'/' if name else ''}{name}"

    def mount_point(self, host, share):
        digest = hashlib.md5(share.encode()).hexdigest()
        return f"{self.tmp}/state-{host}/mnt/{digest}"

    def inside(self, host, *command):
        """Run a command where the manager of this host sees its mounts."""
        return subprocess.run(
            ["nsenter", "-m", "-t", str(self.managers[host].pid), *command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
