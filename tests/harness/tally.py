#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs and counts tests for ./check. Prints what failed, and as its last line three
numbers: passed, failed, skipped.

    tally.py logs LOG...             cmocka's output of 'make check', with .trs beside
    tally.py integration PROGRAM...  cmocka programs that want servers
    tally.py junit FILE              what pytest wrote
"""
import os
import re
import sys
import threading
import time
import xml.etree.ElementTree

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

SUMMARY = {
    "passed": re.compile(r"^\[  PASSED  \] (\d+) test", re.M),
    "failed": re.compile(r"^\[  FAILED  \] (\d+) test", re.M),
    "skipped": re.compile(r"^\[  SKIPPED \] (\d+) test", re.M),
}
LONGEST = ("test_copy_nbd", "test_db_lost", "test_schema")


def count(text, ended_well):
    """Numbers of one cmocka program's output. A program that died counts as a failure
    beyond those it told of; one that says nothing counts as one test."""
    passed, failed, skipped = (sum(map(int, SUMMARY[k].findall(text))) for k in SUMMARY)
    if not ended_well and not failed:
        passed = len(re.findall(r"^\[       OK \]", text, re.M))
        failed = 1
    if ended_well and passed + failed + skipped == 0:
        passed = 1
    return passed, failed, skipped


def add(total, numbers):
    return [a + b for a, b in zip(total, numbers)]


def logs(paths):
    total = [0, 0, 0]
    for path in paths:
        with open(path, errors="replace") as f:
            text = f.read()
        with open(path[:-len(".log")] + ".trs") as f:
            result = re.search(r"^:test-result: (\S+)", f.read(), re.M).group(1)
        if result == "SKIP":
            total[2] += 1
            continue
        numbers = count(text, result == "PASS")
        if numbers[1]:
            print(f"{path}: {result}\n{text[-3000:]}")
        total = add(total, numbers)
    return total


def integration(programs):
    """Two at a time. Each of the two has a database server of its own, because some
    programs change settings that count for a whole server."""
    import processes
    from servers import Postgres, Rabbit

    rabbit = Rabbit(processes.temporary_directory()).start()
    # The longest first, so that neither is left alone with one.
    waiting = sorted(programs, key=lambda p: os.path.basename(p) not in LONGEST)
    results, lock = {}, threading.Lock()

    def work(postgres):
        while True:
            with lock:
                if not waiting:
                    return
                program = waiting.pop(0)
                env = {**os.environ, processes.TOKEN_NAME: processes.token(),
                       "DROVER_TEST_DATABASE": postgres.url_of(postgres.create_database()),
                       "DROVER_TEST_AMQP": rabbit.url_of(rabbit.create_vhost())}
            results[program] = _run(program, env)

    # The servers die with the thread that started them: this one.
    workers = [threading.Thread(target=work, args=(Postgres().start(),)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    total = [0, 0, 0]
    for program in programs:
        numbers, text, seconds = results.get(program, ((0, 1, 0), "it was not run", 0))
        print(f"  {program}: {numbers[0]} passed, {numbers[1]} failed,"
              f" {numbers[2]} skipped ({seconds:.0f} s)")
        if numbers[1]:
            print(text[-4000:])
        total = add(total, numbers)
    return total


def _run(program, env):
    """Its numbers, what it said, and how long it took."""
    import processes

    began = time.monotonic()
    log = f"{program}.log"
    with open(log, "wb") as f:
        child = processes.spawn([os.path.abspath(program)], env=env, stdout=f, stderr=f)
        try:
            status = child.wait(300)
        except Exception:
            processes.kill_tree(child.pid)
            status = child.wait()
    with open(log, errors="replace") as f:
        text = f.read()
    numbers = (0, 0, 1) if status == 77 else count(text, status == 0)
    return numbers, text, time.monotonic() - began


def junit(path):
    total = [0, 0, 0]
    for suite in xml.etree.ElementTree.parse(path).getroot().iter("testsuite"):
        tests, failed, errors, skipped = (
            int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped"))
        total = add(total, [tests - failed - errors - skipped, failed + errors, skipped])
    return total


def main():
    kind, *rest = sys.argv[1:]
    total = {"logs": logs, "integration": integration,
             "junit": lambda p: junit(p[0])}[kind](rest)
    print(*total)


if __name__ == "__main__":
    main()
