# SPDX-License-Identifier: Apache-2.0
"""A TCP relay in threads of this process, which can be cut: for one client of a server that
others go on using."""
import socket
import threading


class Relay:
    """Listens on .port of 127.0.0.1 and passes everything on to the server's port."""

    def __init__(self, server_port):
        self._server_port = server_port
        self._lock = threading.Lock()
        self._open = set()
        self._cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:
                client.close()
                continue
            with self._lock:
                if self._cut:
                    client.close()
                    server.close()
                    continue
                self._open |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(one, other),
                                 daemon=True).start()

    def _pass_on(self, one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            pass
        self._end({one, other})

    def _end(self, sockets):
        with self._lock:
            self._open -= sockets
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()

    def cut(self):
        """Connections break, new ones end at once."""
        with self._lock:
            self._cut = True
            now = set(self._open)
        self._end(now)

    def mend(self):
        with self._lock:
            self._cut = False

    def close(self):
        self._listener.close()
        self.cut()
