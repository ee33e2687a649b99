# SPDX-License-Identifier: Apache-2.0
"""What was asked of a running Cinder is asked of cinder-api over Drover; answers, messages
and rows are the same but for what differences.json lists, each with its reason.

differences.json: 'differences' have a reason, 'what' differs (* stands for any text) and in
which 'scenarios': each of these lines must be seen in each of these scenarios, and no
other. 'open' names scenarios that are not done yet, with the reason; one that is done has
to be taken off. 'not replayed' names those whose very course would be another, and why.

All that was seen is left in replayed.json of the build directory."""
import glob
import json
import os
import re

import pytest

import replay
from conftest import BUILDDIR, HERE, SRCDIR

DATA = os.path.join(SRCDIR, "tests", "data", "cinder")
ALL = sorted(os.path.basename(p)[:-len(".json")] for p in glob.glob(f"{DATA}/[0-9]*.json"))
SEEN = {}

with open(os.path.join(HERE, "differences.json")) as f:
    LISTED = json.load(f)
SCENARIOS = [s for s in ALL if s[:2] not in LISTED["not replayed"]]


@pytest.fixture(scope="module")
def replayed(make_cloud):
    """A cloud whose database Cinder made, and that keeps results of migrations as Cinder
    does."""
    cloud = make_cloud(cinder_first=True, drover={"migration_result": "keep"})
    tracer = replay.Tracer(cloud)
    yield cloud, tracer
    tracer.close()


def remember(scenario, seen):
    SEEN[scenario] = seen
    with open(os.path.join(BUILDDIR, "replayed.json"), "w") as f:
        json.dump(SEEN, f, indent=1)


def listed(number):
    """(what, reason) that are expected of this scenario."""
    return [(what, d["reason"]) for d in LISTED["differences"]
            if number in d["scenarios"] for what in d["what"]]


def matches(pattern, line):
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), line, re.S)


def judge(number, seen):
    """Sentences about what is not as listed."""
    expected = listed(number)
    wrong = [f"new: {line}" for line in seen
             if not any(matches(what, line) for what, _ in expected)]
    wrong += [f"listed, but not seen any more: {what}" for what, _ in expected
              if not any(matches(what, line) for line in seen)]
    return wrong


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_as_captured(replayed, request, scenario):
    cloud, tracer = replayed
    request.node.drover_cloud = cloud
    number = scenario[:2]
    with open(f"{DATA}/{scenario}.json") as f:
        one = replay.Replay(cloud, tracer, scenario, json.load(f))
    try:
        one.prepare()
        seen = one.run()
        remember(scenario, seen)
        wrong = judge(number, seen)
    except AssertionError as failure:
        remember(scenario, [f"unable: {failure}"])
        wrong = [str(failure)]
    finally:
        one.close()
    reason = LISTED["open"].get(number)
    if reason is None:
        assert not wrong, "\n".join(wrong)
    elif wrong:
        pytest.xfail(reason)
    else:
        pytest.fail(f"{scenario} is as listed now: take it off 'open'")


def test_the_list_is_well_kept():
    """Every entry has a reason and names scenarios that exist and are not open."""
    numbers = {s[:2] for s in ALL}
    for difference in LISTED["differences"]:
        assert difference["reason"] and difference["what"] and difference["scenarios"]
        unknown = set(difference["scenarios"]) - numbers
        assert not unknown, f"no scenarios {unknown}"
        both = set(difference["scenarios"]) & {*LISTED["open"], *LISTED["not replayed"]}
        assert not both, f"{both} are open and listed"
    for kind in ("open", "not replayed"):
        assert set(LISTED[kind]) <= numbers and all(LISTED[kind].values())
