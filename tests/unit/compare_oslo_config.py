# SPDX-License-Identifier: Apache-2.0
"""Reads many small files with oslo.config and with our parser and compares the values.

Usage: compare_oslo_config.py path/to/conf_print

The files are a list of cases written down and a number made at random from the pieces
that matter in the dialect; the seed is fixed, so that a failure can be seen again.
"""
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile

from oslo_config import cfg

SECTIONS = ("DEFAULT", "one", "two")
OPTIONS = [
    cfg.StrOpt("a"),
    cfg.StrOpt("b"),
    cfg.StrOpt("c", default="default of $a"),
    cfg.BoolOpt("flag"),
    cfg.IntOpt("number"),
    cfg.IntOpt("bounded", min=1, max=10),
    cfg.FloatOpt("ratio"),
    cfg.ListOpt("list"),
]

CASES = [
    # layout
    "",
    "\n\n",
    "[DEFAULT]\n",
    "[DEFAULT]\na=1",
    "[DEFAULT]\r\na = 1\r\nb = 2\r\n",
    "[DEFAULT]\ra = 1\rb = 2",
    "a = 1\n",
    "a = 1\n[DEFAULT]\n",
    "# only a comment\n; and another\n",
    "[DEFAULT]\n# a = 1\n;b = 2\n",
    "[DEFAULT]\na = 1 # no comment\nb = 2 ; none either\n",
    "[DEFAULT]\na = 1\n [one]\n",
    "[DEFAULT\na = 1\n",
    "[]\na = 1\n",
    "[DEFAULT] # comment\na = 1\n",
    "[ DEFAULT ]\na = 1\n",
    "[default]\na = 1\n",
    "[One]\na = 1\n[ONE]\na = 2\nb = 3\n",
    "[one]\na = 1\n[two]\na = 2\n[one]\na = 3\n",
    "[DEFAULT]\nnonsense\n",
    "[DEFAULT]\n= 1\n",
    "[DEFAULT]\n: 1\n",
    "[DEFAULT]\n a = 1\n",
    "\ta = 1\n",
    "[DEFAULT]\na b = 1\n",
    # values
    "[DEFAULT]\na: 1\nb : 2\n",
    "[DEFAULT]\na = x:y\nb: x=y\n",
    "[DEFAULT]\na =\nb=\n",
    "[DEFAULT]\na = \"\"\nb = ''\n",
    "[DEFAULT]\na = \" x \"\nb = ' x '\n",
    "[DEFAULT]\na = \"x'\nb = 'x\"y'\n",
    "[DEFAULT]\na = \"\nb = '\n",
    "[DEFAULT]\na = \"\"\"\"\nb = \"x\" \"y\"\n",
    "[DEFAULT]\na = 1\na = 2\n",
    "[DEFAULT]\na = 1\n[one]\na = 2\n[DEFAULT]\na = 3\n",
    "[DEFAULT]\na =\t1 \t\n",
    "[DEFAULT]\na =\u00a0x\u3000\nb\u2003= \u00e9\n",
    "[DEFAULT]\n\u00a0a = 1\n",
    "[DEFAULT]\na = \x1cx\x1f\n",
    "\ufeff[DEFAULT]\na = 1\n",
    "[DEFAULT]\na = \u2028x\u2028y\u2028\n",
    "[DEFAULT]\na = " + "long " * 2000 + "\n",
    # continuation lines
    "[DEFAULT]\na = 1\n  2\n\t3\nb = x\n",
    "[DEFAULT]\na = 1\n\n  2\n",
    "[DEFAULT]\na = 1\n   \n  2\n",
    "[DEFAULT]\na = 1\n# c\n  2\n",
    "[DEFAULT]\na = 1\n  # c\n",
    "[DEFAULT]\na =\n  1\n  b = 2\n",
    "[DEFAULT]\na = \"1\n  2\"\n",
    "[DEFAULT]\na = \"1\"\n  2\n",
    "[DEFAULT]\nlist = a,\n  b,\n  c\n",
    "[DEFAULT]\n  a = 1\n",
    "[DEFAULT]\na = 1\n\u3000b = 2\n",
    # substitution
    "[DEFAULT]\na = x\nb = $a\n",
    "[DEFAULT]\na = x\nb = ${a}y$a/z\n",
    "[DEFAULT]\na = x\nb = $$a $${a} \\$a \\\\$a $\\$a\n",
    "[DEFAULT]\nb = $a\n",
    "[DEFAULT]\nb = $nothing\n",
    "[DEFAULT]\nb = ${nothing.a}\n",
    "[DEFAULT]\nb = $ $1 ${} ${1} ${a ${a.b$\n",
    "[DEFAULT]\na = x\nb = $A\n",
    "[DEFAULT]\na = x\nb = $a.\n",
    "[DEFAULT]\na = x\nb = $a-y $a_y\n",
    "[DEFAULT]\na = $b\nb = $a\n",
    "[DEFAULT]\na = $a\n",
    "[DEFAULT]\na = $c\n",
    "[DEFAULT]\na = x\n[one]\nb = $a\n",
    "[DEFAULT]\na = x\n[one]\na = y\nb = $a ${DEFAULT.a} ${one.a} ${two.a}\n",
    "[one]\na = y\n[two]\nb = ${one.a}${one.b}$one.a\n",
    "[one]\na = y\n[two]\nb = ${one.zzz}\n",
    "[DEFAULT]\na = p$b\nb = q$c\nc = r\n",
    "[DEFAULT]\na = $$b\nb = $c\nc = $a\n",
    "[DEFAULT]\na = 1,2\nlist = 0,$a,3\n",
    "[DEFAULT]\na = 7\nnumber = $a\nbounded = $a\nratio = $a.5\n",
    "[DEFAULT]\na = 7\nratio = ${a}.5\n",
    "[DEFAULT]\na = yes\nflag = $a\n",
    "[DEFAULT]\na = \"$b\"\nb = ' x '\n",
    # types
    *("[DEFAULT]\nflag = %s\n" % v for v in (
        "true", "True", "TRUE", "on", "yes", "1", "false", "off", "No", "0", "y", "t",
        "2", "", "' true '", "truee")),
    *("[DEFAULT]\nnumber = %s\nbounded = %s\n" % (v, v) for v in (
        "0", "1", "10", "11", "-1", "+5", "007", "1_0", "_1", "1_", "1__0", "1.0", "1e1",
        "0x1", "", "' 5 '", "5 5", "--5", "+", "9223372036854775807", "\"5\"", "+ 5")),
    *("[DEFAULT]\nratio = %s\n" % v for v in (
        "0", "1", "-1.5", "+.5", "5.", ".", "1e3", "1E-3", "1e", "1_0.0_1", "1_.0", "0x1p3",
        "", "' 2.5 '", "1,5", "1e1_0", "1e", "e5", "--1", "1_000e3")),
    *("[DEFAULT]\nlist = %s\n" % v for v in (
        "", ",", ",,", "a", "a,b", "a, b ,c", "a,,b", ",a", "a,", "a,,", "a , ",
        "'a,b'", "'a','b'", "\"a\",b", "[a,b]", "a\n  b", " , a", "a,\n  ,b", "a , , ")),
]

