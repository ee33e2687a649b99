#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/cinder from captures of a running Cinder 21.3.1.

    compact.py CAPTURES TARGET

CAPTURES has one JSON file for each scenario: steps (REST requests and commands with their
answers), every message of the broker, every change of a row, and the tables before and
after. What is kept is what shape.py says of it: V1, S1 and A1 stand for ids of volumes,
snapshots and attachments, <time> for times; messages are one line each; of the rows only
what has changed, and what stood before of the objects that the steps name."""
import glob
import json
import os
import sys

import shape

# Which of the experimenter's own changes of rows come before which step: captures do not
# tell. The last number: how many steps there are before the last changes.
BY_HAND = {"56": [0, 1, 2, 3, 3], "57": list(range(8)), "63": [2, 3]}
SERVICES = {1: "cinder-scheduler server1", 2: "cinder-volume server1@nfs-1",
            3: "cinder-volume server1@nfs-2", 4: "cinder-volume server2@nfs-1"}
# What starts in these scenarios, and whether for the first time.
STARTED = {"02": ["scheduler"], "03": ["server1"], "04": ["server2"], "05": ["scheduler"]}
KEPT = ("volumes", "snapshots", "volume_attachment", "volume_admin_metadata",
        "quota_usages", "reservations", "workers", "messages")
STATE = ("host", "size", "status", "attach_status", "migration_status", "previous_status",
         "display_name", "multiattach", "volume_id", "mountpoint", "attach_mode",
         "instance_uuid")


def types_of(captures):
    """id -> (name, extra specs), from the requests to the scheduler."""
    types = {}
    for capture in captures:
        for m in capture["messages"]:
            spec = (m["message"].get("args") or {}).get("request_spec") or {}
            spec = spec.get("versioned_object.data", spec)
            found = spec.get("volume_type") or {}
            found = found.get("versioned_object.data", found)
            if found.get("id"):
                types[found["id"]] = (found["name"], found.get("extra_specs") or {})
    return types


def tables(rows):
    return {t: {r["id"]: r for r in rows.get(t, [])} for t in KEPT}


def asked(capture):
    """What the steps say, without the answers."""
    return [[s.get(k) for k in ("cli", "path", "request")] for s in capture["steps"]]


def name_objects(capture, names):
    """Objects that the requests name come first, in that order; then those they belong to,
    what the scenario has made, and what those that were there have."""
    rows = {}
    for when in ("db_before", "db_after"):
        for table, letter in shape.TABLES.items():
            for row in capture[when].get(table, []):
                rows[row["id"]] = (letter, row)
    for uuid in shape.UUID.findall(json.dumps(asked(capture))):
        if uuid in rows:
            names.learn(uuid, rows[uuid][0])
    for uuid, (letter, row) in rows.items():
        if row.get("volume_id") and uuid in names.of:
            names.learn(row["volume_id"], "V")
    before = {r["id"] for t in shape.TABLES for r in capture["db_before"].get(t, [])}
    for write in capture["db_writes"]:
        if write["op"] == "INSERT" and write["table"] in shape.TABLES and \
                write["id"] in rows and write["id"] not in before:
            names.learn(write["id"], shape.TABLES[write["table"]])
    for table, letter in shape.TABLES.items():
        for row in capture["db_before"].get(table, []):
            if row.get("volume_id") in names.of and not row["deleted"]:
                names.learn(row["id"], letter)


def before_of(capture, names, types):
    """The objects that must be there, and in what state."""
    found = {}
    for table in shape.TABLES:
        for row in capture["db_before"].get(table, []):
            if row["id"] not in names.of or row["deleted"]:
                continue
            state = {k: row[k] if k == "instance_uuid" else names.value(row[k])
                     for k in STATE if row.get(k) is not None}
            if table == "volumes":
                state["type"] = types[row["volume_type_id"]][0]
            if row.get("connector"):
                state["connector"] = json.loads(row["connector"])
            found[names.of[row["id"]]] = state
    return found


def step_of(step, names):
    if "cli" in step:
        kept = {"cli": names.text(step["cli"]), "rc": step["rc"],
                "out": shape.output(step["stdout"], names)}
        if step["stderr"]:
            kept["err"] = names.value(step["stderr"])
        return kept
    kept = {"rest": names.text(f"{step['method']} {step['path']}"),
            "version": step["microversion"], "status": step["status"]}
    for key in ("request", "response", "headers"):
        if step.get(key) is not None:
            kept[key] = names.value(step[key])
    return kept


def steps_of(capture, names, number):
    steps = [step_of(s, names) for s in capture["steps"]]
    own = [w for w in capture["db_writes"] if w["by"] == "lab"]
    assert len(own) == len(BY_HAND.get(number, [])), (number, len(own))
    for at, write in reversed(list(zip(BY_HAND.get(number, []), own))):
        steps.insert(at, {"row": f"{write['table']} {names.of[write['id']]}",
                          "set": {k: v[1] for k, v in write["diff"].items()}})
    if number in STARTED:
        steps.insert(0, {"start": STARTED[number], "new": number < "05"})
    return steps


def written(capture, names):
    """Changes of tables that captures keep no copies of."""
    found = {}
    for write in capture["db_writes"]:
        diff = {k: v for k, v in write["diff"].items() if k not in shape.CLOCKS}
        if write["table"] == "services" and diff:
            row = found.setdefault("services", {}).setdefault(
                SERVICES[int(write["id"])], {})
            if write["op"] == "INSERT":
                row["new"] = diff
                continue
            for column, (old, new) in diff.items():
                if "new" in row:
                    row["new"][column] = new
                else:
                    row[column] = [row.get(column, [old])[0], new]
        if write["table"] == "volume_metadata" and write["op"] == "INSERT":
            name = f"{names.learn(diff['volume_id'], 'V')} {diff['key']}"
            found.setdefault("volume_metadata", {})[name] = {
                "new": {k: names.value(v) for k, v in diff.items()}}
    for row in found.get("services", {}).values():
        for column in [c for c, v in row.items() if c != "new" and v[0] == v[1]]:
            del row[column]
    found["services"] = {k: v for k, v in found.get("services", {}).items() if v}
    return {t: v for t, v in found.items() if v}


def compact(capture, number, types):
    names = shape.Names()
    for uuid, (name, _) in types.items():
        names.name(uuid, f"T:{name}")
    for write in capture["db_writes"]:
        if write["table"] == "services" and write["op"] == "INSERT":
            names.name(write["diff"]["uuid"], "service")
    name_objects(capture, names)
    shape.literal(json.dumps(asked(capture)), names)
    before, after = tables(capture["db_before"]), tables(capture["db_after"])
    whole = {
        "scenario": capture["scenario"], "description": capture["description"],
        "before": before_of(capture, names, types),
        "steps": steps_of(capture, names, number),
        "messages": shape.messages([
            (m["exchange"], m["routing_keys"][0], m["message"])
            for m in capture["messages"]], periodic=number.startswith("0")),
        "rows": {**shape.changes(before, after, names), **written(capture, names)},
    }
    return shape.unliteral(whole)


def text_of(whole):
    """JSON with one line for each step, message and row."""
    def item(value):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)

    lines = ["{"]
    for key in ("scenario", "description"):
        lines.append(f"{item(key)}: {item(whole[key])},")
    lines.append('"before": {' + ",\n".join(
        f"{item(k)}: {item(v)}" for k, v in whole["before"].items()) + "},")
    for key in ("steps", "messages"):
        lines.append(f"{item(key)}: [" + ",\n".join(map(item, whole[key])) + "],")
    lines.append('"rows": {' + ",\n".join(
        f"{item(k)}: {item(v)}" for k, v in whole["rows"].items()) + "}")
    return "\n".join(lines) + "\n}\n"


def main(source, target):
    captures = {}
    for path in sorted(glob.glob(f"{source}/[0-9]*.json")):
        with open(path) as f:
            captures[os.path.basename(path)] = json.load(f)
    types = types_of(captures.values())
    os.makedirs(target, exist_ok=True)
    for name, capture in captures.items():
        with open(f"{target}/{name}", "w") as f:
            f.write(text_of(compact(capture, name[:2], types)))
    with open(f"{target}/types.json", "w") as f:
        json.dump(dict(sorted(types.values())), f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
