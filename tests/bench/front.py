"""What stands before the peer's app: forwards each connection to the address that a file names at that moment."""

import contextlib
import socket
import threading

# Seconds without a byte after which a connection is given up.
IDLE_SECONDS = 60


class Front:
    def __init__(self, ports):
        self.ports = ports
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.forward, args=(client,), daemon=True).start()

    def forward(self, client):
        with contextlib.suppress(OSError), client:
            host, _, port = self.ports.read_text().strip().rpartition(":")
            with socket.create_connection((host, int(port)), timeout=IDLE_SECONDS) as server:
                client.settimeout(IDLE_SECONDS)
                threading.Thread(target=pump, args=(client, server), daemon=True).start()
                pump(server, client)

    def close(self):
        self.listener.close()


def pump(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
