# SPDX-License-Identifier: Apache-2.0
"""Who copies (drover-copy and its peers), and where to: a file, or an nbdkit over one."""
import contextlib
import fcntl
import json
import os
import subprocess
import time

import processes
from nbdcopy import FAST_CIPHER, USER

FICLONE = 0x40049409

OURS = "drover-copy --verify=none"
OURS_READBACK = "drover-copy"
LIMIT = "fio reads and writes"
READY_SECONDS = 20


class Target:
    """The file, and when a server stands before it what each tool calls that."""

    def __init__(self, path, uri=None, qemu=None, objects=(), server=None):
        self.path = path
        self.uri = uri
        self.qemu = qemu  # as --target-image-opts has it
        self.objects = objects  # of qemu-img
        self.server = server

    def server_cpu(self):
        """Seconds of processor of all the server's threads, or None."""
        if self.server is None:
            return None
        # The clock of another process, as clock_getcpuclockid(3) computes it.
        return time.clock_gettime((~self.server.pid << 3) | 2)


def probe_flag(path, flags):
    try:
        os.close(os.open(path, os.O_RDWR | flags))
        return True
    except OSError:
        return False


def can_clone(directory):
    """Do files there share blocks (XFS, btrfs)?"""
    names = [os.path.join(directory, f"clone-{side}") for side in "ab"]
    try:
        with open(names[0], "wb") as a, open(names[1], "wb") as b:
            a.write(b"x" * 4096)
            a.flush()
            fcntl.ioctl(b, FICLONE, a.fileno())
        return True
    except OSError:
        return False
    finally:
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


class Place:
    """Source and target are files in directory."""

    def __init__(self, directory, on_disk):
        self.directory = directory
        self.on_disk = on_disk
        self.clones = can_clone(directory)
        probe = os.path.join(directory, "probe")
        with open(probe, "wb"):
            pass
        self.direct = probe_flag(probe, os.O_DIRECT)
        os.unlink(probe)
        self.env = None

    @contextlib.contextmanager
    def target(self, size):
        """A new one: nothing but a hole."""
        path = os.path.join(self.directory, "target")
        with open(path, "xb") as f:
            f.truncate(size)
        try:
            yield from self._serve(path)
        finally:
            os.unlink(path)

    def _serve(self, path):
        yield Target(path)


class ServerPlace(Place):
    """transport: "tcp", "tls" or "unix"."""

    def __init__(self, directory, on_disk, transport):
        super().__init__(directory, on_disk)
        self.transport = transport
        self.socket = os.path.join(directory, "nbd.sock")
        self.keys = os.path.join(directory, "keys.psk")  # the name that qemu looks for
        if transport == "tls":
            self._make_key()

    def _make_key(self):
        """One key, and one choice of ciphers for all: the faster one."""
        with open(os.open(self.keys, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
                  "w") as f:
            f.write(f"{USER}:{os.urandom(32).hex()}\n")
        conf = os.path.join(self.directory, "tls.conf")
        with open(conf, "w") as f:
            f.write(FAST_CIPHER)
        self.env = {**os.environ, "GNUTLS_SYSTEM_PRIORITY_FILE": conf}

    def _addresses(self, port):
        """nbdkit's arguments, the URI, qemu's target and objects."""
        raw = "driver=raw,file.driver=nbd"
        if self.transport == "unix":
            return (["--unix", self.socket], f"nbd+unix:///?socket={self.socket}",
                    f"{raw},file.server.type=unix,file.server.path={self.socket}", [])
        listen = ["--ipaddr", "127.0.0.1", "--port", str(port)]
        qemu = (f"{raw},file.server.type=inet,file.server.host=127.0.0.1,"
                f"file.server.port={port}")
        if self.transport == "tcp":
            return listen, f"nbd://127.0.0.1:{port}/", qemu, []
        return (listen + ["--tls=require", f"--tls-psk={self.keys}"],
                f"nbds://{USER}@127.0.0.1:{port}/?tls-psk-file={self.keys}",
                f"{qemu},file.tls-creds=tls0",
                ["--object", "tls-creds-psk,id=tls0,endpoint=client,"
                 f"username={USER},dir={self.directory}"])

    def _serve(self, path):
        listen, uri, qemu, objects = self._addresses(processes.free_port())
        pid_file = os.path.join(self.directory, "nbdkit.pid")
        server = processes.spawn(["nbdkit", "--foreground", "--pidfile", pid_file, *listen,
                                  "file", f"file={path}"], env=self.env)
        try:
            processes.wait_for(
                lambda: os.path.exists(pid_file) or server.poll() is not None,
                READY_SECONDS, "nbdkit listens", every=0.005)
            if server.returncode is not None:
                raise SystemExit(f"bench: nbdkit ended with {server.returncode}")
            yield Target(path, uri, qemu, objects, server)
        finally:
            server.terminate()
            server.wait()
            for name in (pid_file, self.socket):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)


def _said(argv):
    """What it printed; OSError with that when it fails, or is missing."""
    ran = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False)
    said = " ".join(ran.stdout.split())
    if ran.returncode:
        raise OSError(f"{argv[0]}: {said}")
    return said


