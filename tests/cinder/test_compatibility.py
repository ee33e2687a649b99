# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md names every method of Debian's Cinder and of the sources' tables,
no other, and says of each whether it is done."""
import glob
import os
import re

import pytest

from conftest import SRCDIR

CINDER = "/usr/lib/python3/dist-packages/cinder"
PARTS = {"cinder-scheduler": ("scheduler", "scheduler_methods"),
         "cinder-volume": ("volume-manager", "manager_methods")}
# Handlers that only refuse.
REFUSING = ("methods_refuse_changed(", "return refused(", "return not_supported(")


def page(part):
    """method -> (since, state) of the part's table."""
    with open(f"{SRCDIR}/docs/compatibility.md") as f:
        text = f.read().split(f"## {part}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\S+) \| (\w+) \|(.*)\|$", text, re.M)
    assert len(rows) == text.count("\n| `"), "a row that is not of the form of the others"
    assert len({r[0] for r in rows}) == len(rows), "a method stands there twice"
    return {r[0]: (r[1], r[2]) for r in rows}


def sources(folder):
    text = ""
    for path in sorted(glob.glob(f"{SRCDIR}/{folder}/*.c") +
                       glob.glob(f"{SRCDIR}/common/*.c")):
        with open(path) as f:
            text += f.read()
    return text


def table(part):
    """method -> does its handler only refuse?"""
    folder, name = PARTS[part]
    text = sources(folder)
    entries = re.search(rf"const struct rpc_method {name}\[\] = \{{(.*?)\n\}};", text, re.S)
    methods = {}
    for method, handler in re.findall(r'\{ "(\w+)",\s*(\w+) \}', entries.group(1)):
        refuses = handler in ("NULL", "not_supported") or "_refuse_" in handler
        if not refuses:
            body = re.search(rf"^(?:static )?int {handler}\(void \*arg.*?\n\}}$", text,
                             re.S | re.M)
            assert body, f"no function {handler}"
            refuses = any(r in body.group(0) for r in REFUSING)
        methods[method] = refuses
    return methods


def cinders(part):
    """Methods that Cinder's own client sends."""
    if not os.path.isdir(CINDER):
        pytest.skip("skipped, because python3-cinder is missing")
    folder = {"cinder-scheduler": "scheduler", "cinder-volume": "volume"}[part]
    with open(f"{CINDER}/{folder}/rpcapi.py") as f:
        text = f.read()
    sent = set(re.findall(r"\.(?:cast|call)\(\s*\w+,\s*'(\w+)'", text))
    return sent | set(re.findall(r"^\s+method = '(\w+)'$", text, re.M))


@pytest.mark.parametrize("part", PARTS)
def test_every_method_of_cinder_is_on_the_page(part):
    sent = cinders(part)
    assert len(sent) > 15
    assert sent <= set(page(part)), sent - set(page(part))


@pytest.mark.parametrize("part", PARTS)
def test_the_page_names_the_methods_of_the_sources(part):
    assert set(page(part)) == set(table(part))


@pytest.mark.parametrize("part", PARTS)
def test_the_page_says_what_is_refused(part):
    said = {m: state for m, (_, state) in page(part).items()}
    assert set(said.values()) == {"done", "refused"}
    wrong = {m: said[m] for m, refuses in table(part).items()
             if (said[m] == "refused") != refuses}
    assert not wrong, f"the sources say otherwise: {wrong}"
