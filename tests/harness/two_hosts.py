# SPDX-License-Identifier: Apache-2.0
"""A cloud of two hosts, each with a manager and one backend of its own: server1 has
lvmstorage-1, server2 has lvmstorage-2. They share nothing but the servers."""
from cloud import Cloud, Daemon

BACKENDS = {"server1": "lvmstorage-1", "server2": "lvmstorage-2"}


def pool(host):
    """The address of the host's only pool."""
    return f"{host}@{BACKENDS[host]}#{BACKENDS[host]}"


class TwoHosts(Cloud):
    """cloud.managers: host -> Daemon."""

    def __init__(self, builddir, **options):
        backends = {name: {} for name in BACKENDS.values()}
        super().__init__(builddir, backends=backends, start=False, **options)
        self.managers = {host: self._manager(host) for host in BACKENDS}
        self.manager = self.managers["server1"]
        self.drover("db", "sync")
        for daemon in self.daemons():
            daemon.start()
        self.wait_for(lambda: {pool(h) for h in BACKENDS} <= self.pools(), 60,
                      "both pools are known")

    def _manager(self, host):
        config = self.write_config(
            f"{host}.conf", backends=[BACKENDS[host]],
            default={"host": host, "my_ip": "127.0.0.1",
                     "state_path": f"{self.tmp}/state-{host}"})
        return Daemon(self, host, "manager", ["--config-file", config])

    def daemons(self):
        return [self.scheduler, *self.managers.values()]
