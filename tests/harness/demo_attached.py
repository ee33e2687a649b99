#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What ./demo --attached shows: a volume moves to another backend while a guest writes to
it, although drover-compute is killed on the way; no write is lost."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import processes  # noqa: E402
from attached_cloud import FAST, SLOW, AttachedCloud  # noqa: E402
from guest import Kit, Libvirt  # noqa: E402

VOLUME = "data"
FILLED_MIB = 512


def say(text):
    print(f"\n== {text}", flush=True)


class Demo:
    def __init__(self, builddir):
        say("a guest's kernel, RabbitMQ, PostgreSQL, libvirt, QEMU, a scheduler, a manager,"
            " drover-compute")
        self.libvirt = Libvirt(Kit(builddir)).start()
        self.cloud = AttachedCloud(builddir, self.libvirt,
                                   tmp=processes.temporary_directory("drover-demo-"))
        self.guest = self.cloud.guest

    def run(self, *arguments):
        """A drover command as a person would type it, its output on our terminal."""
        print(f"$ drover {' '.join(map(str, arguments))}", flush=True)
        subprocess.run([self.cloud.program("cli"), "--config-file", self.cloud.config,
                        *map(str, arguments)], check=True, env=self.cloud.environment())

    def attach(self):
        say(f"a volume of 1 GiB with {FILLED_MIB} MiB in it, and a guest that gets it")
        self.run("create", 1, "--name", VOLUME, "--host", FAST)
        self.volume = self.cloud.wait_for(lambda: self.cloud._created(VOLUME), 30,
                                          "the volume exists")
        self.cloud.fill_behind(self.volume, FILLED_MIB)
        self.run("attach", VOLUME, self.guest.uuid)
        self.guest.wait_disk(self.volume)
        print("the guest writes numbered, checksummed blocks, each durable before the next:"
              f" {self.guest.acknowledged()[1]} by now")
        self.run("show", VOLUME)

    def migrate(self):
        say("the migration; in the middle of it drover-compute is killed")
        command = [self.cloud.program("cli"), "--config-file", self.cloud.config, "migrate",
                   VOLUME, SLOW, "--wait"]
        print(f"$ drover {' '.join(command[3:])}", flush=True)
        first = self.guest.acknowledged()[1]
        watching = processes.spawn(command, env=self.cloud.environment())
        processes.wait_for(lambda: self.guest.mirrored(self.volume) or
                           watching.poll() is not None, 60, "the copy runs", every=0.02)
        killed = watching.poll() is None
        self.cloud.compute.kill()
        print("\n$ kill -9 (drover-compute)", flush=True)
        self.cloud.compute.start()
        if watching.wait() != 0:
            raise subprocess.CalledProcessError(watching.returncode, command)
        self.guest.wait_writing()
        print(f"the guest wrote {self.guest.acknowledged()[1] - first} times meanwhile")
        return killed

    def verify(self):
        say("is every write there?")
        self.run("show", VOLUME)
        self.run("detach", VOLUME)
        run_number, n = self.guest.acknowledged()
        return n, self.cloud.verify(self.volume), self.guest.longest_stall(run_number)


def main(builddir):
    began = time.monotonic()
    demo = Demo(builddir)
    demo.attach()
    killed = demo.migrate()
    count, result, stall = demo.verify()
    row = demo.cloud.migration(demo.volume)
    seconds = (row["finished_at"] - row["created_at"]).total_seconds()
    good = row["phase"] == "done" and result["lost"] == 0 and result["torn"] == 0
    demo.cloud.close()
    demo.libvirt.close()
    print(f"{time.monotonic() - began:.0f} s in all")
    print(f"demo: '{VOLUME}' moved from {row['source']} to {row['target']} in {seconds:.2f} s"
          f" while its guest wrote{', drover-compute was killed on the way' if killed else ''};"
          f" of {count} writes {result['lost']} are lost, {result['torn']} torn; the longest"
          f" took {stall:.0f} ms")
    return 0 if good else 1
