# SPDX-License-Identifier: Apache-2.0
"""What is left of answers, messages and rows when ids, times and amounts are taken away.
The same functions make the test data from captures (compact.py) and look at a running
cloud (replay.py), so that both can be compared."""
import json
import re

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?")
HEX = re.compile(r"\b[0-9a-f]{32}\b")

# Ids that captures and replays share.
PROJECT = "a" * 32
USER = "b" * 32

# Amounts that say how full a disk is, not what a service does.
AMOUNTS = {"free_capacity_gb", "total_capacity_gb", "allocated_capacity_gb",
           "provisioned_capacity_gb", "driver_version", "total_volumes"}
# In the order in which their ids get names.
TABLES = {"volumes": "V", "snapshots": "S", "volume_attachment": "A"}
# Columns that only count or keep time.
CLOCKS = {"id", "created_at", "updated_at", "deleted_at", "report_count", "uuid",
          "race_preventer", "modified_at"}
LONGEST_LIST = 60


class Names:
    """UUIDs and the names they have here: V1, S1, A1, and what was told with name().
    words: text that stands for itself elsewhere -> what stands here."""

    def __init__(self, words=None):
        self.of = {}
        self._words = words or {}

    def name(self, uuid, name):
        self.of[uuid] = name

    def learn(self, uuid, letter):
        """The name of an object; a new one gets the lowest number that is free."""
        if uuid not in self.of:
            taken, number = set(self.of.values()), 1
            while f"{letter}{number}" in taken:
                number += 1
            self.of[uuid] = f"{letter}{number}"
        return self.of[uuid]

    def uuid(self, name):
        for uuid, known in self.of.items():
            if known == name:
                return uuid
        return None

    def text(self, text):
        """The text with names for ids, and without times."""
        def found(match):
            name = self.of.get(match.group(0))
            return "{%s}" % name if name else "<uuid>"

        for word, name in self._words.items():
            text = text.replace(word, name)
        text = text.replace("req-", "")
        text = UUID.sub(found, text)
        text = TIME.sub("<time>", text)
        return HEX.sub(lambda m: m.group(0) if m.group(0) in (PROJECT, USER) else "<hex>",
                       text)

    def value(self, value, key=None):
        if key in AMOUNTS and value is not None:
            return "<number>"
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if isinstance(value, dict):
            return {self.text(k): self.value(v, k) for k, v in value.items()}
        return value


def literal(text, names):
    """Ids in this text that no row has, instances for example, stay as they are."""
    for uuid in UUID.findall(text):
        if uuid not in names.of:
            names.name(uuid, f"={uuid}")


def unliteral(value):
    if isinstance(value, str):
        return re.sub(r"\{=([^}]*)\}", r"\1", value)
    if isinstance(value, list):
        return [unliteral(v) for v in value]
    if isinstance(value, dict):
        return {unliteral(k): unliteral(v) for k, v in value.items()}
    return value


# Output of commands.


def _cells(line):
    return [c.strip() for c in line.strip().strip("|").split("|")]


def _tables(text):
    """Blocks of the text: lists of cells of a table, or a line."""
    lines, at = text.splitlines(), 0
    while at < len(lines):
        if not lines[at].startswith("+-"):
            if lines[at].strip():
                yield re.sub(r"\s+", " ", lines[at].strip())
            at += 1
            continue
        rows, rules, at = [], 1, at + 1
        while at < len(lines) and rules < 3 and lines[at][:1] in "+|":
            if lines[at].startswith("+"):
                rules += 1
            else:
                rows.append(_cells(lines[at]))
            at += 1
        yield rows


def _property_table(rows, names):
    table, last = {}, None
    for row in rows[1:]:
        key, value = row[0], "|".join(row[1:])
        if key or last is None:
            last = key
            table[last] = value
        else:  # the value goes on in the next line
            table[last] += "\n" + value
    return {k: names.value(v, k) for k, v in table.items()}


