# SPDX-License-Identifier: Apache-2.0
"""Hosts in network namespaces on one bridge, and a knife for the cables.

    network = Network(["server1", "server2", "db"])
    subprocess.run(network.prefix("db") + ["ip", "addr"])
    network.cut("server1", "db")        # silence, no refusal
    network.heal()

A namespace has no name anywhere: this process holds a descriptor of it. It is gone when
this process and all that runs in it are, however they ended.
"""
import contextlib
import ctypes
import os
import shutil
import subprocess
import threading

CLONE_NEWNET = 0x40000000
NET = "10.77.0"

_libc = ctypes.CDLL(None, use_errno=True)


def missing():
    """Why there can be no network of namespaces here; None: there can."""
    for program, package in (("ip", "iproute2"), ("nft", "nftables"),
                             ("nsenter", "util-linux")):
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            return f"{package} is missing"
    try:
        network = Network(["probe", "other"])
        network.cut("probe", "other")
    except OSError as error:
        return f"network namespaces are not allowed: {error}"
    except subprocess.CalledProcessError as error:
        return f"no bridge of namespaces: {(error.stderr or '').strip()}"
    network.close()
    return None


def _new_namespace():
    """A descriptor of a new namespace. Only the thread that asks for one moves there."""
    answer = []

    def make():
        if _libc.unshare(CLONE_NEWNET) < 0:
            answer.append(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
        else:
            answer.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(answer[0], OSError):
        raise answer[0]
    return answer[0]


def _enter(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) < 0:
        raise OSError(ctypes.get_errno(), "setns")


class Network:
    def __init__(self, hosts):
        self.hosts = list(hosts)
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._switch = _new_namespace()
        self._namespaces = {}
        self._cuts = set()
        self._run(self._switch, "ip", "link", "set", "lo", "up")
        self._run(self._switch, "ip", "link", "add", "br0", "type", "bridge")
        self._run(self._switch, "ip", "link", "set", "br0", "up")
        for host in self.hosts:
            self._plug_in(host)

    def _plug_in(self, host):
        # The port of the switch has the name of the host: at most 15 characters.
        inside = self._namespaces[host] = _new_namespace()
        self._run(self._switch, "ip", "link", "add", host, "type", "veth",
                  "peer", "name", "e0", "netns", self._path(inside))
        self._run(self._switch, "ip", "link", "set", host, "master", "br0", "up")
        self._run(inside, "ip", "link", "set", "lo", "up")
        self._run(inside, "ip", "addr", "add", f"{self.address(host)}/24", "dev", "e0")
        self._run(inside, "ip", "link", "set", "e0", "up")

    @staticmethod
    def _path(descriptor):
        return f"/proc/{os.getpid()}/fd/{descriptor}"

    def _prefix(self, descriptor):
        return ["nsenter", f"--net={self._path(descriptor)}"]

    def _run(self, descriptor, *argv, text=None):
        subprocess.run(self._prefix(descriptor) + list(argv), check=True, text=True,
                       input=text, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def address(self, host):
        return f"{NET}.{self.hosts.index(host) + 1}"

    def prefix(self, host):
        """What to put before a command that shall run on host; it is executed, not
        forked."""
        return self._prefix(self._namespaces[host])

    def inode(self, host):
        """What /proc/PID/ns/net of a process on host says."""
        return os.fstat(self._namespaces[host]).st_ino

    @contextlib.contextmanager
    def inside(self, host):
        """This thread, and what it starts meanwhile, is on host."""
        _enter(self._namespaces[host])
        try:
            yield
        finally:
            _enter(self._home)

    # The knife.

    def cut(self, one, *others):
        """Nothing goes between one and the others, in either direction."""
        for other in others:
            self._cuts |= {(one, other), (other, one)}
        self._apply()

    def cut_one_way(self, sender, receiver):
        self._cuts.add((sender, receiver))
        self._apply()

    def cut_off(self, host):
        self.cut(host, *[other for other in self.hosts if other != host])

    def heal(self, *pair):
        """Between two hosts, or everywhere."""
        self._cuts = {c for c in self._cuts if pair and set(c) != set(pair)}
        self._apply()

    def _apply(self):
        rules = "\n".join(f'iifname "{a}" oifname "{b}" drop' for a, b in self._cuts)
        self._run(self._switch, "nft", "-f", "-", text=(
            "add table bridge cuts\ndelete table bridge cuts\ntable bridge cuts {\n"
            "chain forward {\ntype filter hook forward priority 0;\n"
            f"{rules}\n}}\n}}\n"))

    def close(self):
        """Processes that still run there keep their namespace."""
        for descriptor in [self._switch, self._home, *self._namespaces.values()]:
            os.close(descriptor)
        self._namespaces = {}
