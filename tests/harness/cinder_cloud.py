# SPDX-License-Identifier: Apache-2.0
"""An unmodified cinder-api over Drover's daemons. Two hosts with the backends of the
captures (tests/data/cinder): server1 has nfs-1 and nfs-2, server2 has nfs-1. cinder-api,
drover-scheduler and server1's manager read one cinder.conf.

	cloud.cinder("migrate", volume, target)    the command, as users type it
	cloud.rest("POST", "/volumes", {...})      a request to cinder-api
	cloud.make(), .shown(), .tidy()           volumes, and that all is in order
"""
import hashlib
import http.client
import json
import os
import subprocess

import processes
from cinder_api import Answer, Api, Commands
from cloud import Cloud, Daemon
from nova import Nova

PROJECT = "a" * 32
OTHER_PROJECT = "c" * 32
USER = "b" * 32
BACKENDS = {"server1@nfs-1": "nfs1", "server1@nfs-2": "nfs2", "server2@nfs-1": "nfs1"}
SHARES = {"server1@nfs-1": "127.0.0.1:/export1", "server1@nfs-2": "127.0.0.1:/export2",
          "server2@nfs-1": "127.0.0.2:/export1"}
TYPES = {"t-nfs1": {"volume_backend_name": "nfs1"},
         "t-nfs2": {"volume_backend_name": "nfs2"},
         "t-none": {"volume_backend_name": "nowhere"}, "t-plain2": {}, "t-s1": {},
         "t-s2": {}}
# Who connects to volumes.
CONNECTOR = {"platform": "x86_64", "os_type": "linux", "ip": "127.0.0.11",
             "host": "compute1", "multipath": False, "do_local_attach": False,
             "initiator": "iqn.1993-08.org.debian:01:server",
             "uuid": "11111111-1111-1111-1111-111111111111"}
# What tells cinder-api that a service asks, not a user.
AS_NOVA = {"X-Service-Token": "service", "X-Service-Roles": "service"}
# A volume that has one of these is being worked on.
BUSY = ("creating", "deleting", "extending", "retyping", "downloading", "uploading")


