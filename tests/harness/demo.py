#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What ./demo shows: a volume with a file system in it moves to a backend of another host,
although the manager that moves it is killed on the way."""
import argparse
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import processes  # noqa: E402
from cloud import GIB, MIB, digest_of  # noqa: E402
from two_hosts import BACKENDS, TwoHosts, pool  # noqa: E402

SIZE_GIB = 2
FILES = 32
FILE_SIZE = 16 * MIB
VOLUME = "test"
TARGET = f"server2@{BACKENDS['server2']}"


def say(text):
    print(f"\n== {text}", flush=True)


class Demo:
    def __init__(self, builddir):
        self.tmp = processes.temporary_directory("drover-demo-")
        say(f"starting RabbitMQ, PostgreSQL, a scheduler and two managers below {self.tmp}")
        self.cloud = TwoHosts(builddir, tmp=self.tmp,
                              default={"storage_availability_zone": "zone1"},
                              drover={"checkpoint_bytes": str(32 * MIB)})
        print("server1 has backend lvmstorage-1, server2 has lvmstorage-2, each a"
              " directory;\nbetween them there is TCP, with TLS")

    def run(self, *arguments):
        """A drover command as a person would type it, its output on our terminal."""
        print(f"$ drover {' '.join(map(str, arguments))}", flush=True)
        subprocess.run([self.cloud.program("cli"), "--config-file", self.cloud.config,
                        *map(str, arguments)], check=True, env=self.cloud.environment())

    def make_image(self):
        """An ext4 image with files of random bytes and a text."""
        folder, image = f"{self.tmp}/files", f"{self.tmp}/image"
        os.mkdir(folder)
        for n in range(FILES):
            with open(f"{folder}/photo-{n:02}.raw", "wb") as f:
                f.write(os.urandom(FILE_SIZE))
        with open(f"{folder}/README.txt", "w") as f:
            f.write("These files lived on one host and now live on another.\n")
        with open(image, "wb") as f:
            f.truncate(SIZE_GIB * GIB)
        subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-E", "root_owner=0:0", "-L",
                        "demo", "-d", folder, image], check=True,
                       stdout=subprocess.DEVNULL)
        return image

    def export(self, copy):
        """Connect the volume, hand the NBD URI to copy, disconnect."""
        uri = self.cloud.drover("connect", VOLUME).stdout.split()[-1]
        try:
            copy(uri)
        finally:
            self.cloud.drover("disconnect", VOLUME)

    def put(self, image):
        say(f"a new volume, and an ext4 image with {FILES + 1} files into it")
        self.run("create", SIZE_GIB, "--name", VOLUME, "--host", pool("server1"))
        # Not looked for by its name later: while it moves there are two of that name.
        self.volume = self.cloud.wait_for(lambda: self.cloud._created(VOLUME), 30,
                                          "the volume exists")
        print(f"$ nbdcopy image $(drover connect {VOLUME})")
        self.export(lambda uri: subprocess.run(["nbdcopy", image, uri], check=True))
        self.cloud.wait_for(lambda: not self.cloud.sql(
            "select 1 from drover.export where closed_at is null"), 20, "disconnected")

    def look(self):
        self.run("host", "list")
        self.run("show", VOLUME)

    def migrate(self):
        """Watched by `drover migrate --wait`; the source's manager is killed after the first
        checkpoint and started again. Returns the migration's row and that checkpoint."""
        say("the migration; in the middle of it server1's manager is killed")
        command = [self.cloud.program("cli"), "--config-file", self.cloud.config,
                   "migrate", VOLUME, TARGET, "--wait"]
        print(f"$ drover {' '.join(command[3:])}", flush=True)
        watching = processes.spawn(command, env=self.cloud.environment())
        row = processes.wait_for(self._has_checkpoint, 30, "a checkpoint",
                                 every=0.005)
        checkpoint = row["checkpoint"]
        if row["phase"] == "copying":
            self.cloud.manager.kill()
            print("\n$ kill -9 (server1's drover-volume-manager; its worker dies with it)",
                  flush=True)
            self.cloud.manager.start()
        if watching.wait() != 0:
            raise subprocess.CalledProcessError(watching.returncode, command)
        return self.cloud.migration(self.volume), checkpoint

    def _has_checkpoint(self):
        row = self.cloud.migration(self.volume)
        return row if row and (row["checkpoint"] > 0 or row["finished_at"]) else None

    def get(self):
        """Read the volume back, check the file system; returns the digest."""
        out = f"{self.tmp}/image-after"
        print(f"$ nbdcopy $(drover connect {VOLUME}) image-after")
        self.export(lambda uri: subprocess.run(["nbdcopy", uri, out], check=True))
        subprocess.run(["/sbin/e2fsck", "-fn", out], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        print("e2fsck: clean")
        name = f"{self.tmp}/photo"
        subprocess.run(["/sbin/debugfs", "-R", f"dump /photo-07.raw {name}", out],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(name, "rb") as mine, open(f"{self.tmp}/files/photo-07.raw", "rb") as its:
            if mine.read() != its.read():
                raise SystemExit("demo: photo-07.raw is not what was put in")
        print("photo-07.raw: the bytes that were put in")
        digest = digest_of(out)
        os.unlink(out)
        return digest

    def keep(self):
        say("left running until Ctrl-C; talk to it with")
        print(f"{self.cloud.program('cli')} --config-file {self.cloud.config} --help")
        print("logs:", *(d.log_path for d in self.cloud.daemons()), flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print()


def last_line(done, checkpoint, data, before, after):
    seconds = (done["finished_at"] - done["created_at"]).total_seconds()
    copying = (done["copy_finished_at"] - done["copy_started_at"]).total_seconds()
    verdict = "equal" if before == after else "DIFFERENT"
    story = "without a crash"
    if done["epoch"] >> 32 > 1:  # epoch_number() in common/store/operations.h
        story = f"the second worker went on at {checkpoint / MIB:.0f} MiB"
    return (f"demo: '{VOLUME}' ({SIZE_GIB} GiB, {data / MIB:.0f} MiB of data) moved from"
            f" {done['source']} to {done['target']} in {seconds:.2f} s, at"
            f" {data / MIB / copying:.0f} MiB/s, {story};"
            f" SHA-256 before and after are {verdict}: {after[:16]}")


def main():
    parser = argparse.ArgumentParser(prog="demo")
    parser.add_argument("--keep", action="store_true",
                        help="leave everything running until Ctrl-C")
    parser.add_argument("--attached", action="store_true",
                        help="move a volume that a guest writes to")
    parser.add_argument("--builddir", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.attached:
        import demo_attached

        return demo_attached.main(arguments.builddir)
    began = time.monotonic()
    demo = Demo(arguments.builddir)
    image = demo.make_image()
    before, data = digest_of(image), os.stat(image).st_blocks * 512
    demo.put(image)
    say("before")
    demo.look()
    done, checkpoint = demo.migrate()
    say("after")
    demo.look()
    say("is it the same?")
    after = demo.get()
    print(f"{time.monotonic() - began:.0f} s in all")
    if arguments.keep:
        demo.keep()
    demo.cloud.close()
    print(last_line(done, checkpoint, data, before, after))
    return 0 if before == after else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except subprocess.CalledProcessError as error:
        print(f"demo: {' '.join(map(str, error.cmd))} ended with {error.returncode}",
              file=sys.stderr)
        sys.exit(1)
