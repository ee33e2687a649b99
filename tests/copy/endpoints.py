# SPDX-License-Identifier: Apache-2.0
"""Where the tests copy from and to: nbdkit in every manner."""
import os
import subprocess

import processes



class Server:
    """nbdkit with the given arguments, at a socket in directory or at a free port of the
    loopback. tls: None, "psk" or "x509" with a Keys."""

    def __init__(self, directory, *arguments, tcp=False, tls=None, keys=None, env=None):
        self.directory, self.arguments = str(directory), [str(a) for a in arguments]
        self.tcp, self.tls, self.keys, self.env = tcp, tls, keys, env
        self.port = processes.free_port() if tcp else None
        self._name = f"nbd{id(self):x}"
        self.socket = os.path.join(self.directory, f"{self._name}.s")
        self._tries = 0
        self.process = None
        self.start()

    def start(self):
        self._tries += 1
        pidfile = os.path.join(self.directory, f"{self._name}.{self._tries}.pid")
        where = ["-i", "127.0.0.1", "-p", str(self.port)] if self.tcp else ["-U", self.socket]
        if not self.tcp and os.path.exists(self.socket):
            os.unlink(self.socket)
        argv = ["nbdkit", "-f", "-P", pidfile, *where, *self._tls(), *self.arguments]
        with open(os.path.join(self.directory, f"{self._name}.log"), "ab") as log:
            self.process = processes.spawn(argv, stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, env={**os.environ, **(self.env or {})})
        # Written when it listens.
        processes.wait_for(lambda: os.path.exists(pidfile) or self.process.poll() is not None,
                           20, f"{' '.join(argv)} listens", every=0.005)
        assert self.process.poll() is None, self.log()

    def _tls(self):
        if self.tls == "psk":
            return ["--tls=require", f"--tls-psk={self.keys.psk}"]
        if self.tls == "x509":
            return ["--tls=require", f"--tls-certificates={self.keys.pki}",
                    "--tls-verify-peer"]
        return []

    def uri(self, export=""):
        scheme = "nbds" if self.tls else "nbd"
        user = f"{self.keys.user}@" if self.tls == "psk" else ""
        query = {"psk": f"tls-psk-file={self.keys and self.keys.psk}",
                 "x509": f"tls-certificates={self.keys and self.keys.pki}", None: ""}[self.tls]
        if self.tcp:
            return f"{scheme}://{user}127.0.0.1:{self.port}/{export}" + (query and f"?{query}")
        return (f"{scheme}+unix://{user}/{export}?socket={self.socket}"
                + (query and f"&{query}"))

    def log(self):
        with open(os.path.join(self.directory, f"{self._name}.log"), errors="replace") as f:
            return f.read()[-3000:]

    def kill(self):
        """As a crash does; what it started dies too."""
        processes.kill_tree(self.process.pid)
        self.process.wait()

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()


class QemuNbd:
    """qemu-nbd of a raw file, without options but those that a test needs."""

    def __init__(self, directory, file, *options):
        self.socket = os.path.join(directory, f"qemu{id(self):x}.s")
        pidfile = f"{self.socket}.pid"
        self.process = processes.spawn(
            ["qemu-nbd", "-t", "-f", "raw", "-k", self.socket, f"--pid-file={pidfile}",
             *options, str(file)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        processes.wait_for(lambda: os.path.exists(pidfile), 20, "qemu-nbd listens",
                           every=0.005)

    def uri(self, export=""):
        return f"nbd+unix:///{export}?socket={self.socket}"

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


class Keys:
    """A pre-shared key; an authority with a server and a client."""

    user = "copier"

    def __init__(self, directory):
        self.pki = os.path.join(directory, "pki")
        self.psk = os.path.join(directory, "keys.psk")
        os.mkdir(self.pki)
        self._run("psktool", "-u", self.user, "-p", self.psk)
        self._run("certtool", "--generate-privkey", "--key-type=ecdsa",
                  "--outfile=ca-key.pem")
        self._certify("ca", "cn = authority\nca\ncert_signing_key\n",
                      "--generate-self-signed")
        for name, more in (("server", "tls_www_server\nip_address = 127.0.0.1\n"
                                      "dns_name = localhost\n"),
                           ("client", "tls_www_client\n")):
            self._run("certtool", "--generate-privkey", "--key-type=ecdsa",
                      f"--outfile={name}-key.pem")
            self._certify(name, f"cn = {name}\nencryption_key\nsigning_key\n{more}",
                          "--generate-certificate", "--load-ca-certificate=ca-cert.pem",
                          "--load-ca-privkey=ca-key.pem")

    def _certify(self, name, text, *how):
        with open(os.path.join(self.pki, f"{name}.template"), "w") as f:
            f.write(text)
        self._run("certtool", *how, f"--load-privkey={name}-key.pem",
                  f"--template={name}.template", f"--outfile={name}-cert.pem")

    def _run(self, *argv):
        subprocess.run(argv, cwd=self.pki, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


HIT = "[ $4 -le {at} ] && [ $(($4 + $3)) -gt {at} ]"
READ = "dd if={file} iflag=skip_bytes,count_bytes skip=$4 count=$3 bs=1M status=none"
WRITE = "dd of={file} oflag=seek_bytes seek=$4 conv=notrunc bs=1M iflag=fullblock status=none"
ZERO = "fallocate -p -o $4 -l $3 {file}"


def script(file, **methods):
    """Arguments of nbdkit for a server of file that is made of shell commands, so that it
    can do anything wrong. Each method is the name of a request and what is done before
    it: {file}, and "HIT at=N" for "the request covers byte N", are filled in."""
    commands = {"get_size": "stat -c %s {file}", "pread": READ, "pwrite": WRITE,
                "zero": ZERO, "trim": ZERO, "flush": ":"}
    for name, before in methods.items():
        commands[name] = f"{before}\n{commands.get(name, '')}"
    arguments = ["eval", "thread_model=echo parallel"]
    for flag in ("can_write", "can_zero", "can_trim", "can_flush", "can_multi_conn"):
        arguments.append(f"{flag}=exit 0")
    if "extents" in methods:
        arguments.append("can_extents=exit 0")
    for name, command in commands.items():
        # What was to be written is taken first: nbdkit would tell EIO of a broken pipe.
        taken = "cat >/dev/null; " if name == "pwrite" else ""
        command = command.replace("{taken}", taken).replace("{file}", f"'{file}'")
        arguments.append(f"{name}={command}")
    return arguments


def at(offset, command):
    """command, where the request covers the byte at offset."""
    return f"if {HIT.format(at=offset)}; then {command}; fi"


def fails_at(offset, error="EIO"):
    return at(offset, "{taken}" + f"echo {error} broken >&2; exit 1")
