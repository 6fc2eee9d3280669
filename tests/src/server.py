"""The app of the stories. The file `behaviour` says how it misbehaves."""
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def text(name, default=""):
    return open(name).read().strip() if os.path.exists(name) else default


BEHAVIOUR = text("behaviour", "good")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/env":
            self.answer(200, json.dumps(dict(os.environ)))
        elif self.path == "/crash":
            self.answer(200, "bye")
            print("crashing as asked", flush=True)
            os._exit(7)
        elif self.path == "/slow":
            time.sleep(0.3)
            self.answer(200, text("answer"))
        elif self.path == "/sicken":
            global BEHAVIOUR
            self.answer(200, BEHAVIOUR)
            BEHAVIOUR = "sick"
        elif self.path == "/healthz":
            self.answer(500 if BEHAVIOUR == "sick" else 200, BEHAVIOUR)
        else:
            self.answer(200, text("answer"))

    def answer(self, status, body):
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *words):
        pass


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    port = int(os.environ.get("PORT", "5000"))
    print(f"{BEHAVIOUR} on {port}", flush=True)
    if BEHAVIOUR == "exits":
        print("cannot find the flux capacitor", file=sys.stderr, flush=True)
        sys.exit(3)
    if BEHAVIOUR == "deaf":
        threading.Event().wait()
    if BEHAVIOUR == "wrong-port":
        port = 4321
    if BEHAVIOUR == "slow":
        time.sleep(8)
    ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()


main()