def xfs_place(directory, mib):
    """On an XFS of our own: a Place, or why there is none."""
    if os.geteuid() != 0:
        return "only root may mount its file system"
    image, point = os.path.join(directory, "xfs.img"), os.path.join(directory, "xfs")
    with open(image, "wb") as f:
        f.truncate((mib + mib // 4 + 512) << 20)
    os.mkdir(point)
    try:
        _said(["mkfs.xfs", "-q", "-m", "reflink=1", image])
        device = _said(["losetup", "--find", "--show", image])
        try:
            # Whoever had it before may have left it read-only.
            _said(["blockdev", "--setrw", device])
            _said(["mount", "-w", device, point])
        finally:
            _said(["losetup", "--detach", device])  # when it is unmounted
    except OSError as e:
        return str(e)
    return Place(point, on_disk=True)


class Tool:
    """argv(source, target) is its command line. kind: "ours", "peer" or "limit"."""

    def __init__(self, name, argv, kind="peer"):
        self.name = name
        self.argv = argv
        self.kind = kind
        self.program = name.split()[0]

    def seconds(self, run):
        return run["seconds"]


class Fio(Tool):
    """Reads one file while it writes another, with nothing to do between: what the disk
    can. Its own start is not counted."""

    def __init__(self):
        super().__init__(LIMIT, self._argv, "limit")

    @staticmethod
    def _argv(source, target):
        common = ["--ioengine=io_uring", "--direct=1", "--bs=1M", "--iodepth=8",
                  "--thread", "--fallocate=none"]
        return ["fio", "--output-format=json", *common, "--name=read", "--rw=read",
                f"--filename={source}", "--name=write", *common, "--rw=write",
                f"--filename={target.path}", f"--size={os.path.getsize(source)}"]

    def seconds(self, run):
        text = run["output"]
        jobs = json.loads(text[text.index("{"):])["jobs"]
        return max(job[side]["runtime"] for job in jobs for side in ("read", "write")) / 1e3


def _ours(builddir, clone):
    def tool(name, verify):
        def argv(source, target):
            flags = [] if clone else ["--no-clone"]
            flags += ["--target-is-zero"] if target.uri else []
            return [os.path.join(builddir, "copy", "drover-copy"), "--quiet",
                    f"--verify={verify}", *flags, source, target.uri or target.path]
        return Tool(name, argv, "ours")
    return [tool(OURS, "none"), tool(OURS_READBACK, "readback")]


def _nbdcopy(*flags):
    return Tool(" ".join(("nbdcopy", *flags)), lambda source, target: [
        "nbdcopy", *flags, source, target.uri or target.path])


def _qemu_img(place, coroutines):
    """-W: out of order. In direct mode where the disk is meant."""
    def argv(source, target):
        flags = ["-T", "none"] if place.on_disk else []
        if target.qemu:
            ends = ["--target-image-opts", source, target.qemu]
        else:
            flags += ["-t", "none"] if place.on_disk else []
            ends = ["-O", "raw", source, target.path]
        return ["qemu-img", "convert", *target.objects, "-n", "-W", "-m", str(coroutines),
                "--target-is-zero", "-f", "raw", *flags, *ends]
    return Tool(f"qemu-img convert -n -W -m {coroutines}", argv)


def _cp(place, *flags):
    if place.clones and "--reflink=always" not in flags:
        flags += ("--reflink=never",)
    return Tool(" ".join(("cp", *flags)),
                lambda source, target: ["cp", *flags, source, target.path])


def _dd(place, *extra):
    """As Cinder runs it: direct where both sides can, sparse where the driver says so."""
    direct = ["direct"] if place.direct else []

    def argv(source, target):
        return ["dd", f"if={source}", f"of={target.path}", "bs=1M", "status=none",
                f"count={os.path.getsize(source)}",
                "iflag=" + ",".join(["count_bytes", *direct]),
                *("oflag=" + flag for flag in direct), *extra]
    return Tool(" ".join(("dd bs=1M", *direct, *extra)), argv)


def tools_for(builddir, place, shape, clone=False, limit=False):
    """In the order of their turns."""
    ours = _ours(builddir, clone)
    if clone:
        return [*ours, _cp(place, "--reflink=always")]
    server = isinstance(place, ServerPlace)
    best = ["--requests=8", "--requests=16 --connections=2"] if server else [
        "--request-size=1048576"]
    tools = [*ours, _nbdcopy(), _nbdcopy("--flush"), _nbdcopy("--requests=16"),
             *(_nbdcopy(*flags.split(), "--target-is-zero") for flags in best),
             _qemu_img(place, 8), _qemu_img(place, 16)]
    if not server:
        tools += [_cp(place, "--sparse=always"), _cp(place, "--sparse=auto"),
                  _dd(place, "conv=sparse")]
        # Without it a hole of 100 GiB is 100 GiB of zeroes.
        tools += [_dd(place)] if shape != "empty" else []
    return tools + ([Fio()] if limit else [])
