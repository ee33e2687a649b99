# SPDX-License-Identifier: Apache-2.0
"""A cloud with a hypervisor: scheduler, manager, two file backends, drover-compute, libvirt,
and a guest that writes. The daemons run as the guest's user, so that both can use the
files."""
import os
import subprocess

from cloud import Cloud
from drover_compute import Hypervisor
from two_hosts import BACKENDS, TwoHosts

MIB = 1 << 20
OPTIONS = {"compute_api": "rpc", "compute_poll": "0.3", "compute_grace": "2",
           "compute_timeout": "60", "compute_find_timeout": "2", "peer_timeout": "3",
           "rescan_interval": "0.3"}
FAST, SLOW = "server1@fast#fast", "server1@slow#slow"


def give_to_guests(libvirt, *paths):
    """These directories are the guests' user's."""
    for path in paths:
        os.makedirs(path, exist_ok=True)
    subprocess.run(["chown", "-R", f"{libvirt.user.pw_uid}:{libvirt.user.pw_gid}", *paths],
                   check=True)


class AttachedCloud(Cloud):
    """servers: (Postgres, Rabbit) that run already."""

    def __init__(self, builddir, libvirt, servers=None, srcdir=None, drover=None, tmp=None,
                 **guest):
        self.libvirt = libvirt
        super().__init__(builddir, servers, srcdir=srcdir, start=False, tmp=tmp,
                         drover={**OPTIONS, **(drover or {})},
                         default={"rpc_response_timeout": "5"})
        give_to_guests(libvirt, *(f"{self.tmp}/{name}"
                                  for name in ("state", "points", *self.backends)))
        for daemon in (self.scheduler, self.manager):
            daemon.argv[:0] = libvirt.as_nobody()
        self.drover("db", "sync")
        self.scheduler.start()
        self.manager.start()
        self.wait_ready()
        self.compute = Hypervisor(builddir, libvirt, self.transport_url, "server1").start()
        self.guest = libvirt.guest(**guest)

    def close(self):
        self.compute.close()
        super().close()

    def fill_behind(self, volume, mib):
        """Random bytes behind the pattern, so that a copy takes its time."""
        with open(self.path(volume), "r+b") as f:
            f.seek(64 * MIB)
            for _ in range(mib):
                f.write(os.urandom(MIB))

    def verify(self, volume, run_number=None, n=None):
        """The guest's writes, up to the last that it was told is durable."""
        if n is None:
            run_number, n = self.guest.acknowledged()
        return self.libvirt.kit.verify(self.path(volume), run_number, n)


class AttachedHosts(TwoHosts):
    """Two hosts; the guest is on server1, and reaches server2 by NBD with certificates."""

    def __init__(self, builddir, libvirt, servers, srcdir=None):
        self.libvirt = libvirt
        super().__init__(builddir, servers=servers, srcdir=srcdir, drover={
            **OPTIONS, "nbd_tls": "certificates", "nbd_certificates": libvirt.pki},
            default={"rpc_response_timeout": "5"})
        self.compute = Hypervisor(builddir, libvirt, self.transport_url, "server1").start()
        self.guest = libvirt.guest()

    def _manager(self, host):
        daemon = super()._manager(host)
        give_to_guests(self.libvirt, f"{self.tmp}/state-{host}", f"{self.tmp}/points",
                       self.directory(BACKENDS[host]))
        daemon.argv[:0] = self.libvirt.as_nobody()
        return daemon

    def close(self):
        self.compute.close()
        super().close()

    verify = AttachedCloud.verify
    fill_behind = AttachedCloud.fill_behind
