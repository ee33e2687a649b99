# SPDX-License-Identifier: Apache-2.0
"""Does with a cloud what was done with a running Cinder, and says what came out otherwise.

A scenario of tests/data/cinder is replayed on volumes of its own, in the state that they
had; its requests and commands go to cinder-api. Compared are the answers, every message of
the broker and what has become of the rows, all in the words of shape.py."""
import json
import re
import shlex
import uuid

import processes
import shape
from cinder_cloud import AS_NOVA, BUSY, CONNECTOR

TABLES = (*shape.TABLES, "volume_metadata", "volume_admin_metadata", "services",
          "quota_usages", "reservations", "workers", "messages")
NAME = re.compile(r"\{([VSA]\d+|T:[^}]*)\}")
# scenario -> (point, first step, step before which it goes on): the copy takes so long.
HOLDS = {"50": ("migrate.copying", 1, 3), "52": ("migrate.copying", 0, 3),
         "53": ("migrate.copying", 0, 5), "59": ("migrate.copying", 0, 2),
         "60": ("migrate.copying", 0, 2), "80": ("migrate.copying", 0, 10),
         "82": ("migrate.copying", 0, 1), "83": ("migrate.copying", 0, 1),
         "86": ("migrate.copying", 0, 2)}
# scenario -> what else was done, before its second step: the source's service is killed and
# started again, or its message is sent again, with the same or a new id.
EVENTS = {"80": "crash", "82": "same id", "83": "new id", "84": "same id", "85": "new id"}
# The command create asks again at once: what has happened by then is chance.
CHANCE = ("os-vol-host-attr:host", "updated_at", "status", "service_uuid", "shared_targets")
# scenario -> the only backends that take volumes: captures tell which was chosen, not why.
ONLY = {"10": ["server1@nfs-2"], "60": ["server1@nfs-2", "server2@nfs-1"]}
# scenario -> volumes that are there beside those that it names.
OTHERS = {"49": ["server1@nfs-1#nfs1"]}
# scenario -> the server whose volumes Nova does not move.
REFUSED = {"78": "ffffffff-0000-0000-0000-000000000404"}
# scenario -> what is out of order: the volume's own object, or a backend.
BROKEN = {"39": "object", "3a": "object", "5d": "server1@nfs-1"}


class Unable(AssertionError):
    """What a scenario needs could not be made."""


class Tracer:
    """Every message of the cloud's virtual host, from now on."""

    def __init__(self, cloud):
        import pika

        cloud.rabbit.evaluate(f'rabbit_trace:start(<<"{cloud.vhost}">>)')
        parameters = pika.URLParameters(
            cloud.transport_url.replace("rabbit://", "amqp://"))
        parameters.heartbeat = 0
        self._connection = pika.BlockingConnection(parameters)
        self._channel = self._connection.channel()
        self._queue = self._channel.queue_declare("", exclusive=True).method.queue
        self._channel.queue_bind(self._queue, "amq.rabbitmq.trace", "publish.#")

    def drain(self):
        """(exchange, routing key, inner message) of all since the last time."""
        found = []
        while True:
            frame, properties, body = self._channel.basic_get(self._queue, auto_ack=True)
            if frame is None:
                return found
            inner = json.loads(json.loads(body)["oslo.message"])
            found.append((properties.headers["exchange_name"],
                          properties.headers["routing_keys"][0], inner))

    def publish(self, routing_key, message):
        import pika

        body = {"oslo.version": "2.0", "oslo.message": json.dumps(message)}
        self._channel.basic_publish(
            "openstack", routing_key, json.dumps(body),
            pika.BasicProperties(content_type="application/json",
                                 content_encoding="utf-8", delivery_mode=2, priority=0,
                                 headers={}))

    def close(self):
        self._connection.close()


def tables(cloud):
    """table -> id -> row, oldest first."""
    return {t: {r["id"]: r for r in cloud.sql(f"select * from {t} order by created_at")}
            for t in TABLES}


