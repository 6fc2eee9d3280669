#!/usr/bin/env python3
"""Prints the seconds of each stage of builds, side by side: the API's builds as JSON lines on standard input."""

import json
import sys


def main():
    builds = [json.loads(line) for line in sys.stdin if line.strip()]
    names = []
    for build in builds:
        names += [stage["name"] for stage in build["stages"] if stage["name"] not in names]
    print(f"    {'stage':<12}" + "".join(f"{'build ' + str(build['number']):>12}" for build in builds))
    for name in names:
        print(f"    {name:<12}" + "".join(cell(of(build, name)) for build in builds))
    print(f"    {'all':<12}" + "".join(cell(sum(stage["seconds"] or 0 for stage in build["stages"])) for build in builds))


def of(build, name):
    for stage in build["stages"]:
        if stage["name"] == name:
            return stage["seconds"]
    return None


def cell(value):
    return f"{'-':>12}" if value is None else f"{value:>10.2f} s"


main()