PIECES = [
    "[DEFAULT]", "[one]", "[two]", "[One]", "[", "]", "a", "b", "c", "list", "flag",
    "number", "bounded", "ratio", "=", ":", " = ", " ", "\t", "\n", "\n", "\n", "\n  ",
    "#", ";", "\"", "'", "$a", "${b}", "${one.a}", "$two.b", "$", "$$", "\\$", "\\", "{",
    "}", ",", "x", "1", "10", "_", ".", "-", "true", "off", "\r\n", "\u00e9", "\u00a0",
    "a = ", "b = ", "c = ", "list = ", "\na = ", "\nb = ", "\n[one]\na = ",
    "\n[DEFAULT]\na = ", "\n[two]\nb = ",
]


def random_case(rng):
    start = rng.choice(["[DEFAULT]\n", "[DEFAULT]\na = x\n", "[one]\n", ""])
    return start + "".join(rng.choice(PIECES) for _ in range(rng.randrange(1, 14)))


def oslo_values(path):
    """What oslo.config makes of the file, in conf_print's form; True stands for an error."""
    conf = cfg.ConfigOpts()
    for section in SECTIONS:
        conf.register_opts(OPTIONS, group=None if section == "DEFAULT" else section)
    # ${DEFAULT.a} is a group nobody registers; conf.c knows it, so does this one.
    conf.register_group(cfg.OptGroup("DEFAULT"))
    conf.register_opts(OPTIONS, group="DEFAULT")
    try:
        conf(["--config-file", path], project="compare", default_config_dirs=[])
    except Exception:
        return True
    values = {}
    for section in SECTIONS:
        for opt in OPTIONS:
            key = "%s.%s" % (section, opt.name)
            try:
                group = conf if section == "DEFAULT" else getattr(conf, section)
                value = getattr(group, opt.name)
            except Exception:
                values[key] = True
                continue
            if value is not None:
                values[key] = value
    return values


