# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: the build, what a program took, the page cache, the machine."""
import contextlib
import mmap
import os
import re
import statistics
import subprocess

import processes

SRCDIR = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 1 << 20
HUGE_PAGE = 2 * MIB
MADV_POPULATE_WRITE = 23  # linux/mman.h; Python does not name it


def build(who, more_packages=""):
    """A plain -O2 build, as users have it: the folder."""
    builddir = os.path.join(SRCDIR, "build-bench")
    script = ('srcdir=$1; . "$srcdir/tests/harness/packages.sh";'
              f' need_packages $build_packages $server_packages {more_packages} >&2 ||'
              ' exit 1; mkdir -p "$2"; : >"$2/log.make";'
              ' build_in "$2" "$2/log.make" CFLAGS="-O2 -g" ||'
              ' { tail -n 40 "$2/log.make" >&2; exit 1; }')
    if subprocess.run(["bash", "-c", script, "build", SRCDIR, builddir]).returncode:
        raise SystemExit(f"{who}: the build failed")
    return builddir


def spread(values):
    return {"min": round(min(values), 4), "median": round(statistics.median(values), 4),
            "max": round(max(values), 4)}


def forget(path):
    """Out of the page cache, so that whoever copies the file reads the disk."""
    with open(path, "rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def available_memory():
    with open("/proc/meminfo") as f:
        return int(re.search(r"MemAvailable: *(\d+)", f.read()).group(1)) << 10


def touch_memory(size):
    """A virtual machine may have given its free memory back to the host, and getting it
    again takes longer than the copy that wants it."""
    size = min(size, available_memory() // 2) // HUGE_PAGE * HUGE_PAGE
    if not size:
        return
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        with contextlib.suppress(OSError):  # a kernel without huge pages
            memory.madvise(mmap.MADV_HUGEPAGE)
        try:
            memory.madvise(MADV_POPULATE_WRITE)
        except OSError:  # older than Linux 5.14
            for offset in range(0, size, mmap.PAGESIZE):
                memory[offset] = 1


def memory(pid):
    """PSS and private memory in MiB."""
    pss = private = 0
    with open(f"/proc/{pid}/smaps_rollup") as f:
        for line in f:
            key, *value = line.split()
            if key == "Pss:":
                pss = int(value[0])
            elif key in ("Private_Clean:", "Private_Dirty:"):
                private += int(value[0])
    return {"pss_mib": round(pss / 1024, 2), "private_mib": round(private / 1024, 2)}


def cpu_of(pid):
    """Seconds of processor that a process took, and those of its children that ended."""
    with open(f"/proc/{pid}/stat", "rb") as f:
        fields = f.read().rpartition(b")")[2].split()
    own, children = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    tick = os.sysconf("SC_CLK_TCK")
    return own / tick, children / tick


def version_of(program):
    """The first number in what --version prints."""
    text = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    return re.search(r"[0-9][0-9.]*", text).group()


def file_system(path):
    return subprocess.run(["findmnt", "-n", "-o", "FSTYPE", "-T", path], check=True,
                          stdout=subprocess.PIPE, text=True).stdout.split()[-1]


def machine():
    with open("/proc/cpuinfo") as f:
        model = re.search(r"(?:model name|CPU part)\s*: *(.*)", f.read())
    return {"processor": model.group(1) if model else os.uname().machine,
            "processors": len(os.sched_getaffinity(0)),
            "memory_mib": os.sysconf("SC_PHYS_PAGES") * mmap.PAGESIZE // MIB,
            "kernel": os.uname().release}


class Clock:
    """Runs programs through clock.c: the seconds without Python's part in them, the peak
    of memory without Python's memory."""

    def __init__(self, directory):
        self.program = os.path.join(directory, "clock")
        self.line = os.path.join(directory, "clock.line")
        self.log = os.path.join(directory, "clock.log")
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-o", self.program,
                        os.path.join(SRCDIR, "bench", "clock.c")], check=True)

    def run(self, argv, env=None, deadline=1800):
        """{"seconds", "cpu", "rss_mib", "output"}; SystemExit when the program fails."""
        with open(self.log, "wb") as log:
            process = processes.spawn([self.program, self.line, *argv], env=env,
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            process.wait(deadline)
        except subprocess.TimeoutExpired:
            processes.kill_tree(process.pid)
            process.wait()
            raise SystemExit(f"bench: after {deadline} s not done: {' '.join(argv)}")
        with open(self.log, errors="replace") as log:
            output = log.read(1 << 20)
        with open(self.line) as line:
            status, seconds, cpu, rss = line.read().split()
        if process.returncode or int(status):
            raise SystemExit(f"bench: ended with {status}: {' '.join(argv)}\n{output}")
        return {"seconds": float(seconds), "cpu": float(cpu),
                "rss_mib": int(rss) / 1024, "output": output}