class CinderCloud(Cloud):
    """cinder_first: the database is made by 'cinder-manage db sync' and joined by 'drover
    db sync'. driver: nfs, or file where nothing can be mounted. The shares of driver nfs
    are directories that are mounted beforehand: no NFS server is needed. exports: where
    these directories are, in place of one of the cloud's own."""

    def __init__(self, builddir, cinder_first=False, driver=None, default=None,
                 exports=None, **options):
        self._excused = set()
        self._exports = exports
        self.nova = Nova(self._attached)
        self.driver = driver or ("nfs" if os.getuid() == 0 else "file")
        self.api = None
        self.commands = Commands(self)
        super().__init__(builddir, backends={name: {} for name in BACKENDS}, start=False,
                         default={"periodic_interval": "60", "rpc_response_timeout": "30",
                                  **(default or {})}, **options)
        self.config = self.write_config("cinder.conf")
        configs = {"server1": self.config,
                   "server2": self.write_config("server2.conf", host="server2")}
        self.api = Api(self, self.config)
        self.scheduler = Daemon(self, "scheduler", "scheduler",
                                ["--config-file", self.config])
        self.managers = {host: Daemon(self, host, "manager", ["--config-file", config])
                         for host, config in configs.items()}
        self.manager = self.managers["server1"]
        if cinder_first:
            done = self.api.run("cinder-manage", "db", "sync")
            assert done.returncode == 0, done.stderr[-3000:]
        self.drover("db", "sync")
        for daemon in self.daemons():
            daemon.start()
        self.wait_pools()
        self.api.start()
        self.types = {"__DEFAULT__": self.sql1(
            "select id from volume_types where name = '__DEFAULT__'")["id"]}
        for name, specs in TYPES.items():
            self.create_type(name, specs)

    # Configuration: what Cloud has, for a cinder.conf and for two hosts.

    def directory(self, backend):
        """Where the backend's files are."""
        if self.driver == "file":
            return f"{self.tmp}/{backend}"
        digest = hashlib.md5(SHARES[backend].encode()).hexdigest()
        return f"{self._mount_base(backend.split('@')[0])}/{digest}"

    def _mount_base(self, host):
        return f"{self.tmp}/mnt-{host}"

    def _backend(self, address):
        """The backend's options."""
        if self.driver == "file":
            return {"volume_driver": "file", "file_directory": self.directory(address)}
        shares = f"{self.tmp}/{address}.shares"
        with open(shares, "w") as f:
            f.write(f"{SHARES[address]}\n")
        return {"volume_driver": "cinder.volume.drivers.nfs.NfsDriver",
                "nfs_shares_config": shares,
                "nfs_mount_point_base": self._mount_base(address.split("@")[0]),
                "nfs_snapshot_support": "True", "nfs_sparsed_volumes": "True",
                "nas_secure_file_operations": "False",
                "nas_secure_file_permissions": "False"}

    def _make_directories(self):
        for address in BACKENDS:
            os.makedirs(self.directory(address), exist_ok=True)
            if self.driver == "nfs":
                self.mount(SHARES[address], address.split("@")[0])

    def mount(self, share, host):
        """The share is mounted on this host: a directory stands in for it."""
        digest = hashlib.md5(share.encode()).hexdigest()
        point = f"{self._mount_base(host)}/{digest}"
        export = f"{self._exports or self.tmp + '/exports'}/{share.replace(':', '')}"
        if os.path.ismount(point):
            return
        for path in (point, export):
            os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "--bind", export, point], check=True)

    def _attached(self, server):
        """Volumes that a server has, as Nova knows them."""
        return [r["volume_id"] for r in self.sql(
            "select volume_id from volume_attachment where not deleted"
            " and instance_uuid = %s and attach_status = 'attached'", server)]

    def backend_of(self, host):
        return host.split("#")[0]

    def object_pattern(self, backend):
        return backend

    def write_config(self, name, host="server1", default=None, drover=None):
        self._make_directories()
        own = {a: n for a, n in BACKENDS.items() if a.startswith(f"{host}@")}
        state = f"{self.tmp}/state" + ("" if host == "server1" else f"-{host}")
        os.makedirs(state, exist_ok=True)
        os.makedirs(f"{self.tmp}/api/locks", exist_ok=True)
        values = {
            "host": host, "my_ip": "127.0.0.1", "state_path": state,
            "transport_url": self.transport_url, "auth_strategy": "noauth",
            "api_paste_config": "/etc/cinder/api-paste.ini",
            "resource_query_filters_file": "/etc/cinder/resource_filters.json",
            "osapi_volume_listen": "127.0.0.1",
            "enabled_backends": ",".join(a.split("@")[1] for a in own),
            **self.default, **(default or {})}
        lines = ["[DEFAULT]", *(f"{k} = {v}" for k, v in values.items()),
                 "[database]", f"connection = {self.database_url()}",
                 "[oslo_concurrency]", f"lock_path = {self.tmp}/api/locks",
                 "[coordination]", f"backend_url = file://{self.tmp}/api",
                 *self.nova.config(), "[drover]",
                 *(f"{k} = {v}" for k, v in {**self.drover_options, **(drover or {})}.items())]
        for address, pool in own.items():
            options = {"volume_backend_name": pool, **self._backend(address)}
            lines += [f"[{address.split('@')[1]}]"] + [f"{k} = {v}"
                                                      for k, v in options.items()]
        path = os.path.join(self.tmp, name)
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        os.chmod(path, 0o644)
        return path

    def reconfigure(self, **drover):
        """Other options of [drover] for all daemons of ours, which start again."""
        for host, manager in self.managers.items():
            self.write_config(os.path.basename(manager.argv[-1]), host=host, drover=drover)
        for daemon in self.daemons():
            daemon.restart()
        self.wait_pools()

    def daemons(self):
        return [self.scheduler, *getattr(self, "managers", {}).values()]

    def wait_pools(self):
        want = {f"{address}#{pool}" for address, pool in BACKENDS.items()}
        self.wait_for(lambda: want <= self.pools(), 120, f"pools {want} are known")

    # cinder-api.

    def rest(self, method, path, body=None, version="3.70", project=PROJECT, headers=None,
             timeout=90):
        connection = http.client.HTTPConnection("127.0.0.1", self.api.port, timeout=timeout)
        connection.request(
            method, f"/v3/{project}{path}", json.dumps(body) if body is not None else None,
            {"X-Auth-Token": f"{USER}:{project}", "Content-Type": "application/json",
             "Accept": "application/json", "OpenStack-API-Version": f"volume {version}",
             **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        try:
            return Answer(answer.status, json.loads(text) if text else None)
        except ValueError:
            return Answer(answer.status, text.decode(errors="replace"))

    def action(self, volume, name, body=None, **options):
        return self.rest("POST", f"/volumes/{volume}/action", {name: body}, **options)

    def cinder(self, *arguments, check=True, project=PROJECT, version="3.70"):
        """Run the command cinder; returns the completed process."""
        env = {"OS_AUTH_TYPE": "noauth", "OS_PROJECT_ID": project, "OS_USER_ID": USER,
               "OS_VOLUME_API_VERSION": version,
               "CINDER_ENDPOINT": f"http://127.0.0.1:{self.api.port}/v3"}
        done = self.commands.run(list(map(str, arguments)), env)
        if check:
            assert done.returncode == 0, (
                f"cinder {' '.join(map(str, arguments))}: exit {done.returncode}\n"
                f"{done.stdout}{done.stderr}")
        return done

    def shown(self, volume, **options):
        """What 'cinder show' says, property -> value."""
        text = self.cinder("show", volume, **options).stdout
        rows = [line.strip("|").split("|", 1) for line in text.splitlines()
                if line.startswith("| ")]
        found, last = {}, None
        for key, value in ((k.strip(), v.strip()) for k, v in rows[1:]):
            if key:
                found[key] = value
                last = key
            else:  # the value goes on in the next line
                found[last] += "\n" + value
        return found

    def create_type(self, name, specs):
        answer = self.rest("POST", "/types", {"volume_type": {
            "name": name, "extra_specs": specs}})
        assert answer.status == 200, answer
        self.types[name] = answer.body["volume_type"]["id"]

    # Volumes.

    def only(self, host):
        """While it lasts no other backend takes new volumes."""
        return _Only(self, host)

    def make(self, name="v", host="server1@nfs-1#nfs1", size=1, wait=True, **more):
        """A new volume through cinder-api, on this backend; returns its id."""
        body = {"volume": {"size": size, "name": name,
                           "volume_type": f"t-{host.split('#')[1]}", **more}}
        with self.only(host.split("#")[0]):
            answer = self.rest("POST", "/volumes", body)
            assert answer.status == 202, answer
            volume = answer.body["volume"]["id"]
            self.wait_for(lambda: self.volume(volume)["status"] in (
                "available", "error"), 120, f"volume '{name}' is made")
        row = self.volume(volume)
        assert (row["status"], row["host"]) == ("available", host), row
        return volume

    def moves(self, volume, target, *options, deadline=60):
        """'cinder migrate' until it has ended; returns the migration's row."""
        before = (self.migration(volume) or {}).get("id")
        self.cinder("migrate", *options, volume, target)
        return self.wait_for(
            lambda: (m := self.migration(volume)) and m["id"] != before and
            m["finished_at"] and m, deadline, f"the migration of {volume} ends")

    def delete(self, volume):
        self.cinder("delete", volume)
        self.gone(volume)

    def gone(self, *volumes):
        self.wait_for(lambda: all(self.volume(v)["deleted"] for v in volumes), 30,
                      f"volumes {volumes} are deleted")

    def status(self, volume):
        row = self.volume(volume)
        return row["status"], row["migration_status"]

    def path(self, volume):
        row = self.volume(volume)
        return f"{self.directory(self.backend_of(row['host']))}/volume-{row['name_id']}"

    # What may break. Both return the function that repairs it.

    def broken_backend(self, address):
        """Nothing can be made there, for want of inodes: a report that is sent meanwhile
        tells of enough space."""
        directory = self.directory(address)
        if os.getuid() == 0:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100g,nr_inodes=1", "none",
                            directory], check=True)
            return lambda: subprocess.run(["umount", "-l", directory], check=True)
        os.rename(directory, f"{directory}.broken")
        return lambda: os.rename(f"{directory}.broken", directory)

    def broken_object(self, volume):
        """What the volume's bytes are in is gone."""
        path = self.path(volume)
        os.rename(path, f"{path}.broken")
        return lambda: os.rename(f"{path}.broken", path)

    # What must be true when nothing is going on.

    def settled(self, deadline=30):
        """Nothing is being worked on any more."""
        self.settled_but((), deadline)

    def settled_but(self, ids, deadline=30):
        """Nothing but what these rows say of themselves."""
        try:
            self.wait_for(lambda: not self.busy(ids), deadline, "")
        except processes.Timeout:
            raise AssertionError("still busy: " + "\n".join(self.busy(ids))) from None

    def busy(self, but=()):
        but = [i for i in but if i]
        # A guest is being moved: that goes on until Nova says otherwise.
        but += [i for r in self.swapping() for i in (r["volume_id"], r["temporary_id"])]
        found = [f"operation {r['kind']} of {r['volume_id']}" for r in self.sql(
            "select kind, volume_id from drover.operation where finished_at is null"
            " and (phase <> 'swapping' or volume_id <> all(%s))", but)]
        found += [f"volume {r['id']} {r['status']} {r['migration_status']}"
                  for r in self.sql(
                      "select id, status, migration_status from volumes where not deleted"
                      " and (status = any(%s) or migration_status in"
                      " ('starting', 'migrating', 'completing')"
                      " or migration_status like 'target:%%') and id <> all(%s)",
                      list(BUSY), but)]
        found += [f"snapshot {r['id']} {r['status']}" for r in self.sql(
            "select id, status from snapshots where not deleted and status = any(%s)"
            " and id <> all(%s)", list(BUSY), but)]
        found += [f"garbage {r['name']}" for r in self.sql(
            "select name from drover.garbage where removed_at is null")]
        return [f for f in found if f not in self._excused]

    def swapping(self):
        """Migrations that wait for what Nova does."""
        return self.sql(
            "select o.volume_id, m.temporary_id from drover.operation o"
            " join drover.migration m on m.operation_id = o.id"
            " join drover.swap s on s.operation_id = o.id"
            " where o.phase = 'swapping' and s.accepted_at is not null")

    def _end_swaps(self):
        """Nova says what became of the guests: the copy worked when only it is attached.
        That is believed as long as nothing else changes."""
        rows = self.swapping()
        for row in rows:
            attached = self.sql1("select count(*) as n from volume_attachment where"
                                 " volume_id = %s and not deleted", row["volume_id"])["n"]
            self.action(row["volume_id"], "os-migrate_volume_completion",
                        {"new_volume": row["temporary_id"], "error": attached > 0})
        try:
            self.wait_for(lambda: not self.sql(
                "select 1 from drover.operation where finished_at is null and volume_id"
                " = any(%s)", [r["volume_id"] for r in rows]), 10, "")
        except processes.Timeout:
            pass  # what is left of it is seen

    def untidy(self):
        return [f for f in super().untidy() if f not in self._excused]

    def tidy(self):
        """Nothing is being worked on, nothing is left over and the books are right."""
        self.settled()
        self.leftovers()
        wrong = self.books()
        assert not wrong, "\n".join(wrong)

    def delete_all(self):
        volumes = self.sql("select id, project_id from volumes where not deleted")
        for row in volumes:
            answer = self._ask_to_delete(row["id"], row["project_id"])
            assert answer.status == 202, answer
        self.gone(*(row["id"] for row in volumes))

    def _ask_to_delete(self, volume, project=PROJECT):
        snapshots = self.sql("select id from snapshots where volume_id = %s"
                             " and not deleted", volume)
        return self.rest("DELETE", f"/volumes/{volume}" + (
            "?cascade=true" if snapshots else ""), project=project)

    def excuse(self):
        """What is wrong now is the failure of a test that has failed; the next ones do not
        fail of it."""
        self._excused = set()
        self._excused = {*self.busy(), *self.untidy(), *self.books()}

    def words(self):
        """Words of a capture for what is called otherwise here."""
        return {f"http://127.0.0.1:{self.api.port}": "http://127.0.0.1:8776",
                **{self._mount_base(h): f"MOUNT_BASE_{h}" for h in ("server1", "server2")}}

    def enable_services(self):
        self.sql("update services set disabled = false, disabled_reason = null,"
                 " frozen = false where not deleted")

    def empty(self):
        """All that there is goes, however it looks, and quotas are zero."""
        self.nova.answers.clear()
        self._end_swaps()
        self.enable_services()
        for row in self.sql("select id from volume_attachment where not deleted"):
            self.rest("DELETE", f"/attachments/{row['id']}", headers=AS_NOVA)
        for row in self.sql("select id from volumes where not deleted and host is not"
                            " null"):
            self.action(row["id"], "os-terminate_connection", {"connector": CONNECTOR})
        self.sql("update volume_attachment set deleted = true, deleted_at = now(),"
                 " attach_status = 'detached' where not deleted")
        self.sql("update volumes set status = 'available', attach_status = 'detached',"
                 " migration_status = null where not deleted and status <> 'deleting'"
                 " and id not in (select volume_id from drover.operation"
                 " where finished_at is null)")
        self.sql("update snapshots set status = 'available' where not deleted")
        volumes = [r["id"] for r in self.sql("select id from volumes where not deleted")]
        for volume in volumes:
            self._ask_to_delete(volume)
        try:
            self.wait_for(lambda: not self.busy() and not self.sql(
                "select id from volumes where not deleted"), 15, "")
        except processes.Timeout:
            self._force_empty()
        self.sql("delete from reservations")
        self.sql("delete from workers where resource_type <> 'SENTINEL'")
        self.sql("update quota_usages set in_use = 0, reserved = 0")

    def _force_empty(self):
        """What cannot be deleted as users do it. Rows of ours that are left are excused."""
        self.sql("update snapshots set deleted = true, status = 'deleted'")
        self.sql("update volumes set deleted = true, status = 'deleted',"
                 " migration_status = null")
        self.excuse()

    def books(self):
        """What quotas, reservations and workers say that rows do not: a list of
        sentences."""
        wrong = []
        for row in self.sql("select * from reservations where not deleted"):
            wrong.append(f"reservation of {row['delta']} {row['resource']} is left")
        for row in self.sql("select * from workers where resource_type <> 'SENTINEL'"):
            wrong.append(f"worker {row['resource_type']} {row['resource_id']}"
                         f" {row['status']} is left")
        counted = {(r["project_id"], r["resource"]): r["n"] for r in self.sql(_COUNTED)}
        said = {(r["project_id"], r["resource"]): r for r in self.sql(
            "select project_id, resource, in_use, reserved from quota_usages"
            " where not deleted")}
        for key in sorted({*counted, *said}):
            row = said.get(key, {"in_use": 0, "reserved": 0})
            if row["in_use"] != counted.get(key, 0):
                wrong.append(f"quota {key[1]} of {key[0][:4]}: in use {row['in_use']},"
                             f" rows say {counted.get(key, 0)}")
            if row["reserved"] != 0:
                wrong.append(f"quota {key[1]} of {key[0][:4]}: reserved {row['reserved']}")
        return [w for w in wrong if w not in self._excused]

    def close(self, check=True):
        try:
            super().close(check)
        finally:
            if self.api:
                self.api.stop()
            self.commands.close()
            self.nova.close()


# Volumes and gigabytes by project, all of them and by type; snapshots count as gigabytes.
_COUNTED = """
	with things as (
		select project_id, volume_type_id, 'volumes' as resource, 1 as n from volumes
		where not deleted and use_quota
		union all select project_id, volume_type_id, 'gigabytes', size from volumes
		where not deleted and use_quota
		union all select project_id, volume_type_id, 'snapshots', 1 from snapshots
		where not deleted and use_quota
		union all select project_id, volume_type_id, 'gigabytes', volume_size from snapshots
		where not deleted and use_quota)
	select project_id, resource, sum(n)::int as n from things group by 1, 2
	union all select project_id, resource || '_' || t.name, sum(n)::int
	from things join volume_types t on t.id = volume_type_id group by 1, 2"""


class _Only:
    """Other backends count as disabled, for the scheduler alone."""

    def __init__(self, cloud, host):
        self._cloud, self._host = cloud, host

    def __enter__(self):
        self._rows = self._cloud.sql(
            "update services set disabled = true where topic = 'cinder-volume'"
            " and host <> %s and not disabled returning id", self._host)

    def __exit__(self, *unused):
        self._cloud.sql("update services set disabled = false where id = any(%s)",
                        [r["id"] for r in self._rows])