def same(theirs, ours):
    if theirs is True and isinstance(ours, dict):
        return "error" in ours
    if isinstance(theirs, float) and isinstance(ours, float):
        return math.isclose(theirs, ours, rel_tol=1e-15)
    return type(theirs) is type(ours) and theirs == ours


def is_empty_number(key, value):
    """conf.c gives an empty number as its default, here zero; oslo.config gives None."""
    return key.split(".")[1] in ("number", "bounded", "ratio") and value == 0


def is_quiet_fallback(ours):
    """A reference whose own value names an unknown option: an error in conf.c, where
    oslo.config silently takes the value from [DEFAULT]."""
    return isinstance(ours, dict) and re.search(
        r"'\$[^']*': '\$[^']*' names no option", ours["error"])


def differences(theirs, ours):
    if theirs is True or "error" in ours:
        if (theirs is True) != ("error" in ours):
            yield "whole file", theirs, ours
        return
    for key in sorted(set(theirs) | set(ours)):
        if key not in theirs and is_empty_number(key, ours.get(key)):
            continue
        if is_quiet_fallback(ours.get(key)):
            continue
        if not same(theirs.get(key), ours.get(key)):
            yield key, theirs.get(key), ours.get(key)


def is_beyond(case):
    """What conf.c refuses or spells otherwise on purpose; see conf.h."""
    numbers = [w for w in case.replace("_", "").split() if w.lstrip("+-").isdigit()]
    return any(abs(int(w)) >= 2**63 for w in numbers)


def main():
    rng = random.Random(20)
    cases = list(CASES)
    while len(cases) < len(CASES) + 3000:
        case = random_case(rng)
        if not is_beyond(case):
            cases.append(case)
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, case in enumerate(cases):
            paths.append(os.path.join(folder, "%d.conf" % number))
            with open(paths[-1], "w", encoding="utf-8", newline="") as out:
                out.write(case)
        printed = subprocess.run([sys.argv[1]], input="\n".join(paths) + "\n", text=True,
                                 encoding="utf-8", stdout=subprocess.PIPE, check=True)
        answers = printed.stdout.split("\n")[:-1]
        assert len(answers) == len(cases), "conf_print answered %d of %d" % (
            len(answers), len(cases))
        for case, path, answer in zip(cases, paths, answers):
            for key, theirs, ours in differences(oslo_values(path), json.loads(answer)):
                failures += 1
                print("%r\n  %s: oslo.config %r, conf.c %r" % (case, key, theirs, ours))
    print("%d files compared, %d differences" % (len(cases), failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
