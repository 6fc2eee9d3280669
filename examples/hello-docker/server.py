"""Answers every request with one line; on SIGTERM it finishes what it has begun."""

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from message import MESSAGE


class Handler(BaseHTTPRequestHandler):
    # Seconds for a client to send its request: a silent one may not keep us from ending.
    timeout = 10

    def do_GET(self):
        text = "ok" if self.path == "/healthz" else MESSAGE
        body = f"{text}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        if self.path != "/healthz":
            print(f"web: {format % args}")


class Server(ThreadingHTTPServer):
    # Requests are waited for at the end, and many may arrive at once.
    daemon_threads = False
    request_queue_size = 128


def main():
    server = Server(("", int(os.environ.get("PORT", "8080"))), Handler)

    def end(_signal, _frame):
        # shutdown() waits for the loop below, which this very thread runs.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    print(f"web: listening on port {server.server_port}")
    with server:
        server.serve_forever(poll_interval=0.1)
    print("web: ended in order")


if __name__ == "__main__":
    main()
