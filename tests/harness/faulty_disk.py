# SPDX-License-Identifier: Apache-2.0
"""A file, and over it a block device, that do anything wrong a server can do: nbdkit seen
through nbdfuse, and a loop device on that.

    disk = FaultyDisk(["file", path])
    disk.file          a regular file (FUSE)
    disk.device()      a block device over it
    disk.close()

Nothing of it outlives this process: a loop device goes with its last opener, nbdfuse is a
child, its mount lies in a temporary directory.
"""
import os
import subprocess

import processes


def impossible_because():
    """Why there can be none here, or None."""
    if os.getuid() != 0:
        return "nbdfuse with a loop device over it needs root"
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(device):
            return f"there is no {device}"
    return None


class Loop:
    """A block device over a file."""

    def __init__(self, file, sector=512, *options):
        self.path = subprocess.run(
            ["losetup", *options, "-f", "--show", "-b", str(sector), str(file)], check=True,
            stdout=subprocess.PIPE, text=True).stdout.strip()
        # Detached while we have it open, it stays until we close it.
        self._held = os.open(self.path, os.O_RDONLY)
        subprocess.run(["losetup", "-d", self.path], check=True)
        with open(self.path, "rb") as f:
            self.size = f.seek(0, os.SEEK_END)

    def close(self):
        if self._held is not None:
            os.close(self._held)
            self._held = None


class FaultyDisk:
    """nbdkit: its filters, plugin and their arguments."""

    def __init__(self, nbdkit):
        self._directory = processes.temporary_directory("drover-disk-")
        self.file = os.path.join(self._directory, "volume")
        self._loops = []
        with open(self.file, "wb"):
            pass
        self._log = os.path.join(self._directory, "log")
        with open(self._log, "wb") as log:
            self._fuse = processes.spawn(
                ["nbdfuse", self.file, "--command", "nbdkit", "-s", *nbdkit],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        processes.wait_for(lambda: os.path.getsize(self.file) or self._fuse.poll() is not None,
                           20, "nbdfuse has mounted its file", every=0.01)
        assert self._fuse.poll() is None, self.log()

    def log(self):
        with open(self._log, errors="replace") as f:
            return f.read()[-3000:]

    def device(self, sector=512):
        """What is read past the device's cache comes past the file's too."""
        self._loops.append(Loop(self.file, sector, "--direct-io=on"))
        return self._loops[-1].path

    def close(self):
        for loop in self._loops:
            loop.close()
        subprocess.run(["umount", "-l", self.file], check=False, stderr=subprocess.DEVNULL)
        if self._fuse.poll() is None:
            processes.kill_tree(self._fuse.pid)
        self._fuse.wait()
        processes.remove_directory(self._directory)