def _list_table(rows, names):
    """A list without the rows of objects that have no name, sorted."""
    columns, found = rows[0], []
    for row in rows[1:]:
        ids = UUID.findall("".join(row))
        if ids and not any(i in names.of for i in ids):
            continue
        found.append([names.value(v, c) for c, v in zip(columns, row)])
    if len(found) > LONGEST_LIST:
        found = [list(pair) for pair in {(r[0], r[1]) for r in found}]
        columns = columns[:2]
    return {"columns": columns, "rows": sorted(found)}


def output(text, names):
    """What a command printed: tables and lines."""
    found = []
    for block in _tables(text):
        if isinstance(block, str):
            found.append(names.text(block))
        elif len(block[0]) == 2 and block[0][0] != "Name" and block[0][1] == "Value":
            found.append(_property_table(block, names))
        else:
            found.append(_list_table(block, names))
    # Pools come in no order.
    return sorted(found, key=lambda b: json.dumps(b, sort_keys=True))


# Messages.


def _kind(value):
    if value is None:
        return "null"
    if isinstance(value, dict) and "versioned_object.name" in value:
        return f"{value['versioned_object.name']}/{value['versioned_object.version']}"
    return type(value).__name__


def _keys(value, depth=2):
    if isinstance(value, dict) and depth:
        inner = (k + (_keys(v, depth - 1) if isinstance(v, dict) and v and depth > 1 else "")
                 for k, v in sorted(value.items()))
        return "{%s}" % ",".join(inner)
    if isinstance(value, list):
        inner = sorted({_keys(v, depth) for v in value})
        return "[%s]" % ",".join(inner)
    return _kind(value)


PERIODIC = ("update_service_capabilities", "notify_service_capabilities")


def messages(list_of, periodic=False):
    """One line for each message. list_of: (exchange, routing key, inner message)."""
    asked, lines = {}, []
    for exchange, key, message in list_of:
        method = message.get("method")
        if method is None:
            method = asked.get(message.get("_msg_id"))
            if method is None:  # an answer to a question asked before
                continue
            if message.get("failure"):
                failure = json.loads(message["failure"])
                lines.append(f"failure {method} {failure['class']}")
            else:
                lines.append(f"answer {method} {_keys(message.get('result'))}")
            continue
        if method in PERIODIC and not periodic:
            continue
        if "_msg_id" in message:
            asked[message["_msg_id"]] = method
        args = "".join(f" {k}={_keys(v, 1) if k == 'capabilities' else _kind(v)}"
                       for k, v in sorted(message["args"].items()))
        to = f"all of {exchange}" if exchange.endswith("_fanout") else key
        kind = "call" if "_msg_id" in message else "cast"
        lines.append(f"{kind} {to} {method} {message.get('version')}{args}")
    return lines


# Rows.


def _named(row, table, names):
    """What stands for a row in a comparison."""
    if table in TABLES:
        return names.learn(row["id"], TABLES[table])
    if table == "quota_usages":
        return row["resource"]
    if table in ("volume_metadata", "volume_admin_metadata"):
        return f"{names.learn(row['volume_id'], 'V')} {row['key']}"
    if table == "services":
        return f"{row['binary']} {row['host']}"
    return str(row["id"])


def _plain(row, names):
    """A row's columns that can be compared."""
    plain = {}
    for key, value in row.items():
        if key in CLOCKS or value is None:
            continue
        if key in ("connector", "connection_info") and isinstance(value, str):
            value = json.loads(value)
        if not isinstance(value, (str, int, float, bool, dict, list)):
            value = "<time>"
        plain[key] = names.value(value)
    return plain


def _interesting(table, row, names, before):
    if table in TABLES:
        return row["id"] in names.of or row["id"] not in before
    if table in ("volume_metadata", "volume_admin_metadata"):
        return row["volume_id"] in names.of
    return True


def _sums(table, rows, column):
    """resource -> sum of the live rows' column; nothing where it is zero."""
    found = {}
    for row in rows.values():
        if not row["deleted"]:
            found[row["resource"]] = found.get(row["resource"], 0) + row[column]
    return found


