"""Rounds, medians, and what is told of them."""

import json
import statistics


def rounds(count, ours, theirs):
    """Measures both `count` times; who is first changes each round, so that a drift of the machine favours nobody."""
    figures = ([], [])
    for number in range(count):
        order = (0, 1) if number % 2 == 0 else (1, 0)
        for which in order:
            figures[which].append((ours, theirs)[which](number))
    return figures


class Report:
    """JSON lines, then a table."""

    def __init__(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.path.write_text("")
        self.lines = []

    def add(self, bench, unit, ours, peer=None, theirs=None, more=None):
        median = statistics.median(ours)
        line = {"bench": bench, "unit": unit, "ours": round(median, 3), "peer": None, "ratio": None}
        if peer:
            figure = statistics.median(theirs)
            line["peer"] = {"which": peer, "figure": round(figure, 3)}
            line["ratio"] = round(median / figure, 3)
            line["peer_rounds"] = [round(value, 3) for value in theirs]
        line["rounds"] = [round(value, 3) for value in ours]
        line.update(more or {})
        self.write(line)

    def add_failure(self, bench, failure):
        self.write({"bench": bench, "unit": "", "ours": "failed", "peer": None, "ratio": None, "why": str(failure)})

    def has_failures(self):
        return any("why" in line for line in self.lines)

    def write(self, line):
        self.lines.append(line)
        text = json.dumps(line)
        print(text, flush=True)
        with self.path.open("a") as file:
            file.write(text + "\n")

    def table(self):
        rows = [("bench", "unit", "ours", "peer", "ratio", "which peer")]
        for line in self.lines:
            peer = line["peer"] or {"which": "", "figure": ""}
            rows.append((line["bench"], line["unit"], line["ours"], peer["figure"], line["ratio"] or "", peer["which"]))
        widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
        return "\n" + "\n".join("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


class Failed(SystemExit):
    """Ends a bench; those after it are measured all the same."""


def fail(text):
    raise Failed(f"bench: {text}")
