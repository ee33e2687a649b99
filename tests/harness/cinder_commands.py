#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs python3-cinderclient's command without loading its modules each time, which takes
longer than all that they do. Reads one JSON object a line: argv, env, stdout and stderr
(files); each command runs in a process of its own, forked here, from the entry point that
/usr/bin/cinder calls. Answers with the exit status, a line each."""
import json
import os
import sys

import cinderclient.shell
import cinderclient.v3.client  # noqa: F401  what the first command would load
import cinderclient.v3.shell  # noqa: F401
import keystoneauth1.loading
import prettytable  # noqa: F401
import requests  # noqa: F401


def run(command):
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    for number, path in ((1, command["stdout"]), (2, command["stderr"])):
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(fd, number)
    os.environ.update(command["env"])
    sys.argv = command["argv"]
    try:
        cinderclient.shell.main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1 if end.code else 0
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException as failure:
        print(f"{type(failure).__name__}: {failure}", file=sys.stderr)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main():
    keystoneauth1.loading.get_available_plugin_names()
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(command)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
