# SPDX-License-Identifier: Apache-2.0
"""A hypervisor of ours: libvirt's session daemon of user nobody, and a guest that does
nothing but write a pattern which can be verified (tests/guest).

    kit = Kit(builddir)                 # kernel, initramfs, verifier; made once
    with Libvirt(kit) as libvirt:
        guest = libvirt.guest()         # defined, started, its program runs
        guest.acknowledged()            # (run, n) of the last durable write
        kit.verify(path, run, n)        # {"lost": 0, "torn": 0, ...}
"""
import fcntl
import glob
import gzip
import json
import os
import pwd
import re
import signal
import subprocess
import uuid
import xml.etree.ElementTree as ET

import processes
from hypervisor import certificates
from processes import Timeout, spawn, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
GUEST_SOURCES = os.path.join(HERE, "..", "guest")
REAPER = os.path.join(HERE, "reaper.py")
PATTERN_BLOCKS = 4096  # 16 MiB
PACKAGE = "linux-image-cloud-amd64"
MODULES = ["virtio_pci", "virtio_blk"]


class Missing(Exception):
    """Something is not installed; the text names it."""


def run(argv, **options):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stdout}")
    return done.stdout


class Kit:
    """Files below builddir/guest, made when they are not there."""

    def __init__(self, builddir):
        self.directory = os.path.join(os.path.abspath(builddir), "guest")
        os.makedirs(self.directory, exist_ok=True)
        self.verifier = os.path.join(self.directory, "verify")
        with open(os.path.join(self.directory, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.kernel, self.version = self._unpack_kernel()
            self._compile("init", ["-static"])
            self._compile("verify", [])
            self.initramfs = self._make_initramfs()

    # The kernel is Debian's, downloaded and unpacked but not installed.

    def _unpack_kernel(self):
        there = sorted(glob.glob(f"{self.directory}/kernel/boot/vmlinuz-*"))
        if not there:
            self._download()
            there = sorted(glob.glob(f"{self.directory}/kernel/boot/vmlinuz-*"))
        return there[-1], os.path.basename(there[-1])[len("vmlinuz-"):]

    def _download(self):
        depends = run(["apt-cache", "depends", PACKAGE])
        found = re.search(r"Depends: (linux-image-\S+)", depends)
        if not found:
            raise Missing(f"{PACKAGE} is not known to apt")
        try:
            run(["apt-get", "-q", "download", found[1]], cwd=self.directory)
        except RuntimeError:  # a list of packages that is old
            run(["apt-get", "-q", "update"])
            run(["apt-get", "-q", "download", found[1]], cwd=self.directory)
        package = glob.glob(f"{self.directory}/{found[1]}_*.deb")[0]
        fresh = f"{self.directory}/kernel.new"
        run(["dpkg", "-x", package, fresh])
        os.unlink(package)
        run(["depmod", "-b", fresh, found[1][len("linux-image-"):]])
        os.rename(fresh, f"{self.directory}/kernel")

    def _compile(self, name, flags):
        source = f"{GUEST_SOURCES}/{name}.c"
        out = f"{self.directory}/{name}"
        newest = max(os.path.getmtime(f"{GUEST_SOURCES}/{n}")
                     for n in (f"{name}.c", "pattern.h"))
        if not os.path.exists(out) or os.path.getmtime(out) < newest:
            run(["gcc", "-O2", "-Wall", "-o", out, source, *flags])
        return out

    def _modules(self):
        """Paths of the modules and what they need, in the order of loading."""
        base = f"{self.directory}/kernel/lib/modules/{self.version}"
        needs = {}
        with open(f"{base}/modules.dep") as f:
            for line in f:
                path, _, rest = line.partition(":")
                needs[re.sub(r"\.ko.*", "", os.path.basename(path)).replace("-", "_")] = \
                    [path, *rest.split()]
        found = []
        for name in MODULES:
            for path in reversed(needs.get(name, [])):  # those that are built in: none
                if path not in found:
                    found.append(path)
        return [f"{base}/{path}" for path in found]

    def _make_initramfs(self):
        out = f"{self.directory}/initramfs.gz"
        modules = self._modules()
        members = {"init": (f"{self.directory}/init", 0o755)}
        members.update({f"lib/{os.path.basename(m)}": (m, 0o644) for m in modules})
        if os.path.exists(out) and os.path.getmtime(out) > os.path.getmtime(
                f"{self.directory}/init"):
            return out
        archive = bytearray()
        for number, (name, directory) in enumerate((("lib", True), ("dev", True))):
            archive += member(number, name, 0o40755, b"")
        for number, (name, (path, mode)) in enumerate(members.items()):
            with open(path, "rb") as f:
                archive += member(100 + number, name, 0o100000 | mode, f.read())
        names = "".join(f"{os.path.basename(m)}\n" for m in modules)
        archive += member(200, "modules", 0o100644, names.encode())
        archive += member(0, "TRAILER!!!", 0, b"")
        with gzip.open(f"{out}.new", "wb", compresslevel=1) as f:
            f.write(archive)
        os.rename(f"{out}.new", out)
        return out

    def verify(self, path, run_number, last):
        """What is lost, torn, newer; nothing may be lost or torn."""
        done = subprocess.run(
            [self.verifier, path, str(run_number), str(last), str(PATTERN_BLOCKS)],
            stdout=subprocess.PIPE, text=True)
        assert done.returncode in (0, 1), path
        return json.loads(done.stdout)


def member(inode, name, mode, data):
    """One member of a cpio archive, format newc."""
    fields = [inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    head = b"070701" + b"".join(b"%08x" % f for f in fields) + name.encode() + b"\0"
    head += b"\0" * (-len(head) % 4)
    return head + data + b"\0" * (-len(data) % 4)


class Libvirt:
    """The session daemon of user nobody, or of ours if that is not root, in a directory of
    its own."""

    def __init__(self, kit, directory=None):
        for program in ("libvirtd", "virsh", "qemu-system-x86_64"):
            if not any(os.access(f"{p}/{program}", os.X_OK)
                       for p in ("/usr/sbin", "/usr/bin")):
                raise Missing(f"{program} is missing")
        self.kit = kit
        # Short: sockets are made deep below it.
        self.directory = directory or processes.temporary_directory("dlv-")
        root = os.getuid() == 0
        self.user = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.getuid())
        self.pid = None
        self.guests = []
        self.env = {**os.environ, "HOME": self.directory, "LIBVIRT_AUTOSTART": "0",
                    "LC_ALL": "C", processes.TOKEN_NAME: processes.token()}
        for name in ("runtime", "config", "cache", "data"):
            key = "XDG_RUNTIME_DIR" if name == "runtime" else f"XDG_{name.upper()}_HOME"
            self.env[key] = f"{self.directory}/{name}"
            os.makedirs(self.env[key] + ("/libvirt" if name == "config" else ""))
        self.pki = certificates(f"{self.directory}/pki")
        with open(f"{self.directory}/config/libvirt/qemu.conf", "w") as f:
            f.write('stdio_handler = "file"\nnbd_tls = 1\n'
                    f'nbd_tls_x509_cert_dir = "{self.pki}"\n')
        self.images = f"{self.directory}/images"
        os.mkdir(self.images)
        run(["chown", "-R", f"{self.user.pw_uid}:{self.user.pw_gid}", self.directory])

    def as_nobody(self):
        """What stands before a command that is run by that user."""
        if os.getuid() != 0:
            return []
        return ["setpriv", "--reuid", str(self.user.pw_uid), "--regid",
                str(self.user.pw_gid), "--clear-groups"]

    def start(self):
        pidfile = f"{self.directory}/libvirtd.pid"
        if os.path.exists(pidfile):
            os.unlink(pidfile)
        with open(f"{self.directory}/libvirtd.log", "ab") as log:
            spawn(["/usr/bin/python3", REAPER, pidfile, *self.as_nobody(), "libvirtd", "-t",
                   "0"], env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                  cwd=self.directory)
        wait_for(lambda: os.path.exists(pidfile), 30, "libvirtd is started")
        with open(pidfile) as f:
            self.pid = int(f.read())
        wait_for(self.answers, 60, "libvirtd answers")
        return self

    def answers(self):
        assert processes.alive(self.pid), "libvirtd has ended"
        return self.virsh("version", check=False).returncode == 0

    def virsh(self, *arguments, check=True):
        done = subprocess.run(
            [*self.as_nobody(), "virsh", "-q", "-c", "qemu:///session", *arguments],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, cwd=self.directory)
        if check and done.returncode != 0:
            raise RuntimeError(f"virsh {' '.join(arguments)}: {done.stdout}")
        return done

    def kill(self):
        """SIGKILL: the daemon only, guests go on."""
        os.kill(self.pid, signal.SIGKILL)
        wait_for(lambda: not processes.alive(self.pid), 10, "libvirtd is gone")
        self.pid = None

    def image(self, name=None, size_mib=64, full=False):
        """A new file that the guests may use; full: random bytes behind the pattern."""
        path = f"{self.images}/{name or uuid.uuid4()}"
        with open(path, "wb") as f:
            f.truncate(size_mib << 20)
            if full:
                f.seek(PATTERN_BLOCKS * 4096)
                f.write(os.urandom((size_mib << 20) - PATTERN_BLOCKS * 4096))
        os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    def guest(self, **options):
        guest = Guest(self, **options)
        self.guests.append(guest)
        return guest

    def close(self):
        for guest in self.guests:
            guest.kill()
        if self.pid:
            self.kill()
        processes.remove_directory(self.directory)

    def __enter__(self):
        return self.start()

    def __exit__(self, *unused):
        self.close()


DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel>
<initrd>{initramfs}</initrd>
<cmdline>console=ttyS0 panic=-1 quiet mitigations=off pattern.blocks={blocks} \
pattern.pause={pause}</cmdline></os>
<features><acpi/></features><cpu mode='maximum'/>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<controller type='usb' model='none'/><memballoon model='none'/>
<controller type='pci' model='pcie-root'/>
<controller type='pci' model='pcie-root-port'/><controller type='pci' model='pcie-root-port'/>
<controller type='pci' model='pcie-root-port'/>
<serial type='file'><source path='{console}' append='on'/><target port='0'/></serial>
</devices>
<qemu:commandline><qemu:env name='{token_name}' value='{token}'/></qemu:commandline>
</domain>
"""


class Guest:
    """One domain. Its console is kept over restarts: run numbers of an earlier boot are
    not looked at."""

    def __init__(self, libvirt, pause_us=10000, start=True):
        self.libvirt = libvirt
        self.uuid = str(uuid.uuid4())
        self.name = f"g{self.uuid[:8]}"
        self.console = f"{libvirt.directory}/{self.name}.console"
        self.begin = 0
        definition = f"{libvirt.directory}/{self.name}.xml"
        with open(definition, "w") as f:
            f.write(DOMAIN.format(
                name=self.name, uuid=self.uuid, kernel=libvirt.kit.kernel,
                initramfs=libvirt.kit.initramfs, blocks=PATTERN_BLOCKS, pause=pause_us,
                console=self.console, token_name=processes.TOKEN_NAME,
                token=processes.token()))
        os.chmod(definition, 0o644)
        libvirt.virsh("define", definition)
        if start:
            self.start()

    def start(self):
        self.begin = os.path.getsize(self.console) if os.path.exists(self.console) else 0
        self.libvirt.virsh("start", self.name)
        wait_for(lambda: b"GUEST UP" in self.said(), 180, "the guest is up")

    def said(self):
        """What it printed since it was started."""
        try:
            with open(self.console, "rb") as f:
                f.seek(self.begin)
                return f.read()
        except FileNotFoundError:
            return b""

    def lines(self, word):
        return [line.split()[1:] for line in self.said().decode(errors="replace").splitlines()
                if line.startswith(f"{word} ") and line.count(" ") >= 1]

    def acknowledged(self):
        """(run, n) of the last durable write; a line that is being written is left out."""
        found = re.findall(rb"ACK (\d+) (\d+) \d+\r?\n", self.said()[-4096:])
        return (int(found[-1][0]), int(found[-1][1])) if found else (0, 0)

    def serial(self):
        """Of the disk that it writes to, as virtio has it."""
        found = re.findall(rb"DISK (\d+) (\d+) (\S*)\r?\n", self.said())
        return found[-1][2].decode() if found else ""

    def wait_writing(self, more=20, deadline=120):
        """So many more writes; the last one."""
        run_number, n = self.acknowledged()
        try:
            wait_for(lambda: self.acknowledged() >= (run_number, n + more), deadline,
                     "the guest writes")
        except Timeout as e:
            raise Timeout(f"{e}; it is {self.state()}, and said: {self.said()[-500:]}") from e
        return self.acknowledged()

    def wait_disk(self, volume, deadline=120):
        wait_for(lambda: self.serial() == volume[:20], deadline, f"it has {volume}")
        self.wait_writing(5)

    def errors(self, run_number=None):
        """Of a run; without one, of the disk it has. Each disk that is taken from it ends
        with one."""
        run_number = run_number or self.acknowledged()[0]
        return re.findall(rb"ERROR %d [^\r\n]*" % run_number, self.said())

    def writes(self, run_number):
        """n -> milliseconds that it took."""
        return {int(n): int(us) / 1000
                for r, n, us in re.findall(rb"ACK (\d+) (\d+) (\d+)\r?\n", self.said())
                if int(r) == run_number}

    def longest_stall(self, run_number, first=0):
        """Milliseconds, of the writes from first on."""
        return max([ms for n, ms in self.writes(run_number).items() if n >= first] or [0])

    # As libvirt shows it.

    def state(self):
        done = self.libvirt.virsh("domstate", self.name, check=False)
        return done.stdout.strip() if done.returncode == 0 else "gone"

    def xml(self, inactive=False):
        return ET.fromstring(self.libvirt.virsh(
            "dumpxml", self.name, *(["--inactive"] if inactive else [])).stdout)

    def disk(self, volume, inactive=False):
        """The element, or None."""
        for disk in self.xml(inactive).iter("disk"):
            if disk.findtext("serial") == volume:
                return disk
        return None

    def place(self, volume, inactive=False):
        """The path or export of its disk; None: it has none."""
        disk = self.disk(volume, inactive)
        if disk is None:
            return None
        source = disk.find("source")
        return source.get("file") or source.get("dev") or source.get("name")

    def mirrored(self, volume):
        disk = self.disk(volume)
        return disk is not None and disk.find("mirror") is not None

    def pid(self):
        with open(f"{self.libvirt.directory}/runtime/libvirt/qemu/run/{self.name}.pid") as f:
            return int(f.read())

    # What is done to it.

    def suspend(self):
        self.libvirt.virsh("suspend", self.name)

    def resume(self):
        self.libvirt.virsh("resume", self.name)

    def reset(self):
        """A reboot; its process stays. Its runs begin at 1 again."""
        self.begin += len(self.said())
        self.libvirt.virsh("reset", self.name)
        wait_for(lambda: b"GUEST UP" in self.said(), 180, "the guest is up again")
        # What it wrote in between is of its life before.
        self.begin += self.said().index(b"GUEST UP")

    def destroy(self):
        self.libvirt.virsh("destroy", self.name)

    def crash(self):
        """SIGKILL to its process."""
        os.kill(self.pid(), 9)

    def kill(self):
        """Whatever is left of it."""
        try:
            os.kill(self.pid(), 9)
        except (OSError, ValueError):
            pass
