# SPDX-License-Identifier: Apache-2.0
"""Judges many capabilities and extra specs with Cinder's CapabilitiesFilter and with ours
and compares. What raises in Cinder (and fails the request there) is not met with us.

Usage: compare_extra_specs.py path/to/specs_print

The pairs are made at random from the pieces that matter; the seed is fixed, so that a
failure can be seen again.
"""
import json
import random
import subprocess
import sys

from cinder.scheduler.filters.capabilities_filter import CapabilitiesFilter

COUNT = 30000
OPERATORS = ["=", "==", "!=", ">=", "<=", "s==", "s!=", "s<", "s<=", "s>", "s>=", "<in>",
             "<is>", "<or>", "<", ">", "<IN>", ""]
WORDS = ["1", "5", "5.0", "10", "-3", "1_0", "1__0", "_1", "1e1", "1e", ".5", "5.", ".",
         "+5", "inf", "-Infinity", "nan", "0x10", "True", "true", "False", "yes", "no",
         "on", "t", "a", "b", "ab", "abc", "NFS", "nfs", "<or>", "\u00e9", "z", "None"]
VALUES = [None, True, False, 0, 1, 5, 10, -3, 5.0, 0.5, 1.0, 1e1, [], {}, "", " ", " 5 ",
          "infinite", ["NFS", "nfs"], ["a", 5], [None], [["a", "b"]], {"a": 1},
          {"b": {"a": "5"}}, "a b", "<or>"] + WORDS
NAMES = ["a", "b", "capabilities", "c"]
KEYS = ["a", "b", "c", "capabilities", "capabilities:a", "capabilities:b:a",
        "capabilities:b:b", "capabilities:", "capabilities:a:a", "other:a", "a:b", ":a",
        "capabilities:capabilities"]


def requirement(rng):
    words = [rng.choice(OPERATORS)] + [rng.choice(WORDS)
                                       for _ in range(rng.choice([0, 1, 1, 1, 2, 3]))]
    if words[0] == "<or>" and rng.random() < 0.7:
        words = [w for word in words[1:] or ["a"] for w in ("<or>", word)]
    text = rng.choice([" ", " ", "  ", "\t"]).join(words)
    return rng.choice(["", "", "", " "]) + text


def pair(rng):
    capabilities = {name: rng.choice(VALUES) for name in NAMES if rng.random() < 0.8}
    specs = {rng.choice(KEYS): requirement(rng) for _ in range(rng.choice([1, 1, 1, 2]))}
    return [capabilities, specs]


def expected(judge, capabilities, specs):
    try:
        return judge(capabilities, {"resource_type": {"extra_specs": specs}})
    except (TypeError, IndexError, AttributeError):
        return False


def main():
    rng = random.Random(20130417)
    pairs = [pair(rng) for _ in range(COUNT)]
    lines = "".join(json.dumps(p) + "\n" for p in pairs)
    out = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True,
                         check=True).stdout.split()
    judge = CapabilitiesFilter()._satisfies_extra_specs
    wrong = met = 0
    for (capabilities, specs), answer in zip(pairs, out, strict=True):
        want = expected(judge, capabilities, specs)
        met += want
        if want != (answer == "1"):
            wrong += 1
            if wrong < 20:
                print(f"{json.dumps(specs)} with {json.dumps(capabilities)}:"
                      f" Cinder {want}, ours {answer}")
    print(f"{len(pairs)} compared, {met} met, {wrong} differ")
    return 1 if wrong or met < COUNT // 20 else 0


sys.exit(main())
