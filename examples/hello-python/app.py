"""Answers every request with the one line of message.py."""

from message import MESSAGE


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{MESSAGE}\n".encode()]