def _difference(new, old):
    return {k: new.get(k, 0) - old.get(k, 0) for k in sorted({*new, *old})
            if new.get(k, 0) != old.get(k, 0)}


def _row_changes(table, before, after, names):
    changed = {}
    for id, row in after.items():
        if not _interesting(table, row, names, before):
            continue
        old, name = before.get(id), _named(row, table, names)
        new_plain = _plain(row, names)
        if old is None:
            changed[name] = {"new": new_plain}
            continue
        old_plain = _plain(old, names)
        columns = {c: [old_plain.get(c), new_plain.get(c)]
                   for c in sorted({*old_plain, *new_plain})
                   if old_plain.get(c) != new_plain.get(c)}
        if columns:
            changed[name] = columns
    return changed


def _quota_changes(before, after):
    changed = {}
    for column in ("in_use", "reserved"):
        for resource, n in _difference(_sums("quota_usages", after, column),
                                       _sums("quota_usages", before, column)).items():
            changed.setdefault(resource, {})[column] = n
    return changed


def changes(before, after, names):
    """What has become of rows. before, after: table -> id -> row."""
    changed = {}
    for table in (*TABLES, "volume_metadata", "volume_admin_metadata", "services"):
        if table in after:
            changed[table] = _row_changes(table, before[table], after[table], names)
    changed["quota_usages"] = _quota_changes(before["quota_usages"], after["quota_usages"])
    changed["reservations"] = _difference(
        _sums("reservations", after["reservations"], "delta"),
        _sums("reservations", before["reservations"], "delta"))
    changed["workers"] = sorted(
        f"{r['resource_type']} {names.text(r['resource_id'])} {r['status']}"
        for i, r in after["workers"].items() if i not in before["workers"])
    changed["messages"] = sorted(
        f"{r['event_id']} {r['message_level']} {r['resource_type']}"
        f" {names.text(r['resource_uuid'] or '')} {r['action_id']}/{r['detail_id']}"
        for i, r in after["messages"].items() if i not in before["messages"])
    return {table: what for table, what in changed.items() if what}


# Comparison.


def _brief(value):
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 160 else text[:157] + "..."


def differences(path, wanted, found):
    """Lines that say where found is not what was wanted."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        lines = []
        for key in sorted({*wanted, *found}):
            if key not in found:
                lines.append(f"{path}.{key}: {_brief(wanted[key])} is missing")
            elif key not in wanted:
                lines.append(f"{path}.{key}: {_brief(found[key])} is new")
            else:
                lines += differences(f"{path}.{key}", wanted[key], found[key])
        return lines
    if isinstance(wanted, list) and isinstance(found, list) and \
            not path.startswith("rows"):
        return _list_differences(path, wanted, found)
    if wanted != found:
        return [f"{path}: {_brief(wanted)} is {_brief(found)}"]
    return []


def _list_differences(path, wanted, found):
    if len(wanted) == len(found):
        return [line for i, (w, f) in enumerate(zip(wanted, found))
                for line in differences(f"{path}[{i}]", w, f)]
    rest, missing = list(found), []
    for item in wanted:
        if item in rest:
            rest.remove(item)
        else:
            missing.append(item)
    return [f"{path}: {_brief(m)} is missing" for m in missing] + \
        [f"{path}: {_brief(n)} is new" for n in rest]


def message_differences(wanted, found):
    """Which are missing, which are new, and whether those in common come in order."""
    lines, rest, common = [], list(found), []
    for line in wanted:
        if line in rest:
            rest.remove(line)
            common.append(line)
        else:
            lines.append(f"messages: '{line}' is missing")
    extra = list(rest)
    lines += [f"messages: '{line}' is new" for line in rest]
    ordered = []
    for line in found:
        if line in extra:
            extra.remove(line)
        else:
            ordered.append(line)
    if ordered != common:
        lines.append(f"messages: their order is {_brief(ordered)}")
    return lines
