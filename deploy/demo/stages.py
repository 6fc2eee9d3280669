#!/usr/bin/env python3
"""Prints the seconds of each stage of builds, side by side: the API's builds as JSON lines on standard input."""

import datetime
import json
import sys


def seconds(begin, end):
    return (moment(end) - moment(begin)).total_seconds() if begin and end else None


def moment(text):
    """RFC 3339 with up to nine digits of a second; Python reads six."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(whole)
    return moment + datetime.timedelta(microseconds=int((fraction + "000000")[:6]))


def main():
    builds = [json.loads(line) for line in sys.stdin if line.strip()]
    names = []
    for build in builds:
        names += [stage["name"] for stage in build["stages"] if stage["name"] not in names]
    print(f"    {'stage':<12}" + "".join(f"{'build ' + str(build['number']):>12}" for build in builds))
    for name in names:
        print(f"    {name:<12}" + "".join(cell(of(build, name)) for build in builds))
    print(f"    {'all':<12}" + "".join(cell(seconds(build["created_at"], build["finished_at"])) for build in builds))


def of(build, name):
    for stage in build["stages"]:
        if stage["name"] == name:
            return seconds(stage["started_at"], stage["finished_at"])
    return None


def cell(value):
    return f"{'-':>12}" if value is None else f"{value:>10.2f} s"


main()
