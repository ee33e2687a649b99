# SPDX-License-Identifier: Apache-2.0
"""Temporary directories and processes that never outlive this one.

Three nets, each for what slips through the one before:
  - at exit (atexit; SIGTERM and SIGHUP become one) every descendant is killed. This
    process is a child subreaper, so descendants that detached themselves count too;
  - children get PR_SET_PDEATHSIG;
  - a guardian, a small process of its own session, holds the other end of a pipe. When
    this process is gone, however it went, the guardian kills whoever carries our token in
    the environment and removes what stands in our temporary directories.
"""
import atexit
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
TOKEN_NAME = "DROVER_HARNESS"

_libc = ctypes.CDLL(None, use_errno=True)
_started = False
_guardian = None
_directories = []
_ports = set()
_spawned = set()


class Timeout(AssertionError):
    """Something did not happen before its deadline."""


def wait_for(predicate, deadline=30.0, what="the condition", every=0.05):
    """Ask predicate until it answers something true, and return that."""
    end = time.monotonic() + deadline
    while True:
        answer = predicate()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Timeout(f"after {deadline:g} s still not: {what}")
        time.sleep(every)


def show_logs(report, daemons, size=1500):
    """The ends of their logs go into a test's report."""
    for daemon in daemons:
        report.sections.append((f"log of {daemon.name}", daemon.log()[-size:]))


def token():
    _start()
    return os.environ[TOKEN_NAME]


def temporary_directory(prefix="drover-"):
    """A directory that is gone when this process is. Others may pass through it."""
    _start()
    path = tempfile.mkdtemp(prefix=prefix)
    os.chmod(path, 0o711)
    _directories.append(path)
    _guardian.stdin.write(path + "\n")
    _guardian.stdin.flush()
    return path


def remove_directory(path):
    _unmount_below(path)
    shutil.rmtree(path, ignore_errors=True)
    if path in _directories:
        _directories.remove(path)


def free_port():
    """A port on 127.0.0.1 that nobody has now. It lies below the range that the kernel
    gives to outgoing connections, so that a server can come back to it."""
    while True:
        port = random.randrange(15000, 32000)
        if port in _ports:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports.add(port)
        return port


def die_with_parent():
    """For preexec_fn."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def spawn(argv, **options):
    """subprocess.Popen of something that dies with us."""
    _start()
    process = subprocess.Popen(argv, preexec_fn=die_with_parent, **options)
    _spawned.add(process.pid)
    return process


def parents():
    """pid -> (parent's pid, state) of every process there is."""
    result = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as f:
                fields = f.read().rpartition(b")")[2].split()
        except OSError:
            continue
        result[int(name)] = (int(fields[1]), fields[0].decode())
    return result


def descendants(root=None):
    """The living processes below root, oldest generation first."""
    table = parents()
    children = {}
    for pid, (parent, state) in table.items():
        if state not in "ZX":
            children.setdefault(parent, []).append(pid)
    found, front = [], [os.getpid() if root is None else root]
    while front:
        front = [c for p in front for c in children.get(p, [])]
        found += front
    return found


def alive(pid):
    """Is it there, and not a zombie?"""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            return f.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def kill_tree(pid, number=signal.SIGKILL):
    """Kill pid and all below it, and wait until they are gone."""
    pids = [pid] + descendants(pid)
    for p in pids:
        try:
            os.kill(p, number)
        except ProcessLookupError:
            pass
    wait_for(lambda: not any(alive(p) for p in pids), 20, f"processes {pids} are gone")
    reap()


def reap():
    """Collect dead orphans that were given to us. What spawn() started is collected by
    its Popen object."""
    mine = os.getpid()
    for pid, (parent, state) in parents().items():
        if parent == mine and state == "Z" and pid not in _spawned:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def _start():
    global _started, _guardian
    if _started:
        return
    _started = True
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.environ[TOKEN_NAME] = uuid.uuid4().hex
    _guardian = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), os.environ[TOKEN_NAME]],
        stdin=subprocess.PIPE, text=True, start_new_session=True, close_fds=True,
        env={k: v for k, v in os.environ.items() if k != TOKEN_NAME})
    atexit.register(_end, os.getpid())
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, lambda n, frame: sys.exit(128 + n))


def _end(owner):
    if os.getpid() != owner:
        return
    for _ in range(100):
        left = [p for p in descendants() if p != _guardian.pid]
        if not left:
            break
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    for path in list(_directories):
        remove_directory(path)
    _guardian.stdin.close()
    _guardian.wait()


def _unmount_below(path):
    points = []
    with open("/proc/self/mounts") as f:
        for line in f:
            point = line.split()[1].replace("\\040", " ")
            if (point + "/").startswith(path + "/"):
                points.append(point)
    for point in reversed(points):
        subprocess.run(["umount", "-l", point], check=False, stderr=subprocess.DEVNULL)


def _carries(pid, mark):
    try:
        with open(f"/proc/{pid}/environ", "rb") as f:
            return mark in f.read()
    except OSError:
        return False


def _guard(mark):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    paths = [line.rstrip("\n") for line in sys.stdin]
    mark = f"{TOKEN_NAME}={mark}".encode()
    for _ in range(40):
        found = [p for p in parents() if p != os.getpid() and _carries(p, mark)]
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        if not found:
            break
        time.sleep(0.05)
    for path in paths:
        remove_directory(path)


if __name__ == "__main__":
    _guard(sys.argv[1])
