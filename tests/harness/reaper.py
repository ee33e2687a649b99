#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""reaper.py PIDFILE COMMAND...: runs COMMAND and collects whatever is orphaned below it, as
process 1 does. libvirtd waits for its guests to be gone, and a zombie is not. Ends when
nothing is left; the command dies with it."""
import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main():
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(126)
        os.execvp(sys.argv[2], sys.argv[2:])
    with open(f"{sys.argv[1]}.new", "w") as f:
        f.write(str(pid))
    os.rename(f"{sys.argv[1]}.new", sys.argv[1])
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
