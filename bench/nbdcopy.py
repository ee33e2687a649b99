# SPDX-License-Identifier: Apache-2.0
"""What our copies are compared with: nbdcopy, of the same file, into a new file. Between
hosts it writes to an nbdkit with TLS and a pre-shared key, as Drover's workers do."""
import os
import subprocess
import time

import processes
from measure import cpu_of, forget, version_of

USER = "drover"
# What a worker tells nbdkit's TLS library where the processor has AES.
FAST_CIPHER = "[overrides]\ntls-disabled-cipher = chacha20-poly1305\n"


def _run(argv):
    """Wall clock and processor seconds of a command."""
    began = time.monotonic()
    process = processes.spawn(argv, stdin=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: {argv[0]} ended with {process.returncode}")
    return seconds, used.ru_utime + used.ru_stime


class Peer:
    """copy() answers the seconds on the clock and those of the processor. listen None:
    from file to file; else to an nbdkit there."""

    def __init__(self, directory, flags, tls=False, fast_cipher=False):
        self.directory = directory
        self.flags = flags
        self.tls = tls
        self.fast_cipher = fast_cipher
        self.target = os.path.join(directory, "peer-target")

    def copy(self, source):
        with open(self.target, "wb") as f:
            f.truncate(os.path.getsize(source))
        forget(source)
        try:
            return self._to_server(source) if self.tls else _run(
                ["nbdcopy", *self.flags, source, self.target])
        finally:
            os.unlink(self.target)

    def _to_server(self, source):
        psk = os.path.join(self.directory, "peer.psk")
        with open(os.open(psk, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(f"{USER}:{os.urandom(32).hex()}\n")
        env = dict(os.environ)
        if self.fast_cipher:
            env["GNUTLS_SYSTEM_PRIORITY_FILE"] = os.path.join(self.directory, "tls.conf")
            with open(env["GNUTLS_SYSTEM_PRIORITY_FILE"], "w") as f:
                f.write(FAST_CIPHER)
        port = processes.free_port()
        pid_file = os.path.join(self.directory, "peer.pid")
        server = processes.spawn(
            ["nbdkit", "--foreground", "--pidfile", pid_file, "--ipaddr", "127.0.0.1",
             "--port", str(port), "--tls=require", f"--tls-psk={psk}", "file",
             f"file={self.target}"], env=env)
        try:
            processes.wait_for(lambda: os.path.exists(pid_file), 20, "nbdkit listens",
                               every=0.005)
            uri = f"nbds://{USER}@127.0.0.1:{port}/?tls-psk-file={psk}"
            seconds, cpu = _run(["nbdcopy", *self.flags, source, uri])
            return seconds, cpu + cpu_of(server.pid)[0]
        finally:
            server.terminate()
            server.wait()
            os.unlink(pid_file)


def versions():
    """The programs that it was compared with."""
    return [f"{program} {version_of(program)}" for program in ("nbdcopy", "nbdkit")]
