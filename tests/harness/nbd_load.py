#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A guest that uses its disk: nbd_load.py URI

One connection, never made anew. It writes numbered blocks over and over, reads older ones
back and flushes, until its standard input ends; then it reads all of them again. Each
"." on its standard output is a round without an error; the last line is the number of
rounds. The first error ends it with a traceback."""
import random
import select
import sys

import nbd

BLOCK = 4096
BLOCKS = 4096
PER_ROUND = 64


def block(number, version):
    return b"%16d%16d" % (number, version) * (BLOCK // 32)


def main():
    handle = nbd.NBD()
    handle.connect_uri(sys.argv[1])
    versions = {}
    rounds = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        rounds += 1
        for _ in range(PER_ROUND):
            number = random.randrange(BLOCKS)
            handle.pwrite(block(number, rounds), number * BLOCK)
            versions[number] = rounds
        handle.flush()
        for number in random.sample(sorted(versions), min(PER_ROUND, len(versions))):
            check(handle, number, versions[number])
        sys.stdout.write(".")
        sys.stdout.flush()
    for number, version in versions.items():
        check(handle, number, version)
    handle.shutdown()
    print(f"\n{rounds}")


def check(handle, number, version):
    found = bytes(handle.pread(BLOCK, number * BLOCK))
    assert found == block(number, version), (number, version, found[:32])


if __name__ == "__main__":
    main()
