#!/usr/bin/env python3
"""Sends requests at a fixed rate, each on a connection of its own, while a release is replaced by the next.

usage: load.py --url URL --old TEXT --new TEXT [--connect HOST:PORT] [--rate N] [--answers N] [--seconds N] --ready FILE

Ends by itself when it has seen N answers with each text, or after so many seconds. Once N answers had the old text it
makes the file: the next release may come. Prints how many answers of each kind came. Exit status 0: all of them were one
of the two texts, and there were enough of each.
"""

import argparse
import collections
import http.client
import pathlib
import sys
import threading
import time
import urllib.parse

# Seconds after which a request counts as failed.
REQUEST_TIMEOUT = 10
# Requests under way at a time; at 50 a second that is a standstill of more than five seconds.
MOST_AT_A_TIME = 256
# Kinds of failure that are printed.
FAILURES_SHOWN = 5


class Tally:
    """What came back, counted by text or by failure."""

    def __init__(self, texts):
        self.lock = threading.Lock()
        self.texts = texts
        self.counts = collections.Counter()
        self.failures = collections.Counter()
        self.slowest = 0.0

    def answer(self, text, seconds):
        with self.lock:
            self.slowest = max(self.slowest, seconds)
            if text in self.texts:
                self.counts[text] += 1
            else:
                self.failures[f"another answer: {text[:80]!r}"] += 1

    def failure(self, error):
        with self.lock:
            self.failures[f"{type(error).__name__}: {error}"[:120]] += 1

    def seen(self, text):
        with self.lock:
            return self.counts[text]

    def failed(self):
        with self.lock:
            return sum(self.failures.values())


def request(url, connect, tally):
    began = time.monotonic()
    host, port = connect
    connection = http.client.HTTPConnection(host, port, timeout=REQUEST_TIMEOUT)
    try:
        connection.request("GET", url.path or "/", headers={"Host": url.netloc, "Connection": "close"})
        response = connection.getresponse()
        text = response.read().decode(errors="replace").strip()
        if response.status == 200:
            tally.answer(text, time.monotonic() - began)
        else:
            tally.failure(RuntimeError(f"status {response.status}: {text[:60]}"))
    except (OSError, http.client.HTTPException) as error:
        tally.failure(error)
    finally:
        connection.close()


def run(options, tally):
    """Starts a request at each tick, whether or not those before it have ended."""
    url = urllib.parse.urlsplit(options.url)
    connect = options.connect or ("127.0.0.1", url.port or 80)
    places = threading.BoundedSemaphore(MOST_AT_A_TIME)

    def one():
        try:
            request(url, connect, tally)
        finally:
            places.release()

    began = time.monotonic()
    threads = []
    for tick in range(options.rate * options.seconds):
        if tally.seen(options.old) >= options.answers and not options.ready.exists():
            options.ready.touch()
        if tally.seen(options.new) >= options.answers and tally.seen(options.old) >= options.answers:
            break
        time.sleep(max(0.0, began + tick / options.rate - time.monotonic()))
        if places.acquire(timeout=REQUEST_TIMEOUT):
            thread = threading.Thread(target=one, daemon=True)
            thread.start()
            threads.append(thread)
            threads = [thread for thread in threads if thread.is_alive()]
    for thread in threads:
        thread.join(REQUEST_TIMEOUT)
    return time.monotonic() - began


def address(text):
    host, _, port = text.rpartition(":")
    return host, int(port)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--old", required=True)
    parser.add_argument("--new", required=True)
    parser.add_argument("--connect", type=address)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--answers", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--ready", type=pathlib.Path, required=True)
    return parser.parse_args()


def main():
    options = parse()
    tally = Tally({options.old, options.new})
    seconds = run(options, tally)
    total = sum(tally.counts.values()) + tally.failed()
    print(f"{total} requests in {seconds:.1f} s, each on a connection of its own; the slowest took {tally.slowest * 1000:.0f} ms:")
    for text in (options.old, options.new):
        print(f"{tally.counts[text]:6}  {text}")
    print(f"{tally.failed():6}  failed")
    for failure, count in tally.failures.most_common(FAILURES_SHOWN):
        print(f"        {count} x {failure}")
    enough = all(tally.counts[text] >= options.answers for text in tally.texts)
    if not enough:
        print(f"Fewer than {options.answers} answers came from one of the releases within {options.seconds} s.")
    sys.exit(0 if enough and tally.failed() == 0 else 1)


if __name__ == "__main__":
    main()