def _certain(table):
    return {k: v for k, v in table.items() if k not in CHANCE}


class Replay:
    def __init__(self, cloud, tracer, scenario, data):
        self.cloud = cloud
        self.tracer = tracer
        self.number = scenario[:2]
        self.data = data
        self.names = shape.Names(cloud.words())
        for name, id in cloud.types.items():
            self.names.name(id, f"T:{name}")
        shape.literal(json.dumps([[s.get("rest"), s.get("request"), s.get("cli")]
                                  for s in data["steps"]]), self.names)
        self.holding = False
        self._repair = lambda: None
        self._drained = []
        self._patience = 8
        self._by_hand = set()  # volumes whose state somebody has set

    # Ids.

    def fill(self, value):
        """The value with ids for names."""
        if isinstance(value, str):
            return NAME.sub(lambda m: self.id(m.group(1)), value)
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        return value

    def id(self, name):
        found = self.names.uuid(name)
        if found is None:
            found = self._temporary(name)
        if found is None:
            raise Unable(f"{name} was not made")
        return found

    def _temporary(self, name):
        """No answer tells the id of a migration's temporary volume."""
        row = self.cloud.sql1("select id from volumes where migration_status = %s",
                              f"target:{self.names.uuid('V1')}")
        if row and name[0] == "V":
            self.names.name(row["id"], name)
            return row["id"]
        return None

    def _learn_attachments(self):
        """The older way to attach answers without an id."""
        for row in self.cloud.sql("select id, volume_id from volume_attachment"
                                  " where not deleted order by created_at"):
            if row["volume_id"] in self.names.of and row["id"] not in self.names.of:
                self.names.learn(row["id"], "A")

    def bind(self, wanted, found):
        """Objects that are new in an answer get the names that the capture has there."""
        if isinstance(wanted, dict) and isinstance(found, dict):
            for key in wanted:
                if key in found:
                    self.bind(wanted[key], found[key])
        elif isinstance(wanted, list) and isinstance(found, list):
            for w, f in zip(wanted, found):
                self.bind(w, f)
        elif isinstance(wanted, str) and isinstance(found, str):
            name = NAME.fullmatch(wanted)
            if name and shape.UUID.fullmatch(found) and found not in self.names.of and \
                    self.names.uuid(name.group(1)) is None:
                self.names.name(found, name.group(1))

    def bind_output(self, wanted, text):
        for table in wanted:
            if isinstance(table, dict) and "columns" not in table:
                found = {}
                for line in text.splitlines():
                    cells = [c.strip() for c in line.strip("|").split("|")]
                    if len(cells) == 2:
                        found.setdefault(*cells)
                self.bind(table, found)

    # What is there before.

    def prepare(self):
        before = self.data["before"]
        if self.data["steps"] and "start" in self.data["steps"][0]:
            self._prepare_start(**self.data["steps"][0])
        for host in OTHERS.get(self.number, ()):
            self.cloud.make("other", host)
        temporary = [n for n in before if n[0] == "V" and
                     before[n].get("migration_status", "").startswith("target:")]
        for name in sorted(before):
            if name[0] == "V" and name not in temporary:
                self.names.name(self._make_volume(before[name]), name)
        for name in sorted(before):
            if name[0] == "S":
                self.names.name(self._make_snapshot(before[name]), name)
        attached = [n for n in sorted(before) if n[0] == "A"]
        for name in attached:
            if before[name]["volume_id"].strip("{}") not in temporary:
                self._make_attachment(name, before[name])
        for name in temporary:
            self._start_swap(name, before[name], [
                n for n in attached if before[n]["volume_id"] == "{%s}" % name])
        for name in sorted(before):
            if name[0] == "V":
                self._align(self.id(name), before[name])
        if self.number in ONLY:
            self.cloud.sql("update services set disabled = true where topic ="
                           " 'cinder-volume' and host <> all(%s)", ONLY[self.number])
        self.cloud.settled_but(self._states(), 10)
        if self.number in REFUSED:
            self.cloud.nova.answers["PUT", REFUSED[self.number]] = (404, {
                "itemNotFound": {"code": 404, "message": "Instance could not be found."}})
        what = BROKEN.get(self.number)
        if what == "object":
            self._repair = self.cloud.broken_object(self.id("V1"))
        elif what:
            self._repair = self.cloud.broken_backend(what)

    def _prepare_start(self, start, new):
        """The daemons are down; new ones have no rows, and the first is alone."""
        for daemon in self.cloud.daemons():
            if daemon.name in start or self.number == "02":
                daemon.stop()
        for name in start if new else ():
            self.cloud.sql(
                "update services set deleted = true where \"binary\" = %s"
                " and host like %s", *(("cinder-scheduler", "%") if name == "scheduler"
                                       else ("cinder-volume", f"{name}@%")))

    def _states(self):
        """The objects whose state only looks busy: from the beginning, or set by hand."""
        return self._by_hand | {
            self.names.uuid(n) for n, state in self.data["before"].items()
            if state.get("status") in BUSY or
            state.get("migration_status", "success") not in ("success", "error")}

    def _make_volume(self, state):
        if "host" in state:
            return self.cloud.make(state["display_name"], state["host"], state["size"],
                                   volume_type=state["type"])
        answer = self.cloud.rest("POST", "/volumes", {"volume": {
            "size": state["size"], "name": state["display_name"],
            "volume_type": state["type"]}})
        volume = answer.body["volume"]["id"]
        self.cloud.wait_for(lambda: self.cloud.volume(volume)["status"] == state["status"],
                            20, "no backend takes the volume")
        return volume

    def _make_snapshot(self, state):
        answer = self.cloud.rest("POST", "/snapshots", {"snapshot": {
            "volume_id": self.fill(state["volume_id"]), "name": state["display_name"],
            "force": True}}, version="3.65")
        if answer.status != 202:
            raise Unable(f"a snapshot: {answer}")
        snapshot = answer.body["snapshot"]["id"]

        def made():
            row = self.cloud.sql1("select status from snapshots where id = %s", snapshot)
            if row["status"] == "error":
                raise Unable("a snapshot: status error")
            return row["status"] == "available"

        self.cloud.wait_for(made, 10, "the snapshot is available")
        return snapshot

    def _ask(self, *arguments, **options):
        answer = self.cloud.rest(*arguments, **options)
        if answer.status >= 300:
            raise Unable(f"{arguments[:2]}: {answer}")
        return answer.body

    def _make_attachment(self, name, state):
        volume = self.fill(state["volume_id"])
        if "connector" not in state and state["attach_status"] == "attached":
            for action, body in (
                    ("os-reserve", None),
                    ("os-initialize_connection", {"connector": CONNECTOR}),
                    ("os-attach", {"instance_uuid": state["instance_uuid"],
                                   "mountpoint": state["mountpoint"],
                                   "mode": state["attach_mode"]})):
                self._ask("POST", f"/volumes/{volume}/action", {action: body})
            row = self.cloud.sql1("select id from volume_attachment where volume_id = %s"
                                  " and not deleted", volume)
            self.names.name(row["id"], name)
            return
        body = {"volume_uuid": volume, "instance_uuid": state["instance_uuid"]}
        attachment = self._ask("POST", "/attachments",
                               {"attachment": body})["attachment"]["id"]
        self.names.name(attachment, name)
        if "connector" in state:
            self._ask("PUT", f"/attachments/{attachment}",
                      {"attachment": {"connector": state["connector"]}})
        if state["attach_status"] == "attached":
            self._ask("POST", f"/attachments/{attachment}/action",
                      {"os-complete": attachment})

    def _start_swap(self, name, state, attached):
        """A migration of a guest's volume that has come to where Nova is asked. attached:
        whom the guest has instead of the source by then."""
        source = self.fill(state["migration_status"]).split(":")[1]
        old = None
        if attached:
            old = f"{name} before"
            self._make_attachment(old, {**self.data["before"][attached[0]],
                                        "volume_id": source})
        self._ask("POST", f"/volumes/{source}/action",
                  {"os-migrate_volume": {"host": state["host"]}})

        def asked():
            return [r["temporary_id"] for r in self.cloud.swapping()
                    if r["volume_id"] == source]

        temporary = self.cloud.wait_for(asked, 20, "Nova is asked to move the guest")[0]
        self.names.name(temporary, name)
        for attachment in attached:
            self._make_attachment(attachment, self.data["before"][attachment])
        if old:
            self._ask("DELETE", f"/attachments/{self.id(old)}", headers=AS_NOVA)

    def _align(self, volume, state):
        """What is left to make of the row is what somebody did before."""
        columns = ("status", "attach_status", "migration_status", "previous_status")
        self.cloud.sql(
            "update volumes set " + ", ".join(f"{c} = %s" for c in columns) +
            " where id = %s", *(self.fill(state.get(c)) for c in columns), volume)

    # The steps.

    def run(self):
        """Lines that say what differs."""
        before = tables(self.cloud)
        self.tracer.drain()
        found = []
        point, first, last = HOLDS.get(self.number, (None, -9, -9))
        for number, step in enumerate(self.data["steps"]):
            if number == first:
                self.cloud.points.hold(point)
            elif number == first + 1:
                self.cloud.points.reached(point, 15)
                self.holding = True
            if number == 1 and self.number in EVENTS:
                self._happen(EVENTS[self.number])
            if number == last:
                self.cloud.points.release()
                self.holding = False
            found += self.step(number, step)
        self.cloud.points.release()
        if not self._settle(self._final()):
            found.append("it does not come to rest: " + self.names.text(
                "; ".join(self.cloud.busy(self._final()))))
        self._sent()
        lines = shape.messages(self._drained, periodic=self.number.startswith("0"))
        rows = shape.changes(before, tables(self.cloud), self.names)
        found += shape.message_differences(self.data["messages"], shape.unliteral(lines))
        found += shape.differences("rows", self.data["rows"], shape.unliteral(rows))
        return found

    def _final(self):
        """Objects that end in a state that looks busy."""
        final = set()
        for name, columns in self.data["rows"].get("volumes", {}).items():
            whole = columns.get("new") or {k: v[1] for k, v in columns.items()}
            if whole.get("status") in BUSY or whole.get("migration_status") in (
                    "starting", "migrating", "completing"):
                final.add(self.names.uuid(name))
        return final | self._states()

    def step(self, number, step):
        if "row" in step:
            table, name = step["row"].split()
            columns = step["set"]
            self._by_hand.add(self.id(name))
            self.cloud.sql(
                f"update {table} set " + ", ".join(f"{c} = %s" for c in columns) +
                " where id = %s", *columns.values(), self.id(name))
            return []
        if "start" in step:
            return self._start(step["start"])
        self._wait_for(step)
        if "reset-state" in step.get("cli", "") or "os-reset_status" in str(
                step.get("request")):
            self._by_hand.update(self.names.uuid(n) for n in self.names.of.values()
                                 if "{%s}" % n in step.get("cli", step.get("rest")))
        found = self._command(step) if "cli" in step else self._request(step)
        self._learn_attachments()
        wanted = {k: v for k, v in step.items()
                  if k in ("rc", "out", "err", "status", "response")}
        if step.get("cli", "").startswith("cinder create "):
            wanted["out"] = [_certain(table) for table in wanted["out"]]
            found["out"] = [_certain(table) for table in found["out"]]
        return shape.differences(f"step {number}", wanted, shape.unliteral(found))

    def _start(self, names):
        for daemon in self.cloud.daemons():
            if daemon.name in names:
                daemon.start()
        # There is no backup service that could answer.
        wanted = [m for m in self.data["messages"] if "cinder-backup" not in m]
        try:
            self.cloud.wait_for(lambda: self._sent() >= len(wanted), 15, "")
        except processes.Timeout:
            pass  # the difference will be seen
        return []

    def _sent(self):
        self._drained += self.tracer.drain()
        return len(shape.messages(self._drained, periodic=True))

    def _wait_for(self, step):
        """A capture looks when it knows that there is something to see."""
        states = [t for t in step.get("out", []) if isinstance(t, dict) and "status" in t
                  and NAME.fullmatch(str(t.get("id")))]
        if not self.holding:
            self._settle(self._states())
        for state in states:
            uuid = self.names.uuid(state["id"].strip("{}"))
            if uuid and step["cli"].startswith("cinder show"):
                try:
                    self.cloud.wait_for(lambda: self._is(uuid, state), 1, "")
                except processes.Timeout:
                    pass  # the difference will be seen

    def _settle(self, but):
        """Is nothing being done any more? Who does not come to rest is not waited for
        again and again."""
        try:
            self.cloud.settled_but(but, self._patience)
            return True
        except AssertionError:
            self._patience = 0.5
            return False

    def _is(self, volume, state):
        status, migration_status = self.cloud.status(volume)
        return status == state["status"] and \
            str(migration_status) == state["migration_status"]

    def _command(self, step):
        arguments = shlex.split(self.fill(step["cli"]))
        if arguments[0] == "cinder":
            done = self.cloud.cinder(*arguments[1:], check=False)
        else:
            done = self.cloud.api.run(*arguments)
        self.bind_output(step["out"], done.stdout)
        self._learn_attachments()
        found = {"rc": done.returncode, "out": shape.output(done.stdout, self.names)}
        if arguments[0] == "cinder" and done.stderr:
            found["err"] = [self.names.text(line) for line in done.stderr.splitlines()]
        return found

    def _request(self, step):
        method, path = self.fill(step["rest"]).split(" ", 1)
        answer = self.cloud.rest(
            method, path.replace("/v3/{project_id}", ""), self.fill(step.get("request")),
            version=step["version"], headers=step.get("headers"))
        self.bind(step.get("response"), answer.body)
        found = {"status": answer.status}
        if answer.body is not None:
            found["response"] = self.names.value(answer.body)
        return found

    # What is no step.

    def _happen(self, event):
        if not self.holding:
            self._settle(self._states())
        if event == "crash":
            daemon = self.cloud.managers["server2"]
            daemon.kill()
            self.cloud.points.hold("migrate.copying")
            daemon.start()
            self.cloud.points.reached("migrate.copying")
            return
        self._sent()
        asked = [m for _, _, m in self._drained if m.get("method") == "migrate_volume"][0]
        source = self.data["before"]["V1"]["host"].split("#")[0]
        message = {**asked, "version": "3.5", "_unique_id": uuid.uuid4().hex, "args": {
            "volume": asked["args"]["volume"],
            "force_host_copy": asked["args"]["force_copy"],
            "host": {"host": asked["args"]["backend"], "cluster_name": None,
                     "capabilities": {}}}}
        again = {**message}
        if event == "new id":
            again["_unique_id"] = uuid.uuid4().hex
        for one in (message, again):
            self.tracer.publish(f"cinder-volume.{source}.{source.split('@')[0]}", one)
        # An answer to a later question: both have been looked at.
        self.cloud.rest("GET", f"/capabilities/{source}")
        self._drained = [m for m in self._drained + self.tracer.drain()
                         if "get_capabilities" not in json.dumps(m[2])]

    # Afterwards.

    def close(self):
        self.cloud.points.release()
        for daemon in self.cloud.daemons():
            if not daemon.running():
                daemon.start()
        self._repair()
        # Pools of services that are disabled are not listed.
        self.cloud.enable_services()
        self.cloud.wait_pools()
        self.cloud.empty()
